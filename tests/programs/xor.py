"""XOR: one hidden layer learns what a line cannot separate."""

import torch
import torch.nn as nn

torch.manual_seed(2)
X = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float32)
Y = torch.tensor([[0], [1], [1], [0]], dtype=torch.float32)


class XOR(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.fc1 = nn.Linear(2, hidden)
        self.fc2 = nn.Linear(hidden, 1)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x):
        return self.sigmoid(self.fc2(torch.tanh(self.fc1(x))))


for model in (nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()), XOR(4)):
    criterion = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for step in range(201):
        hypothesis = model(X)
        cost = criterion(hypothesis, Y)
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
        if step % 50 == 0:
            print(step, cost.item())
    with torch.no_grad():
        hypothesis = model(X)
        predicted = (hypothesis > 0.5).float()
        accuracy = (predicted == Y).float().mean()
    print("Hypothesis:", hypothesis.numpy().round(3).tolist())
    print("Accuracy:", accuracy.item())

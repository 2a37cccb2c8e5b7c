"""Two half moons: an MLP finds the curved border that a linear model cannot."""

import math

import torch
from torch import nn

torch.manual_seed(42)
angle = torch.rand(200) * math.pi
upper = torch.stack([angle.cos(), angle.sin()], dim=1)
lower = torch.stack([1 - angle.cos(), 0.5 - angle.sin()], dim=1)
which = torch.arange(200) % 2
X = torch.where(which.bool().unsqueeze(1), lower, upper) + 0.1 * torch.randn(200, 2)
y = which.float()
order = torch.randperm(200)
X_train, X_test = X[order[:160]], X[order[160:]]
y_train, y_test = y[order[:160]], y[order[160:]]


def accuracy_fn(y_true, y_pred):
    correct = torch.eq(y_true, y_pred).sum().item()
    return (correct / len(y_pred)) * 100


linear = nn.Linear(2, 1)
mlp = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1))
for model in (linear, mlp):
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(params=model.parameters(), lr=0.3, momentum=0.5)
    for epoch in range(150):
        model.train()
        y_logits = model(X_train).squeeze()
        y_pred = torch.round(torch.sigmoid(y_logits))
        loss = loss_fn(y_logits, y_train)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.inference_mode():
            test_logits = model(X_test).squeeze()
            test_pred = torch.round(torch.sigmoid(test_logits))
            test_loss = loss_fn(test_logits, y_test)
        if epoch % 30 == 29:
            acc, test_acc = accuracy_fn(y_train, y_pred), accuracy_fn(y_test, test_pred)
            print(f"{epoch + 1:3} Loss: {loss:.4f}, Acc: {acc:.2f}% | Test: {test_loss:.4f}, {test_acc:.2f}%")
with torch.no_grad():
    grid = torch.stack(torch.meshgrid(torch.linspace(-1, 2, 7), torch.linspace(-1, 1, 5), indexing="xy"), dim=-1)
    for row in (mlp(grid).squeeze(-1) > 0).int().tolist():
        print("".join(".#"[value] for value in row))

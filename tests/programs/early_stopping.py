"""Early stopping: training ends when validation gets no better, and the best weights come back."""

import copy

import torch
from torch import nn

torch.manual_seed(0)
x = torch.rand(60, 10) * 2 - 1
y = x[:, :1] * 2 - x[:, 1:2] + 0.5 * torch.randn(60, 1)
x_train, y_train, x_valid, y_valid = x[:30], y[:30], x[30:], y[30:]
model = nn.Sequential(nn.Linear(10, 40), nn.Tanh(), nn.Linear(40, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
criterion = nn.MSELoss()


class EarlyStopping:
    def __init__(self, patience=5, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_state, self.counter = float("inf"), None, 0

    def __call__(self, loss, model):
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.counter = loss, 0
            self.best_state = copy.deepcopy(model.state_dict())
        else:
            self.counter += 1
        return self.counter >= self.patience


stopper = EarlyStopping()
for epoch in range(200):
    model.train()
    optimizer.zero_grad()
    loss = criterion(model(x_train), y_train)
    loss.backward()
    optimizer.step()
    model.eval()
    with torch.no_grad():
        valid_loss = criterion(model(x_valid), y_valid).item()
    stop = stopper(valid_loss, model)
    if epoch % 5 == 0 or stop:
        print(f"{epoch:3d} train {loss.item():.4f} valid {valid_loss:.4f} waiting {stopper.counter}")
    if stop:
        break
model.load_state_dict(stopper.best_state)
with torch.no_grad():
    print(criterion(model(x_valid), y_valid).item() == stopper.best_loss)
without_copy = model.state_dict()
with torch.no_grad():
    model[0].bias.zero_()
print("a state_dict without a copy follows the model:", without_copy["0.bias"].abs().sum().item())

"""Linear regression three ways: the normal equation, gradient descent by hand, and nn.Linear with SGD."""

import numpy as np
import torch
from torch import nn

torch.manual_seed(42)
weight, bias = 0.7, 0.3
X = torch.arange(0, 1, 0.02).unsqueeze(dim=1)
y = weight * X + bias + 0.02 * torch.randn(50, 1)
split = int(0.8 * len(X))
X_train, y_train, X_test, y_test = X[:split], y[:split], X[split:], y[split:]
print(len(X_train), len(X_test), X[:3], y[:3])

A = np.hstack([X_train.numpy(), np.ones((split, 1), dtype=np.float32)])
exact = torch.from_numpy(np.linalg.lstsq(A, y_train.numpy(), rcond=None)[0])
print("exact", exact.flatten())

w, b = torch.zeros(1), torch.zeros(1)
for _ in range(300):
    error = X_train * w + b - y_train
    w -= 0.1 * 2 * (error * X_train).mean()
    b -= 0.1 * 2 * error.mean()
print("by hand", w, b)


class LinearRegressionModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(1, dtype=torch.float), requires_grad=True)
        self.bias = nn.Parameter(torch.randn(1, dtype=torch.float), requires_grad=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weights * x + self.bias


for model in (LinearRegressionModel(), nn.Linear(in_features=1, out_features=1)):
    loss_fn = nn.L1Loss()
    optimizer = torch.optim.SGD(params=model.parameters(), lr=0.01)
    print(model.state_dict())
    for epoch in range(121):
        model.train()
        loss = loss_fn(model(X_train), y_train)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.eval()
        with torch.inference_mode():
            test_loss = loss_fn(model(X_test), y_test.type(torch.float))
        if epoch % 40 == 0:
            print(f"Epoch: {epoch} | MAE Train Loss: {loss:.5f} | MAE Test Loss: {test_loss:.5f}")
    print(list(model.parameters()))

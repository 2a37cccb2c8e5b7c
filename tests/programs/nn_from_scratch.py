"""What nn is: softmax regression from tensors alone, then with functional, Module, Linear, optim and DataLoader."""

import math

import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
centers = torch.rand(10, 64)
y_train = torch.arange(500) % 10
x_train = centers[y_train] + 0.3 * torch.rand(500, 64)
n, c = x_train.shape
print(x_train.shape, y_train.min(), y_train.max())

weights = torch.randn(c, 10) / math.sqrt(c)
weights.requires_grad_()
bias = torch.zeros(10, requires_grad=True)


def log_softmax(x):
    return x - x.exp().sum(-1).log().unsqueeze(-1)


def model(xb):
    return log_softmax(xb @ weights + bias)


def nll(input, target):
    return -input[range(target.shape[0]), target].mean()


def accuracy(out, yb):
    preds = torch.argmax(out, dim=1)
    return (preds == yb).float().mean()


bs, lr, epochs = 50, 0.2, 2
print(nll(model(x_train[:bs]), y_train[:bs]), accuracy(model(x_train), y_train))
for _ in range(epochs):
    for i in range((n - 1) // bs + 1):
        xb, yb = x_train[i * bs : i * bs + bs], y_train[i * bs : i * bs + bs]
        loss = nll(model(xb), yb)
        loss.backward()
        with torch.no_grad():
            weights -= weights.grad * lr
            bias -= bias.grad * lr
            weights.grad.zero_()
            bias.grad.zero_()
print(loss.item(), F.cross_entropy(xb @ weights + bias, yb).item(), accuracy(model(x_train), y_train))


class Logistic(nn.Module):
    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(torch.randn(c, 10) / math.sqrt(c))
        self.bias = nn.Parameter(torch.zeros(10))

    def forward(self, xb):
        return xb @ self.weights + self.bias


for net in (Logistic(), nn.Linear(c, 10)):
    opt = optim.SGD(net.parameters(), lr=lr, momentum=0.5)
    for epoch in range(epochs):
        net.train()
        for xb, yb in DataLoader(TensorDataset(x_train, y_train), batch_size=bs, shuffle=True):
            loss = F.cross_entropy(net(xb), yb)
            loss.backward()
            opt.step()
            opt.zero_grad()
        net.eval()
        with torch.no_grad():
            print(epoch, F.cross_entropy(net(x_train), y_train).item())

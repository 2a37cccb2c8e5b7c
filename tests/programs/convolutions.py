"""Convolution and pooling looked into: edges found by hand, strides, padding, groups, and shapes on the way."""

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
X = torch.ones((6, 8))
X[:, 2:6] = 0
K = torch.tensor([[1.0, -1.0]])


def corr2d(X, K):
    h, w = K.shape
    Y = torch.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


Y = corr2d(X, K)
print(Y, torch.equal(Y, F.conv2d(X[None, None], K[None, None])[0, 0]))
conv2d = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
for i in range(10):
    loss = ((conv2d(X.reshape(1, 1, 6, 8)) - Y) ** 2).sum()
    conv2d.zero_grad()
    loss.backward()
    conv2d.weight.data[:] -= 3e-2 * conv2d.weight.grad
    if (i + 1) % 2 == 0:
        print(f"epoch {i + 1}, loss {loss:.3f}")
print(conv2d.weight.data.reshape((1, 2)))

images = torch.rand(2, 4, 9, 9)
for layer in (
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, 3, stride=2, padding=1),
    nn.Conv2d(4, 6, (3, 5), padding=(1, 2), dilation=1),
    nn.Conv2d(4, 8, 3, groups=2, padding="same"),
    nn.Conv2d(4, 4, 3, dilation=2),
    nn.MaxPool2d(3, stride=2, padding=1),
    nn.AvgPool2d(2),
    nn.AdaptiveAvgPool2d((3, 2)),
):
    out = layer(images)
    print(layer, tuple(out.shape), f"{out.mean().item():.5f} {out[1, 2, 1, 1].item():.5f}")
signal = torch.arange(10.0).view(1, 1, 10)
print(F.conv1d(signal, torch.tensor([[[1.0, 0.0, -1.0]]])), nn.Conv1d(1, 2, 3, padding=1)(signal).shape)
x = torch.arange(16.0).view(1, 1, 4, 4).requires_grad_()
print(F.max_pool2d(x, 2), F.avg_pool2d(x, 2), F.adaptive_avg_pool2d(x, 1), F.pad(x[0, 0, :2], (1, 1)))
F.max_pool2d(x * x, 3, stride=1).sum().backward()
print(x.grad)

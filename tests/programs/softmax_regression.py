"""Softmax regression from scratch: softmax, cross entropy and accuracy by hand, against the built-in ones."""

import torch
from torch import nn

torch.manual_seed(0)
num_inputs, num_outputs = 16, 5
centers = torch.normal(0, 1, (num_outputs, num_inputs))
labels = torch.randint(num_outputs, (300,))
features = centers[labels] + torch.normal(0, 1, size=(300, num_inputs))


def softmax(X):
    X_exp = torch.exp(X)
    partition = X_exp.sum(1, keepdim=True)
    return X_exp / partition


def cross_entropy(y_hat, y):
    return -torch.log(y_hat[list(range(len(y_hat))), y])


def accuracy(y_hat, y):
    return float((y_hat.argmax(axis=1).type(y.dtype) == y).sum()) / len(y)


X = torch.rand((2, 5))
X_prob = softmax(X)
print(X_prob, X_prob.sum(1))
y = torch.tensor([0, 2])
y_hat = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
print(y_hat[[0, 1], y], cross_entropy(y_hat, y), accuracy(y_hat, y))

W = torch.normal(0, 0.01, size=(num_inputs, num_outputs), requires_grad=True)
b = torch.zeros(num_outputs, requires_grad=True)
for epoch in range(5):
    for i in range(0, 300, 30):
        X, y = features[i : i + 30], labels[i : i + 30]
        loss = cross_entropy(softmax(torch.matmul(X, W) + b), y)
        loss.sum().backward()
        with torch.no_grad():
            for param in (W, b):
                param -= 0.1 * param.grad / len(y)
                param.grad.zero_()
    print(epoch + 1, loss.mean().item(), accuracy(features @ W + b, labels))

logits = (features @ W + b).detach()
print(nn.CrossEntropyLoss()(logits, labels).item(), cross_entropy(softmax(logits), labels).mean().item())
print(nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum")(logits, labels).item())
print(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2, 3, 4, 5]))(logits, labels).item())
print(nn.functional.one_hot(labels[:4], num_classes=5))
confusion = torch.zeros(5, 5, dtype=torch.int64)
for target, predicted in zip(labels, logits.argmax(1), strict=True):
    confusion[target, predicted] += 1
print(confusion, confusion.diag() / confusion.sum(1))

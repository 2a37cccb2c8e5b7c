"""A gentle introduction to autograd: one training step, differentiation, frozen layers, and the graph."""

import torch
from torch import nn, optim

torch.manual_seed(5)
model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 4))
data = torch.rand(1, 12)
labels = torch.rand(1, 4)
prediction = model(data)  # forward pass
loss = (prediction - labels).sum()
loss.backward()  # backward pass
optim = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
optim.step()  # gradient descent
print(loss, model[2].bias)

a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
Q = 3 * a**3 - b**2
external_grad = torch.tensor([1.0, 1.0])
Q.backward(gradient=external_grad)
print(9 * a**2 == a.grad)
print(-2 * b == b.grad)

x = torch.rand(5, 5)
y = torch.rand(5, 5)
z = torch.rand((5, 5), requires_grad=True)
print(f"Does `a` require gradients?: {(x + y).requires_grad}")
print(f"Does `b` require gradients?: {(x + z).requires_grad}")

for param in model.parameters():
    param.requires_grad = False
model[2] = nn.Linear(8, 3)
print([name for name, p in model.named_parameters() if p.requires_grad])
out = model(data)
out.sum().backward()
print(model[0].weight.grad is None or model[0].weight.grad.shape, model[2].bias.grad)

x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
y = x + 2
w = y * y * 3
out = w.mean()
print(y, w, out, sep="\n")
print(out.grad_fn.name(), [f.name() for f, _ in out.grad_fn.next_functions])
print(x.is_leaf, y.is_leaf, x.grad_fn)
y.retain_grad()
out.backward()
print(x.grad, y.grad, sep="\n")

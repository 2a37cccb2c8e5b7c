"""Hooks: shapes of every layer as a table, activations kept, gradients seen and changed."""

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 4, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(4 * 4 * 4, 10),
)
rows = []


def describe(module, inputs, output):
    count = sum(p.numel() for p in module.parameters())
    rows.append((type(module).__name__, tuple(inputs[0].shape), tuple(output.shape), count))


handles = [layer.register_forward_hook(describe) for layer in model]
model(torch.rand(2, 1, 8, 8))
for name, given, result, count in rows:
    print(f"{name:10}{given!s:18}{result!s:18}{count:6d}")
for handle in handles:
    handle.remove()
model(torch.rand(2, 1, 8, 8))
print(len(rows))

activation, gradients = {}, {}


def keep(name):
    def hook(module, inputs, output):
        activation[name] = output.detach()

    return hook


def keep_gradient(module, grad_input, grad_output):
    gradients["linear"] = [None if g is None else tuple(g.shape) for g in (*grad_input, *grad_output)]


model[1].register_forward_hook(keep("relu"))
model[4].register_full_backward_hook(keep_gradient)
model[4].register_forward_pre_hook(lambda module, inputs: (inputs[0] * 2,))
out = model(torch.rand(2, 1, 8, 8))
out.sum().backward()
print(f"dead: {(activation['relu'] == 0).float().mean().item():.4f}", gradients)

x = torch.tensor([1.0, 2.0], requires_grad=True)
y = x * 3
y.register_hook(lambda grad: print("gradient of y:", grad))
x.register_hook(lambda grad: grad * 10)
(y**2).sum().backward()
print(x.grad)
replaced = nn.Linear(2, 2)
replaced.register_forward_hook(lambda module, inputs, output: output.clamp(min=0) + 1)
print(replaced(torch.tensor([[1.0, -1.0]])))

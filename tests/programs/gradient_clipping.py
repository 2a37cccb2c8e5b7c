"""Gradient clipping: by norm, by value, by a hook, and what it does to a step that would be too long."""

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

torch.manual_seed(0)
x, y = torch.rand(20, 4) * 10, torch.rand(20, 1) * 100
start = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).state_dict()


def norms(model):
    return torch.stack([p.grad.norm() for p in model.parameters()])


def train(clip):
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    model.load_state_dict(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        clip(model)
        optimizer.step()
    return loss.item()


print("norm 1:", train(lambda model: nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)))
print("value 0.5:", train(lambda model: clip_grad_value_(model.parameters(), 0.5)))

model = nn.Linear(4, 1)
nn.functional.mse_loss(model(x), y).backward()
before = norms(model)
total = clip_grad_norm_(model.parameters(), 2.0)
print(total, torch.allclose(total, before.norm()), norms(model).norm())
print("infinity norm", clip_grad_norm_(model.parameters(), 0.1, norm_type=float("inf")), model.weight.grad)
clip_grad_value_(model.parameters(), clip_value=0.05)
print(model.weight.grad.abs().max())

w = torch.tensor([1.0, -2.0, 3.0], requires_grad=True)
handle = w.register_hook(lambda grad: grad.clamp(-1, 1))
(w**2).sum().backward()
print(w.grad)
handle.remove()
w.grad = None
(w**2).sum().backward()
print(w.grad)

"""float16 as a dtype: creation, conversion, arithmetic, promotion, saving, and its small range."""

import io

import torch
from torch import nn

x = torch.tensor([1.5, 2.25, -3.125], dtype=torch.float16)
print(x, x.dtype == torch.half, x.element_size(), x.numpy().dtype)
print(x + 1, x * 2.5, x * x, x / 3, -x, x.relu(), x.abs().sqrt())
print(x + torch.ones(3), x + torch.tensor([1, 2, 3]), x > 0, x.long(), x.float(), x.double())
print(x.sum(), x.mean(), x.max(), x.argmin())
print("overflows to", torch.tensor(1e6).half().item(), "and underflows to", torch.tensor(1e-8).half().item())

a = torch.arange(6, dtype=torch.float16).reshape(2, 3)
print(a @ a.T, a.sum(0), torch.cat([a, torch.zeros(1, 3, dtype=torch.half)]))

w = torch.tensor([2.0, 3.0], dtype=torch.float16, requires_grad=True)
(w * w).sum().backward()
print("gradient", w.grad)

model = nn.Linear(3, 2).half()
print(*[value.dtype for value in model.state_dict().values()])
model.float()
print(*[value.dtype for value in model.state_dict().values()])

file = io.BytesIO()
torch.save({"a": a}, file)
file.seek(0)
print(torch.load(file)["a"])

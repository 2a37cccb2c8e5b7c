"""A tour of broadcasting: shapes that stretch, gradients that sum, and shapes that do not fit."""

import torch
import torch.nn.functional as F

x = torch.arange(6.0).reshape(2, 3)
print(x + torch.tensor([10.0, 20.0, 30.0]))
print(x * torch.tensor([[1.0], [-1.0]]), x - 1, 2 / (x + 1), sep="\n")
column, row = torch.arange(3).reshape(3, 1), torch.arange(2).reshape(1, 2)
print(column + row, column @ row, torch.outer(torch.arange(3), torch.arange(2)), sep="\n")
print((torch.ones(5, 1, 4) + torch.ones(3, 1)).shape, torch.broadcast_tensors(column, row)[0])
print((torch.ones(2, 1, 3, 4) @ torch.ones(5, 4, 2)).shape, torch.bmm(torch.ones(2, 3, 4), torch.ones(2, 4, 1)).shape)

a = torch.tensor([[1.0], [2.0]], requires_grad=True)
b = torch.tensor([3.0, 4.0, 5.0], requires_grad=True)
(a * b).sum().backward()
print(a.grad, b.grad)

points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
print(((points[:, None] - points[None, :]) ** 2).sum(-1).sqrt())
print(
    torch.max(x, torch.tensor(2.5)), torch.minimum(x, x.mean(1, keepdim=True)), x.clamp(min=torch.tensor([1.0, 2, 3]))
)
print(torch.where(x > 2, x, 0.0), x.masked_fill(x < 3, -1), torch.lerp(x, x + 10, 0.5), sep="\n")
print(torch.einsum("ij,kj->ik", x, x), torch.einsum("bij,bjk->bik", x[None], x.T[None]).shape)
print(torch.tensor([1, 2]) + 0.5, torch.tensor([1, 2]) / 2, torch.tensor([5, -5]) // 2, torch.tensor([5, -5]) % 3)
print((torch.tensor([1, 2]) + torch.tensor([1.5], dtype=torch.float64)).dtype, (torch.ones(1) + True).dtype)
print(torch.tensor([True, False]) & torch.tensor([True, True]), ~torch.tensor([True]), torch.tensor([5]) ^ 3)

for bad in (lambda: x + torch.ones(2), lambda: x @ x, lambda: torch.ones(2, 3).expand(3, 3)):
    try:
        bad()
    except RuntimeError as error:
        print("RuntimeError:", str(error).splitlines()[0][:60])
normalized = (x - x.mean(0)) / x.std(0, unbiased=False)
print(normalized, F.normalize(x, dim=1), x.softmax(-1), torch.cdist(points, points[:1]).flatten(), sep="\n")

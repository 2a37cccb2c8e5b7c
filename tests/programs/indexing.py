"""A tour of indexing: slices, masks, lists of indices, gather and scatter, and shapes joined and cut."""

import torch

x = torch.arange(24).reshape(4, 6)
print(x[1], x[-1, 2:], x[:, ::2], x[1:3, [0, 5]], x[..., 0], sep="\n")
print(x[x % 5 == 0], x[[0, 2]], x[[0, 1], [2, 3]], x[torch.tensor([3, 0])][:, None].shape, sep="\n")
print(x[0, 0].item(), x[1, 2].tolist(), x[None].shape, x[:, torch.tensor([True, False] * 3)].shape)
x[0] = -1
x[:, 1] = torch.tensor([7, 7, 8, 8])
x[x > 20] = 0
print(x)

scores = torch.tensor([[0.1, 0.9, 0.3], [0.8, 0.2, 0.5]])
target = torch.tensor([1, 2])
print(scores[range(2), target], scores.gather(1, target.unsqueeze(1)), torch.take_along_dim(scores, target[:, None], 1))
print(torch.zeros(2, 3).scatter_(1, target.view(-1, 1), 1.0), torch.zeros(3).index_add_(0, target, torch.ones(2)))
print(torch.index_select(scores, 1, torch.tensor([2, 0])), torch.masked_select(scores, scores > 0.4))
print(torch.nonzero(scores > 0.4), torch.where(scores > 0.4), (scores > 0.4).nonzero(as_tuple=True)[1])
values, indices = torch.sort(scores, dim=1, descending=True)
print(values, indices, torch.argsort(scores[0]), scores.topk(2), scores.flatten().topk(2, largest=False).values)
print(torch.unique(torch.tensor([3, 1, 2, 1, 3]), return_counts=True), torch.bincount(torch.tensor([0, 2, 2, 5])))

a = torch.arange(4).view(2, 2)
print(torch.cat([a, a + 10]), torch.cat((a, a), dim=-1), torch.stack([a, a], dim=2).shape, torch.vstack([a, a]).shape)
print(a.repeat(2, 3), torch.tile(a, (2,)), a.repeat_interleave(2, dim=0), a.flip(0), torch.roll(a, 1, 1), sep="\n")
print([p.tolist() for p in a.unbind(1)], [p.tolist() for p in torch.split(torch.arange(7), 3)], a.chunk(2, 1))
print(
    torch.tril(torch.ones(3, 3)), torch.triu(torch.ones(3, 3), diagonal=1), torch.diag(torch.tensor([1, 2])), a.diag()
)
print(a.unsqueeze(0).squeeze().shape, torch.ones(2, 3, 4).permute(2, 0, 1).shape, torch.ones(2, 3, 4).flatten(1).shape)
print(torch.ones(2, 3, 4).transpose(1, 2).shape, torch.movedim(torch.ones(2, 3, 4), 0, -1).shape, a.view_as(a.T).shape)

w = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
w[[0, 0, 2]].sum().backward()
print(w.grad)
for bad in (lambda: x[9], lambda: x[0, 0, 0], lambda: x[[0, 9]]):
    try:
        bad()
    except IndexError as error:
        print("IndexError:", str(error)[:50])

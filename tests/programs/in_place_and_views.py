"""In-place operations and views: shared memory, gradients through both, and what autograd refuses."""

import torch

a = torch.arange(6.0)
view = a.view(2, 3)
view[0, 0] = 10
a.mul_(2).add_(1)
print(view, a.data_ptr() == view.data_ptr(), view.is_contiguous(), view.t().is_contiguous())
copy = a.clone()
copy.zero_()
print(a, copy, a.reshape(3, 2).stride(), view.t().stride())
view += 1
view[:, 1].fill_(-1)
view[view > 10] = 0
print(a)
x = torch.zeros(3)
x.copy_(torch.tensor([1, 2, 3]))
x.clamp_(max=2).neg_().abs_().sqrt_()
print(x, x.unsqueeze_(0).shape, x.squeeze_().shape, x.t_().shape)

w = torch.ones(4, requires_grad=True)
y = w * 2
y[1] = 5
y[2:] *= 3
y += 1
print(y.detach())
y.sum().backward()
print(w.grad)

w = torch.arange(6.0, requires_grad=True)
z = (w + 0).view(2, 3)
z[0] = z[0].clone() * z[1].clone()
z[:, 0].mul_(10)
z.sum().backward()
print(w.grad)

w = torch.tensor([1.0, 2.0], requires_grad=True)
with torch.no_grad():
    w -= 0.5
w.data.clamp_(min=1)
print(w)


def attempt(what):
    try:
        what()
    except RuntimeError as error:
        print(f"refused: {type(error).__name__}")


def changed_after_use():
    e = (w * 1).exp()
    e.add_(1)
    e.sum().backward()


attempt(lambda: w.add_(1))
attempt(lambda: w.numpy())
attempt(changed_after_use)
attempt(lambda: torch.ones(2, 3).t().view(6))
attempt(lambda: (w.detach() * 2).sum().backward())
detached = w.detach()
detached[0] = 7
print(w, detached.requires_grad)
e = torch.ones(1, 3).expand(2, 3)
print(e.stride(), e.contiguous().stride(), torch.stack([e, e]).permute(2, 0, 1).shape)
parts = torch.arange(10).chunk(3)
parts[0].zero_()
print(parts, [p.tolist() for p in torch.arange(7).split([2, 5])])

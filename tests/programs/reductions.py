"""A tour of reductions and elementwise functions, with their dtypes, dimensions and gradients."""

import math

import torch

x = torch.tensor([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
print(x.sum(), x.sum(0), x.sum(dim=1, keepdim=True), x.sum(axis=(0, 1)), torch.sum(x, -1))
print(x.mean(), x.mean(dim=0), x.var(), x.std(dim=1), x.std(0, unbiased=False), torch.var_mean(x), torch.std_mean(x, 1))
print(x.max(), x.min(dim=1), torch.max(x, 0), x.argmax(), x.argmin(dim=0), x.amax(1), torch.aminmax(x))
print(x.prod(), x.prod(1), x.cumsum(1), x.cumprod(0), x.logsumexp(1), x.median(), x.median(dim=1).values)
print(x.norm(), x.norm(p=1), x.norm(dim=1), torch.linalg.norm(x, ord=2, dim=0), torch.norm(x, float("inf")))
print((x > 0).any(), (x > 0).all(dim=0), (x > 0).sum(), torch.count_nonzero(x), x.gt(0).float().mean())
counts = torch.tensor([1, 2, 3], dtype=torch.int32)
print(counts.sum().dtype, counts.float().mean(), torch.tensor([True, True]).sum(), counts.prod(), counts.max().dtype)
try:
    counts.mean()
except RuntimeError as error:
    print("RuntimeError:", str(error)[:50])

t = torch.tensor([0.1, 0.5, 0.9])
for f in (torch.sin, torch.cos, torch.tan, torch.asin, torch.acos, torch.atan, torch.sinh, torch.cosh, torch.tanh):
    print(f.__name__, f(t))
for f in (torch.exp, torch.log, torch.log2, torch.log10, torch.log1p, torch.expm1, torch.sqrt, torch.rsqrt, torch.erf):
    print(f.__name__, f(t))
s = torch.tensor([-1.5, -0.5, 0.5, 2.5])
print(s.ceil(), s.floor(), s.round(), s.trunc(), s.sign(), s.abs(), s.square(), s.reciprocal(), s.neg(), s.frac())
print(s.clamp(-1, 1), s.pow(3), torch.pow(2, s), s.relu(), s.sigmoid(), torch.maximum(s, -s), s.fmod(1), s.remainder(1))
print(torch.isnan(s / 0 * 0), torch.isinf(s / 0), torch.isfinite(s), torch.isclose(s, s + 1e-9), torch.atan2(s, -s))
print(torch.round(torch.tensor([3.14159]), decimals=2), torch.dot(t, t), torch.mv(x, t), torch.mm(x, x.t()), x.trace())
print(s.eq(0.5), s.ne(0.5), s.lt(0), s.le(-0.5), s.gt(0), s.ge(2.5), torch.eq(s, s).all(), torch.equal(s, s.clone()))

w = torch.tensor([[0.5, 1.0], [2.0, 2.0]], requires_grad=True)
for f in (
    torch.prod,
    torch.std,
    torch.norm,
    torch.max,
    lambda w: w.cumsum(0).pow(2).mean(),
    lambda w: w.logsumexp(1),
):
    (grad,) = torch.autograd.grad(f(w).sum(), w)
    print(grad)
print(
    torch.tensor(math.pi).sin().abs() < 1e-6,
    torch.pi,
    torch.inf,
    torch.mean(x, dim=[0, 1]),
    torch.cross(t, t + 1, dim=0),
)

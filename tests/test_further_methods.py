"""Scans, norms, sorting, gathering, arranging, matrices: values, dtypes and every gradient are torch's."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import minitrain
from minitrain import ops
from minitrain.autograd import check_gradients
from minitrain.ops import Array
from minitrain.tensor import Tensor
from tests import strategies as own
from tests.comparing import MINITRAIN, TORCH, Outcome, assert_agree, assert_alike, end_of, evaluate

Compute = Callable[..., Any]  # of a library and its tensors

M, V = (3, 4), (5,)
CUBE = (2, 3, 4)

# What has a gradient: a line of the library t and tensors x, y, z, and their shapes.
DIFFERENTIABLE: dict[str, Sequence[tuple[int, ...]]] = {
    "x.cumsum(0)": [M],
    "t.cumsum(x, dim=-1)": [CUBE],
    "t.cumsum(x, 0)": [()],
    "x.cumprod(1)": [CUBE],
    "t.cumprod(x, axis=0)": [V],
    "x.cumprod(-1)": [()],
    "x.prod()": [M],
    "t.prod(x, 1, keepdim=True)": [CUBE],
    "x.prod(-1)": [M],
    "x.prod(0)": [()],
    "x.norm()": [M],
    "t.norm(x, 2, 1)": [M],
    "x.norm(p=1)": [M],
    "x.norm(1, 0, True)": [M],
    "x.norm(3, (0, 2))": [CUBE],
    "x.norm(0.5)": [V],
    "x.norm(0, 1)": [M],
    "x.norm(float('inf'), 1)": [M],
    "x.norm(-float('inf'))": [V],
    "t.linalg.norm(x)": [CUBE],
    "t.linalg.norm(x, 1)": [M],
    "t.linalg.norm(x, float('inf'), (0, 1), True)": [CUBE],
    "t.linalg.norm(x, 'fro')": [M],
    "t.linalg.norm(x, 3, dim=0)": [M],
    "t.linalg.vector_norm(x, 2, dim=(0, 1))": [CUBE],
    "t.linalg.matrix_norm(x)": [CUBE],
    "t.linalg.matrix_norm(x, 'nuc')": [CUBE],
    "t.linalg.matrix_norm(x, 2, (0, 1), keepdim=True)": [CUBE],
    "t.linalg.matrix_norm(x, -1)": [CUBE],
    "x.logsumexp(1)": [M],
    "t.logsumexp(x, (0, 2), keepdim=True)": [CUBE],
    "x.logsumexp(0)": [()],
    "x.nansum(1)": [M],
    "t.nansum(x)": [M],
    "x.nanmean(0, True)": [M],
    "t.var_mean(x, 1)[0]": [M],
    "t.std_mean(x)[0]": [M],
    "t.std_mean(x, 0, keepdim=True)[1]": [M],
    "x.aminmax()[0]": [M],
    "t.aminmax(x, dim=1, keepdim=True).max": [M],
    "x.median()": [M],
    "x.nanmedian()": [V],
    "x.median(1).values": [M],
    "t.median(x, -1, keepdim=True)[0]": [CUBE],
    "x.nanmedian(0).values": [M],
    "x.cummax(1).values": [M],
    "t.cummin(x, 0)[0]": [CUBE],
    "x.diff()": [M],
    "t.diff(x, 2, 1)": [CUBE],
    "t.diff(x, dim=0, prepend=y, append=y)": [M, (1, 4)],
    "t.cov(x)": [M],
    "x.cov(correction=0)": [V],
    "t.corrcoef(x)": [(3, 5)],
    "x.sort()[0]": [M],
    "t.sort(x, dim=0, descending=True).values": [CUBE],
    "x.sort(stable=True)[0]": [()],
    "x.msort()": [M],
    "x.topk(2)[0]": [M],
    "t.topk(x, 2, 0, largest=False).values": [CUBE],
    "x.topk(1)[0]": [()],
    "x.kthvalue(2, 1)[0]": [M],
    "t.kthvalue(x, 3, keepdim=True).values": [V],
    "x.gather(1, t.tensor([[0, 0], [3, 1], [2, 2]]))": [M],
    "t.gather(x, 0, t.tensor([[2, 0, 1]]))": [M],
    "x.gather(0, t.tensor([1, 1, 4]))": [V],
    "x.scatter(1, t.tensor([[0, 2], [3, 1], [2, 0]]), y)": [M, (3, 2)],
    "x.scatter(0, t.tensor([[2, 0, 1]]), 7.5)": [M],
    "t.scatter_add(x, 1, t.tensor([[0, 0], [3, 1], [2, 2]]), y)": [M, (3, 2)],
    "(x * 1).scatter_add_(0, t.tensor([[1, 1, 0, 2]]), y)": [M, (1, 4)],
    "x.index_select(1, t.tensor([3, 0, 0]))": [M],
    "t.index_select(x, 0, t.tensor([1]))": [V],
    "x.index_add(0, t.tensor([0, 2, 0]), y, alpha=2)": [M, M],
    "(x * 1).index_add_(1, t.tensor([3, 3]), y)": [M, (3, 2)],
    "x.index_copy(1, t.tensor([2, 0]), y)": [M, (3, 2)],
    "x.index_fill(0, t.tensor([2, 0]), 1.5)": [M],
    "x.index_put((t.tensor([0, 0, 1]),), y, accumulate=True)": [V, (3,)],
    "x.take(t.tensor([[0, 11], [-1, 5]]))": [M],
    "t.take_along_dim(x, t.tensor([[2], [0], [1]]), dim=1)": [M],
    "t.take_along_dim(x, x.argsort(0), 0)": [M],
    "t.take_along_dim(x, t.tensor([3, 3]))": [M],
    "x.masked_select(x > 0)": [M],
    "x.masked_select(t.tensor([True, False, True, True]))": [M],
    "x.masked_fill(x > 0, -1.5)": [M],
    "x.masked_fill(t.tensor([[True], [False], [True]]), y)": [(4,), ()],
    "(x * 1).masked_fill_(t.tensor([True, False, True, True]), 3)": [M],
    "x.masked_scatter(t.tensor([True, False, True, True]), y)": [M, (4, 4)],
    "(x * 1).fill_diagonal_(2)": [M],
    "x.narrow(1, 1, 2)": [M],
    "t.narrow(x, 0, -2, 2)": [V],
    "x.select(1, -1)": [CUBE],
    "x.split(2, 1)[1]": [(2, 5)],
    "t.split(x, [1, 3, 1])[1]": [V],
    "x.chunk(3, dim=-1)[0]": [(2, 7)],
    "t.chunk(x, 4)[2]": [(9,)],
    "x.tensor_split(3)[0]": [(7,)],
    "t.tensor_split(x, (1, 3), dim=1)[1]": [M],
    "x.hsplit(2)[1]": [M],
    "t.vsplit(x, [1])[1]": [M],
    "x.dsplit(2)[0]": [CUBE],
    "x.unbind(1)[2]": [M],
    "list(x)[1]": [M],
    "x.unfold(0, 3, 1)": [V],
    "x.unfold(1, 2, 2)": [CUBE],
    "x.repeat(2, 3)": [M],
    "x.repeat((2, 1, 2))": [M],
    "x.tile(2)": [M],
    "t.tile(x, (2, 1, 3))": [V],
    "x.repeat_interleave(2)": [M],
    "t.repeat_interleave(x, t.tensor([1, 0, 3]), dim=0)": [M],
    "x.flip(0, -1)": [CUBE],
    "t.flip(x, [1])": [M],
    "x.fliplr()": [M],
    "t.flipud(x)": [V],
    "x.roll(1)": [M],
    "t.roll(x, (1, -2), (0, 1))": [M],
    "x.rot90()": [M],
    "t.rot90(x, 2, (0, 2))": [CUBE],
    "x.rot90(-1, [1, 2])": [CUBE],
    "x.movedim(0, 2)": [CUBE],
    "t.moveaxis(x, (0, 1), (-1, 0))": [CUBE],
    "x.swapaxes(0, 1)": [M],
    "t.swapdims(x, 0, 2)": [CUBE],
    "x.adjoint()": [CUBE],
    "x.unflatten(1, (2, -1))": [M],
    "x.ravel()": [M],
    "t.broadcast_to(x, (2, 3, 4))": [M],
    "t.mv(x, y)": [M, (4,)],
    "x.dot(y)": [V, V],
    "t.inner(x, y)": [M, (2, 4)],
    "t.inner(x, y)  # of vectors": [V, V],
    "x.outer(y)": [V, (2,)],
    "t.ger(x, y)": [V, (2,)],
    "t.bmm(x, y)": [CUBE, (2, 4, 2)],
    "t.addmm(x, y, z, beta=0.5, alpha=2)": [(2,), M, (4, 2)],
    "x.addmv(y, z)": [(3,), M, (4,)],
    "t.addr(x, y, z)": [M, (3,), (4,)],
    "t.baddbmm(x, y, z)": [(3, 2), CUBE, (2, 4, 2)],
    "x.addbmm(y, z, alpha=3)": [(3, 2), CUBE, (2, 4, 2)],
    "t.kron(x, y)": [M, (2, 3)],
    "t.kron(x, y)  # of a vector": [M, (2,)],
    "t.cross(x, y, dim=1)": [(4, 3), (4, 3)],
    "t.linalg.cross(x, y)": [(4, 3), (1, 3)],
    "x.matrix_power(3)": [(3, 3)],
    "x.matrix_power(0) * x": [(3, 3)],
    "t.matrix_power(x + 9 * t.eye(3), -2)": [(2, 3, 3)],
    "x.trace()": [M],
    "x.diagonal(1)": [M],
    "t.diagonal(x, -1, 2, 0)": [CUBE],
    "x.diag()": [V],
    "t.diag(x, 1)": [M],
    "t.diag(x, -2)": [V],
    "t.diag_embed(x)": [M],
    "t.diag_embed(x, 1, 0, 2)": [M],
    "x.tril(-1)": [CUBE],
    "t.triu(x, 1)": [M],
    "(x * 1).tril_()": [M],
    "t.linalg.inv(x + 9 * t.eye(3, dtype=x.dtype))": [(2, 3, 3)],
    "t.linalg.det(x)": [(2, 3, 3)],
    "t.det(t.stack([x, x]))": [(2,)],
    "t.linalg.solve(x + 9 * t.eye(3, dtype=x.dtype), y)": [(3, 3), (3, 2)],
    "t.linalg.solve(x + 9 * t.eye(3, dtype=x.dtype), y)  # vectors": [(2, 3, 3), (2, 3)],
    "t.linalg.solve(x + 9 * t.eye(3, dtype=x.dtype), y, left=False)": [(3, 3), (2, 3)],
    "t.linalg.svdvals(x)": [CUBE],
    "t.linalg.vecdot(x, y)": [M, M],
    "t.linalg.multi_dot([x, y, z])": [M, (4, 2), (2, 3)],
    "t.einsum('ij,jk->ik', x, y)": [M, (4, 2)],
    "t.einsum('ij,jk', [x, y])": [M, (4, 2)],
    "t.einsum('bij, bkj -> bik', x, y)": [CUBE, (2, 5, 4)],
    "t.einsum('i,i', x, y)": [V, V],
    "t.einsum('ii', x)": [(3, 3)],
    "t.einsum('ii->i', x)": [(3, 3)],
    "t.einsum('ij->', x)": [M],
    "t.einsum('ji', x)": [M],
    "t.einsum('ij,k->k', x, y)": [M, V],
    "t.einsum('...ij,...jk->...ik', x, y)": [CUBE, (4, 2)],
    "t.einsum('...,...', x, y)": [M, (4,)],
    "t.einsum('i...->...', x)": [CUBE],
    "t.einsum('ij,jk,kl->il', x, y, z)": [M, (4, 2), (2, 3)],
    "t.einsum('iij,j->ij', x, y)": [(3, 3, 4), (4,)],
    "t.einsum('ij,ij->ij', x, y)": [M, (1, 4)],
    "t.einsum(x, [0, 1], y, [1, 2], [0, 2])": [M, (4, 2)],
    "t.einsum(x, [0, 1], y, [1, 2])": [M, (4, 2)],
    "t.einsum('ij,kj->ki', x, x)": [M],
    "t.tensordot(x, y, 1)": [M, (4, 2)],
    "t.tensordot(x, y, ([0, 2], [1, 0]))": [CUBE, (4, 2)],
    "t.tensordot(x, y, dims=0)": [V, (2,)],
    "t.cdist(x, y)": [M, (2, 4)],
    "t.cdist(x, y, p=1)": [M, (2, 4)],
    "t.hstack([x, y])": [M, (3, 2)],
    "t.hstack((x, y))": [V, ()],
    "t.vstack([x, y])": [M, (4,)],
    "t.row_stack([x, y])": [M, (2, 4)],
    "t.dstack([x, y])": [M, M],
    "t.column_stack([x, y])": [(3,), M],
    "t.block_diag(x, y, z)": [M, (), (2,)],
    "t.concat([x, y], dim=1)": [M, (3, 1)],
    "t.concatenate([x, y], axis=0)": [M, (1, 4)],
    "t.meshgrid(x, y, indexing='ij')[0]": [V, (2,)],
    "t.meshgrid([x, y, z], indexing='xy')[1]": [V, (2,), (3,)],
    "t.cartesian_prod(x, y)": [V, (2,)],
    "t.combinations(x, 3)": [V],
    "t.combinations(x, with_replacement=True)": [V],
    "t.broadcast_tensors(x, y)[1]": [M, (4,)],
    "t.atleast_3d(x)": [M],
    "t.atleast_2d(x, y)[1]": [V, ()],
}


def line(text: str) -> Compute:
    code = compile(text, "line", "eval")
    return lambda t, *xs: eval(code, {"t": t, **dict(zip("xyz", xs, strict=False))})


def different(random: np.random.RandomState, shape: tuple[int, ...], dtype: str) -> Array:
    """No two elements equal, none near 0, in any order, by rows or by columns."""
    n = int(np.prod(shape))
    values = random.permutation(np.arange(1, n + 1)) * 0.37
    signed = np.where(random.random_sample(n) < 0.5, values, -values - 0.1)
    return signed.astype(dtype).reshape(shape).copy(order=random.choice(["C", "F"]))


def scale_of(*outcomes: Any) -> Outcome:
    """Three times the largest number that occurs, for each value and gradient: what its rounding is measured by."""
    ours, grad_y, inputs = outcomes
    parts = [ours.value, *ours.gradients, grad_y, *inputs]
    largest = max([1.0, *(np.abs(part[np.isfinite(part)]).max(initial=0) for part in parts if part is not None)])
    largest *= 3  # a gradient is grad_y, at most 3, times such numbers
    return Outcome(
        np.full(ours.value.shape, largest), [None if g is None else np.full(g.shape, largest) for g in ours.gradients]
    )


def compare(compute: Compute, shapes: Sequence[tuple[int, ...]], dtype: str, wrong: Any = None) -> None:
    """Raise AssertionError if the value or a gradient is not torch's."""
    random = np.random.RandomState(len(dtype))
    inputs = [different(random, shape, dtype) for shape in shapes]
    asks = [True] * len(inputs)
    value = compute(torch, *(TORCH.tensor(x) for x in inputs))
    grad_y = random.uniform(-3, 3, value.shape).astype(str(value.dtype).removeprefix("torch."))
    theirs = evaluate(TORCH, lambda *x: compute(torch, *x), inputs, asks, grad_y)
    ours = evaluate(MINITRAIN, lambda *x: (wrong or compute)(minitrain, *x), inputs, asks, grad_y)
    assert_agree(ours, theirs, scale_of(theirs, grad_y, inputs))


@pytest.mark.parametrize("text", DIFFERENTIABLE)
def test_value_and_gradients_are_torchs(text: str) -> None:
    for dtype in own.FLOATS:
        compare(line(text), DIFFERENTIABLE[text], dtype)


@pytest.mark.parametrize("text", ["x.cumsum(0)", "x.norm()", "x.gather(1, x.argsort(1))", "x.logsumexp(0)"])
def test_an_error_of_one_in_a_thousand_is_caught(text: str) -> None:
    compute = line(text)
    with pytest.raises(AssertionError):
        compare(compute, [M], "float32", wrong=lambda t, *x: compute(t, *x) * 1.001)


# What has no gradient, is of integers, or ends in an error. x is a matrix of small integers as floats, with ties and
# zeros; i the same as int64; n has a nan in it; b is x > 0; v is a vector in ascending order.
ALIKE = """
x.sort(dim=1, stable=True)
x.sort(dim=0, descending=True, stable=True)
n.sort(1)
n.sort(1, descending=True)
n.argsort(0)
i.sort()
b.sort(stable=True)
x.argsort(dim=1, descending=True, stable=True)
x.topk(9)
x.kthvalue(0)
n.median()
n.nanmedian()
n.median(1)[0]
n.nanmedian(1)[0]
i.median()
i.float().mode()[0]
n.cummax(1)
n.cummin(0)
x.cummax(1)
i.cumsum(0)
b.cumsum(1)
i.cumprod(1)
i.int().cumsum(0)
i.cumsum(0, dtype=t.float32)
i.prod()
b.prod(1)
i.prod(1, dtype=t.float64)
i.diff()
b.diff()
x.diff(-1)
t.tensor(1.).diff()
i.norm()
x.norm('nope')
x.logsumexp(5)
t.zeros(0, 3).logsumexp(0)
t.zeros(2, 0).prod(1)
t.tensor([float('-inf'), float('-inf')]).logsumexp(0)
t.tensor([float('inf'), 1.]).logsumexp(0)
i.logsumexp(1)
n.nansum()
i.nansum(0)
n.nanmean(1)
x.count_nonzero()
x.count_nonzero(dim=1)
x.aminmax()
i.aminmax(dim=0)
t.std_mean(x, dim=1)
t.var_mean(x, False)
i.unique()
i.unique(return_inverse=True, return_counts=True)
t.unique(n)
t.unique(i, dim=0)
t.unique(i, return_counts=True, dim=1)
t.unique_consecutive(i.flatten(), return_inverse=True, return_counts=True)
t.unique_consecutive(i, dim=0)
i.flatten().abs().bincount()
i.flatten().abs().bincount(minlength=9)
i.flatten().abs().bincount(x.flatten())
i.bincount()
x.histc()
x.histc(5)
x.histc(4, -2, 2)
t.histc(x, bins=3, min=0, max=1)
t.histogram(x, 4)
t.histogram(x, 4, range=(-1., 2.), density=True)
t.histogram(x.flatten(), t.tensor([-1., 0., 3.]), weight=x.flatten().abs())
t.bucketize(x, v)
t.bucketize(x, v, right=True)
t.bucketize(x, x)
t.bucketize(2, v, out_int32=True)
t.searchsorted(v, x)
t.searchsorted(v, x, side='right')
t.searchsorted(x.sort(1)[0], x, right=True)
t.searchsorted(v, 1.5)
t.searchsorted(x, v)
t.isin(x, v)
t.isin(i, 2)
t.isin(i, t.tensor([1, 2]), invert=True)
i.nonzero()
x.nonzero(as_tuple=True)
t.nonzero(b)
x.argwhere()
t.tensor(3).nonzero()
t.tensor(0).argwhere()
x.gather(1, i)
x.gather(1, i.abs() + 100)
x.gather(1, x)
x.gather(1, t.tensor([0]))
x.gather(0, t.zeros(0, 2, dtype=t.int64))
x.scatter(1, i.abs() % 4, i)
x.scatter(1, i.abs() % 4, x[:2])
x.index_select(0, t.tensor([3]))
x.index_select(0, t.tensor([[0]]))
x.take(t.tensor([99]))
x.take(i.int())
i.take(t.tensor([[1], [2]]))
x.masked_select(i)
x.masked_fill(i, 1)
i.masked_fill(b, 1.5)
i.masked_fill(b, 7)
x.masked_fill(b, t.tensor([1., 2.]))
i.masked_select(b)
x.clone().masked_scatter_(b, t.zeros(1))
x.clone().index_add_(0, t.tensor([0]), i[:1])
x.index_fill(1, t.tensor([0, 0]), t.tensor(2.))
x.clone().fill_diagonal_(9)
t.zeros(7, 3).fill_diagonal_(1, wrap=True)
t.zeros(3).fill_diagonal_(1)
t.zeros(2, 3, 3).fill_diagonal_(1)
t.zeros(3, 3, 3).fill_diagonal_(1)
x.split(0)
x.split([1, 1])
x.split(3, 1)
t.zeros(0, 2).split(2)
x.chunk(0)
x.chunk(5, 1)
t.zeros(0).chunk(3)
t.tensor(1.).split(1)
x.tensor_split(5, 1)
x.tensor_split(0)
x.tensor_split(t.tensor([1, 2]), 1)
x.tensor_split((1, 9), 1)
x.hsplit(3)
v.hsplit(2)
v.vsplit(1)
x.unbind()
t.tensor(1.).unbind()
x.narrow(0, 1, 5)
x.narrow(0, 9, 1)
x.narrow(0, 1, -1)
x.select(0, 3)
v.unfold(0, 9, 1)
v.unfold(0, 2, 0)
x.repeat(2)
x.repeat(2, -1)
x.repeat(0, 1)
x.repeat_interleave(t.tensor([1, 2]), dim=0)
x.repeat_interleave(3, dim=1)
i.flip(0)
x.flip(0, 0)
x.flip()
x.flip(2)
v.fliplr()
x.roll((1, 2))
x.roll(1, (0, 1))
x.roll(-7, 1)
i.roll(1, 0)
v.rot90()
x.rot90(1, (0, 0))
x.movedim(0, 5)
x.movedim((0, 1), (0,))
x.unflatten(1, (3, 2))
x.mv(x)
x.mv(v)
v.dot(x)
v.dot(t.zeros(2))
v.dot(t.zeros(3, dtype=t.float64))
i.mv(t.tensor([1, 2, 3, 4]))
x.bmm(x)
t.zeros(2, 3, 4).bmm(t.zeros(2, 3, 4))
x.outer(v)
v.cross(t.ones(3))
x.cross(x)
t.tensor([1, 2, 3]).cross(t.tensor([2, 0, 1]))
x.matrix_power(2)
v.det()
i.inverse()
t.zeros(2, 2).det()
i.trace()
v.trace()
i.tril()
b.triu(1)
v.tril()
v.diag(1)
x.diag(9)
x.diagonal(9)
t.zeros(2, 2, 2).diag()
i.diag_embed()
x.diagonal(0, 1, 1)
t.tril_indices(3, 4)
t.triu_indices(3, 4, 1)
t.tril_indices(3, 3, -1, dtype=t.int32)
t.tril_indices(-1, 2)
t.einsum('ij', i)
t.einsum('ij,jk->ik', i, i.t())
t.einsum('ij,jk->ik', x, x)
t.einsum('ij,jk->ik', x)
t.einsum('ij->ijk', x)
t.einsum('ij->ii', x)
t.einsum('i', x)
t.einsum('i1', x)
t.tensordot(x, x, 1)
t.tensordot(x, x, ([0], [0, 1]))
t.meshgrid(v, i[0], indexing='ij')
t.meshgrid(x, indexing='ij')
t.meshgrid(v, indexing='zz')
t.cartesian_prod(v)
t.combinations(x)
t.combinations(v, 0)
t.combinations(v, 4)
t.broadcast_tensors(x, v)
t.broadcast_shapes((2, 1), (3,))
t.broadcast_shapes((2,), (3,))
t.block_diag(i, i[0])
t.hstack([x, v])
t.nn.functional.one_hot(t.tensor([0, 2, 1]))
t.nn.functional.one_hot(t.tensor([[0, 2], [1, 1]]), 4)
t.nn.functional.one_hot(t.tensor([0, 2]), num_classes=2)
t.nn.functional.one_hot(t.tensor([-1]))
t.nn.functional.one_hot(x)
t.linalg.qr(x)[1].abs()
t.linalg.svd(x)[1]
t.linalg.svd(x, full_matrices=False).Vh.abs()
t.svd(x)[1]
t.linalg.eigh(x @ x.t() + t.diag(v))[0]
t.linalg.eigvalsh(x @ x.t() + t.diag(v))
t.linalg.cholesky(x @ x.t() + 5 * t.eye(3))
t.linalg.matrix_rank(x)
t.linalg.slogdet(x @ x.t() + 5 * t.eye(3))
t.linalg.pinv(x @ x.t() + 5 * t.eye(3))
t.linalg.matrix_norm(x, 3)
t.linalg.norm(t.zeros(2, 2, 2), 2)
t.randperm(3, dtype=t.int32).dtype
t.logspace(0, 2, 5)
t.logspace(0, 3, 4, base=2)
t.range(1, 4)
t.range(0, 1, 0.25)
t.randint_like(x, 3).dtype
""".strip().splitlines()


def tensors(t: Any) -> dict[str, Any]:
    x = t.tensor([[1.0, 0.0, -2.0, 2.0], [0.0, 0.0, 1.0, -1.0], [2.0, 2.0, -1.0, 0.0]])
    n = x.clone()
    n[1, 2] = float("nan")
    return {"x": x, "i": x.long(), "n": n, "b": x > 0, "v": t.tensor([-1.0, 0.5, 2.0]), "t": t}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("text", ALIKE)
def test_values_dtypes_and_errors_are_torchs(text: str) -> None:
    def compute(t: Any) -> Any:
        return eval(text, tensors(t))

    assert_alike(end_of(MINITRAIN, compute), end_of(TORCH, compute), scale=2.0)


# --- named tuples, views ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["x.sort()", "v.topk(2)", "x.max(1)", "x.median(0)", "x.aminmax()", "x.mode(1)"])
def test_named_tuples_print_as_torchs(text: str) -> None:
    ours, theirs = (eval(text, tensors(t)) for t in (minitrain, torch))
    assert repr(ours) == repr(theirs)
    assert type(ours)._fields == tuple(name for name in ("values", "indices", "min", "max") if hasattr(theirs, name))


VIEWS = ["x.split(1)[0]", "x.split([1, 2])[0]", "x.chunk(2)[1]", "x.unbind()[0]", "next(iter(x))"]


@pytest.mark.parametrize("text", VIEWS)
def test_a_recorded_write_into_one_of_several_views_is_refused(text: str) -> None:
    for t in (minitrain, torch):
        x = t.zeros(3, 2, requires_grad=True) * 2
        with pytest.raises(RuntimeError, match="function that returns multiple views"):
            eval(text, {"x": x}).add_(1)
        y = t.zeros(3, 2)
        eval(text, {"x": y}).add_(1)
        assert y.sum() > 0


@pytest.mark.parametrize("text", ["x.diagonal()", "x.unfold(0, 2, 2)", "x.narrow(0, 1, 1)", "x.select(1, 0)"])
def test_writes_into_views_reach_the_base_and_are_recorded(text: str) -> None:
    found = []
    for t in (minitrain, torch):
        leaf = t.arange(12.0).reshape(3, 4).requires_grad_()
        x = leaf * 1
        eval(text, {"x": x}).mul_(3)
        (x * x).sum().backward()
        found.append((x.tolist(), leaf.grad.tolist()))
    assert found[0] == found[1]


# --- the operations themselves ----------------------------------------------------------------------------------------


def irregular(*shape: int) -> Array:
    random = np.random.RandomState(len(shape))
    return random.uniform(0.2, 1.5, shape) * np.where(random.random_sample(shape) < 0.5, -1, 1)


OPERATIONS: dict[str, tuple[list[Array], dict[str, Any]]] = {
    "Cumsum": ([irregular(3, 4)], {"dim": 1}),
    "Cumprod": ([irregular(3, 4)], {"dim": 0}),
    "Prod": ([irregular(3, 4, 2)], {"dim": (0, 2), "keepdim": False}),
    "Norm": ([irregular(3, 4)], {"p": 3.0, "dim": (1,), "keepdim": False}),
    "LogSumExp": ([irregular(3, 4)], {"dim": (0,), "keepdim": True}),
    "Median": ([irregular(3, 4)], {"ignore_nan": False}),
    "Diagonal": ([irregular(3, 4)], {"offset": 1, "dim1": 0, "dim2": 1}),
    "Unfold": ([irregular(3, 5)], {"dim": 1, "size": 3, "step": 1}),
    "Flip": ([irregular(3, 4)], {"dims": (1,)}),
    "Roll": ([irregular(3, 4)], {"shifts": (1,), "dims": (0,)}),
    "IndexAdd": ([irregular(3, 4), irregular(2, 4)], {"index": (np.array([1, 1]),)}),
    "Einsum": ([irregular(3, 4), irregular(4, 2)], {"subscripts": ("ij", "jk"), "result": "ki"}),
    "Inv": ([irregular(3, 3) + 3 * np.eye(3)], {}),
    "Det": ([irregular(3, 3)], {}),
    "Solve": ([irregular(3, 3) + 3 * np.eye(3), irregular(3, 2)], {}),
    "SingularValues": ([irregular(3, 4)], {}),
}


def test_every_operation_of_these_files_is_here() -> None:
    files = {f"minitrain.ops.{name}" for name in ("scan", "norm", "arrange", "linalg")}
    known = {name for name in ops.__all__ if getattr(ops, name).__module__ in files}
    assert known == {*OPERATIONS}


@pytest.mark.parametrize("name", OPERATIONS)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    inputs, options = OPERATIONS[name]
    report = check_gradients(getattr(ops, name), inputs, options=options, needs_input_grad=[True] * len(inputs))
    assert report.ok, str(report)


@pytest.mark.parametrize("x", [[2.0, 0.0, 3.0, 4.0], [0.0, 0.0, 3.0, 4.0], [0.0] * 4])
@pytest.mark.parametrize("text", ["x.prod()", "x.cumprod(0)", "x.norm()", "x.norm(1)", "x.norm(3)", "x.median()"])
def test_gradients_at_zeros_and_ties_are_torchs(x: list[float], text: str) -> None:
    gradients = []
    for t in (minitrain, torch):
        leaf = t.tensor(x, requires_grad=True)
        eval(text, {"x": leaf}).sum().backward()
        gradients.append(leaf.grad.tolist())
    assert gradients[0] == pytest.approx(gradients[1], abs=1e-6)


def test_decompositions_refuse_to_lose_a_gradient() -> None:
    x = minitrain.rand(3, 3, requires_grad=True)
    for decompose in (minitrain.linalg.svd, minitrain.linalg.qr, minitrain.linalg.eigh, minitrain.svd):
        with pytest.raises(NotImplementedError, match=r"has no gradient in minitrain; detach\(\) its input"):
            decompose(x)
        assert isinstance(decompose(x.detach())[0], Tensor)


def test_decompositions_multiply_back() -> None:
    x = minitrain.randn(4, 3)
    u, s, v = minitrain.svd(x)
    assert (u @ minitrain.diag(s) @ v.t()).allclose(x, atol=1e-5)
    q, r = minitrain.linalg.qr(x)
    assert (q @ r).allclose(x, atol=1e-5)
    w, e = minitrain.linalg.eigh(x.t() @ x)
    assert (e @ minitrain.diag(w) @ e.t()).allclose(x.t() @ x, atol=1e-4)
    with pytest.raises(AttributeError, match=r"torch\.linalg\.eig: complex numbers"):
        minitrain.linalg.eig(x)


@pytest.mark.parametrize("text", ["inv(x)", "solve(x, x)", "cholesky(x - 1)"])
def test_singular_matrices_raise_linalg_error(text: str) -> None:
    for t in (minitrain, torch):
        with pytest.raises(t.linalg.LinAlgError):
            eval(f"t.linalg.{text}", {"t": t, "x": t.zeros(2, 2)})
    assert issubclass(minitrain.linalg.LinAlgError, RuntimeError)


def test_scatter_adds_numbers() -> None:
    x = minitrain.zeros(2, 3).scatter(0, minitrain.tensor([[1, 1], [1, 0]]), 2.0, reduce="add")
    assert x.tolist() == [[0.0, 2.0, 0.0], [4.0, 2.0, 0.0]]
    with pytest.raises(NotImplementedError, match="scatter with reduce='multiply' is not offered"):
        x.scatter(0, minitrain.tensor([[0]]), 2.0, reduce="multiply")

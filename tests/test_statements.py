"""Single statements in which torch's rules meet: values, dtypes, gradients, warnings and errors are torch's."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch

import minitrain
from tests.comparing import assert_alike

# x and y are matrices, w and g leaves that require a gradient, c has three axes, i is int64, b bool, n holds nan.
STATEMENTS = """
F.kl_div(w.log_softmax(1), y.softmax(1))
F.kl_div(w.log_softmax(1), y, reduction="sum")
F.kl_div(w.log_softmax(1), i)
F.cosine_similarity(g, y, dim=0)
F.cosine_similarity(w, y[:1], dim=1)
F.cosine_similarity(w, y, eps=10.0)
F.cosine_similarity(w * 0, y)
F.normalize(w * 0)
F.normalize(w, p=0.0)
F.normalize(i)
F.smooth_l1_loss(w, i, beta=0.5)
F.threshold(n, 0, 3)
F.margin_ranking_loss(g, g.detach(), t.ones(4))
F.hinge_embedding_loss(g, t.tensor([1.0, -1, 1, -1]), 0.5)
F.poisson_nll_loss(w, y.abs() * 3, full=True)
F.poisson_nll_loss(w, y, reduction="foo")
F.binary_cross_entropy_with_logits(w, y.clamp(0, 1).double(), reduction="none").dtype
F.binary_cross_entropy_with_logits(w, y > 0)
F.softmin(c, dtype=t.float64)
F.softmin(c)
F.softmin(w, 0)
F.glu(t.tensor(1.0))
F.glu(c, 1)
F.glu(w)
F.elu(i)
F.silu(i)
F.leaky_relu(b)
F.hardtanh(i)
F.hardtanh(b)
F.prelu(t.tensor(-2.0), t.tensor([0.25]))
F.hardswish(w * 1, inplace=True)
F.mish(w * 1, inplace=True)
F.dropout1d(w)
F.dropout1d(g)
F.dropout2d(c)
F.dropout2d(w)
F.dropout2d(g)
F.batch_norm(w, t.zeros(3), t.ones(3), training=True)
F.batch_norm(w, t.zeros(4), None, training=True)
F.batch_norm(w, None, None, t.ones(3), training=True)
F.cross_entropy(i, t.tensor([0, 1, 2]))
i.nanmean()
n.nanmean(0, dtype=t.float64)
c.count_nonzero(0, 1)
c.count_nonzero(dim=(0, 2))
t.std_mean(w, 1, True)
t.std_mean(w, 1, 0)
t.var_mean(w, axis=0, keepdims=True)
x.std_mean()
w.norm(0)
t.zeros(0, 2).prod(1)
b.median()
b.argmax()
b.max(0)
t.zeros(0, 4).mode()
t.zeros(0, 4).mode(0)
y[:1].cov()
i.cov()
t.tensor(1.5).cov()
i.corrcoef()
t.zeros(0, 4).stride()
t.zeros(2, 0, 3).stride(-1)
t.zeros(1, 3, 1).squeeze(0, 2)
t.zeros(1, 3, 1).squeeze_(0, 2)
x.t().resize_(2, 3)
x.clone().resize_(size=(4, 3))
x.resize_(-1)
g.mT
t.tensor(1.0).adjoint()
t.tensor(3).unique_consecutive()
x.sum(True)
x.softmax(True)
i.softmax(5)
x.softmax(t.tensor([0]))
x.sum(dim=t.tensor(0))
t.exp(x, out=t.empty(3, 4, dtype=t.int64))
t.exp(i * 0, out=t.empty(3, 4, dtype=t.float64))
t.exp(x, out=t.empty(2))
t.exp(x, out=t.empty(0))
t.zeros(4, 5).t().normal_()
t.zeros(4, 8)[:, ::2].normal_()
t.zeros(8, 4)[2:7].normal_().double()[:, :0]
t.randn_like(t.zeros(4, 5).t())
t.rand_like(t.zeros(4, 5).t())
t.tensor(x)
x.new_tensor(x)
t.tensor([x[0, 0], 2, t.ones(1)])
t.tensor([x[0], x[1]])
x[[[0, 1], [1, 2]]]
n.nan_to_num().sum(t.tensor([0]))
w.logit()
w.logit(eps=0.01)
i.logit()
g.broadcast_to(2, 4)
w.flip(dims=(0, 1))
x.tile(dims=(2, 1))
t.arange(end=4)
t.isnan(x, out=t.empty(0))
t.clone(x, out=t.empty(0))
F.cross_entropy(w.double(), y)
F.max_pool2d(i.reshape(1, 3, 4), 2, padding=1)
"""

# Programs of several statements; each leaves its result in r.
PROGRAMS = """
a = t.arange(6.0).reshape(2, 3).requires_grad_(); a[0] = 1.0
a = t.arange(6.0).view(2, 3); a.requires_grad = True; a += 1
a = t.zeros(6); r = a.view(2, 3).requires_grad_(); a[0] = 3.0
a = t.ones(2, 2); r = a[0]; r.data = t.zeros(2); r = r, a
del x[0]
x[0, 0] = 1e40
x[0, 0] = np.float32(3)
x[0, 0] = np.float64(3); r = x
i[0, 0] = float("inf")
i[0, 0] = np.int32(3); r = i
r = t.zeros(2, dtype=t.uint8); r[0] = -1
r = t.zeros(2, dtype=t.uint8); r[0] = 300
r = t.zeros(2, dtype=t.uint8); r -= True
x[::0] = 0
x["a"] = 0
x[5] = t.tensor([1, 2])
i[[t.tensor(0), t.tensor(1)]] = 9; r = i
r = t.tensor([1e40])
r = t.tensor([300], dtype=t.int8)
r = t.tensor([-1], dtype=t.uint8)
r = t.tensor([-1.5], dtype=t.uint8)
r = t.tensor([2**70], dtype=t.float64)
r = t.tensor([2**63])
r = t.tensor([float("nan")], dtype=t.int64)
r = t.tensor(["a", "b"])
r = t.tensor([1, "a"])
r = t.tensor({1: 2})
r = t.full((2,), None)
r = t.full((2,), "a")
r = t.full((2,), 1e40)
r = t.full((2,), np.int64(3))
r = t.full((2,), -1, dtype=t.uint8)
r = t.full_like(x, None)
r = x.masked_fill(b, None)
r = i.to(t.uint8).masked_fill(b, -1)
r = i.clamp(0, np.float64(1.5))
r = x.clamp([1, 2])
r = b.clamp(0, True)
r = b.clamp(False, True)
r = t.where(b, x.half(), 1e40)
r = t.where(True, x, y)
r = t.full((2,), 1e6, dtype=t.half)
r = t.zeros(2).half(); r[0] = 70000
r = t.zeros(2).half(); r[:] = 65519
r = t.zeros(2).half(); r[r == 0] = 1e40
r = t.zeros(2).half().requires_grad_() * 1; r[0] = 70000.0
r = x.half().clamp(-32767, 32768.5)
r = i.to(t.int8) + 300
r = 200 - i.to(t.uint8)
r = i.to(t.int8) * i.to(t.int8) * 300
r = i.to(t.int8) ** 300
r = i.to(t.uint8) ** -1
r = x[t.tensor([0], dtype=t.int8)]
r = x[["a"][0]]
r = x[[t.tensor([0, 1]), t.tensor([1, 0])]]
r = x[None, :, None].stride(), x.t()[None].stride()
r = c[:, [0, 1]].stride()
r = c.index_select(1, t.tensor([0, 1])).stride()
t.finfo(t.int64)
t.iinfo(t.float32)
r = F.gelu(i)
r = F.hardswish(i)
r = F.softshrink(i)
r = F.hardtanh(i)
r = F.prelu(x, t.ones(1, dtype=t.float64))
r = F.leaky_relu(1)
r = t.nn.Softplus()(1)
r = F.pad([1], (1, 1))
r = F.embedding(t.tensor([1], dtype=t.uint8), x)
r = F.embedding([1], x)
r = F.batch_norm(x.double(), t.zeros(4), t.ones(4))
r = F.layer_norm(x.double(), (4,), t.ones(4))
m = t.nn.BatchNorm1d(4); m(t.zeros(0, 4)); r = m.running_mean
r = F.cross_entropy(w, t.tensor([0, 1, 2]), weight=[1.0, 2.0, 3.0, 4.0])
r = F.binary_cross_entropy(x.sigmoid(), y)
r = F.binary_cross_entropy_with_logits(w, b.float(), pos_weight=2.0)
r = F.binary_cross_entropy_with_logits(w, b.float(), pos_weight=t.tensor([1, 2, 3, 4]))
r = F.binary_cross_entropy_with_logits(w, b.float(), pos_weight=t.ones(3))
r = F.max_pool2d(c, 2, stride=0)
r = F.max_pool2d(c, 0)
r = F.avg_pool2d(c, 2, padding=-1)
r = F.conv2d(c, t.ones(1, 2, 2, 2), stride=0)
r = F.conv2d(c, t.ones(1, 2, 2, 2), padding=-1)
r = t.nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")(c)
r = repr(t.nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", bias=False))
r = t.nn.Conv2d(2, 3, (2, 3), padding="same", padding_mode="replicate")(c)
r = t.nn.Conv1d(3, 2, 3, padding=2, padding_mode="reflect")(c)
t.nn.Conv2d(2, 3, 3, padding_mode="foo")
t.nn.ConvTranspose2d(2, 3, 3, padding_mode="reflect")
r = repr(t.nn.Linear(1, 1).load_state_dict({"a": x}, strict=False))
g.grad = t.tensor([float("inf"), 1.0, 2.0, 3.0]); t.nn.utils.clip_grad_norm_(g, 1.0); r = g.grad
"""

SETUP = """
F = t.nn.functional
x = t.tensor([[1.0, -0.5, 2.25, 0.0], [-3.0, 0.75, 1.5, -1.25], [0.25, -0.0, 3.5, -2.0]])
y = t.tensor([[0.5, 2.0, -1.0, 3.0], [1.0, 0.25, -2.0, 1.5], [-0.75, 1.25, 0.0, 2.0]])
w = t.tensor([[1.0, -0.5, 2.25, 0.1], [-3.0, 0.75, 1.5, -1.25], [0.25, -0.2, 3.5, -2.0]], requires_grad=True)
g = t.tensor([0.5, -1.5, 2.0, 0.25], requires_grad=True)
c = t.arange(24.0).reshape(2, 3, 4) / 7 - 1.3
i = t.tensor([[1, -2, 3, 0], [4, 2, -1, 2], [0, 0, 1, 5]])
b, n = x > 0, t.tensor([[0.5, float("nan")], [-2.0, float("inf")]])
"""


def run(lib: Any, statement: str, evaluate: Any = eval) -> tuple[Any, list[Any], list[str]]:
    """What the statement ends in, the gradients of its sum, and the categories of its warnings."""
    names: dict[str, Any] = {"t": lib, "np": np}
    lib.manual_seed(0)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        exec(SETUP, names)
        raised.clear()
        try:
            result = evaluate(statement, names)
            result = names.get("r", result)
        except Exception as error:
            return error, [], []
        parts = [x for x in (result if isinstance(result, tuple) else [result]) if getattr(x, "requires_grad", False)]
        if parts:
            sum((part * (lib.arange(part.numel()) + 0.5).reshape(part.shape)).sum() for part in parts).backward()
    grads = [names[leaf].grad for leaf in ("w", "g") if names[leaf].grad is not None]
    return result, grads, sorted({warning.category.__name__ for warning in raised})


@pytest.mark.parametrize("statement", STATEMENTS.strip().splitlines())
def test_it_ends_as_in_torch(statement: str) -> None:
    (ours, our_grads, our_warnings), (theirs, their_grads, their_warnings) = (
        run(lib, statement) for lib in (minitrain, torch)
    )
    assert_alike(ours, theirs, scale=10.0)
    assert_alike(our_grads, their_grads, scale=10.0)
    assert our_warnings == their_warnings


@pytest.mark.parametrize("program", PROGRAMS.strip().splitlines())
def test_a_program_ends_as_in_torch(program: str) -> None:
    ours, theirs = (run(lib, program, exec) for lib in (minitrain, torch))
    assert_alike(ours[:2], theirs[:2], scale=10.0)
    assert ours[2] == theirs[2]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")  # torch's comes only once
def test_an_even_kernel_keeps_the_size() -> None:
    program = 'm = t.nn.Conv2d(2, 3, (2, 3), padding="same"); r = m(c)'
    ours, theirs = (run(lib, program, exec) for lib in (minitrain, torch))
    assert_alike(ours[0], theirs[0], scale=10.0)


def test_a_difference_is_caught() -> None:
    ours, theirs = (run(lib, "w.sum()") for lib in (minitrain, torch))
    assert_alike(ours[0], theirs[0])
    with pytest.raises(AssertionError):
        assert_alike(run(minitrain, "w.sum() * 1.001")[0], theirs[0])
    assert run(minitrain, "x[[[0, 1], [1, 2]]]")[2] == ["UserWarning"]

"""Central differences of a recorded step agree with backward where it is right, and part from it where it is not."""

from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import nn, ops, study
from minitrain.nn import functional as F
from minitrain.ops import Array, Context, Function
from minitrain.study.differences import Differences, loss_after
from minitrain.study.recording import Step
from minitrain.tensor import Tensor, apply


class Mixed(nn.Module):
    """Layers of every kind, a value used twice, and Dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Dropout(0.5)
        self.hidden, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.norm(self.conv(x))), 2)
        x = self.drop(minitrain.flatten(x, 1))
        return self.out(x + F.tanh(self.hidden(x)))


def step_of(loss_fn: nn.Module, target: Tensor) -> Step:
    minitrain.manual_seed(0)
    model = Mixed()
    X = minitrain.rand(4, 1, 4, 4)
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.1)
    with study.recording(model, optimizer) as step:
        loss_fn(model(X), target).backward()
        optimizer.step()
    return step


LABELS, SHARES = minitrain.tensor([0, 1, 2, 1]), minitrain.full((4, 3), 0.25)


@pytest.mark.parametrize(
    ("loss_fn", "target"),
    [
        (nn.CrossEntropyLoss(), LABELS),
        (nn.CrossEntropyLoss(label_smoothing=0.1), LABELS),
        (nn.MSELoss(), SHARES),
        (nn.BCEWithLogitsLoss(), SHARES),
        (nn.L1Loss(reduction="sum"), SHARES),
    ],
    ids=lambda x: "" if isinstance(x, Tensor) else type(x).__name__,
)
def test_every_gradient_of_a_network_is_confirmed(loss_fn: nn.Module, target: Tensor) -> None:
    step = step_of(loss_fn, target)
    step.check()
    checked = 0
    for tensor in step.tensors:
        if tensor.grad is None:
            assert tensor.check is None
            continue
        assert tensor.check["not_checked"] is None
        assert tensor.check["disagree"] == []
        quotients = (tensor.check["plus"] - tensor.check["minus"]) / (2 * tensor.check["eps"])
        kinks = [int(i) for i in tensor.check["kinks"]]
        expected = np.delete(tensor.grad.ravel(), kinks)
        np.testing.assert_allclose(np.delete(quotients, kinks), expected, rtol=1e-3, atol=1e-5)
        checked += quotients.size
    assert checked > 300


def test_the_mask_that_was_drawn_is_used_again() -> None:
    minitrain.manual_seed(1)
    w = minitrain.ones(200, requires_grad=True)
    with study.recording() as step:
        F.dropout(w, 0.5).sum().backward()
    check = Differences(step).check(0)
    quotients = (check["plus"] - check["minus"]) / (2 * check["eps"])
    np.testing.assert_allclose(quotients, w.grad.array, atol=1e-6)
    assert set(np.unique(w.grad.array)) == {0.0, 2.0}


def test_an_operation_that_draws_at_random_is_not_checked() -> None:
    rng = np.random.default_rng(0)

    class Noise(Function):
        """y = x + noise;  dL/dx = dL/dy."""

        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return x + rng.normal(size=x.shape).astype(x.dtype)

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            return grad_y

    w = minitrain.ones(3, requires_grad=True)
    with study.recording() as step:
        h = w * 2
        (apply(Noise, h) * w).sum().backward()
    differences = Differences(step)
    assert differences.not_checked(step.ops[0].result).startswith("Noise gives another result")
    with pytest.raises(ValueError, match="draws at random"):
        differences.of(0, (1,))
    after = step.ops[1].result
    assert differences.not_checked(after) == ""  # nothing random comes after it
    step.check()
    assert step.tensors[0].check["not_checked"].startswith("Noise")
    assert step.data()[0]["tensors"][0]["check"]["plus"] is None


def test_a_relu_that_changes_side_within_eps_is_said_and_not_failed() -> None:
    w = minitrain.tensor([1.0, 5e-5, -1.0], requires_grad=True)
    with study.recording() as step:
        w.relu().sum().backward()
    differences = Differences(step)
    crossing, clear = differences.of(0, (1,)), differences.of(0, (0,))
    assert crossing.kink == "ReLU changes side within eps at 1 value."
    assert crossing.gradient == 1
    assert crossing.quotient == pytest.approx(0.75)
    assert clear.kink == ""
    check = differences.check(0)
    assert list(check["kinks"]) == ["1"]
    assert check["disagree"] == []


def test_a_largest_value_that_changes_place_is_said() -> None:
    x = minitrain.tensor([[[[1.0, 1.00005], [0.0, 0.5]]]], requires_grad=True)
    with study.recording() as step:
        F.max_pool2d(x, 2).sum().backward()
    assert Differences(step).of(0, (0, 0, 0, 0)).kink.startswith("MaxPool2d changes side")
    assert Differences(step).of(0, (0, 0, 1, 0)).kink == ""


def test_a_wrong_backward_disagrees_where_it_is_wrong_and_before() -> None:
    class Tripled(Function):
        """y = 3x;  dL/dx = 2 dL/dy, which is wrong."""

        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return 3 * x

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            return 2 * grad_y

    w = minitrain.tensor([1.0, 2.0], requires_grad=True)
    with study.recording() as step:
        h = w.exp()
        apply(Tripled, h).square().sum().backward()
    step.check()
    wrong = [len(tensor.check["disagree"]) for tensor in step.tensors if tensor.check]
    assert wrong == [2, 2, 0, 0, 0]


def test_a_wrong_backward_of_the_library_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops.Tanh, "backward", staticmethod(lambda ctx, grad_y: grad_y))
    step = step_of(nn.MSELoss(), SHARES)
    step.check()
    part = {tensor.name: bool(tensor.check["disagree"]) for tensor in step.tensors if tensor.check}
    assert not part["L"]
    assert part[step["hidden.weight"].name]
    assert part[step["conv.weight"].name]
    assert not part[step["out.weight"].name]


def test_all_losses_that_backward_started_at_are_one() -> None:
    w = minitrain.tensor([1.0, 2.0], requires_grad=True)
    with study.recording() as step:
        h = w.exp()
        h.backward(minitrain.tensor([1.0, -1.0]), retain_graph=True)
        (h * w).sum().backward()
    step.check()
    assert step.tensors[0].check["disagree"] == []
    assert step.loss64 == pytest.approx(float(np.e - np.e**2 + np.e + 2 * np.e**2))


def test_a_value_written_behind_the_tape_is_not_checked() -> None:
    w = minitrain.ones(2, requires_grad=True)
    with study.recording() as step:
        h = w * 2
        h.data.array[...] = 7
        (h + 1).sum().backward()
    assert Differences(step).not_checked(0).startswith("A value that depends on it was written")


def test_writes_that_the_tape_knows_are_checked() -> None:
    w = minitrain.tensor([0.5, 2.0, 3.0], requires_grad=True)
    with study.recording() as step:
        h = w * 2
        h.mul_(w)
        h[0] = 1.0
        view = h[1:]
        view.mul_(2)
        (h * h).sum().backward()
    step.check()
    assert step.tensors[0].check["not_checked"] is None
    assert step.tensors[0].check["disagree"] == []


def test_a_linear_is_moved_as_it_is_run() -> None:
    """The short way through a Linear, by what changed in its input, gives the same differences as the whole way."""
    minitrain.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 3))
    with study.recording(model) as step:
        model(minitrain.rand(12, 20)).square().sum().backward()
    differences = Differences(step)
    for name, index in (("W1", (3, 4)), ("b1", (7,)), ("a1", (2, 5)), ("h", (1, 1)), ("W2", (2, 9)), ("b2", (0,))):
        number = step.number(name)
        short = differences.of(number, index)
        changed = differences.replay.values[number].copy()
        changed[index] += differences.eps
        values: list[Any] = list(differences.replay.values)
        values[number] = changed
        for operation in (step.ops[op] for op in differences.replay.downstream(number)):
            given = [values[x] if isinstance(x, int) else x[1] for x in operation.inputs]
            values[operation.result] = operation.function.forward(
                Context((False,) * len(given)), *given, **operation.options
            )
        assert short.plus == pytest.approx(differences.replay.loss(values), rel=1e-13)


def test_the_loss_after_the_update_is_the_librarys() -> None:
    minitrain.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    X = minitrain.rand(4, 4)
    optimizer = minitrain.optim.Adam(model.parameters())
    with study.recording(model, optimizer) as step:
        nn.CrossEntropyLoss()(model(X), LABELS).backward()
        optimizer.step()
    after = loss_after(step)
    assert after is not None
    assert after[0] == nn.CrossEntropyLoss()(model(X), LABELS).item()
    assert step.data()[0]["meta"]["loss_after"] == after[0]


def test_large_arrays_are_checked_at_their_largest_and_at_random() -> None:
    minitrain.manual_seed(0)
    model = nn.Sequential(nn.Linear(300, 200), nn.ReLU(), nn.Linear(200, 10))
    with study.recording(model) as step:
        nn.CrossEntropyLoss()(model(minitrain.rand(4, 300)), LABELS).backward()
    step.check()
    weight = step["W1"]
    assert len(weight.check["entries"]) == 40
    assert int(np.abs(weight.grad).argmax()) in weight.check["entries"]  # type: ignore[arg-type]
    assert step["L"].check["entries"] is None
    assert weight.check["disagree"] == []

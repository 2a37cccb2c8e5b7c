"""A recorded step: the run's numbers to the bit, in the order of the tape; nothing of the run is changed or kept."""

import gc
import tracemalloc
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minitrain
from minitrain import nn, study
from minitrain.autograd import detect_anomaly
from minitrain.nn import functional as F
from minitrain.ops import Array, Context, Function
from minitrain.study.recording import Backward, Forward, Step, Update
from minitrain.tape import Node
from minitrain.tensor import Tensor, apply
from minitrain.torchlike.grad_mode import anomaly_mode


class Small(nn.Module):
    """A convolution, batch norm, dropout, a residual and two layers: values used twice, buffers, drawn masks."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2))
        self.drop = nn.Dropout(0.25)
        self.hidden, self.out = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(minitrain.flatten(self.features(x), 1))
        return self.out(x + F.relu(self.hidden(x)))


def made(seed: int = 0) -> tuple[Small, Any, Tensor, Tensor]:
    minitrain.manual_seed(seed)
    model = Small()
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return model, optimizer, minitrain.rand(4, 1, 4, 4), minitrain.tensor([0, 1, 2, 1])


def train(model: nn.Module, optimizer: Any, X: Tensor, y: Tensor) -> Tensor:
    loss: Tensor = nn.CrossEntropyLoss()(model(X), y)
    loss.backward()
    optimizer.step()
    return loss


def bits(x: Array) -> bytes:
    return np.ascontiguousarray(x).tobytes()


def recorded(seed: int = 0) -> tuple[Step, Small, Any]:
    model, optimizer, X, y = made(seed)
    with study.recording(model, optimizer) as step:
        train(model, optimizer, X, y)
    return step, model, optimizer


def test_recording_changes_no_bit_of_the_run() -> None:
    model, optimizer, X, y = made()
    plain = [train(model, optimizer, X, y) for _ in range(2)]
    other, second, X, y = made()
    train(other, second, X, y)
    with study.recording(other, second) as step:
        loss = train(other, second, X, y)
    assert bits(loss.array) == bits(plain[1].array)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert bits(a.array) == bits(b.array)
        assert bits(a.grad.array) == bits(b.grad.array)
    assert step.complete


def test_values_gradients_and_updates_are_the_runs() -> None:
    model, optimizer, X, y = made()
    before = {name: p.array.copy() for name, p in model.named_parameters()}
    with study.recording(model, optimizer) as step:
        loss = train(model, optimizer, X, y)
    assert bits(step["L"].value) == bits(loss.array)
    assert bits(step["X"].value) == bits(X.array)
    assert bits(step["t"].value) == bits(y.array)
    for name, parameter in model.named_parameters():
        tensor = step[name]
        assert bits(tensor.value) == bits(before[name])
        assert tensor.after is not None
        assert bits(tensor.after) == bits(parameter.array)
        assert tensor.grad is not None
        assert bits(tensor.grad) == bits(parameter.grad.array)
        assert tensor.used is None
        state = tensor.state["momentum_buffer"]
        assert state["before"] is None
        assert state["after"] is not None
        assert bits(state["after"]) == bits(optimizer.state[parameter]["momentum_buffer"].array)


def test_gradients_of_values_between_are_the_runs() -> None:
    """retain_grad leaves what backward computed; the recorder's is the same."""
    minitrain.manual_seed(0)
    first, second, X = nn.Linear(3, 4), nn.Linear(4, 2), minitrain.rand(5, 3)
    with study.recording() as step:
        a = first(X)
        h = a.relu()
        z = second(h)
        for x in (a, h, z):
            x.retain_grad()
        z.square().mean().backward()
    for name, x in (("a1", a), ("h", h), ("a2", z)):
        assert bits(step[name].value) == bits(x.array)
        grad = step[name].grad
        assert grad is not None
        assert bits(grad) == bits(x.grad.array)


def test_events_come_in_the_order_of_the_tape(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer, X, y = made()
    walked: list[str] = []
    input_gradients = Node.input_gradients

    def noted(node: Node, grad: Array) -> Any:
        walked.append(node.function.__name__)
        return input_gradients(node, grad)

    monkeypatch.setattr(Node, "input_gradients", noted)
    with study.recording(model, optimizer) as step:
        train(model, optimizer, X, y)
    backward = [event for event in step.events if isinstance(event, Backward)]
    assert [step.ops[event.op].function.__name__ for event in backward] == walked
    assert [event.start for event in backward] == [True] + [False] * (len(walked) - 1)
    forward = [event.op for event in step.events if isinstance(event, Forward)]
    assert forward == list(range(len(step.ops)))
    kinds = [type(event) for event in step.events]
    assert kinds == [Forward] * len(forward) + [Backward] * len(backward) + [Update]
    update = step.events[-1]
    assert isinstance(update, Update)
    assert [step.tensors[i].parameter for i in update.parameters] == [name for name, _ in model.named_parameters()]


def test_operations_know_their_layer_and_where_they_were_called() -> None:
    step, _, _ = recorded()
    layers = {operation.function.__name__: (operation.layer, operation.layer_type) for operation in step.ops}
    assert layers["Conv2d"] == ("features.0", "Conv2d")
    assert layers["MaxPool2d"] == ("features.3", "MaxPool2d")
    assert layers["NLLLoss"][1] == "CrossEntropyLoss"
    assert all("test_recording.py" in operation.place for operation in step.ops)
    buffers = {tensor.buffer for tensor in step.tensors}
    assert buffers == {None}  # in training the running mean is not an input of an operation


def test_names_are_the_usual_ones_or_the_given_ones() -> None:
    minitrain.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    X, y = minitrain.rand(2, 1, 2, 2), minitrain.tensor([0, 1])

    def names(given: Any = None) -> list[str]:
        with study.recording(model, names=given) as step:
            nn.CrossEntropyLoss()(model(X), y).backward()
        return [tensor.name for tensor in step.tensors]

    assert names() == ["X", "x", "W1", "b1", "a", "h", "W2", "b2", "z", "logp", "t", "L"]
    assert names({X: "pixels", "1.weight": "V"})[:4] == ["pixels", "x", "V", "b1"]


def test_no_two_tensors_share_a_name() -> None:
    x = minitrain.ones(2, 2, requires_grad=True)
    w = minitrain.ones(2, 2)
    with study.recording(names={x: "t3", w: "t3"}) as step:
        ((x @ w) @ w).relu().relu().sum().backward()
    names = [tensor.name for tensor in step.tensors]
    assert len(set(names)) == len(names)


def test_a_value_used_twice_keeps_each_share() -> None:
    x = minitrain.tensor([1.0, 2.0], requires_grad=True)
    with study.recording() as step:
        y = x * x
        (y + y.exp()).sum().backward()
    leaf, between = step.tensors[0], step.tensors[1]
    assert x.grad is not None
    assert leaf.grad is not None
    assert between.grad is not None
    assert [(share.op, share.input) for share in leaf.shares] == [(0, 0), (0, 1)]
    assert bits(leaf.grad) == bits(x.grad.array)
    assert [step.ops[share.op].function.__name__ for share in between.shares] == ["Add", "Exp"]
    assert bits(between.grad) == bits(between.shares[0].grad + between.shares[1].grad)


def test_two_losses_add_up_as_in_grad() -> None:
    w = minitrain.tensor([1.0, 2.0], requires_grad=True)
    with study.recording() as step:
        h = w.exp()
        h.sum().backward(retain_graph=True)
        (h * h).mean().backward()
    assert len(step.roots) == 2
    grad = step.tensors[0].grad
    assert grad is not None
    assert w.grad is not None
    assert bits(grad) == bits(w.grad.array)
    assert sum(isinstance(event, Backward) and event.start for event in step.events) == 2


def test_a_gradient_that_was_clipped_or_accumulated_is_the_one_used() -> None:
    layer = nn.Linear(2, 1)
    optimizer = minitrain.optim.SGD(layer.parameters(), lr=0.1)
    X = minitrain.ones(3, 2)
    layer(X).sum().backward()
    with study.recording(layer, optimizer) as step:
        layer(X).sum().backward()
        optimizer.step()
    weight = step["W"]
    assert weight.grad is not None
    assert weight.used is not None
    assert weight.grad.tolist() == [[3, 3]]
    assert weight.used.tolist() == [[6, 6]]
    assert step.explain("W", (0, 0), "after").total == pytest.approx(float(weight.value[0, 0]) - 0.6)


def test_an_in_place_write_makes_another_tensor() -> None:
    w = minitrain.ones(3, requires_grad=True)
    with study.recording() as step:
        h = w * 2
        h.mul_(3)
        h[0] = 0.0
        (h * h).sum().backward()
    assert [operation.function.__name__ for operation in step.ops] == ["Mul", "Mul", "IndexPut", "Mul", "Sum"]
    assert [step.ops[i].inputs[0] for i in range(4)] == [0, 1, 2, 3]  # each works on what the one before has made
    assert step.tensors[1].value.tolist() == [2, 2, 2]
    assert step.tensors[3].value.tolist() == [0, 6, 6]
    assert step.tensors[0].grad is not None
    assert step.tensors[0].grad.tolist() == [0, 72, 72] == w.grad.tolist()


def test_a_write_behind_the_tape_is_seen() -> None:
    x = minitrain.ones(2)
    with study.recording() as step:
        first = x * 2
        x.array[...] = 5
        second = x * 2
    assert (first.tolist(), second.tolist()) == ([2, 2], [10, 10])
    written = step.tensors[step.ops[1].inputs[0]]  # type: ignore[index]
    assert (written.value.tolist(), written.was) == ([5, 5], 0)
    assert step.tensors[0].value.tolist() == [1, 1]


def test_a_parameter_after_its_update_is_another_tensor() -> None:
    model, optimizer, X, y = made()
    with study.recording(model, optimizer) as step:
        train(model, optimizer, X, y)
        with minitrain.no_grad():
            again = model(X)
    assert bits(step.tensors[step.ops[-1].result].value) == bits(again.array)
    old = step["out.weight"]
    new = step.tensors[step.ops[-1].inputs[1]]  # type: ignore[index]
    assert old.after is not None
    assert bits(new.value) == bits(old.after)


def test_a_detached_value_is_another_tensor_without_a_gradient() -> None:
    x = minitrain.ones(2, requires_grad=True)
    with study.recording() as step:
        h = x * 2
        (h * h.detach()).sum().backward()
    assert len(step.ops[1].inputs) == 2
    kept, cut = (step.tensors[i] for i in step.ops[1].inputs)  # type: ignore[index]
    assert kept.grad is not None
    assert cut.grad is None
    assert kept.grad.tolist() == [2, 2]


def test_anomaly_detection_around_the_block_still_watches() -> None:
    x = minitrain.tensor([-1.0], requires_grad=True)
    with detect_anomaly(), study.recording() as step:
        y = x.exp().sum()
        y.backward()
        with pytest.raises(RuntimeError, match="'Log' produced 1 nan"):
            x.log()
    assert [operation.function.__name__ for operation in step.ops] == ["Exp", "Sum"]
    assert step.tensors[0].grad is not None
    assert anomaly_mode.watcher is None


def test_anomaly_detection_inside_the_block_is_refused() -> None:
    x = minitrain.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="Put detect_anomaly"), study.recording():  # noqa: PT012
        with detect_anomaly():
            y = x * 2
        y.sum()
    assert anomaly_mode.watcher is None
    with pytest.raises(RuntimeError, match="Put detect_anomaly"), study.recording():
        minitrain.autograd.set_detect_anomaly(True)
    assert anomaly_mode.watcher is None


def test_a_recording_in_a_recording_is_refused() -> None:
    with study.recording() as step:
        with pytest.raises(RuntimeError, match="inside another"), study.recording():
            pass
        minitrain.ones(2) * 2
    assert len(step.ops) == 1


def test_an_exception_leaves_what_was_recorded_and_ends_the_recording() -> None:
    model, optimizer, X, _ = made()
    with pytest.raises(ZeroDivisionError), study.recording(model, optimizer) as step:  # noqa: PT012
        model(X)
        1 / 0  # noqa: B018
    assert anomaly_mode.watcher is None
    assert not step.complete
    assert step.ops[0].layer == "features.0"
    assert step.tensors[0].name == "X"
    assert step.data()[0]["meta"]["complete"] is False


def test_a_backward_that_raises_leaves_what_came_before() -> None:
    class Broken(Function):
        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return x * 2

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            raise ArithmeticError("no derivative")

    x = minitrain.ones(2, requires_grad=True)
    with pytest.raises(ArithmeticError), study.recording() as step:
        apply(Broken, x).sum().backward()
    assert [type(event) for event in step.events] == [Forward, Forward, Backward]
    assert x.grad is None
    assert step.data()[0]["tensors"][0]["grad"] is None


def test_without_a_model_the_modules_that_run_give_the_names() -> None:
    model, optimizer, X, y = made()
    with study.recording() as step:
        train(model, optimizer, X, y)
    assert step.model == "Small"
    assert step.ops[0].layer == "features.0"
    assert step["out.weight"].after is not None


def test_without_modules_leaves_are_numbered() -> None:
    a, b = minitrain.ones(2, requires_grad=True), minitrain.ones(2)
    with study.recording() as step:
        (a * b).sum().backward()
    assert [(tensor.name, tensor.leaf) for tensor in step.tensors] == [
        ("t0", True), ("t1", False), ("t2", False), ("L", False),
    ]  # fmt: skip
    assert step.model is None


def test_only_the_given_optimizers_update_is_recorded() -> None:
    layer, other = nn.Linear(2, 1), nn.Linear(2, 1)
    mine, its = (minitrain.optim.SGD(x.parameters(), lr=0.1) for x in (layer, other))
    with study.recording(layer, mine) as step:
        (layer(minitrain.ones(1, 2)) + other(minitrain.ones(1, 2))).sum().backward()
        its.step()
        mine.step()
    assert len(step.groups) == 1
    assert step["weight"].after is not None
    assert sum(tensor.after is not None for tensor in step.tensors) == 2


def test_a_function_of_ones_own_is_one_operation() -> None:
    class Cube(minitrain.autograd.Function):
        """y = x³;  dL/dx = 3 x² · dL/dy."""

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return 3 * x * x * grad

    x = minitrain.tensor([2.0], requires_grad=True)
    with study.recording() as step:
        Cube.apply(x).sum().backward()
    assert [operation.function.__name__ for operation in step.ops] == ["Cube", "Sum"]
    document, _ = step.data()
    assert "3 * x * x * grad" in document["ops"][0]["backward"]["text"]
    assert document["ops"][0]["formula"] == "y = x³; dL/dx = 3 x² · dL/dy"


def test_what_ran_before_the_block_is_where_the_record_begins() -> None:
    x = minitrain.ones(2, requires_grad=True)
    early = x.exp()
    with study.recording() as step:
        (early * 2).sum().backward()
    assert [operation.function.__name__ for operation in step.ops] == ["Mul", "Sum"]
    assert step.tensors[0].made_by is None
    assert step.tensors[0].grad is not None
    assert step.tensors[0].grad.tolist() == [2, 2]
    assert x.grad is not None


def test_a_hooked_gradient_is_the_one_that_went_on() -> None:
    x = minitrain.ones(2, requires_grad=True)
    with study.recording() as step:
        h = x * 3
        h.register_hook(lambda grad: grad * 10)
        h.sum().backward()
    h_number = step.ops[0].result
    grad = step.tensors[h_number].grad
    assert grad is not None
    assert grad.tolist() == [10, 10]
    assert x.grad.tolist() == [30, 30]


def test_nothing_of_the_program_is_kept_after_the_block() -> None:
    model, optimizer, X, y = made()
    with study.recording(model, optimizer) as step:
        loss = train(model, optimizer, X, y)
    seen = [weakref.ref(x) for x in (model, optimizer, X, loss, loss.grad_fn)]
    del model, optimizer, X, y, loss
    gc.collect()
    assert [reference() for reference in seen] == [None] * len(seen)
    assert step.loss is not None


def test_steps_recorded_one_after_another_need_no_more_memory() -> None:
    model, optimizer, X, y = made()

    def once() -> None:
        with study.recording(model, optimizer):
            train(model, optimizer, X, y)
        optimizer.zero_grad()

    for _ in range(3):
        once()
    tracemalloc.start()
    try:
        once()
        gc.collect()
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            once()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - first < 20_000
    finally:
        tracemalloc.stop()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("+*-m^i"), st.integers(0, 20), st.integers(0, 20)), max_size=10))
def test_any_graph_is_recorded_to_the_bit(program: list[tuple[str, int, int]]) -> None:
    leaves = [minitrain.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [-0.5, 0.25], [3.0, -1.0])]
    with study.recording() as step:
        values: list[Tensor] = [*leaves, minitrain.ones(2)]
        for kind, i, j in program:
            a, b = values[i % len(values)], values[j % len(values)]
            if kind == "i" and a.grad_fn is not None:
                a.mul_(0.5)
            else:
                new = {"+": a + b, "*": a * b, "-": a - b, "m": a.maximum(b), "^": a.tanh()}.get(kind)
                values.append(a.clone() if new is None else new)
        loss = (values[-1] * values[-1] + leaves[0]).sum()
        try:
            loss.backward()
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)  # noqa: PT017
            return
    for operation in step.ops:
        given = [step.tensors[x].value if isinstance(x, int) else x[1] for x in operation.inputs]
        again = operation.function.forward(Context((False,) * len(given)), *given, **operation.options)
        assert bits(np.asarray(again)) == bits(step.tensors[operation.result].value)
    for tensor in step.tensors:
        if tensor.shares:
            total = tensor.shares[0].grad
            for share in tensor.shares[1:]:
                total = total + share.grad
            assert tensor.grad is not None
            assert bits(total) == bits(tensor.grad)
    grads = [tensor.grad for tensor in step.tensors if tensor.leaf and tensor.grad is not None]
    assert sorted(map(bits, grads)) == sorted(bits(leaf.grad.array) for leaf in leaves if leaf.grad is not None)


def test_an_explanation_prints_its_terms_the_largest_first_and_their_sum() -> None:
    from minitrain.study.explanations import Explanation, Factor, Term

    terms = tuple(Term(float(v), (Factor(float(v), f"x[{v}]"), Factor(1.0, "w"))) for v in range(-5, 6))
    text = str(Explanation("y[0]", 0.0, "0.0", "y = Σ x · w", "Meaning.", terms, 0.0, ((7, "return x @ w"),), "Linear"))
    lines = text.splitlines()
    assert lines[:4] == ["y[0] = 0.0", "y = Σ x · w", "Meaning.", "  -5            x[-5] -5 · w 1"]
    assert [float(line.split()[0]) for line in lines[3:11]] == [-5, 5, -4, 4, -3, 3, -2, 2]
    assert lines[11:] == ["   0            3 more terms", "   0  their sum in float64", "Linear, line 7: return x @ w"]

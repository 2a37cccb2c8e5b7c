"""The inputs for the exercises' checks: cases for operations, small graphs, optimizer options, loops, random draws."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain import nn, ops, optim
from minitrain.data.dataset import TensorDataset
from minitrain.data.loader import DataLoader
from minitrain.learn.measurements import (
    Case,
    ContractError,
    Graph,
    Operation,
    Updates,
    Values,
    finite_differences,
    frozen,
    noting,
    numbers,
)
from minitrain.loops import Observer, test_loop, train_loop
from minitrain.nn import init
from minitrain.ops import Array, Context, Gradients, unbroadcast
from minitrain.random import fork_rng
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.random import Generator, manual_seed

if TYPE_CHECKING:
    from minitrain.diagnosis.loopcheck import LoopReport

NamedValues = Iterator[tuple[str, Any]]

# --- operations: all sizes and all numbers differ, and the cases that are easily forgotten are here -------------------

x34 = numbers(3, 4, seed=1)
x234 = numbers(2, 3, 4, seed=2)
w34, w4, w31 = numbers(3, 4, seed=3), numbers(4, seed=4), numbers(3, 1, seed=5)
x23, w23 = numbers(2, 3, seed=6).astype(np.float32), numbers(2, 3, seed=15).astype(np.float32)
float32 = Case("float32, x (2, 3)", [x23], measured=False)
empty = Case("no rows, x (0, 4)", [np.zeros((0, 4))], measured=False)

_two_operands = [
    Case("a (3, 4), b (3, 4)", [x34, w34]),
    Case("a (3, 4), b (4,)", [x34, w4]),
    Case("a (3, 1), b (2, 3, 4)", [w31, x234]),
    Case("a (3, 4), b (3, 1), which requires no gradient", [x34, w31], needs=(True, False)),
    Case("a (4,), which requires no gradient, b (3, 4)", [w4, x34], needs=(False, True)),
    Case("a (3, 4), b = 2.5", [x34, 2.5]),
]
_reductions = [
    Case("x (3, 4), dim 1", [x34], {"dim": (1,), "keepdim": False}),
    Case("x (3, 4), dim 0, keepdim", [x34], {"dim": (0,), "keepdim": True}),
    Case("x (3, 4), both dims", [x34], {"dim": (0, 1), "keepdim": False}),
    Case("x (2, 3, 4), dims 0 and 2", [x234], {"dim": (0, 2), "keepdim": False}),
]
_large = np.array([[1000.0, 999.0, 0.0], [-1000.0, -1001.0, -1002.0]])
_along = [
    Case("x (3, 4), dim 1", [x34], {"dim": 1}),
    Case("x (3, 4), dim 0", [x34], {"dim": 0}),
    Case("x (2, 3, 4), dim 1", [x234], {"dim": 1}),
    Case("x from -1000 to 1000, dim 1", [_large], {"dim": 1}, measured=False),
    Case("float32, x (2, 3), dim 1", [x23], {"dim": 1}, measured=False),
]
_over_rows = {"dim": (0,), "eps": 1e-5}
_weight, _bias = numbers(5, 4, seed=12), numbers(5, seed=13)
_log_probabilities, _labels = numbers(5, 3, seed=16, low=-3, high=0), np.array([2, 0, 2, 1, 0])
_two_ignored, _class_weights = np.array([2, -100, 2, 1, -100]), np.array([0.5, 1.0, 2.5])


def _nll(label: str, reduction: str, target: Any = _labels, weight: Any = None) -> Case:
    options = {"ignore_index": -100, "reduction": reduction}
    return Case(label, [_log_probabilities, target, weight], options, needs=(True, False, False))


CASES = {
    "Neg": [Case("x (3, 4)", [x34]), float32, empty],
    "Exp": [Case("x (3, 4)", [x34]), float32, empty],
    "ReLU": [
        Case("x (3, 4)", [x34]),
        Case("x (2, 3, 4)", [x234]),
        Case("some x are 0", [np.array([[0.0, 1.5], [-2.0, 0.0], [0.5, -0.0]])], measured=False),
        float32,
        empty,
    ],
    "Add": _two_operands,
    "Mul": _two_operands,
    "Pow": [
        Case("a (3, 4) above 0, b (3, 4)", [np.abs(x34) + 0.1, w34]),
        Case("a (3, 4), b = 2", [x34, 2]),
        Case("some a are 0, b (3,) above 1", [np.array([0.0, 1.5, 0.0]), np.array([2.0, 3.0, 1.5])], measured=False),
    ],
    "Flatten": [
        Case("x (2, 3, 4), axes 1 to 2", [x234], {"start_dim": 1, "end_dim": 2}),
        Case("x (3, 2, 4, 1), axes 0 to 1", [numbers(3, 2, 4, 1, seed=8)], {"start_dim": 0, "end_dim": 1}),
    ],
    "Sum": _reductions,
    "Mean": _reductions,
    "Index": [
        Case("x[1]", [x34], {"index": 1}),
        Case("x[:, 1:3]", [x34], {"index": (slice(None), slice(1, 3))}),
        Case("x[mask]", [x34], {"index": x34 > 0}),
        Case("x[[2, 0, 2]], row 2 twice", [x34], {"index": np.array([2, 0, 2])}),
        Case(
            "x[[0, 1, 0], [3, 2, 3]], one element twice", [x34], {"index": (np.array([0, 1, 0]), np.array([3, 2, 3]))}
        ),
    ],
    "Matmul": [
        Case("a (3, 4), b (4, 5)", [x34, numbers(4, 5, seed=9)]),
        Case("a (2, 3, 4), b (2, 4, 5)", [x234, numbers(2, 4, 5, seed=10)]),
        Case("a (2, 3, 4), b (4, 5), used for both matrices of a", [x234, numbers(4, 5, seed=9)]),
        Case("b requires no gradient", [x34, numbers(4, 5, seed=9)], needs=(True, False)),
    ],
    "Linear": [
        Case("x (3, 4), weight (5, 4), bias (5,)", [x34, _weight, _bias]),
        Case("x (2, 3, 4), weight (5, 4), bias (5,)", [x234, _weight, _bias]),
        Case("x (1, 4): one sample", [numbers(1, 4, seed=14), _weight, _bias]),
        Case("no bias", [x34, _weight, None]),
        Case("x requires no gradient, like a batch of data", [x34, _weight, _bias], needs=(False, True, True)),
        Case("weight and bias require no gradient", [x34, _weight, _bias], needs=(True, False, False)),
    ],
    "Normalize": [
        Case("x (3, 4), over dim 0", [x34, numbers(1, 4, seed=26), numbers(1, 4, seed=27)], _over_rows),
        Case("x (3, 4), over dim 1, no weight", [x34, None, None], {"dim": (1,), "eps": 1e-5}),
        Case("weight requires no gradient", [x34, numbers(1, 4), None], _over_rows, needs=(True, False, False)),
        Case("float32, x (2, 3)", [x23, None, None], _over_rows, measured=False),
    ],
    "Softmax": _along,
    "LogSoftmax": _along,
    "MSELoss": [
        Case("x (3, 4), mean", [x34, w34], {"reduction": "mean"}),
        Case("x (3, 4), sum", [x34, w34], {"reduction": "sum"}),
        Case("x (3, 4), none", [x34, w34], {"reduction": "none"}),
        Case("the target requires no gradient, mean", [x34, w34], {"reduction": "mean"}, needs=(True, False)),
        Case("float32, mean", [x23, w23], {"reduction": "mean"}, measured=False),
    ],
    "NLLLoss": [
        _nll("x (5, 3), mean", "mean"),
        _nll("x (5, 3), sum", "sum"),
        _nll("x (5, 3), none", "none"),
        _nll("two labels are ignored, mean", "mean", _two_ignored),
        _nll("each class has a weight, mean", "mean", weight=_class_weights),
        _nll("each class has a weight, two labels are ignored, sum", "sum", _two_ignored, _class_weights),
    ],
}
OPERATIONS = {name: Operation(name, cases) for name, cases in CASES.items()}


def _unbroadcast() -> NamedValues:
    for shape, operand in (((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 4), (3, 1)), ((2, 3, 4), (3, 1)), ((2, 3), ())):
        with noting(case := f"a gradient {shape} for an operand {operand}"):
            yield case, unbroadcast(frozen(numbers(*shape, seed=17)), operand)


UNBROADCAST = Values(_unbroadcast)

# --- graphs: functions of Tensors, minitrain's or torch's -------------------------------------------------------------

GRAPHS = (
    Graph("x · x", lambda x: x * x, [x34]),
    Graph("h = exp x;  h · 2 + h", lambda x: (lambda h: h * 2.0 + h)(x.exp()), [x34]),
    Graph("a + b + a: both operands get the same gradient array", lambda a, b: a + b + a, [x34, w34]),
    Graph("Σ x + Σ 2 x", lambda x: x.sum() + (x * 2.0).sum(), [x34]),
    Graph(
        "h = a · b;  sigmoid(exp(-h)) · h: an old value used late",
        lambda a, b: (lambda h: (-h).exp().sigmoid() * h)(a * b),
        [x34, w34],
    ),
    Graph("relu(x W) W again", lambda x, W: (x @ W).relu() @ W, [x34, numbers(4, 4, seed=18)]),
    Graph("two backward passes without zero_grad", lambda x: x.exp() * x, [x34], passes=2),
)


def _deep(x: Any) -> Any:
    for _ in range(3000):
        x = x * 0.999 + 0.001
    return x


DEEP = Graph("6,000 operations, one after another", _deep, [w4], measured=False)


def _doubled(h: Any) -> Any:
    for _ in range(40):
        h = h + h
    return h


class _Counted(ops.Add):
    """a + b; its backward counts how often it is visited."""

    visits = 0

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        _Counted.visits += 1
        if _Counted.visits > STEPS:
            raise ContractError(
                f"h = h + h, {STEPS} times: walk_back has made more than {STEPS} visits, but there are only {STEPS} "
                "nodes. Visit each node once, after everything that uses its result: add up the gradients that arrive "
                "at it, and pass on their sum.",
                "walk_back",
            )
        return grad_y, grad_y


STEPS = 40


def _visits() -> NamedValues:
    _Counted.visits = 0
    h = wrap(w4.copy()).requires_grad_()
    for _ in range(STEPS):
        h = apply(_Counted, h, h)
    h.sum().backward()
    yield f"h = h + h, {STEPS} times: how many visits to a node", _Counted.visits


VISITS = Values(_visits)
DOUBLED = Graph("h = h + h, 40 times: 2⁴⁰ paths, but only 40 nodes to visit", _doubled, [w4], measured=False)


def _backward_twice() -> NamedValues:
    y = (wrap(w4.copy()).requires_grad_() * 2.0).exp().sum()
    y.backward()
    try:
        y.backward()
    except RuntimeError:
        raised = True
    else:
        raised = False
    yield "whether a second backward through a graph that was not retained raises an error (node.free())", raised


FREED = Values(_backward_twice)


class _Raising(ops.Exp):
    """exp x, with a backward that raises."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        raise ArithmeticError("raised on purpose, to see what is left behind")


def _half_way() -> NamedValues:
    a, b = wrap(x34.copy()).requires_grad_(), wrap(w34.copy()).requires_grad_()
    with contextlib.suppress(ArithmeticError):
        (apply(_Raising, a) * b).sum().backward()
    yield (
        "whether b.grad is still None after a backward that raised half-way (leaves come last)",
        b.grad is None,
    )


HALF_WAY = Values(_half_way)


def _no_strangers() -> NamedValues:
    a, b = wrap(x34.copy()).requires_grad_(), wrap(w34.copy()).requires_grad_()
    (a + b).sum().backward()
    grads = [numbers() if leaf.grad is None else leaf.grad.array for leaf in (a, b)]
    yield "after (a + b).sum().backward(): whether a.grad can be written", grads[0].flags.writeable
    own = not np.may_share_memory(grads[0], grads[1])
    yield "after (a + b).sum().backward(): whether b.grad has memory of its own", own


OWN_GRADIENTS = Values(_no_strangers)

# --- optimizers -------------------------------------------------------------------------------------------------------

SGD = Updates("SGD", "sgd", [{"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.05}])
MOMENTUM = Updates(
    "SGD",
    "sgd",
    [
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.8, "dampening": 0.3},
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
        {"lr": 0.1},
    ],
)
SGD_MORE = Updates("SGD", "sgd", [{"lr": 0.1, "maximize": True}, {"lr": 0.1, "maximize": True, "weight_decay": 0.05}])
NESTEROV = Updates("SGD", "sgd", [{"lr": 0.1, "momentum": 0.9, "nesterov": True}, {"lr": 0.1, "momentum": 0.9}])
RMSPROP = Updates("RMSprop", "rmsprop", [{"lr": 0.01}, {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}])
RMSPROP_MORE = Updates(
    "RMSprop",
    "rmsprop",
    [{"lr": 0.01, "momentum": 0.9}, {"lr": 0.01, "centered": True}, {"lr": 0.01, "momentum": 0.5, "centered": True}],
)
ADAM = Updates("Adam", "adam", [{"lr": 0.01}, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}])
ADAM_MORE = Updates(
    "Adam", "adam", [{"lr": 0.01, "amsgrad": True}, {"lr": 0.01, "maximize": True, "weight_decay": 0.1}]
)
ADAMW = Updates("AdamW", "adam", [{"lr": 0.01, "weight_decay": 0.1}, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3}])


def _zero_grad() -> NamedValues:
    a, b, unused = (wrap(numbers(3, seed=seed)).requires_grad_() for seed in (19, 20, 21))
    optimizer = optim.SGD([{"params": [a, unused]}, {"params": [b]}], lr=0.1)
    (a * b).sum().backward()
    optimizer.zero_grad()
    yield "whether .grad is None after zero_grad()", [param.grad is None for param in (a, b, unused)]
    (a * b).sum().backward()
    kept = a.grad
    optimizer.zero_grad(set_to_none=False)
    nan = np.full(3, np.nan)
    for name, param in (("a", a), ("b", b)):
        grad = param.grad
        yield f"whether {name}.grad is a Tensor after zero_grad(set_to_none=False)", grad is not None
        yield f"{name}.grad after zero_grad(set_to_none=False)", nan if grad is None else grad.array.copy()
    yield "whether a.grad is the same Tensor as before", a.grad is kept
    yield "whether a .grad that was None still is", unused.grad is None
    (a * b).sum().backward()
    yield "a.grad after the next backward", nan if a.grad is None else a.grad.array.copy()


ZERO_GRAD = Values(_zero_grad)

# --- random draws -----------------------------------------------------------------------------------------------------


def _initialised(initialise: Any, *several_options: dict[str, Any]) -> NamedValues:
    for options in several_options:
        weight = wrap(np.full((40, 60), np.nan, np.float32))
        result = initialise(weight, **options, generator=Generator().manual_seed(5))
        unfilled = int(np.isnan(weight.array).sum())
        yield f"how many of the weight's numbers were never written, with options {options}", unfilled
        yield f"the largest absolute value, with options {options}", np.abs(weight.array).max()
        yield f"the weight (40, 60), with {options}", weight.array
        yield "whether the Tensor itself is returned", result is weight


def _reset_parameters() -> NamedValues:
    with fork_rng():
        for in_features, out_features in ((60, 40), (3, 2)):
            manual_seed(5)
            layer = nn.Linear(in_features, out_features)
            yield f"the weight of Linear({in_features}, {out_features})", layer.weight.array
            yield f"the bias of Linear({in_features}, {out_features})", layer.bias.array
        nn.Linear(3, 2, bias=False)


KAIMING_UNIFORM = Values(
    lambda: _initialised(init.kaiming_uniform_, {}, {"a": 5**0.5}, {"mode": "fan_out", "nonlinearity": "relu"}),
    lambda twins: twins.kaiming_uniform(),
)
XAVIER_UNIFORM = Values(
    lambda: _initialised(init.xavier_uniform_, {}, {"gain": 5 / 3}), lambda twins: twins.xavier_uniform()
)
RESET_PARAMETERS = Values(_reset_parameters, lambda twins: twins.reset_parameters())

# --- loops ------------------------------------------------------------------------------------------------------------


class _Noting(Observer):
    """Records what a loop passes to its observer."""

    def __init__(self) -> None:
        self.before: list[list[float]] = []
        self.after: list[list[float]] = []
        self.tests: list[float] = []

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        self.before.append([batch, len(X), len(y), loss.item()])

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        self.after.append([batch, loss.item(), current, size])

    def after_test(self, accuracy: float, loss: float) -> None:
        self.tests += [accuracy, loss]


_samples, _classes = numbers(7, 3, seed=22), np.array([0, 1, 1, 0, 1, 0, 0])
_first_weight, _first_bias = numbers(2, 3, seed=23), numbers(2, seed=24)


def _small_run() -> tuple[DataLoader[Any], nn.Module]:
    """Seven samples of three numbers in batches of three, and a layer with two outputs."""
    layer = nn.Linear(3, 2, dtype=np.float64)
    with no_grad():
        layer.weight.copy_(wrap(_first_weight))
        layer.bias.copy_(wrap(_first_bias))
    return DataLoader(TensorDataset(wrap(_samples), wrap(_classes)), batch_size=3), layer


def _train_loop() -> NamedValues:
    batches, model = _small_run()
    model.eval()
    noted = _Noting()
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    for _ in range(2):
        train_loop(batches, model, nn.CrossEntropyLoss(), optimizer, noted)
    _all_batches_were_used([batch for batch, *_ in noted.before], "before_update(batch, X, y, loss)")
    _all_batches_were_used([batch for batch, *_ in noted.after], "after_update(batch, loss, current, size)")
    yield "the batch numbers passed to before_update", [batch for batch, *_ in noted.before]
    yield "the numbers of samples and labels passed to before_update", [counts for _, *counts, _ in noted.before]
    yield "the losses passed to before_update in two passes", [loss for *_, loss in noted.before]
    yield "the losses passed to after_update", [loss for _, loss, *_ in noted.after]
    yield "the batch numbers passed to after_update", [batch for batch, *_ in noted.after]
    yield "current and size passed to after_update", [seen for _, _, *seen in noted.after]
    yield "the weight after two passes", model.weight.array.copy()
    yield "the bias after two passes", model.bias.array.copy()
    yield "whether the model is in training mode", model.training
    train_loop(batches, model, nn.CrossEntropyLoss(), optimizer, noted, first_batch=4)
    yield "the batch numbers with first_batch=4", [batch for batch, *_ in noted.after[-3:]]


def _all_batches_were_used(numbers: list[float], call: str) -> None:
    """Raise ContractError unless the observer saw each batch of two passes of three batches."""
    counts = [numbers.count(batch) for batch in range(3)]
    if counts == [2, 2, 2] or len(numbers) >= 6:
        return
    if not numbers:
        problem = f"observer.{call} was never called. Call it once for each batch."
    elif counts == [2, 2, 0]:
        problem = (
            f"The last batch of each pass is dropped: it has 1 sample, the others have 3, and observer.{call} was not "
            "called for it. A batch that is not full counts, too."
        )
    elif counts == [2, 0, 0]:
        problem = (
            "The loop ends after the first batch of each pass. Is there a return or a break in it, or a line that "
            "should be indented less?"
        )
    else:
        problem = f"observer.{call} was called for the batches {numbers} of two passes; expected [0, 1, 2, 0, 1, 2]."
    raise ContractError(problem, "")


def _test_loop() -> NamedValues:
    batches, model = _small_run()
    noted = _Noting()
    with no_grad():
        result = test_loop(batches, model, nn.CrossEntropyLoss(), noted)
    if not isinstance(result, tuple) or len(result) != 2:
        problem = "Is a return missing?" if result is None else "The accuracy comes first, then the loss."
        raise ContractError(f"test_loop must return two numbers, but it returned {result!r}. {problem}", "test_loop")
    for what, value in zip(("accuracy", "loss"), result, strict=True):
        if not isinstance(value, float | int | np.floating):
            kind = "None" if value is None else f"a {type(value).__name__}"
            remedy = "Is a return missing?" if value is None else "A Tensor's number is .item()."
            raise ContractError(f"test_loop returned {kind} for the {what}; expected a number. {remedy}", "test_loop")
        yield f"the returned {what}", value
    yield "the accuracy and loss passed to after_test", noted.tests
    yield "whether the model is in evaluation mode", not model.training


def _trained_by_torch(twins: Any) -> Iterator[tuple[str, Array]]:
    weight, bias = twins.small_run(_samples, _classes, _first_weight, _first_bias)
    yield "the weight after two passes", weight
    yield "the bias after two passes", bias


def _checked_train_loop() -> LoopReport:
    from minitrain.diagnosis.loopcheck import check_loop

    return check_loop(train_loop)


def _checked_test_loop() -> LoopReport:
    from minitrain.diagnosis.loopcheck import check_loop

    with no_grad():
        return check_loop(test_loop)


TRAIN_LOOP = Values(_train_loop, _trained_by_torch, _checked_train_loop)
TEST_LOOP = Values(_test_loop, checked=_checked_test_loop)

# --- numeric gradients ------------------------------------------------------------------------------------------------


def _around() -> NamedValues:
    x = wrap(numbers(3, 4, seed=25))
    measured = finite_differences(lambda x: x.exp(), x)
    for what, value in zip(("moved up", "moved down"), measured.around(x.array.flat, 5, 0.25), strict=False):
        yield f"exp x with x[1, 1] {what} by 0.25", value
    yield "the distance, with a step of 0.25", measured.around(x.array.flat, 5, 0.25)[2]
    yield "x afterwards", x.array.copy()

    def breaks(x: Tensor) -> Tensor:
        if x.array[0, 0] != start[0, 0]:
            raise ArithmeticError("to see whether x is restored")
        return x

    start = x.array.copy()
    measured = finite_differences(breaks, x)
    with contextlib.suppress(ArithmeticError):
        measured.around(x.array.flat, 0, 0.25)
    yield "x after value() raised (restore it with try/finally)", x.array.copy()


def _measured() -> NamedValues:
    for label, function in _JACOBIANS.items():
        x = wrap(x34.copy())
        yield f"dy/dx of {label}, as measured", finite_differences(function, x).jacobian(x.array)


def _by_torch(twins: Any) -> Iterator[tuple[str, Array]]:
    for label, function in _JACOBIANS.items():
        yield f"dy/dx of {label}, as measured", twins.jacobian(function, x34)


_JACOBIANS: dict[str, Any] = {"exp x": lambda x: x.exp(), "softmax x": lambda x: x.softmax(1)}
AROUND = Values(_around)
MEASURED = Values(_measured, _by_torch)

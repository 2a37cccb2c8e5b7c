"""gradcheck on torch or on minitrain: the same code for both; on minitrain also every operation of ops/.

Arguments: the framework's name, and options for its gradcheck as JSON, such as {"independent_rows": true}. With
{"arrays": true} minitrain's operation is checked without Tensors: its forward and backward on arrays.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from benchmarks.programs.serving import serve, threads, time_calls

MODEL = (784, 512, 512, 10)
BATCH_SIZE = 64


def irregular(random: np.random.RandomState, *shape: int) -> Any:
    """Positive and negative numbers away from 0, where ReLU and the absolute value have a kink."""
    return random.uniform(0.2, 1.5, shape) * np.where(random.random_sample(shape) < 0.5, -1, 1)


# --- functions of both frameworks -------------------------------------------------------------------------------------


class Case(NamedTuple):
    """A function of a framework, and the arrays at which its gradients are checked."""

    function: Callable[..., Any]
    arrays: Sequence[Any]


def _perceptron(torch: Any, random: np.random.RandomState, sizes: Sequence[int], batch_size: int) -> Case:
    """Cross-entropy as a function of the parameters of Linear layers with ReLU between them."""
    F = torch.nn.functional
    X = torch.from_numpy(random.random_sample((batch_size, sizes[0])))
    y = torch.from_numpy(random.randint(sizes[-1], size=batch_size))
    arrays = []
    for size_in, size_out in pairwise(sizes):
        arrays += [random.uniform(-1, 1, shape) / size_in**0.5 for shape in ((size_out, size_in), (size_out,))]

    def loss(*parameters: Any) -> Any:
        pred = X
        for i in range(0, len(parameters), 2):
            pred = F.linear(F.relu(pred) if i else pred, parameters[i], parameters[i + 1])
        return F.cross_entropy(pred, y)

    return Case(loss, arrays)


def _batch_norm(torch: Any, random: np.random.RandomState) -> Case:
    """Cross-entropy as a function of the parameters of two Linear layers with batch norm between them."""
    F = torch.nn.functional
    X, y = torch.from_numpy(random.random_sample((8, 12))), torch.from_numpy(random.randint(5, size=8))

    def loss(weight: Any, gamma: Any, beta: Any, last: Any) -> Any:
        return F.cross_entropy(
            F.linear(F.relu(F.batch_norm(F.linear(X, weight), None, None, gamma, beta, training=True)), last), y
        )

    return Case(loss, [irregular(random, *shape) for shape in ((16, 12), (16,), (16,), (5, 16))])


def _convolutional(torch: Any, random: np.random.RandomState) -> Case:
    """Cross-entropy as a function of the parameters of a convolution, max pooling and a Linear layer."""
    F = torch.nn.functional
    X, y = torch.from_numpy(random.random_sample((4, 1, 8, 8))), torch.from_numpy(random.randint(5, size=4))

    def loss(kernel: Any, bias: Any, weight: Any) -> Any:
        return F.cross_entropy(F.linear(F.max_pool2d(F.relu(F.conv2d(X, kernel, bias)), 2).flatten(1), weight), y)

    return Case(loss, [irregular(random, *shape) / 3 for shape in ((4, 1, 3, 3), (4,), (5, 36))])


def _mse(torch: Any, random: np.random.RandomState) -> Case:
    target = torch.from_numpy(irregular(random, 16, 16))
    return Case(lambda x: torch.nn.functional.mse_loss(x, target), [irregular(random, 16, 16)])


CASES: dict[str, Callable[[Any, np.random.RandomState], Case]] = {
    "cross-entropy of a 12-16-5 model, its parameters": lambda torch, r: _perceptron(torch, r, (12, 16, 5), 8),
    "the same with batch norm": _batch_norm,
    "cross-entropy of a convolutional network, its parameters": _convolutional,
    "Linear, (8, 16) to (8, 12)": lambda torch, r: Case(
        torch.nn.functional.linear, [irregular(r, 8, 16), irregular(r, 12, 16), irregular(r, 12)]
    ),
    "ReLU, (16, 16)": lambda torch, r: Case(torch.relu, [irregular(r, 16, 16)]),
    "tanh, (16, 16)": lambda torch, r: Case(torch.tanh, [irregular(r, 16, 16)]),
    "log-softmax, (16, 10)": lambda torch, r: Case(
        lambda x: torch.nn.functional.log_softmax(x, dim=1), [irregular(r, 16, 10)]
    ),
    "MSE, (16, 16)": _mse,
}
LARGE = f"cross-entropy of the {'-'.join(map(str, MODEL))} model, its parameters"


class Gradchecks:
    """A case on a framework: the verdicts, the number of entries moved, and the time."""

    def __init__(self, framework: str, name: str, **options: Any) -> None:
        torch = self.torch = importlib.import_module(framework)
        random = np.random.RandomState(0)
        case = _perceptron(torch, random, MODEL, BATCH_SIZE) if name == LARGE else CASES[name](torch, random)
        self.function = case.function
        self.inputs = [torch.tensor(array, requires_grad=True) for array in case.arrays]
        self.options = {"fast_mode": name == LARGE, **options}

    @property
    def dtype(self) -> str:
        """The inputs' dtype."""
        return str(self.inputs[0].dtype).removeprefix("torch.")

    def gradcheck(self, function: Callable[..., Any]) -> bool:
        """The framework's verdict."""
        check = self.torch.autograd.gradcheck
        return bool(check(function, self.inputs, raise_exception=False, **self.options))

    def wrong(self) -> Callable[..., Any]:
        """The same function with a gradient that is 1 % too large."""

        class OnePercentMore(self.torch.autograd.Function):  # type: ignore[misc, name-defined]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return x + 0

            @staticmethod
            def backward(ctx: Any, grad_y: Any) -> Any:
                return 1.01 * grad_y

        return lambda *inputs: OnePercentMore.apply(self.function(*inputs))

    def entries_moved(self) -> int:
        """The number of input entries that gradcheck moves one at a time."""
        at_rest = [tensor.detach().numpy().copy() for tensor in self.inputs]
        moved = set()

        class Look(self.torch.autograd.Function):  # type: ignore[misc, name-defined]
            """Adds 0: an operation, because minitrain repeats a function's operations and not its other lines."""

            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                apart = [
                    (i, j)
                    for i, (tensor, array) in enumerate(zip(inputs, at_rest, strict=True))
                    for j in np.flatnonzero(tensor.detach().numpy() != array)
                ]
                if len(apart) == 1:
                    moved.add(apart[0])
                return inputs[0].new_zeros(())

            @staticmethod
            def backward(ctx: Any, grad_y: Any) -> Any:
                return (None,) * len(at_rest)

        def looked_at(*inputs: Any) -> Any:
            return self.function(*inputs) + Look.apply(*inputs)

        self.gradcheck(looked_at)
        return len(moved)

    def numel(self) -> int:
        """The number of input entries that it should move."""
        return sum(tensor.numel() for tensor in self.inputs)


# The operation of each case, its options, and which inputs are checked.
ON_ARRAYS: dict[str, tuple[str, dict[str, Any], Sequence[bool]]] = {
    "Linear, (8, 16) to (8, 12)": ("Linear", {}, (True, True, True)),
    "ReLU, (16, 16)": ("ReLU", {}, (True,)),
    "tanh, (16, 16)": ("Tanh", {}, (True,)),
    "log-softmax, (16, 10)": ("LogSoftmax", {"dim": 1}, (True,)),
    "MSE, (16, 16)": ("MSELoss", {"reduction": "mean"}, (True, False)),
}


class GradchecksOnArrays:
    """Like Gradchecks, for minitrain's operation on plain arrays."""

    dtype = "float64"

    def __init__(self, name: str) -> None:
        from minitrain import ops

        operation, self.options, self.needs = ON_ARRAYS[name]
        self.function = getattr(ops, operation)
        random = np.random.RandomState(0)
        target = [irregular(random, 16, 16)] if operation == "MSELoss" else []  # the case draws the target first
        self.arrays = [*CASES[name](importlib.import_module("minitrain"), np.random.RandomState(0)).arrays, *target]

    def gradcheck(self, function: Any) -> bool:
        """minitrain's verdict."""
        from minitrain.autograd import gradcheck

        given = {"options": self.options, "needs_input_grad": self.needs}
        return gradcheck(function, self.arrays, raise_exception=False, **given)

    def wrong(self) -> Any:
        """The same operation with a gradient that is 1 % too large."""

        def backward(ctx: Any, grad_y: Any) -> Any:
            return self.function.backward(ctx, 1.01 * grad_y)

        return type("OnePercentMore", (self.function,), {"backward": staticmethod(backward)})

    def entries_moved(self) -> int:
        """The number of input entries that gradcheck moves one at a time."""
        moved = set()

        def forward(ctx: Any, *arrays: Any, **options: Any) -> Any:
            apart = [
                (i, j)
                for i, (array, at_rest) in enumerate(zip(arrays, self.arrays, strict=True))
                for j in np.flatnonzero(array != at_rest)
            ]
            if len(apart) == 1:
                moved.add(apart[0])
            return self.function.forward(ctx, *arrays, **options)

        self.gradcheck(type("LookedAt", (self.function,), {"forward": staticmethod(forward)}))
        return len(moved)

    def numel(self) -> int:
        """The number of input entries that it should move."""
        return sum(array.size for array, need in zip(self.arrays, self.needs, strict=True) if need)


# --- every operation of minitrain.ops ---------------------------------------------------------------------------------


SMOOTH = """
SiLU LogSigmoid Sin Cos Tan Atan Sinc Sinh Cosh Asinh Exp2 Expm1 Erf Erfc Reciprocal Ceil Floor Trunc Frac Sign
"""
PAIRS = "Atan2 Hypot Logaddexp Logaddexp2 Copysign Fmax Fmin Remainder Fmod"


CONSTANT = {("NLLLoss", 2), ("BCEWithLogitsLoss", 2), ("AvgPool2d", 1)}  # inputs without a gradient


def operations() -> dict[str, tuple[list[Any], dict[str, Any]]]:
    """The inputs and options of forward for each operation. Numbers are irregular, so no two are equal."""
    random = np.random.RandomState(0)

    def x(*shape: int) -> Any:
        return irregular(random, *shape)

    def positive(*shape: int) -> Any:
        return np.abs(x(*shape))

    labels = np.array([2, 0, 3, 1, 2])
    reduced = {"dim": (0, 2), "keepdim": False}
    windows = {"stride": (2, 1), "padding": (1, 1)}
    return {
        **{name: ([x(3, 4, 5), x(4, 1)], {}) for name in ("Add", "Sub", "Mul", "Div", "Maximum", "Minimum")},
        "Pow": ([positive(3, 4, 5), x(4, 1)], {}),
        **{name: ([x(3, 4, 5)], {}) for name in ("Neg", "Exp", "Abs", "Tanh", "Sigmoid", "ReLU")},
        **{name: ([positive(3, 4, 5)], {}) for name in ("Log", "Sqrt")},
        **{name: ([x(3, 4, 5)], {}) for name in SMOOTH.split()},
        **{name: ([positive(3, 4, 5)], {}) for name in ("Log2", "Log10", "Log1P", "Rsqrt", "Lgamma", "Digamma")},
        **{name: ([x(3, 4, 5) / 2], {}) for name in ("Asin", "Acos", "Atanh")},
        "Acosh": ([1 + positive(3, 4, 5)], {}),
        "Round": ([x(3, 4, 5)], {"decimals": 0}),
        "NanToNum": ([x(3, 4, 5)], {"nan": 0.0, "posinf": None, "neginf": None}),
        **{name: ([x(3, 4, 5), x(4, 1)], {}) for name in PAIRS.split()},
        "Xlogy": ([x(3, 4, 5), positive(4, 1)], {}),
        "DivRounded": ([x(3, 4, 5), x(4, 1)], {"rounding_mode": "floor"}),
        "Lerp": ([x(3, 4, 5), x(4, 1), x(5)], {}),
        "Clamp": ([x(3, 4, 5)], {"min": -0.7, "max": 0.6}),
        "Where": ([x(3, 4, 5) > 0, x(3, 4, 5), x(4, 1)], {}),
        **{name: ([x(3, 4, 5)], reduced) for name in ("Sum", "Mean", "Amax")},
        "Var": ([x(3, 4, 5)], {**reduced, "correction": 1}),
        "Max": ([x(3, 4, 5)], {"dim": (0, 1, 2), "keepdim": False}),
        "ViewPut": ([x(3, 4, 5), x(4, 5)], {"view": lambda array: array[1]}),
        "Reshape": ([x(3, 4, 5)], {"shape": (5, 12)}),
        "Flatten": ([x(3, 4, 5)], {"start_dim": 1, "end_dim": 2}),
        "Transpose": ([x(3, 4, 5)], {"dim0": 0, "dim1": 2}),
        "Permute": ([x(3, 4, 5)], {"dims": (2, 0, 1)}),
        "Expand": ([x(3, 1, 5)], {"shape": (2, 3, 4, 5)}),
        "Index": ([x(6, 5)], {"index": (np.array([0, 2, 2, 5]), slice(1, 4))}),
        "IndexPut": ([x(6, 5), x(4, 3)], {"index": (np.array([0, 2, 3, 5]), slice(1, 4))}),
        "Cat": ([x(3, 4), x(3, 2), x(3, 5)], {"dim": 1}),
        "Clone": ([x(3, 4, 5)], {"order": "K"}),
        "ToCopy": ([x(3, 4, 5)], {"dtype": np.dtype(np.float64)}),
        "Matmul": ([x(2, 3, 4), x(4, 5)], {}),
        "Linear": ([x(6, 5), x(4, 5), x(4)], {}),
        **{name: ([x(3, 4, 5)], {"dim": 1}) for name in ("Softmax", "LogSoftmax", "Cumsum", "Cumprod", "LogCumsumExp")},
        "LeakyReLU": ([x(3, 4, 5)], {"slope": 0.1}),
        "ELU": ([x(3, 4, 5)], {"alpha": 0.5, "scale": 1.05, "rate": 1.0}),
        "Softplus": ([x(3, 4, 5)], {"beta": 2.0, "threshold": 20.0}),
        "Hardtanh": ([x(3, 4, 5)], {"low": -1.0, "high": 1.0}),
        "BCELoss": ([positive(4, 5) / 2, positive(4, 5) / 2], {}),
        "BCEWithLogitsLoss": ([x(4, 5), positive(4, 5) / 2, positive(5)], {}),
        "SmoothL1Loss": ([x(4, 5), x(4, 5)], {"beta": 1.0}),
        "Conv2d": ([x(2, 2, 5, 4), x(4, 1, 3, 2), x(4)], {**windows, "dilation": (1, 1), "groups": 2}),
        "MaxPool2d": ([x(2, 2, 5, 4)], {"size": (3, 2), **windows, "dilation": (1, 1), "ceil": (0, 0)}),
        "AvgPool2d": ([x(2, 2, 5, 4), np.full((3, 5), 6.0)], {"size": (3, 2), **windows, "ceil": (0, 0)}),
        "Normalize": ([x(3, 4, 5), x(1, 4, 1), x(1, 4, 1)], {"dim": (0, 2), "eps": 1e-5}),
        "Prod": ([x(3, 4, 5)], reduced),
        "LogSumExp": ([x(3, 4, 5)], reduced),
        "Norm": ([x(3, 4, 5)], {"p": 3.0, **reduced}),
        "Median": ([x(3, 4, 5)], {"ignore_nan": False}),
        "Diagonal": ([x(3, 4, 5)], {"offset": 1, "dim1": 0, "dim2": 2}),
        "Unfold": ([x(3, 4, 5)], {"dim": 2, "size": 3, "step": 1}),
        "Flip": ([x(3, 4, 5)], {"dims": (0, 2)}),
        "Roll": ([x(3, 4, 5)], {"shifts": (1, -2), "dims": (0, 2)}),
        "IndexAdd": ([x(3, 4), x(2, 4)], {"index": (np.array([1, 1]),)}),
        "Einsum": ([x(3, 4), x(4, 5)], {"subscripts": ("ij", "jk"), "result": "ki"}),
        "Inv": ([x(3, 3) + 3 * np.eye(3)], {}),
        "Det": ([x(4, 4)], {}),
        "Solve": ([x(3, 3) + 3 * np.eye(3), x(3, 2)], {}),
        "SingularValues": ([x(3, 4)], {}),
        "NLLLoss": ([x(5, 4), labels, positive(4)], {"ignore_index": 1, "reduction": "mean"}),
        "MSELoss": ([x(4, 5), x(4, 5)], {"reduction": "mean"}),
    }


def check_operations() -> dict[str, Any]:
    """Check all operations. Returns the seconds and counts; raises ValueError for a wrong gradient."""
    from minitrain import ops
    from minitrain.autograd import check_gradients

    cases = operations()
    entries = 0
    began = time.perf_counter()
    for name, (inputs, options) in cases.items():
        needs = [array.dtype == np.float64 and (name, i) not in CONSTANT for i, array in enumerate(inputs)]
        report = check_gradients(getattr(ops, name), inputs, options=options, needs_input_grad=needs)
        if not report.ok:
            raise ValueError(str(report))
        entries += sum(found.entries - found.kinks - found.unmeasured for found in report.inputs)
    return {"seconds": time.perf_counter() - began, "operations": len(cases), "entries": entries}


def diagnose(seconds: float, least: int) -> dict[str, Any]:
    """Check single operations with a planted mistake, diagnosis included. Returns the median and the longest time."""
    from minitrain.mistakes.catalogue import SPECIMENS
    from minitrain.mistakes.table import find

    times = []
    for specimen in SPECIMENS.values():
        if specimen.of.startswith("ops."):
            find(specimen)
            times.append(time_calls(lambda specimen=specimen: find(specimen), seconds / len(SPECIMENS), least))
    return {"seconds": float(np.median(times)), "longest": max(times), "specimens": len(times)}


def main() -> None:
    """Answer the requests begin, entries, whole, operations and diagnose; see gradcheck.py."""
    framework, *more = sys.argv[1:]
    options = json.loads(more[0]) if more else {}
    if framework == "torch":
        import torch

        torch.set_num_threads(threads())
    checks: Any = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal checks
        match request["do"]:
            case "begin":  # and check a right gradient, which must pass, and a wrong one, which must not
                if options.get("arrays"):
                    checks = GradchecksOnArrays(request["case"])
                else:
                    checks = Gradchecks(framework, request["case"], **options)
                return {
                    "dtype": checks.dtype,
                    "right passes": checks.gradcheck(checks.function),
                    "wrong passes": request["wrong"] and checks.gradcheck(checks.wrong()),
                }
            case "entries":
                return {"entries": checks.entries_moved(), "inputs": checks.numel()}
            case "whole":
                return {"seconds": time_calls(lambda: checks.gradcheck(checks.function), request["seconds"])}
            case "operations":
                return check_operations()
            case "diagnose":
                return diagnose(request["seconds"], request["least"])
        raise ValueError(f"unknown request {request['do']!r}")

    serve(answer)


if __name__ == "__main__":
    main()

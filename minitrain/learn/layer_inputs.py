"""The inputs for the checks of layers' pieces: convolution, pooling, normalization, embedding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain.learn.check_inputs import NamedValues, x34
from minitrain.learn.measurements import (
    Case,
    ContractError,
    Graph,
    Operation,
    Values,
    as_array,
    frozen,
    noting,
    numbers,
)
from minitrain.nn import normalization
from minitrain.ops import Array, convolution
from minitrain.tensor import Tensor, wrap

# --- convolution ------------------------------------------------------------------------------------------------------


def _convolution(stride: Any = (1, 1), padding: Any = (0, 0), dilation: Any = (1, 1)) -> dict[str, Any]:
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}


_images, _kernels, _biases = numbers(2, 3, 4, 6, seed=31), numbers(5, 3, 2, 3, seed=32), numbers(5, seed=33)
_small, _kernel = numbers(2, 2, 4, 5, seed=34), numbers(3, 2, 2, 3, seed=35)
CONVOLUTION = Operation(
    "Conv2d",
    [
        Case("x (2, 3, 4, 6), weight (5, 3, 2, 3), bias (5,)", [_images, _kernels, _biases], _convolution()),
        Case("x (2, 2, 4, 5), stride (2, 1), no bias", [_small, _kernel, None], _convolution((2, 1))),
        Case("x (2, 2, 4, 5), padding (1, 2)", [_small, _kernel, numbers(3)], _convolution(padding=(1, 2))),
        Case(
            "x (2, 2, 4, 5), stride (1, 2), padding (2, 1), dilation (2, 1)",
            [_small, _kernel, numbers(3)],
            _convolution((1, 2), (2, 1), (2, 1)),
            measured=False,
        ),
        Case(
            "x requires no gradient, like a batch of images",
            [_small, _kernel, numbers(3)],
            _convolution(),
            needs=(False, True, True),
            measured=False,
        ),
        Case(
            "weight and bias require no gradient",
            [_small, _kernel, numbers(3)],
            _convolution(),
            needs=(True, False, False),
            measured=False,
        ),
        Case(
            "float32, x (2, 2, 4, 5)",
            [_small.astype(np.float32), _kernel.astype(np.float32), None],
            _convolution((2, 2)),
            measured=False,
        ),
    ],
)

_WINDOWS = (  # the shape of x, then size, stride, dilation
    ((2, 3, 5, 7), (2, 3), (1, 1), (1, 1)),
    ((2, 3, 5, 7), (2, 3), (2, 1), (1, 1)),
    ((1, 2, 6, 8), (3, 2), (2, 3), (1, 1)),
    ((1, 2, 6, 9), (2, 3), (1, 2), (3, 2)),
    ((2, 1, 3, 4), (3, 4), (1, 1), (1, 1)),
)


def _windows() -> NamedValues:
    for shape, size, stride, dilation in _WINDOWS:
        with noting(case := f"x {shape}, size {size}, stride {stride}, dilation {dilation}"):
            seen = convolution.windows(frozen(numbers(*shape, seed=36)), size, stride, dilation)
            yield f"{case}\nthe array", as_array(seen, "the array", "windows")


def _added_windows() -> NamedValues:
    for shape, size, stride, dilation in _WINDOWS:
        count = [(shape[2 + i] - dilation[i] * (size[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)]
        with noting(case := f"x {shape}, size {size}, stride {stride}, dilation {dilation}"):
            grads = frozen(numbers(*shape[:2], *count, *size, seed=37))
            grad_x = convolution.add_windows(grads, shape, stride, dilation)
            yield f"{case}\ngrad_x", as_array(grad_x, "grad_x", "add_windows")
    shape, size, stride, dilation = _WINDOWS[0]
    grads32 = frozen(numbers(2, 3, 4, 5, 2, 3).astype(np.float32))
    grad_x = as_array(convolution.add_windows(grads32, shape, stride, dilation), "grad_x", "add_windows")
    yield "whether float32 gradients give a float32 result", grad_x.dtype == np.float32


WINDOWS = Values(_windows, lambda twins: twins.windows(_WINDOWS, numbers))
ADDED_WINDOWS = Values(_added_windows, lambda twins: twins.added_windows(_WINDOWS, numbers))

# --- pooling ----------------------------------------------------------------------------------------------------------


def _pool(size: Any, stride: Any, padding: Any = (0, 0), **dilation: Any) -> dict[str, Any]:
    return {"size": size, "stride": stride, "padding": padding, "ceil": (0, 0), **dilation}


def _max_pool(label: str, x: Array, *sizes: Any, dilation: Any = (1, 1), measured: bool = True) -> Case:
    return Case(label, [x], _pool(*sizes, dilation=dilation), measured=measured)


_wide, _negative = numbers(2, 2, 4, 9, seed=38), -np.abs(_small) - 0.1
_equal = np.round(_small)
MAX_POOL = Operation(
    "MaxPool2d",
    [
        _max_pool("x (2, 2, 4, 9), windows (2, 3) side by side", _wide, (2, 3), (2, 3)),
        _max_pool("x (2, 2, 4, 5), windows (2, 3) that overlap, stride (2, 1)", _small, (2, 3), (2, 1)),
        _max_pool("all x are negative, windows (2, 3), padding (1, 1)", _negative, (2, 3), (1, 2), (1, 1)),
        _max_pool("x (2, 2, 4, 5), windows (2, 2), dilation (2, 3)", _small, (2, 2), (1, 1), (0, 0), dilation=(2, 3)),
        _max_pool("many x are equal, windows (3, 2)", _equal, (3, 2), (1, 1), measured=False),
        _max_pool("float32, windows (2, 3)", _small.astype(np.float32), (2, 3), (1, 2), measured=False),
    ],
)


def _average_pool(label: str, x: Array, divisor: Any, *sizes: Any, measured: bool = True) -> Case:
    divisor = np.asarray(divisor, x.dtype)
    return Case(label, [x, divisor], _pool(*sizes), needs=(True, False), measured=measured)


_inside = np.multiply.outer([1, 2, 2, 2, 1], [2, 3, 2])  # how many numbers of each window are not padding
AVERAGE_POOL = Operation(
    "AvgPool2d",
    [
        _average_pool("x (2, 2, 4, 9), windows (2, 3) side by side", _wide, np.full((2, 3), 6), (2, 3), (2, 3)),
        _average_pool(
            "x (2, 2, 4, 5), windows (2, 3) that overlap, stride (2, 1)", _small, np.full((2, 3), 6), (2, 3), (2, 1)
        ),
        _average_pool("padding (1, 1), which does not count", _small, _inside, (2, 3), (1, 2), (1, 1)),
        _average_pool("padding (1, 1), which counts", _small, np.full((5, 3), 6), (2, 3), (1, 2), (1, 1)),
        _average_pool(
            "float32, windows (2, 3)",
            _small.astype(np.float32),
            np.full((3, 2), 6),
            (2, 3),
            (1, 2),
            measured=False,
        ),
    ],
)

# --- normalization ----------------------------------------------------------------------------------------------------

_x243, _x2324 = numbers(2, 4, 3, seed=41), numbers(2, 3, 2, 4, seed=42)
_far = np.array([[3000.0, 3002, 3007], [3001, 3004, 3000], [3005, 3003, 3001], [3002, 3007, 3004]], np.float32)


def _normalized(label: str, x: Array, weight: Any, bias: Any, dim: tuple[int, ...], eps: float = 1e-5) -> Case:
    return Case(label, [x, weight, bias], {"dim": dim, "eps": eps}, measured=x.dtype == np.float64)


NORMALIZE = Operation(
    "Normalize",
    [
        _normalized("x (3, 4), over dim 0, eps 0.1", x34, numbers(1, 4, seed=43), numbers(1, 4, seed=44), (0,), 0.1),
        _normalized("x (2, 4, 3), over dims 1 and 2", _x243, numbers(1, 4, 3, seed=45), None, (1, 2)),
        _normalized(
            "x (2, 3, 2, 4), over dims 0, 2 and 3",
            _x2324,
            numbers(1, 3, 1, 1, seed=46),
            numbers(1, 3, 1, 1, seed=47),
            (0, 2, 3),
        ),
        _normalized("x (3, 4), over dim 1, eps 0.5, no weight", x34, None, None, (1,), 0.5),
        Case(
            "x requires no gradient",
            [x34, numbers(1, 4, seed=43), numbers(1, 4, seed=44)],
            {"dim": (0,), "eps": 1e-5},
            needs=(False, True, True),
        ),
        Case(
            "weight and bias require no gradient",
            [x34, numbers(1, 4, seed=43), numbers(1, 4, seed=44)],
            {"dim": (0,), "eps": 1e-5},
            needs=(True, False, False),
        ),
        _normalized("float32, x (4, 3) around 3000, over dim 0", _far, None, None, (0,)),
    ],
)

_means, _variances = numbers(3, seed=48), numbers(3, seed=49, low=0.1)
_gamma, _beta = numbers(3, seed=50), numbers(3, seed=51)
_batches = {
    "two batches (4, 3), momentum 0.1": (0.1, [numbers(4, 3, seed=52), numbers(4, 3, seed=53)]),
    "two batches (2, 3, 2, 4), momentum 0.3": (0.3, [_x2324, numbers(2, 3, 2, 4, seed=54)]),
}


def _running() -> NamedValues:
    for label, (momentum, batches) in _batches.items():
        mean, variance = wrap(_means.copy()), wrap(_variances.copy())
        with noting(label):
            for batch in batches:
                x = wrap(frozen(batch)).requires_grad_()
                y = normalization.batch_norm(x, mean, variance, training=True, momentum=momentum)
            for name, running, start in (("running_mean", mean, _means), ("running_var", variance, _variances)):
                if np.array_equal(running.array, start):
                    raise ContractError(
                        f"{name} has not changed. Write into its array, {name}.array[...] = ...: an assignment to the "
                        f"name alone, {name} = ..., leaves the layer's as it is.",
                        "batch_norm",
                    )
        yield f"{label}\nrunning_mean", mean.array.copy()
        yield f"{label}\nrunning_var", variance.array.copy()
        yield f"{label}\nthe result for the second batch", y.array.copy()
        yield f"{label}\nwhether running_mean requires a gradient", mean.requires_grad


def _tensor(y: Any, function: str) -> Any:
    """What a function of Tensors returned; raises ContractError if it is not a Tensor."""
    if y is None or isinstance(y, np.ndarray):
        problem = "None. Is a return missing?" if y is None else "an array; expected a Tensor, which has a graph."
        raise ContractError(f"{function} returned {problem}", function)
    return y


def _functional(x: Any) -> Any:
    """nn.functional of the library that a tensor belongs to: minitrain's or torch's."""
    return sys.modules[f"{type(x).__module__.partition('.')[0]}.nn.functional"]


def _evaluated(x: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    mean, variance = x.new_tensor(_means), x.new_tensor(_variances)
    return _tensor(_functional(x).batch_norm(x, mean, variance, weight, bias, eps=eps), "batch_norm")


def _alone(normalized: Callable[[Tensor], Tensor], x: Array) -> NamedValues:
    together, alone = normalized(wrap(x)), normalized(wrap(x[:1]))
    same = np.allclose(together.array[:1], alone.array)
    yield "whether the result for a sample is the same without the other samples of its batch", same


RUNNING = Values(_running, lambda twins: twins.running_statistics(_batches, _means, _variances))
EVALUATION = (
    Values(lambda: _alone(_evaluated, numbers(4, 3, seed=55))),
    Graph("x (4, 3)", lambda x, weight, bias: _evaluated(x, weight, bias), [numbers(4, 3, seed=55), _gamma, _beta]),
    Graph("x (2, 3, 2, 4)", lambda x, weight, bias: _evaluated(x, weight, bias), [_x2324, _gamma, _beta]),
    Graph("x (4, 3), eps 0.5, no weight and no bias", lambda x: _evaluated(x, eps=0.5), [numbers(4, 3, seed=56)]),
    Graph("x (1, 3): a single sample", lambda x: _evaluated(x), [numbers(1, 3, seed=57)]),
)


def _layer_norm(x: Any, sizes: tuple[int, ...], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return _tensor(_functional(x).layer_norm(x, sizes, weight, bias, eps), "layer_norm")


LAYER_NORM = (
    Values(lambda: _alone(lambda x: _layer_norm(x, (3,)), numbers(4, 3))),
    Graph("x (4, 3)", lambda x, weight, bias: _layer_norm(x, (3,), weight, bias), [numbers(4, 3), _gamma, _beta]),
    Graph(
        "x (2, 4, 3), over the last two axes",
        lambda x, weight, bias: _layer_norm(x, (4, 3), weight, bias),
        [_x243, numbers(4, 3, seed=58), numbers(4, 3, seed=59)],
    ),
    Graph("x (2, 4, 3), over the last axis, no bias", lambda x, weight: _layer_norm(x, (3,), weight), [_x243, _gamma]),
    Graph("x (3, 4), eps 0.5, no weight and no bias", lambda x: _layer_norm(x, (4,), eps=0.5), [x34]),
)

# --- embedding --------------------------------------------------------------------------------------------------------

_table = numbers(5, 3, seed=61)
_sentences = np.array([[4, 0, 2, 4], [1, 4, 0, 0]])  # word 3 does not occur


def _embedded(table: Any, words: Array, padding_idx: int | None = None) -> Any:
    return _tensor(_functional(table).embedding(table.new_tensor(words).long(), table, padding_idx), "embedding")


EMBEDDING = (
    Graph("words [3, 1]", lambda weight: _embedded(weight, np.array([3, 1])), [_table]),
    Graph("two sentences of four words (2, 4)", lambda weight: _embedded(weight, _sentences), [_table]),
    Graph("words (2, 1, 4)", lambda weight: _embedded(weight, _sentences[:, np.newaxis]), [_table]),
)


def _padded(padding_idx: int) -> Graph:
    label = f"two sentences (2, 4), padding_idx {padding_idx}"  # not measured: y changes with the row without gradient
    return Graph(label, lambda weight: _embedded(weight, _sentences, padding_idx), [_table], measured=False)


PADDING = tuple([_padded(padding_idx) for padding_idx in (0, 3, 4)])
LOOK_UP = Operation(
    "Index",
    [
        Case("words [3, 1]", [_table], {"index": (np.array([3, 1]),)}),
        Case("words [2, 0, 2], word 2 twice", [_table], {"index": (np.array([2, 0, 2]),)}),
        Case("two sentences of four words (2, 4)", [_table], {"index": (_sentences,)}),
    ],
)

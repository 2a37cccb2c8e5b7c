"""The inputs for the checks of layers' pieces: convolution, pooling, normalization, embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain.learn.check_inputs import NamedValues
from minitrain.learn.measurements import Case, Operation, Values, as_array, frozen, noting, numbers
from minitrain.ops import Array, convolution

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

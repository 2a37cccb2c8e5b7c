"""Initialisation: fill a Tensor, in place and unrecorded, with values from torch's random stream.

Draws run over the Tensor's indices in order, whatever its order in memory; the values of uniform ones are torch's
bit for bit (see minitrain.torchlike.random).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import no_grad
from minitrain.torchlike.not_offered import torch_names
from minitrain.torchlike.random import Generator

__getattr__, __dir__ = torch_names(__name__)

Mode = Literal["fan_in", "fan_out"]


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor by which a nonlinearity's weights must be larger for the variance to be kept.

    param: leaky_relu's negative slope (0.01).
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    gains = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    if nonlinearity not in gains:
        raise ValueError(f"Unsupported nonlinearity {nonlinearity!r}; expected one of {[*gains, 'leaky_relu']}")
    return gains[nonlinearity]


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Evenly from [a, b)."""
    with no_grad():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """From the normal distribution."""
    with no_grad():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """From the normal distribution; what lies outside [a, b] is drawn again.

    Not offered are bounds that few draws meet: less than 30 %.
    """
    below_a, below_b = (math.erf((bound - mean) / std / math.sqrt(2)) / 2 for bound in (a, b))
    if below_b - below_a <= 0.3:
        raise NotImplementedError(f"trunc_normal_ with mean {mean} and std {std} rarely draws from {a} to {b}; clamp.")
    normal_(tensor, mean, std, generator)
    with no_grad():
        while (outside := (tensor < a) | (tensor > b)).any():
            tensor.copy_(normal_(tensor.clone(), mean, std, generator).where(outside, tensor))
    return tensor


def constant_(tensor: Tensor, val: float) -> Tensor:
    """val everywhere."""
    with no_grad():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """1 on a matrix's diagonal, else 0."""
    if tensor.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, but this has {tensor.ndim}")
    with no_grad():
        return tensor.copy_(wrap(np.eye(*tensor.shape, dtype=tensor.dtype)))


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """gain · Q of a normal matrix's QR decomposition, its rows or columns orthonormal; more axes count as columns.

    Source: Saxe, McClelland, Ganguli (2013).
    """
    if tensor.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    rows = tensor.shape[0]
    normal = normal_(wrap(np.empty((rows, tensor.numel() // rows), tensor.dtype)), generator=generator).array
    q, r = np.linalg.qr(normal.T if rows < normal.shape[1] else normal)
    q = q * np.sign(np.diag(r))  # which makes Q unique
    with no_grad():
        return tensor.copy_(wrap(gain * (q.T if rows < normal.shape[1] else q)).reshape(tensor.shape))


def _fans(tensor: Tensor) -> tuple[int, int]:
    """How many inputs feed one output of a weight (out, in, ...), and how many outputs one input feeds."""
    if tensor.ndim < 2:
        raise ValueError(f"Fan in and fan out can not be computed for tensor with shape {list(tensor.shape)}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = _fans  # torch's name for it, which layers written after nn.Linear's source call


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Evenly within ±gain · √(6 / (fan_in + fan_out)). Source: Glorot, Bengio (2010)."""
    fan_in, fan_out = _fans(tensor)
    bound = math.sqrt(3.0) * (gain * math.sqrt(2.0 / float(fan_in + fan_out)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Normal, with standard deviation gain · √(2 / (fan_in + fan_out)). Source: Glorot, Bengio (2010)."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: Mode, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode!r} not supported, please use one of ['fan_in', 'fan_out']")
    fan = _fans(tensor)[0 if mode == "fan_in" else 1]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Evenly within ±gain · √(3 / fan). Source: He, Zhang, Ren, Sun (2015).

    a: leaky_relu's negative slope, whose gain is √(2 / (1 + a²)).
    """
    if 0 in tensor.shape:
        return tensor
    # √3 · std, in this order: another order has other last bits, and so other weights than torch.
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Normal, with standard deviation gain / √fan. Source: He, Zhang, Ren, Sun (2015)."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _deprecated(name: str) -> Callable[..., Tensor]:
    """torch's old name, without the underscore at the end: it warns, and does the same."""

    def function(*args: Any, **options: Any) -> Tensor:
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.", FutureWarning, stacklevel=2)
        result: Tensor = globals()[f"{name}_"](*args, **options)
        return result

    function.__name__, function.__doc__ = name, f"The old name of {name}_."
    return function


uniform, normal, constant, eye = (_deprecated(name) for name in ("uniform", "normal", "constant", "eye"))
xavier_uniform, xavier_normal = _deprecated("xavier_uniform"), _deprecated("xavier_normal")
kaiming_uniform, kaiming_normal = _deprecated("kaiming_uniform"), _deprecated("kaiming_normal")
orthogonal = _deprecated("orthogonal")

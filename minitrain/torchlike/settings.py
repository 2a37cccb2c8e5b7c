"""torch's questions about number formats, and its settings of the process: threads, determinism, precision."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from minitrain.torchlike import arguments
from minitrain.torchlike.arguments import as_dtype, category, dtype_of_type, get_default_dtype, set_default_dtype
from minitrain.torchlike.tensor_base import result_type as _result_type

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class finfo:  # noqa: N801, torch's name
    """The limits of a floating dtype, as Python numbers: eps, max, min, tiny, smallest_normal, resolution, bits."""

    def __init__(self, type: Any = None) -> None:
        dtype = get_default_dtype() if type is None else as_dtype(type)
        if dtype.kind != "f":
            raise TypeError(f"finfo() requires a floating point input type, but got {dtype}; use iinfo.")
        limits = np.finfo(dtype)
        self.bits, self.dtype = limits.bits, str(limits.dtype)
        self.eps, self.max, self.min = float(limits.eps), float(limits.max), float(limits.min)
        self.resolution = float(f"1e-{limits.precision}")
        self.tiny = self.smallest_normal = float(limits.tiny)

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.smallest_normal:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:  # noqa: N801, torch's name
    """The limits of an integer dtype: min, max, bits."""

    def __init__(self, type: Any) -> None:
        dtype = as_dtype(type)
        if dtype.kind not in "iu":
            raise TypeError(f"iinfo() requires an integer input type, but got {dtype}; floats have finfo.")
        limits = np.iinfo(dtype)
        self.bits, self.min, self.max, self.dtype = limits.bits, int(limits.min), int(limits.max), str(limits.dtype)

    def __repr__(self) -> str:
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def promote_types(type1: Any, type2: Any) -> np.dtype[Any]:
    """The dtype of what two Tensors of these dtypes give."""
    return arguments.promote_types(as_dtype(type1), as_dtype(type2))


def result_type(tensor1: Any, tensor2: Any) -> np.dtype[Any]:
    """The dtype of what these two Tensors or numbers give."""
    return _result_type(tensor1, tensor2)


def can_cast(from_: Any, to: Any) -> bool:
    """Whether values may be written in another dtype: not floats as integers, nor numbers as bool."""
    return category(as_dtype(from_)) <= category(as_dtype(to))


def set_default_tensor_type(t: Any) -> None:
    """set_default_dtype by an old type: torch.DoubleTensor, or 'torch.DoubleTensor'."""
    set_default_dtype(dtype_of_type(t) if isinstance(t, str) else t.dtype)


def get_num_threads() -> int:
    """The threads that matrix products may use, as the environment or the number of CPUs has it."""
    given = [os.environ[name] for name in THREADS if os.environ.get(name, "").isdigit()]
    return int(given[0]) if given else os.cpu_count() or 1


def set_num_threads(num: int) -> None:
    """Warns that this changes nothing: NumPy's matrix library reads its number of threads when the process starts."""
    if not isinstance(num, int) or num < 1:
        raise RuntimeError(f"expected a positive number of threads, but got {num!r}")
    if num != get_num_threads():
        warnings.warn(
            f"set_num_threads changes nothing: NumPy's threads are set at the start, OMP_NUM_THREADS={num} python ...",
            stacklevel=2,
        )


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accept either: the same program on the same computer always gives the same numbers."""


def are_deterministic_algorithms_enabled() -> bool:
    """True."""
    return True


def set_float32_matmul_precision(precision: str) -> None:
    """Accept torch's three: products of float32 are computed in float32, "highest"."""
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"expected 'highest', 'high' or 'medium', but got {precision!r}")


def get_float32_matmul_precision() -> str:
    """ "highest"."""
    return "highest"

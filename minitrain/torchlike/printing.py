"""How an array is printed in the way torch prints a tensor: digits, columns, line breaks, notes."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

# How every Tensor is printed; set_printoptions changes the options, and describes them.
DEFAULT: dict[str, Any] = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}
PROFILES = {
    "default": DEFAULT,
    "short": DEFAULT | {"precision": 2, "edgeitems": 2},
    "full": DEFAULT | {"threshold": math.inf},
}
options = SimpleNamespace(**DEFAULT)


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Change how Tensors are printed from now on.

    precision: digits after the point. threshold: print more elements than this by their edges.
    edgeitems: the entries at either end of an axis that is cut. linewidth: in characters.
    profile: "default", "short" or "full", which sets these four first.
    sci_mode: write floats as 1.0e+00 always (True), never (False), or where their sizes differ much (None).
    An option that is None stays as it is; sci_mode alone is set by every call, as torch's is.
    """
    if profile is not None:
        vars(options).update(PROFILES.get(profile, {}))
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    vars(options).update({name: value for name, value in given.items() if value is not None}, sci_mode=sci_mode)


def format_tensor(array: np.ndarray, suffixes: Sequence[str] = (), prefix: str = "tensor(") -> str:
    """`array` as torch's repr shows a tensor of the same values, without the 'torch.' before a dtype.

    Args:
        array: bool, integer or real values of any shape.
        suffixes: notes to put after the values, such as 'requires_grad=True' or 'grad_fn=<MulBackward0>'.
            The size of an empty array and a dtype that cannot be told from the values come before them.
        prefix: what opens the text, on one line; further lines are indented to where it ends.

    Returns:
        e.g. 'tensor([[1., 2.],\\n        [3., 4.]], dtype=float64)'

    The rules were found by experiment with torch 2.13.
    """
    indent = len(prefix)
    if array.size:
        shown, cut = _edges(array)
        cells, width = _cells(shown)
        text = prefix + _layout(cells, width, cut, indent)
    else:
        text = prefix + "[]"
    # Lines break where torch's do: it counts two columns too many after the values, and the 'torch.' that
    # is left out here.
    column = len(text.rpartition("\n")[2]) + 2
    for suffix in [*_own_suffixes(array), *suffixes]:
        length = len(suffix) + len("torch.") * suffix.startswith("dtype=")
        if column + 2 + length > options.linewidth:
            text += ",\n" + " " * indent + suffix
            column = indent + length
        else:
            text += ", " + suffix
            column += 2 + length
    return text + ")"


def _own_suffixes(array: np.ndarray) -> list[str]:
    """What the values do not tell: the size if there are none, the dtype if it is not the usual one."""
    usual = ("float32", "int64", "bool") if array.size else ("float32",)
    size = [] if array.size or array.ndim == 1 else [f"size={array.shape}"]
    dtype = [] if array.dtype.name in usual else [f"dtype={array.dtype.name}"]
    return size + dtype


def _edges(array: np.ndarray) -> tuple[np.ndarray, list[bool]]:
    """The part of `array` that is shown, and for each axis whether its middle was cut out."""
    cut = [array.size > options.threshold and length > 2 * options.edgeitems for length in array.shape]
    ends = [*range(options.edgeitems), *range(-options.edgeitems, 0)]
    for axis, is_cut in enumerate(cut):
        if is_cut:
            array = np.take(array, ends, axis)
    return array, cut


def _cells(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Each value as right-aligned text (same shape as `values`), and the width of a column.

    Bools and integers are as wide as the widest. Among floats only those that are finite and not 0 count:
    they choose between 1.0000e+00, 1.0000 and, for whole numbers, 1. and set the width; a nan, an inf or
    the minus of -0. may stick out.
    """
    spec, counted = "", values.ravel()
    if values.dtype.kind == "f":
        counted = counted[np.isfinite(counted) & (counted != 0)]
        sizes = np.abs(counted)
        smallest, largest = float(sizes.min(initial=np.inf)), float(sizes.max(initial=0.0))
        scientific = largest / smallest > 1000 or largest > 1e8 or smallest < 1e-4
        if counted.size and (scientific if options.sci_mode is None else options.sci_mode):
            spec = f".{options.precision}e"
        else:
            spec = "#.0f" if np.all(sizes == np.floor(sizes)) else f".{options.precision}f"
    width = max((len(format(value, spec)) for value in counted.tolist()), default=1)
    texts = [format(value, spec).rjust(width) for value in values.ravel().tolist()]
    return np.array(texts).reshape(values.shape), width


def _layout(cells: np.ndarray, width: int, cut: list[bool], indent: int) -> str:
    """The cells within brackets, the first of which stands in column `indent`."""
    if cells.ndim == 0:
        return str(cells.item())
    if cells.ndim == 1:
        items = cells.tolist()
        if cut[0]:
            items.insert(options.edgeitems, " ...")
        per_line = max(1, (options.linewidth - indent) // (width + 2))
        rows = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        newlines = "\n"
    else:
        rows = [_layout(row, width, cut[1:], indent + 1) for row in cells]
        if cut[0]:
            rows.insert(options.edgeitems, "...")
        newlines = "\n" * (cells.ndim - 1)
    return "[" + ("," + newlines + " " * (indent + 1)).join(rows) + "]"

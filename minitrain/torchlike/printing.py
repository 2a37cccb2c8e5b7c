"""How an array is printed in the way torch prints a tensor: digits, columns, line breaks, notes."""

from collections.abc import Sequence

import numpy as np

LINE_WIDTH = 80
SUMMARIZE_ABOVE = 1000  # an array of more elements than this is shown by its edges
EDGE_ITEMS = 3  # how many entries are shown at either end of an axis that is cut


def format_tensor(array: np.ndarray, suffixes: Sequence[str] = (), prefix: str = "tensor(") -> str:
    """`array` as torch's repr shows a tensor of the same values, without the 'torch.' before a dtype.

    Args:
        array: bool, integer or real values of any shape.
        suffixes: notes to put after the values, such as 'requires_grad=True' or 'grad_fn=<MulBackward0>'.
            The size of an empty array and a dtype that cannot be told from the values come before them.
        prefix: what opens the text, on one line; further lines are indented to where it ends.

    Returns:
        e.g. 'tensor([[1., 2.],\\n        [3., 4.]], dtype=float64)'

    The rules were found by experiment with torch 2.13, at the defaults of torch.set_printoptions.
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
        if column + 2 + length > LINE_WIDTH:
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
    cut = [array.size > SUMMARIZE_ABOVE and length > 2 * EDGE_ITEMS for length in array.shape]
    ends = [*range(EDGE_ITEMS), *range(-EDGE_ITEMS, 0)]
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
        if largest / smallest > 1000 or largest > 1e8 or smallest < 1e-4:
            spec = ".4e"
        else:
            spec = "#.0f" if np.all(sizes == np.floor(sizes)) else ".4f"
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
            items.insert(EDGE_ITEMS, " ...")
        per_line = max(1, (LINE_WIDTH - indent) // (width + 2))
        rows = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
        newlines = "\n"
    else:
        rows = [_layout(row, width, cut[1:], indent + 1) for row in cells]
        if cut[0]:
            rows.insert(EDGE_ITEMS, "...")
        newlines = "\n" * (cells.ndim - 1)
    return "[" + ("," + newlines + " " * (indent + 1)).join(rows) + "]"

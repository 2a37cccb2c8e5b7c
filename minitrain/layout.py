"""Every speed trick, measured: which of several equal forms of a computation is fastest, and where arrays lie."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

LINE = 64  # bytes, of most processors


def as_rows(x: Array) -> Array:
    """x (..., K) as a matrix (N, K): one large product is faster than many small ones."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def product(grad_y: Array, weight: Array) -> Array:
    """grad_y @ weight: (N, out) @ (out, in) -> (N, in).

    With few rows, (weightᵀ grad_yᵀ)ᵀ is the same and faster, since nn.Linear keeps its weight transposed in memory.
    """
    N, out_features = grad_y.shape
    return np.ascontiguousarray((weight.T @ grad_y.T).T) if out_features >= 16 * N else grad_y @ weight


def transposed_product(grad_y: Array, x: Array) -> Array:
    """grad_yᵀ @ x: (N, out), (N, in) -> (out, in), in the memory order of nn.Linear's weight.

    It is computed as (xᵀ grad_y)ᵀ. With a single row nothing is summed, and a plain multiplication is faster.
    """
    columns = x.T
    return (columns * grad_y if len(x) == 1 else columns @ grad_y).T


BLOCK = 128  # rows


def pairwise_sum(x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
    """x.sum(axis), with rounding errors that do not grow with the number of rows.

    NumPy adds up rows one by one where they do not lie side by side in memory: in float32 the sum of 10,000 rows is
    off by 1e-4. Here rows are added up in blocks of 128, then the blocks' sums, and so on (pairwise summation): 6e-7,
    torch's size. Up to 128 rows it is NumPy's sum.
    """
    if x.dtype.kind == "f" and len(axis) < x.ndim and max(x.shape) > BLOCK:
        for a in axis:
            while x.shape[a] > BLOCK and x.strides[a] != x.itemsize:
                blocks = x.shape[a] // BLOCK
                whole, rest = np.split(x, [blocks * BLOCK], axis=a)
                whole = whole.reshape(*x.shape[:a], blocks, BLOCK, *x.shape[a + 1 :]).sum(axis=a + 1)
                x = np.concatenate([whole, rest.sum(axis=a, keepdims=True)], axis=a) if rest.size else whole
    return np.asarray(x.sum(axis=axis, keepdims=keepdims))


_BITS: dict[int, type[np.signedinteger[Any]]] = {2: np.int16, 4: np.int32, 8: np.int64}  # by the bytes of a float


def zeroed(grad: Array, mask: Array) -> Array:
    """np.where(mask, 0, grad), three to ten times as fast: each number's bits are ANDed with none or all of them.

    (A product with 0 would make an infinite gradient nan.)
    """
    kept = (mask.view(np.int8) - 1).astype(_BITS[grad.dtype.itemsize])  # 0, no bit, where mask holds; else -1, all
    kept &= grad.view(kept.dtype)
    return kept.view(grad.dtype)


def empty_at_line(shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """An array in C order, with whatever lay there, that begins at a line of the cache.

    np.empty's begins at any multiple of 16 bytes, so that a store of a vector often touches two lines. For weights it
    matters: every core reads them, and a core that stores into a line waits for the others to let go of it. An update
    of 670,000 weights takes 0.10 ms so, and 0.13 otherwise.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    return memory[begin : begin + size].view(dtype).reshape(shape)


def keep_freed_memory() -> None:
    """Have malloc keep freed memory, up to 64 MB of it, for whoever asks next.

    A training step makes the arrays that the step before has freed. C's malloc gives large ones back to the system at
    once and then gets new ones page by page, each of them cleared first: up to a sixth of a step's time. glibc's learns
    from the largest block that the process has freed, if it has at most 32 MB (mallopt(3), M_MMAP_THRESHOLD), that such
    sizes come and go: from the first block here. The second one then lies in the memory that is kept. NumPy asks for
    large pages wherever it makes a block of over 4 MB (madvise(2), MADV_HUGEPAGE), and the smaller arrays that come
    to lie there have them too: another thirtieth. Neither block is ever written to, so they take no memory. Another
    malloc, or one that was set by MALLOC_ variables, is left as it is.
    """
    np.empty(2**25 - 2**16, np.uint8)
    np.empty(2**25 - 2**17, np.uint8)

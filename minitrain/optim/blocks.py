"""Updates in blocks that fit into a core's cache: the same bits, and on some processors less time."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minitrain.layout import Array, empty_at_line
from minitrain.tensor import Tensor, wrap

Update = Callable[[Array, Array, dict[str, Tensor], dict[str, Any]], None]

BLOCK = 65_536  # elements
LARGE = 4 * BLOCK  # a smaller parameter stays in the cache anyway
GAIN = 0.9  # blocks are used if they take less than this share of the time


def in_blocks(update: Update) -> Update:
    """The update that calls `update` for one block of a large parameter after another.

    The rules of minitrain.optim compute each element of a parameter from that element's numbers alone. A rule from
    elsewhere may not, and gets whole parameters.
    """
    ours = update.__module__.startswith("minitrain.optim.")
    return functools.partial(_update_blocks, update) if ours else update


def _update_blocks(
    update: Update, param: Array, grad: Array, state: dict[str, Tensor], options: dict[str, Any]
) -> None:
    buffers = {name: tensor.array for name, tensor in state.items() if tensor.array.shape == param.shape}
    flat = _flat([param, grad, *buffers.values()])
    if param.size < LARGE or flat is None:
        update(param, grad, state, options)
        return
    flat_param, flat_grad, *flat_buffers = flat
    scalars = {name: tensor.array for name, tensor in state.items() if name not in buffers}
    part: dict[str, Tensor] = {}
    made: dict[str, Array] = {}  # by the first update: what the rule remembers from now on
    for block in _blocks(param.size):
        part = {name: wrap(buffer[block]) for name, buffer in zip(buffers, flat_buffers, strict=True)}
        part |= {name: wrap(array.copy()) for name, array in scalars.items()}  # each block counts the same step
        update(flat_param[block], flat_grad[block], part, options)
        for name in part.keys() - state.keys():
            if part[name].array.shape:
                made.setdefault(name, np.empty_like(param))
                _flat([made[name]])[0][block] = part[name].array  # type: ignore[index]
    for name, array in scalars.items():
        array[...] = part[name].array
    for name in part.keys() - state.keys():
        state[name] = wrap(made[name]) if name in made else part[name]


def _blocks(size: int) -> Iterator[slice]:
    return (slice(begin, begin + BLOCK) for begin in range(0, size, BLOCK))


def _flat(arrays: list[Array]) -> list[Array] | None:
    """The arrays' memory, one axis each; None unless all have their elements in the same order without gaps."""
    first = arrays[0]
    if any(array.strides != first.strides for array in arrays):
        return None
    if first.flags.c_contiguous:
        return [array.reshape(-1) for array in arrays]
    return [array.T.reshape(-1) for array in arrays] if first.flags.f_contiguous else None


@functools.cache
def are_faster() -> bool:
    """Whether blocks are faster on this machine, by a measurement of a few milliseconds."""
    param, grad = empty_at_line((8 * BLOCK,), np.float32), empty_at_line((8 * BLOCK,), np.float32)
    param[...] = grad[...] = 0

    def whole() -> None:
        np.subtract(param, 0.1 * grad, out=param)

    def blocks() -> None:
        for block in _blocks(param.size):
            np.subtract(param[block], 0.1 * grad[block], out=param[block])

    best: dict[Any, float] = {}
    for _ in range(5):
        for how in (whole, blocks):
            begin = time.perf_counter()
            how()
            best[how] = min(best.get(how, np.inf), time.perf_counter() - begin)
    return bool(best[blocks] < GAIN * best[whole])

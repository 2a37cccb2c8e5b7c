"""The position in a pass over a DataLoader: iterators that can save where they are, and resume from there.

A state contains only types that `minitrain.save` can write. It may come from a damaged file or from another program,
so loading checks all of it before anything changes.
"""

import functools
import itertools
import operator
import zlib
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.torchlike.random import Generator


class _Attributes(SimpleNamespace):
    """Attributes, given by keyword. A dataclass would be written as Python code, and compiled, at every import."""

    __eq__, __hash__ = object.__eq__, object.__hash__  # type: ignore[assignment]


# --- a pass ----------------------------------------------------------------------------------------------------


class Pass(_Attributes, Iterator[Any]):
    """One pass over a DataLoader: a batch for each list of indices. Unlike a generator, it continues after an error."""

    loader: Any
    indices: Iterator[Any]

    def __len__(self) -> int:
        return len(self.loader)

    def __next__(self) -> Any:
        return self.load(next(self.indices))

    def load(self, indices: Any) -> Any:
        """The batch of these indices."""
        try:
            return self.loader._fetch(indices)
        except StopIteration as error:  # it would end the pass early and silently
            raise RuntimeError("the data set or the collate_fn raised StopIteration") from error


_END = object()


class PassIndices(_Attributes, Iterator[Any]):
    """The indices of one pass. The loader keeps those of its latest pass, to save their position."""

    iterator: Iterator[Any]
    again: Any = None  # given before the rest
    last: Any = None  # given last
    exhausted: bool = False

    def __next__(self) -> Any:
        self.last, self.again = next(self.iterator, _END) if self.again is None else self.again, None
        if self.last is _END:
            self.exhausted, self.iterator = True, iter(())  # frees the order
            raise StopIteration
        return self.last


class Position(_Attributes):
    """A DataLoader's position: its latest pass, and whether the next `iter()` resumes that pass from a loaded state."""

    latest: PassIndices
    resumes: bool = False
    base_seed: int = 0  # of the latest pass; workers seed their random streams with it


# --- the samplers' iterators -----------------------------------------------------------------------------------


def iterate(sampler: Iterable[Any]) -> Iterator[Any]:
    """`iter(sampler)`; for a plain list, tuple or range, an iterator that can save its position."""
    return ListOrder(sampler) if type(sampler) in (list, tuple, range) else iter(sampler)  # type: ignore[arg-type]


class Order(Iterator[Any]):
    """An iterator over blocks of indices. It knows its current block, and how many indices of that block were given."""

    _block: Sequence[Any] = ()
    _given = 0

    def _next_block(self) -> bool:
        """Move to the next block. Returns False after the last one."""
        return False

    def __next__(self) -> Any:
        while self._given == len(self._block):
            if not self._next_block():
                raise StopIteration
        self._given += 1
        return self._block[self._given - 1]

    def take(self, count: int) -> list[Any]:
        """`[*islice(self, count)]`, a block at a time."""
        taken = [*self._block[self._given : self._given + count]]
        self._given += len(taken)
        while len(taken) < count and self._next_block():
            self._given = min(count - len(taken), len(self._block))
            taken += self._block[: self._given]
        return taken


class ListOrder(Order):
    """A list, tuple or range from front to back."""

    def __init__(self, sequence: Sequence[Any]) -> None:
        self._block = sequence

    def _identity(self) -> dict[str, Any]:
        return {"length": len(self._block), "checksum": checksum(self._block)}

    def state_dict(self) -> dict[str, Any]:
        return {**self._identity(), "given": self._given}

    def load_state_dict(self, state: Any) -> None:
        check_state(state, self._identity(), "given")
        self._given = whole_number(state, "given", len(self._block))


class DrawnSampler:
    """A sampler that draws its order in blocks; DrawnOrder iterates over it."""

    def _block_size(self, number: int) -> int | None:
        """The size of block `number` of a pass; None after the last block."""
        raise NotImplementedError

    def _draw(self, size: int, generator: Generator) -> NDArray[np.int64]:
        """The next block: `size` random places."""
        raise NotImplementedError

    def _indices_at(self, places: list[int]) -> list[int]:
        return places

    def _identity(self) -> dict[str, Any]:
        """The part of a state that must be the same where it is loaded."""
        raise NotImplementedError


class DrawnOrder(Order):
    """The blocks of a DrawnSampler. Each is drawn when its first index is needed.

    Without a generator, the first block draws a seed from the default generator, for a private generator of this pass.
    """

    def __init__(self, sampler: DrawnSampler, generator: Generator | None) -> None:
        self._sampler = sampler
        self._generator = generator
        self._private = generator is None
        self._blocks = 0  # drawn so far
        self._places: NDArray[np.int64] = np.empty(0, np.int64)  # of the last block

    def _next_block(self) -> bool:
        size = self._sampler._block_size(self._blocks)
        if size is None:
            return False
        if self._generator is None:
            self._generator = Generator().manual_seed(random.random_int64())
        self._places = self._sampler._draw(size, self._generator)
        self._block, self._given = self._sampler._indices_at(self._places.tolist()), 0
        self._blocks += 1
        return True

    def state_dict(self) -> dict[str, Any]:
        private = self._generator if self._private else None
        return {
            **self._sampler._identity(),
            "blocks": self._blocks,
            "order": wrap(self._places.copy()),
            "given": self._given,
            "generator": None if private is None else wrap(private.state()),
        }

    def load_state_dict(self, state: Any) -> None:
        identity = self._sampler._identity()
        check_state(state, identity, "blocks", "order", "given", "generator")
        blocks = whole_number(state, "blocks")
        size = self._sampler._block_size(blocks - 1) if blocks else 0
        places = state["order"].array if isinstance(state["order"], Tensor) else np.empty((), object)
        if size is None or places.dtype != np.int64 or places.shape != (size,):
            raise mismatch(
                f"the order of block {blocks} is {shortened(state['order'])}, expected {size or 0} int64 indices"
            )
        if ((places < 0) | (places >= identity["length"])).any():
            raise mismatch(
                f"its order has indices from {places.min()} to {places.max()}, expected 0 to {identity['length'] - 1}"
            )
        if not identity["replacement"] and len(np.unique(places)) < size:
            raise mismatch("its order contains an index twice")
        given = whole_number(state, "given", size)
        if self._private and blocks:
            self._generator = restored_generator(state["generator"])
        elif state["generator"] is not None:
            raise mismatch("it has the state of a private generator, which this pass does not use")
        self._blocks, self._places, self._given = blocks, places.copy(), given
        self._block = self._sampler._indices_at(places.tolist())


class BatchOrder(_Attributes, Iterator[list[Any]]):
    """A BatchSampler's lists of indices: `while batch := [*islice(indices, batch_size)]: yield batch`."""

    sampler: Any

    @functools.cached_property
    def indices(self) -> Iterator[Any]:
        """The sampler's; begun with the first batch, since the sampler must draw after the base seed."""
        return iterate(self.sampler.sampler)

    def __next__(self) -> list[Any]:
        size = self.sampler.batch_size
        batch = self.indices.take(size) if isinstance(self.indices, Order) else [*itertools.islice(self.indices, size)]
        if not batch or (len(batch) < size and self.sampler.drop_last):
            raise StopIteration
        return batch

    def _identity(self) -> dict[str, Any]:
        return {"batch_size": self.sampler.batch_size, "drop_last": self.sampler.drop_last}

    def state_dict(self) -> dict[str, Any]:
        begun = "indices" in vars(self)
        return {**self._identity(), "indices": saved_iterator(self.indices, self.sampler.sampler) if begun else None}

    def load_state_dict(self, state: Any) -> None:
        check_state(state, self._identity(), "indices")
        vars(self).pop("indices", None)
        if state["indices"] is not None:
            self.indices = restored_iterator(state["indices"], self.sampler.sampler)


# --- saving and restoring --------------------------------------------------------------------------------------


def saved_iterator(iterator: Any, sampler: Iterable[Any]) -> dict[str, Any]:
    """The state of a sampler's iterator, for restored_iterator. Raises TypeError if it cannot save its position."""
    _require_state_methods(iterator, sampler)
    return {"sampler": type(sampler).__name__, "state": iterator.state_dict()}


def restored_iterator(state: Any, sampler: Iterable[Any]) -> Iterator[Any]:
    """A new iterator of the sampler, at the position that saved_iterator returned."""
    check_state(state, {"sampler": type(sampler).__name__}, "state")
    iterator: Any = iterate(sampler)
    _require_state_methods(iterator, sampler)
    iterator.load_state_dict(state["state"])
    return iterator  # type: ignore[no-any-return]


def restored_generator(state: Any) -> Generator:
    """A new generator in the state that get_state returned."""
    generator = Generator()
    try:
        if not isinstance(state, Tensor):
            raise TypeError(f"expected a Tensor, got {type(state).__name__}")
        generator.set_state(state.array)
    except (RuntimeError, TypeError) as error:
        raise mismatch(f"the state of a generator: {error}") from None
    return generator


def _require_state_methods(iterator: Any, sampler: Iterable[Any]) -> None:
    for name in ("state_dict", "load_state_dict"):
        if not callable(getattr(iterator, name, None)):
            raise TypeError(
                f"cannot save or load the position in this pass: the iterator of {type(sampler).__name__}, a "
                f"{type(iterator).__name__}, has no {name}. Give it state_dict() and load_state_dict(state), see "
                "minitrain.data.Sampler; or pass a list of indices as the sampler"
            )


# --- checks of a state -----------------------------------------------------------------------------------------


def check_state(state: Any, expected: dict[str, Any], *names: str) -> None:
    """Raise ValueError unless the state is a dict with the expected entries and with entries of these names."""
    if not isinstance(state, dict) or set(state) != {*expected, *names}:
        raise mismatch(f"{shortened(state)} is not a dict of {', '.join([*expected, *names])}")
    for name, value in expected.items():
        if type(state[name]) is not type(value) or state[name] != value:
            raise mismatch(f"its {name} is {shortened(state[name])}, expected {value!r}")


def whole_number(state: dict[str, Any], name: str, largest: int | None = None) -> int:
    """The entry of this name. Raises ValueError unless it is an int from 0 to the largest."""
    number = state[name]
    if type(number) is not int or number < 0 or (largest is not None and number > largest):
        limit = "up" if largest is None else f"to {largest}"
        raise mismatch(f"{name} is {shortened(number)}, expected a whole number from 0 {limit}")
    return number


def mismatch(problem: str) -> ValueError:
    """The error for a state that belongs to another loader, or is damaged."""
    return ValueError(
        f"the state does not fit this DataLoader: {problem}. Load the state_dict() of a loader with the same "
        "arguments, or none to start a new pass"
    )


def as_plain_index(index: Any) -> Any:
    """An index as an int that can be saved, if it is a NumPy integer or a Tensor."""
    return operator.index(index) if hasattr(index, "__index__") else index


def shortened(value: Any) -> str:
    """The value's repr, at most 100 characters of it."""
    return f"{value!r:.100}"


def checksum(indices: Sequence[Any]) -> int:
    """A number that distinguishes lists of indices."""
    return zlib.crc32(repr(indices).encode())

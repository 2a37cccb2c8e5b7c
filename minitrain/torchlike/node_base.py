"""The base of tape.py's Node: names, and the guards against arrays that were freed or changed and wrong gradients."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

import numpy as np

from minitrain.ops import Array, Context, Function
from minitrain.torchlike.hooks import GradientHooks

INFERENCE = (
    "Inference tensors cannot be saved for backward: this one was made in inference_mode. Use no_grad() there instead, "
    "or clone() it outside."
)


class Version:
    """How often a piece of memory was written in place; shared by all Tensors that are views of it."""

    number = 0


class Variable(Protocol):
    """What the tape needs to know of a Tensor: its array, how often the array was written, where its gradient goes."""

    array: Array
    _version: Version
    _inference: bool

    def receive_grad(self, grad: Array, *, owned: bool) -> None:
        """Add grad to .grad; an owned array belongs to nobody else and may be kept."""


class NodeBase(Context):
    """An operation's Context, guarded: backward refuses to run on saved arrays that are no longer what they were."""

    function: type[Function]
    next_functions: tuple[tuple[Any, int], ...]
    _versions: Sequence[tuple[Version, int, int]] = ()  # of what was saved: the version, its number, the input's
    _freed = False
    _retain_for: weakref.ref[Variable] | None = None  # the result, if retain_grad() was called on it
    _hooks: GradientHooks | None = None  # what register_hook hung on the result
    _call: Any = None  # a Watcher's note about the forward

    def name(self) -> str:
        """The operation's name, as torch spells a Node's: AddBackward0."""
        return f"{self.function.__name__}Backward0"

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self):#x}>"

    def guard(self, inputs: Sequence[Any], result: Variable) -> None:
        """Note the versions of those inputs, and of the result, that forward saved: backward needs these values."""
        saved, self._versions = {*map(id, self._saved)}, []
        for place, x in enumerate((result, *inputs)):
            if id(getattr(x, "array", self)) in saved:
                self._versions.append((x._version, x._version.number, place))
                if x._inference:
                    raise RuntimeError(INFERENCE)

    @property
    def saved_arrays(self) -> tuple[Any, ...]:
        """The arrays that forward saved. Raises RuntimeError if they were freed, or changed in place since."""
        for version, number, _ in self._versions:
            if version.number != number:
                self._explain()
        return self._saved if not self._freed else self._explain()

    def _explain(self) -> NoReturn:
        if self._freed:
            raise RuntimeError(
                f"Trying to backward through the graph a second time: the arrays that {self.name()} saved are freed "
                "after backward has used them. Call backward(retain_graph=True) the first time, or run the forward "
                "again."
            )
        for version, number, place in self._versions:
            if version.number != number:
                what = "the result" if place == 0 else f"input {place - 1}"
                raise RuntimeError(
                    f"A tensor needed for gradient computation has been modified by an inplace operation: {what} of "
                    f"{self.name()}, saved when the operation ran, is at version {version.number}; expected version "
                    f"{number}. Write the change out of place (x = x + 1, not x += 1), or clone() the tensor first."
                )
        raise AssertionError("nothing was freed or changed")

    def free(self) -> None:
        """Drop the arrays that forward saved."""
        self._freed, self._saved = bool(self._saved), ()

    def checked(self, gradients: Any) -> list[Array | None]:
        """A Function's gradients, one for each input in the input's dtype; None where no gradient is required.

        Raises RuntimeError for the wrong number of gradients, and for a gradient without its input's shape.
        """
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        if len(gradients) != len(self.next_functions):
            raise RuntimeError(
                f"{self.name()} returned an incorrect number of gradients (expected {len(self.next_functions)}, got "
                f"{len(gradients)}): one for each input, in order, and None for an input without a gradient."
            )
        result: list[Array | None] = []
        for gradient, (edge, _) in zip(gradients, self.next_functions, strict=True):
            array = None if edge is None or gradient is None else np.asarray(gradient, edge.result_dtype)
            if array is not None and array.shape != edge.result_shape:
                raise RuntimeError(
                    f"{self.name()} returned a gradient of shape {list(array.shape)} for its input {len(result)}, "
                    f"which has shape {list(edge.result_shape)}; a gradient has its input's shape."
                )
            result.append(array)
        return result


def is_alone(array: Array, arrays: Sequence[Array | None]) -> bool:
    """Whether the array may be kept and written: it owns its memory, and no other of the arrays lies in that memory."""
    memory = array if array.base is None else array.base
    if not (array.flags.writeable and isinstance(memory, np.ndarray) and memory.base is None):
        return False  # broadcast, or somebody else's memory
    return sum([other is not None and (other is memory or other.base is memory) for other in arrays]) == 1

"""Tensor's methods that write into its own memory, and how such a write is recorded. Their names end in _."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from minitrain import ops
from minitrain.ops import Array, Function
from minitrain.torchlike import random
from minitrain.torchlike.arguments import (
    BOOL,
    Scalar,
    as_indices,
    category,
    check_broadcast,
    converted,
    dtype_name,
    floating,
    in_torchs_words,
)
from minitrain.torchlike.comparison_methods import ComparisonMethods
from minitrain.torchlike.elementwise_methods import _wrapped
from minitrain.torchlike.grad_mode import grad_mode, is_grad_enabled
from minitrain.torchlike.tensor_base import RESHAPED, TensorBase, increment_version, result_type

if TYPE_CHECKING:
    from minitrain.tensor import Tensor


class InPlaceMethods(ComparisonMethods):
    """self[...] = an operation of self."""

    def _records_write(self, *operands: Any) -> bool:
        """Whether an in-place operation is to be recorded. Raises RuntimeError where it must not happen at all."""
        if not self.array.flags.writeable:
            raise RuntimeError(
                "this Tensor's memory cannot be written: elements of an expanded Tensor share a place, it is "
                "a weight's view(), which is a copy here, or it wraps a read-only array. clone() it first."
            )
        if self._inference and not grad_mode.inference:
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed. clone() it first, or use "
                "no_grad() where it is made."
            )
        on_tape = (isinstance(x, TensorBase) and x.requires_grad for x in (self, self._base, *operands))
        if not is_grad_enabled() or not any(on_tape):
            return False
        written = self if self._base is None else self._base
        if written.is_leaf and written.requires_grad:
            raise RuntimeError(
                f"a {'' if self._base is None else 'view of a '}leaf Variable that requires grad is being used in an "
                "in-place operation. Change it inside `with no_grad():`, or write the change out of place."
            )
        if self._refusal or (self._base is not None and self._base._reshaped != self._born_at_shape):
            raise RuntimeError(self._refusal or RESHAPED)
        return True

    def _write(self, function: type[Function], *operands: Any, **options: Any) -> Self:
        """self[...] = function(self, *operands); if that is recorded, self has a new history from then on."""
        operands = tuple([_wrapped(x, self.dtype) for x in operands])
        return self._write_result(lambda before: self._apply(function, before, *operands, **options), operands)

    def _write_result(self, compute: Callable[[Tensor], Tensor], operands: Sequence[Any]) -> Self:
        """self[...] = compute(self), where compute also uses these operands."""
        recording = self._records_write(*operands)
        # The value before the write stands for self on the tape, with a memory of its own: backward may need it.
        before = self._standing_for(self, self.array.copy()) if recording else self._new(self.array)
        try:
            after = compute(before)
        except ValueError as error:
            check_broadcast(*(x.array.shape for x in (self, *operands) if isinstance(x, TensorBase)))
            raise RuntimeError(str(error)) from None
        if after.array.shape != self.array.shape:
            raise RuntimeError(
                f"output with shape {list(self.shape)} doesn't match the broadcast shape {list(after.shape)}"
            )
        if category(after.dtype) > category(self.dtype):
            raise RuntimeError(f"result type {after.dtype} can't be cast to the desired output type {self.dtype}")
        with np.errstate(all="ignore"):
            self.array[...] = after.array
        increment_version(self)
        if recording and self.is_floating_point():
            self._record_write(after)
        return self

    def _record_write(self, after: Tensor) -> None:
        """Give the written Tensor a new history: that of after; of a view's base, with after in place of the view."""
        written: TensorBase = self
        if after._grad_fn is not None:  # a result that backward needs is what lies in self now
            versions = after._grad_fn._versions
            now = self._version, self._version.number, 0
            after._grad_fn._versions = [now if place == 0 else (v, number, place) for v, number, place in versions]
        if self._base is not None:
            written = self._base
            base = self._standing_for(written, written.array)
            after = self._apply(ops.ViewPut, base, after, view=self._see)
        if after._grad_fn is None:
            return
        if written._grad_fn is not None:  # retain_grad() asked for the gradient of the value as it is now
            after._grad_fn._retain_for, written._grad_fn._retain_for = written._grad_fn._retain_for, None
        written._grad_fn, written._requires_grad = after._grad_fn, True
        written._recorded_at_version = self._version.number

    def _standing_for(self, tensor: TensorBase, array: Array) -> Tensor:
        """A Tensor with tensor's history as it is now, around an array."""
        standing = self._new(array)
        standing._requires_grad, standing._grad_fn = tensor.requires_grad, tensor.grad_fn
        return standing

    def add_(self, other: Any, *, alpha: Scalar = 1) -> Self:
        """self += alpha · other."""
        other = self._scaled(self._operand(other), alpha)
        return self._write(ops.Add, other, compute_dtype=result_type(self, other))

    def sub_(self, other: Any, *, alpha: Scalar = 1) -> Self:
        """self -= alpha · other."""
        self._refuse_bools(self, other)
        other = self._scaled(self._operand(other), alpha)
        return self._write(ops.Sub, other, compute_dtype=result_type(self, other))

    def mul_(self, other: Any) -> Self:
        """self *= other."""
        other = self._operand(other)
        return self._write(ops.Mul, other, compute_dtype=result_type(self, other))

    def div_(self, other: Any) -> Self:
        """self /= other."""
        other = self._operand(other)
        return self._write(ops.Div, other, compute_dtype=floating(result_type(self, other)))

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(value, np.ndarray):
            raise TypeError(f"can't assign a numpy.ndarray to a {self.type()}; wrap it in torch.from_numpy().")
        if isinstance(value, np.generic) and not isinstance(value, np.integer | float):
            raise TypeError(f"can't assign a numpy.{type(value).__name__} to a {self.type()}; convert it with .item().")
        value = self._operand(value)
        if not isinstance(value, TensorBase):  # in torch a float16's number is a double first: 70000 becomes inf
            value = converted(value, np.dtype(np.float64) if self.dtype == np.float16 else self.dtype)
        *first, last = as_indices(index, self.ndim)
        target = self
        for step in first:
            target = self._apply(ops.Index, target, index=step)
        try:
            target.array[last]  # an index that does not fit is the first thing to report
            self._require_fitting_dtype(last, value)
            if target._records_write(value):
                target._write(ops.IndexPut, value, index=last, compute_dtype=self.dtype)
            else:
                with np.errstate(all="ignore"):
                    target.array[last] = value.array if isinstance(value, TensorBase) else value
                increment_version(self)
        except IndexError as error:
            raise IndexError(in_torchs_words(error, target.ndim, index)) from None
        except (TypeError, ValueError) as error:
            raise RuntimeError(
                f"cannot assign to these elements of a Tensor of shape {list(self.shape)}: {error}"
            ) from None

    def _require_fitting_dtype(self, index: tuple[Any, ...], value: Any) -> None:
        """Raise RuntimeError, as torch, for a Tensor of another dtype written by an index of arrays."""
        if not isinstance(value, TensorBase) or value.dtype == self.dtype:
            return
        arrays = [part for part in index if isinstance(part, np.ndarray)]
        a_number_by_mask = value.numel() == 1 and len(arrays) == 1 and arrays[0].dtype == BOOL
        if arrays and not a_number_by_mask:
            raise RuntimeError(
                f"Index put requires the source and destination dtypes match, got {dtype_name(self.dtype)} for the "
                f"destination and {dtype_name(value.dtype)} for the source; convert the source with .to()."
            )

    def copy_(self, src: Tensor) -> Self:
        """self[...] = src, in self's dtype and memory order."""
        self[...] = src
        return self

    def fill_(self, value: Any) -> Self:
        """self[...] = value."""
        self[...] = value
        return self

    def zero_(self) -> Self:
        """self[...] = 0."""
        return self.fill_(0)

    def clamp_(self, min: Scalar | None = None, max: Scalar | None = None) -> Self:
        """Move each element to min or max where it lies outside."""
        return self._write(ops.Clamp, min=min, max=max)

    def relu_(self) -> Self:
        """max(self, 0) in self's memory."""
        return self._write(ops.ReLU)

    def uniform_(self, from_: Scalar = 0.0, to: Scalar = 1.0, *, generator: random.Generator | None = None) -> Self:
        """Fill with values drawn evenly from [from_, to): torch's, bit for bit (see minitrain.random)."""
        return self._draw(random.uniform(self.shape, from_, to, dtype=self.dtype, generator=generator))

    def normal_(self, mean: Scalar = 0.0, std: Scalar = 1.0, *, generator: random.Generator | None = None) -> Self:
        """Fill with values drawn from a normal distribution (see minitrain.random on which are torch's bits)."""
        blocks = self._lies_in_order()
        drawn = random.normal(self.shape, mean, std, dtype=self.dtype, generator=generator, blocks=blocks)
        return self._draw(drawn)

    def _draw(self, values: Array) -> Self:
        """Write values that were drawn one after another."""
        return self.copy_(self._new(self._in_memory_order(values)))

    def _in_memory_order(self, values: Array) -> Array:
        """Values drawn one after another, as torch places them: in memory order, where a view has no gaps.

        The memory meant is torch's, in which every base lies in the order of its indices.
        """
        places = self._places_in_base()
        if places is not None and places.max() - places.min() + 1 == places.size == np.unique(places).size:
            in_order = np.empty_like(values).ravel()
            in_order[np.argsort(places)] = values.ravel()
            values = in_order.reshape(values.shape)
        return values

    def _places_in_base(self) -> Array | None:
        """Where a view's elements lie in torch's memory of its base; None if self is no view, or empty."""
        if self._base is None or self._view is None or not self.array.size:
            return None
        places: Array = self._see(np.arange(self._base.numel()).reshape(self._base.shape)).ravel()
        return places

    def _lies_in_order(self) -> bool:
        """Whether the elements lie side by side, in the order of their indices, in torch's memory."""
        places = self._places_in_base()
        return places is None or bool((np.diff(places) == 1).all())

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

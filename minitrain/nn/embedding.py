"""Embedding: a table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain import ops
from minitrain.joining import one_hot as one_hot  # torch.nn.functional has it
from minitrain.nn import init
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import as_dtype, get_default_dtype
from minitrain.torchlike.grad_mode import no_grad


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """weight[input]: integers (...) and a table (V, D) -> (..., D). The row padding_idx gets no gradient.

    Raises IndexError for a number outside of 0 to V - 1.
    """
    for name, given in (("max_norm", max_norm), ("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
        if given:
            raise NotImplementedError(f"embedding: {name}={given} is not offered; leave it out.")
    if input.dtype.kind not in "iu":
        raise RuntimeError(f"Expected tensor for argument #1 'indices' to be Long or Int; but got {input.dtype}")
    rows = len(weight.array)
    if input.array.size and (input.array.min() < 0 or input.array.max() >= rows):
        raise IndexError(
            f"index out of range in self: the table has rows 0 to {rows - 1}, but the indices go from "
            f"{input.array.min()} to {input.array.max()}"
        )
    if padding_idx is None:
        return apply(ops.Index, weight, index=(input.array.astype(np.int64),))
    kept = np.ones((rows, 1), weight.dtype)
    kept[padding_idx] = 0
    table = weight * wrap(kept) + weight.detach() * wrap(1 - kept)  # the same values, but one row is a constant
    return apply(ops.Index, table, index=(input.array.astype(np.int64),))


class Embedding(Module):
    """A table of num_embeddings vectors of size embedding_dim, from the normal distribution; looked up by number.

    padding_idx: a row that is 0 at first and gets no gradient.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        for name, given in (("max_norm", max_norm), ("scale_grad_by_freq", scale_grad_by_freq), ("sparse", sparse)):
            if given:
                raise NotImplementedError(f"Embedding: {name}={given} is not offered; leave it out.")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        if _weight is None:
            float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
            self.weight = Parameter(wrap(np.empty((num_embeddings, embedding_dim), float_type)), not _freeze)
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight, not _freeze)

    @classmethod
    def from_pretrained(cls, embeddings: Tensor, freeze: bool = True, padding_idx: int | None = None) -> Embedding:
        """An Embedding with these vectors (V, D), which freeze keeps as they are."""
        rows, size = embeddings.shape
        return cls(rows, size, padding_idx, _weight=embeddings, _freeze=freeze)

    def reset_parameters(self) -> None:
        """Draw all vectors again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Integers (...) -> (..., embedding_dim)."""
        return embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The sizes."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"

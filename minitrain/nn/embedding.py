"""Embedding: a table of vectors, looked up by number."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitrain import ops
from minitrain.joining import one_hot as one_hot  # torch.nn.functional has it
from minitrain.nn import init
from minitrain.nn.checks import check_tensors
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.arguments import INT, LONG, as_dtype, get_default_dtype
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

    max_norm: rows that are looked up and whose norm_type-norm is larger are first scaled to it, in the table itself.
    sparse: changes nothing, since gradients are dense here.
    Raises IndexError for a number outside of 0 to V - 1.
    """
    check_no_scaling("embedding", scale_grad_by_freq)
    check_tensors("embedding", input=input)
    if input.dtype not in (LONG, INT):
        raise RuntimeError(f"Expected tensor for argument #1 'indices' to be Long or Int; but got {input.dtype}")
    rows = len(weight.array)
    if input.array.size and (input.array.min() < 0 or input.array.max() >= rows):
        raise IndexError(
            f"index out of range in self: the table has rows 0 to {rows - 1}, but the indices go from "
            f"{input.array.min()} to {input.array.max()}"
        )
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    if padding_idx is None:
        return apply(ops.Index, weight, index=(input.array.astype(np.int64),))
    kept = np.ones((rows, 1), weight.dtype)
    kept[padding_idx] = 0
    table = weight * wrap(kept) + weight.detach() * wrap(1 - kept)  # the same values, but one row is a constant
    return apply(ops.Index, table, index=(input.array.astype(np.int64),))


def check_no_scaling(name: str, scale_grad_by_freq: bool) -> None:
    """Raise NotImplementedError if gradients are to be divided by how often a row was looked up."""
    if scale_grad_by_freq:
        raise NotImplementedError(f"{name}: scale_grad_by_freq=True is not offered; leave it out.")


def _renormalize(weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    with no_grad():
        rows = input.unique()
        chosen = weight[rows]
        norms = chosen.norm(norm_type, dim=1, keepdim=True)
        weight[rows] = (chosen * (max_norm / (norms + 1e-7))).where(norms > max_norm, chosen)


class Embedding(Module):
    """A table of num_embeddings vectors of size embedding_dim, from the normal distribution; looked up by number.

    padding_idx: a row that is 0 at first and gets no gradient. max_norm, norm_type, sparse: as for `embedding`.
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
        check_no_scaling("Embedding", scale_grad_by_freq)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("Padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = max_norm, norm_type, False, sparse
        if _weight is None:
            float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
            self.weight = Parameter(wrap(np.empty((num_embeddings, embedding_dim), float_type)), not _freeze)
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight, not _freeze)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """An Embedding with these vectors (V, D), which freeze keeps as they are."""
        rows, size = embeddings.shape
        options = padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse
        return cls(rows, size, *options, _weight=embeddings, _freeze=freeze)

    def reset_parameters(self) -> None:
        """Draw all vectors again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor) -> Tensor:
        """Integers (...) -> (..., embedding_dim)."""
        return embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type)

    def extra_repr(self) -> str:
        """The sizes, and what is not the default."""
        told = f"{self.num_embeddings}, {self.embedding_dim}"
        for name, default in (("padding_idx", None), ("max_norm", None), ("norm_type", 2)):
            if (value := getattr(self, name)) != default:
                told += f", {name}={value}"
        return told + ", sparse=True" * self.sparse

"""EmbeddingBag: the sum, mean or maximum of several rows of a table of vectors, as for a text's words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minitrain.nn import init
from minitrain.nn.embedding import check_no_scaling, embedding
from minitrain.nn.module import Module
from minitrain.nn.parameter import Parameter
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.arguments import as_dtype, get_default_dtype
from minitrain.torchlike.grad_mode import no_grad

MODES = ("sum", "mean", "max")


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """The sum, mean or max over each bag of weight[input]: (B, D) for B bags and a table (V, D); 0 for an empty bag.

    input: integers (B, L), a bag in each row; or (N,) with offsets (B,), where each bag begins. (include_last_offset:
    (B + 1,), also where the last one ends.) per_sample_weights: factors of input's shape, for a sum. padding_idx:
    this row is left out. max_norm, norm_type, sparse: as for `embedding`.
    """
    check_no_scaling("embedding_bag", scale_grad_by_freq)
    if mode not in MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(
                "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' "
                f"(got mode={mode!r})."
            )
        if per_sample_weights.shape != input.shape:
            raise ValueError(
                f"embedding_bag: If per_sample_weights ({tuple(per_sample_weights.shape)}) is not None, then it must "
                f"have the same shape as the input ({tuple(input.shape)})"
            )
    places = _places(input, offsets, include_last_offset)
    filled: Array = places >= 0
    numbers = input.reshape(-1)
    if not places.size:
        return wrap(np.zeros((len(places), weight.shape[1]), weight.dtype))
    at = wrap(np.where(filled, places, 0))
    bags = embedding(numbers, weight, padding_idx, max_norm, norm_type)[at]  # (B, L, D)
    if padding_idx is not None:
        filled &= numbers.array[at.array] != padding_idx % len(weight)
    if per_sample_weights is not None:
        bags = bags * per_sample_weights.reshape(-1)[at].unsqueeze(2)
    left_out = wrap(~filled[:, :, None])
    if mode == "max":
        largest: Tensor = bags.masked_fill(left_out, -math.inf).max(1).values
        return largest.masked_fill(left_out.all(1), 0)
    sums = bags.masked_fill(left_out, 0).sum(1)
    if mode == "sum":
        return sums
    return sums / wrap(np.maximum(filled.sum(1, keepdims=True), 1).astype(weight.dtype))


def _places(input: Tensor, offsets: Tensor | None, include_last_offset: bool) -> Array:
    """For each bag the places of its numbers in the flat input, filled up with -1 to the longest bag: (B, L)."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets)}"
            )
        return np.arange(input.numel()).reshape(input.shape)
    if input.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.ndim != 1:
        raise ValueError("offsets has to be a 1D Tensor")
    starts, size = offsets.array.astype(np.int64), len(input)
    if len(starts) and starts[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
            f"However, got {starts[0]}"
        )
    if len(starts) and starts[-1] > size:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({size}), but got offsets[-1] of {starts[-1]}"
        )
    ends = np.append(starts[1:], [] if include_last_offset else size).astype(np.int64)
    starts = starts[: len(ends)]
    steps = np.arange((ends - starts).max(initial=0))
    places: Array = np.where(steps < (ends - starts)[:, None], starts[:, None] + steps, -1)
    return places


class EmbeddingBag(Module):
    """A table of num_embeddings vectors of size embedding_dim; gives the sum, mean or max of each bag of rows.

    padding_idx: a row that is 0 at first and is left out. The other arguments are those of `embedding_bag`.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        check_no_scaling("EmbeddingBag", scale_grad_by_freq)
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise AssertionError("padding_idx must be within num_embeddings")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse = max_norm, norm_type, False, sparse
        self.mode, self.include_last_offset = mode, include_last_offset
        if _weight is None:
            float_type = get_default_dtype() if dtype is None else as_dtype(dtype)
            self.weight = Parameter(wrap(np.empty((num_embeddings, embedding_dim), float_type)))
            self.reset_parameters()
        else:
            self.weight = Parameter(_weight)

    def reset_parameters(self) -> None:
        """Draw all vectors again."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        """Integers (B, L), or (N,) with offsets (B,) -> (B, embedding_dim)."""
        return embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            mode=self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    def extra_repr(self) -> str:
        """The sizes, the mode, and what is not the default."""
        told = f"{self.num_embeddings}, {self.embedding_dim}"
        if self.max_norm is not None:
            told += f", max_norm={self.max_norm}"
        if self.norm_type != 2:
            told += f", norm_type={self.norm_type}"
        told += f", mode={self.mode!r}"
        return told if self.padding_idx is None else f"{told}, padding_idx={self.padding_idx}"

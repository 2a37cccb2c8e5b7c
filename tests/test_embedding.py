"""Embedding and EmbeddingBag: values, gradients, drawn tables, texts and errors are torch's."""

from typing import Any

import numpy as np
import pytest
import torch

import minitrain

NUMBERS = np.array([1, 2, 4, 4, 0, 3, 2, 5])


def both(compute: Any) -> tuple[Any, Any]:
    """What a computation gives on each: its results as lists."""
    results = []
    for t in (minitrain, torch):
        t.manual_seed(3)
        results.append([value.tolist() for value in compute(t)])
    return results[0], results[1]


def assert_same(compute: Any) -> None:
    ours, theirs = both(compute)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def trained(t: Any, layer: Any, *inputs: Any, lr: float = 0.03) -> list[Any]:
    """The results of three steps, the last gradient and the weights after them."""
    optimizer = t.optim.SGD(layer.parameters(), lr=lr)
    results = []
    for _ in range(3):
        optimizer.zero_grad()
        y = layer(*inputs)
        (y * y).sum().backward()
        optimizer.step()
        results.append(y)
    grad = layer.weight.grad
    return [*results, grad.to_dense() if t is torch else grad, layer.weight]


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2, -2])
@pytest.mark.parametrize("offsets", [[0, 3, 3, 5], [0], [0, 0, 8]])
def test_bags_by_offsets(mode: str, padding_idx: int | None, offsets: list[int]) -> None:
    def compute(t: Any) -> list[Any]:
        layer = t.nn.EmbeddingBag(6, 3, mode=mode, padding_idx=padding_idx)
        return trained(t, layer, t.tensor(NUMBERS), t.tensor(offsets))

    assert_same(compute)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 4}, {"max_norm": 0.7}, {"max_norm": 0.5, "norm_type": 1.0}])
def test_bags_of_equal_length(mode: str, options: dict[str, Any]) -> None:
    def compute(t: Any) -> list[Any]:
        return trained(t, t.nn.EmbeddingBag(6, 3, mode=mode, **options), t.tensor(NUMBERS.reshape(2, 4)))

    assert_same(compute)


def test_weighted_bags_and_the_last_offset() -> None:
    def compute(t: Any) -> list[Any]:
        weights = t.linspace(-1, 2, 8).requires_grad_()
        layer = t.nn.EmbeddingBag(6, 3, mode="sum", include_last_offset=True)
        y = layer(t.tensor(NUMBERS), t.tensor([0, 2, 8]), weights)
        (y * y).sum().backward()
        return [y, weights.grad, layer.weight.grad]

    assert_same(compute)


def test_bags_that_are_all_empty() -> None:
    def compute(t: Any) -> list[Any]:
        none = t.tensor([], dtype=t.int64)
        return [
            t.nn.functional.embedding_bag(none, t.ones(2, 3), t.tensor([0, 0]), mode=mode) for mode in ("sum", "mean")
        ]

    assert_same(compute)


@pytest.mark.parametrize("options", [{"max_norm": 1}, {"max_norm": 0.8, "norm_type": 1}, {"sparse": True}])
def test_options_of_an_embedding(options: dict[str, Any]) -> None:
    def compute(t: Any) -> list[Any]:
        return trained(t, t.nn.Embedding(6, 3, **options), t.tensor(NUMBERS.reshape(2, 4)))

    assert_same(compute)


def test_a_bag_with_sparse_gradients_trains_as_torchs() -> None:
    def compute(t: Any) -> list[Any]:
        return trained(t, t.nn.EmbeddingBag(6, 3, sparse=True), t.tensor(NUMBERS), t.tensor([0, 3]))

    assert_same(compute)


def test_texts() -> None:
    for build in (
        lambda t: t.nn.EmbeddingBag(5, 2),
        lambda t: t.nn.EmbeddingBag(5, 2, max_norm=1.0, norm_type=1.0, mode="sum", padding_idx=-1),
        lambda t: t.nn.Embedding(5, 2, sparse=True),
        lambda t: t.nn.Embedding(5, 2, padding_idx=0, max_norm=2, norm_type=3.0),
        lambda t: t.nn.Embedding.from_pretrained(t.ones(3, 2), max_norm=1.0, sparse=True),
    ):
        assert repr(build(minitrain)) == repr(build(torch))


@pytest.mark.parametrize(
    "call",
    [
        lambda F, t: F.embedding_bag(t.tensor([1, 0]), t.ones(2, 2)),
        lambda F, t: F.embedding_bag(t.tensor([[1, 0]]), t.ones(2, 2), t.tensor([0])),
        lambda F, t: F.embedding_bag(t.tensor([[[1]]]), t.ones(2, 2)),
        lambda F, t: F.embedding_bag(t.tensor([1, 0]), t.ones(2, 2), t.tensor([[0]])),
        lambda F, t: F.embedding_bag(t.tensor([1, 0]), t.ones(2, 2), t.tensor([1])),
        lambda F, t: F.embedding_bag(t.tensor([1, 0]), t.ones(2, 2), t.tensor([0, 3])),
        lambda F, t: F.embedding_bag(t.tensor([[1, 0]]), t.ones(2, 2), mode="min"),
        lambda F, t: F.embedding_bag(t.tensor([[1, 0]]), t.ones(2, 2), per_sample_weights=t.ones(1, 2)),
        lambda F, t: F.embedding_bag(t.tensor([[1, 0]]), t.ones(2, 2), mode="sum", per_sample_weights=t.ones(2)),
    ],
)
def test_wrong_arguments_are_refused_as_by_torch(call: Any) -> None:
    errors = []
    for t in (minitrain, torch):
        with pytest.raises((ValueError, RuntimeError, NotImplementedError)) as caught:
            call(t.nn.functional, t)
        errors.append((type(caught.value), str(caught.value)[:36]))
    assert errors[0] == errors[1]


def test_a_number_outside_of_the_table() -> None:
    with pytest.raises(IndexError, match="the table has rows 0 to 1, but the indices go from 0 to 2"):
        minitrain.nn.EmbeddingBag(2, 3)(minitrain.tensor([[0, 2]]))


def test_gradients_scaled_by_frequency_are_not_offered() -> None:
    for name in ("Embedding", "EmbeddingBag"):
        with pytest.raises(NotImplementedError, match=f"{name}: scale_grad_by_freq=True is not offered; leave it out"):
            getattr(minitrain.nn, name)(2, 3, scale_grad_by_freq=True)

"""normal, bernoulli, multinomial and their like draw torch's numbers, and leave torch's generator state."""

from typing import Any

import numpy as np
import pytest
import torch

import minitrain
from minitrain.torchlike import random as stream
from tests.comparing import MINITRAIN, TORCH, assert_alike, end_of

# torch draws these from MKL's generator on Intel CPUs, of which it only takes the seed from its own.
ON_ANY_CPU = """
t.normal(0.5, 2.0, (3, 5))
t.normal(0, 1, size=(2, 2), dtype=t.float64)
t.normal(t.arange(5.0), 0.5)
t.normal(t.arange(6.0).reshape(2, 3), t.ones(3) * 0.1)
t.normal(1.0, t.arange(1.0, 8.0))
t.normal(t.arange(30.0).double(), t.arange(30.0).double() + 1)
t.normal(0, 1)
t.normal(t.ones(2), -t.ones(2))
t.bernoulli(t.full((4, 5), 0.3))
t.bernoulli(t.full((4, 5), 0.3, dtype=t.float64))
t.bernoulli(t.tensor([0.5, 1.5]))
t.bernoulli(t.tensor([1, 0]))
t.multinomial(t.tensor([0.1, 0.0, 3.0, 0.9]), 9, replacement=True)
t.multinomial(t.rand(3, 6), 5, True)
t.multinomial(t.tensor([0.5, -0.5]), 1)
t.multinomial(t.tensor([0.0, 0.0]), 1)
t.multinomial(t.tensor([1.0, 0.0]), 2)
t.multinomial(t.ones(2), 3)
t.multinomial(t.ones(2), 0)
t.multinomial(t.ones(2, dtype=t.int64), 1)
t.multinomial(t.ones(1, 1, 1), 1)
t.poisson(t.tensor([0.0, 0.3, 4.0, 9.9, 10.0, 31.0, 200.0]).repeat(7))
t.poisson(t.tensor([2.0, 17.0], dtype=t.float64))
t.poisson(-t.ones(1))
t.randint_like(t.zeros(3, 4), 10)
t.randint_like(t.zeros(5, dtype=t.int64), 2, 9)
t.randperm(7, dtype=t.int32)
""".strip().splitlines()

ON_OTHERS_THAN_INTELS = """
t.multinomial(t.tensor([0.1, 0.0, 3.0, 0.9]), 1)
t.multinomial(t.rand(3, 6), 4)
t.multinomial(t.rand(2, 6, dtype=t.float64), 1, replacement=True)
""".strip().splitlines()


def is_intel() -> bool:
    torch.manual_seed(0)
    theirs = torch.empty(4).exponential_()
    return not np.array_equal(theirs.numpy(), stream.exponential((4,), generator=stream.Generator().manual_seed(0)))


def check(text: str, seed: int) -> None:
    def drawn(t: Any) -> Any:
        t.manual_seed(seed)
        result = eval(text, {"t": t})
        return result, t.get_rng_state()

    ours, theirs = end_of(MINITRAIN, drawn), end_of(TORCH, drawn)
    assert_alike(ours, theirs)


@pytest.mark.parametrize("text", ON_ANY_CPU)
def test_values_and_the_state_left_are_torchs(text: str) -> None:
    for seed in (0, 1, 2):
        check(text, seed)


@pytest.mark.parametrize("text", ON_OTHERS_THAN_INTELS)
def test_draws_without_replacement_are_torchs(text: str) -> None:
    if is_intel():
        pytest.skip("torch draws from MKL's generator here")
    for seed in (0, 1, 2):
        check(text, seed)


def test_the_check_can_fail() -> None:
    for text in ("t.rand(3) * (1 + (t.__name__ == 'torch'))", "t.rand(3 + (t.__name__ == 'torch'))[:3]"):
        with pytest.raises(AssertionError):
            check(text, 0)


def test_frequencies_are_the_probabilities() -> None:
    minitrain.manual_seed(0)
    weights = minitrain.tensor([1.0, 2.0, 5.0]).expand(4000, 3)
    first = minitrain.multinomial(weights, 2)[:, 0].bincount(minlength=3) / 4000
    assert first.tolist() == pytest.approx([0.125, 0.25, 0.625], abs=0.03)  # four standard deviations
    mean = minitrain.poisson(minitrain.full((4000,), 12.0)).mean().item()
    assert mean == pytest.approx(12.0, abs=4 * (12 / 4000) ** 0.5)


def test_a_generator_of_ones_own_and_its_state_as_a_tensor() -> None:
    for t in (minitrain, torch):
        g = t.Generator().manual_seed(3)
        state = g.get_state()
        assert isinstance(state, t.Tensor)
        assert state.dtype == t.uint8
        first = t.normal(t.zeros(3), 1.0, generator=g).tolist()
        g.set_state(state)
        assert t.normal(t.zeros(3), 1.0, generator=g).tolist() == first


def test_torch_random_is_a_module_and_fork_rng_puts_the_state_back() -> None:
    found = []
    for t in (minitrain, torch):
        t.random.manual_seed(5)
        with t.random.fork_rng():
            t.rand(3)
        found.append((t.rand(2).tolist(), t.random.initial_seed()))
    assert found[0] == found[1]

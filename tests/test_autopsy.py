"""The autopsy names a mistake by its trace, and says nothing where nothing that it knows fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitrain import ops
from minitrain.autograd import check_gradients
from minitrain.diagnosis.autopsy import autopsy
from minitrain.mistakes.catalogue import SPECIMENS, Specimen
from minitrain.mistakes.table import find
from minitrain.ops import Array, Context
from minitrain.tensor import apply, wrap
from tests.test_ops import off_by

seeds = st.integers(0, 2**32 - 1)
shapes = st.sampled_from([(5,), (4, 3), (3, 4, 5), (6, 2)])


def gradient(seed: int, *shape: int) -> Array:
    random = np.random.RandomState(seed)
    return np.asarray(random.uniform(0.3, 2, shape) * random.choice([-1, 1], shape))


def first(analytic: Array, numeric: Array) -> str:
    found = autopsy(analytic, numeric)
    return found[0].name if found else ""


@given(seeds, shapes)
def test_a_right_gradient_has_no_mistake(seed: int, shape: tuple[int, ...]) -> None:
    numeric = gradient(seed, *shape)
    measured = numeric + 1e-9 * gradient(seed + 1, *shape) if seed < 2**32 - 1 else numeric
    assert autopsy(measured, numeric) == []


@given(seeds, shapes)
def test_a_gradient_that_nothing_explains_gets_no_guess(seed: int, shape: tuple[int, ...]) -> None:
    numeric, other = gradient(seed, *shape), gradient((seed + 1) % 2**32, *shape)
    assert autopsy(other, numeric) == []


@given(seeds, shapes)
def test_what_two_gradients_alone_tell(seed: int, shape: tuple[int, ...]) -> None:
    n = gradient(seed, *shape)
    assert first(-n, n) == "sign"
    assert first(n / 7.3, n) == "factor"
    assert first(np.zeros_like(n), n) == "detached"
    assert first(n + 0.7, n) == "shifted"
    assert first(np.where(np.arange(n.size).reshape(shape) == 1, np.nan, n), n) == "not-finite"
    assert first(np.roll(n, 1, 0), n) == "wrong-place"
    assert first(np.where(np.arange(shape[0]).reshape(-1, *[1] * (n.ndim - 1)) == shape[0] - 1, 0, n), n) == (
        "rows-missing"
    )


@given(seeds, st.integers(3, 9))
def test_a_ratio_that_is_a_size_is_a_missing_mean(seed: int, n: int) -> None:
    numeric = gradient(seed, n, 2)
    if n != 4:  # also 2 · 2
        assert first(n * numeric, numeric) == "mean-missing"
        assert first(numeric / n, numeric) == "mean-twice"
        assert f"Divide by N = {n}, the {n} along axis 0" in autopsy(n * numeric, numeric)[0].says


@given(seeds)
def test_shapes_tell_too(seed: int) -> None:
    n = gradient(seed, 3, 4)
    assert first(n.T, n) == "transposed"
    assert first(n.reshape(-1), n) == "wrong-shape"
    assert first(np.stack([n, n, n]), 3 * n) == "sum-missing"


def test_the_evidence_shows_the_numbers() -> None:
    (found,) = [m for m in autopsy(2 * gradient(0, 5), gradient(0, 5)) if m.name == "factor"]
    assert "analytic / numeric is 2 everywhere" in found.evidence


def test_likelier_explanations_come_first_and_each_once() -> None:
    half, options = off_by(1 / 5, ops.Sum, "backward"), {"dim": (0,), "keepdim": False}
    names = [m.name for m in check_gradients(half, (gradient(0, 5, 3),), options=options).inputs[0].mistakes]
    assert names[0] == "mean-twice"
    assert "factor" in names
    assert len(names) == len(set(names))


def test_a_wrong_operation_is_not_taken_for_a_wrong_tape() -> None:
    wrong = off_by(1.7, ops.Tanh, "backward")
    x = wrap(gradient(0, 4)).requires_grad_()
    (found,) = check_gradients(lambda x: apply(wrong, x).exp(), (x,)).inputs
    assert [m.name for m in found.mistakes][:1] == ["factor"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nine_in_ten_of_the_zoo_are_named_rightly_with_other_numbers(seed: int) -> None:
    gradients = [specimen for specimen in SPECIMENS.values() if specimen.of.startswith(("ops", "tape"))]
    wrong = [specimen.name for specimen in gradients if named(specimen, seed) != specimen.mistake]
    assert len(wrong) <= 0.1 * len(gradients), wrong


def named(specimen: Specimen, seed: int) -> str:
    found = find(specimen, seed=seed)
    assert found.caught, specimen.name
    return found.mistakes[0].name if found.mistakes else ""


def test_an_input_that_forward_does_not_use_is_diagnosed() -> None:
    class BiasLeftOut(ops.Linear):
        @staticmethod
        def forward(ctx: Context, x: Array, weight: Array, bias: Array | None) -> Array:
            return ops.Linear.forward(ctx, x, weight, None)

    rng = np.random.RandomState(0)
    report = check_gradients(BiasLeftOut, [rng.randn(3, 4), rng.randn(5, 4), rng.randn(5)])
    assert [found.ok for found in report.inputs] == [True, True, False]

"""set_printoptions changes how Tensors are printed as torch's does."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minitrain
from tests.test_formatting import spread_out

SHAPES = [(), (0,), (1,), (5,), (40,), (2, 3), (12, 12), (3, 4, 9)]


@pytest.fixture(autouse=True)
def options_as_before() -> Iterator[None]:
    yield
    for lib in (minitrain, torch):
        lib.set_printoptions(profile="default")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    array=spread_out(st.sampled_from(SHAPES)),
    options=st.fixed_dictionaries(
        {},
        optional={
            "precision": st.integers(0, 8),
            "threshold": st.integers(0, 50),
            "edgeitems": st.integers(1, 4),
            "linewidth": st.integers(30, 120),
            "profile": st.sampled_from(["default", "short", "full"]),
            "sci_mode": st.booleans(),
        },
    ),
)
def test_options_are_torchs(array: np.ndarray, options: dict[str, object]) -> None:
    for lib in (minitrain, torch):
        lib.set_printoptions(profile="default")
        lib.set_printoptions(**options)
    theirs = repr(torch.from_numpy(array)).replace("torch.", "")
    assert repr(minitrain.from_numpy(array)) == theirs


def test_an_option_that_is_not_given_stays() -> None:
    minitrain.set_printoptions(precision=2)
    minitrain.set_printoptions(linewidth=60)
    assert repr(minitrain.tensor([1.5])) == "tensor([1.50])"

"""ColorJitter, RandomErasing and the colours' adjustments: torchvision's pixels, draws, errors and reprs."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain.data import transforms as ours
from minitrain.tensor import wrap
from minitrain.torchlike import random
from tests.test_vision_transforms import KINDS, assert_same, images, pair, pixels, theirs

FACTORS = st.sampled_from([0.0, 0.3, 1.0, 1.7, 4.0]) | st.floats(0, 3, width=32)
NAMES = ("brightness", "contrast", "saturation")


@given(images(), st.sampled_from(KINDS), st.sampled_from(NAMES), FACTORS)
def test_brightness_contrast_and_saturation(image: Any, kind: str, name: str, factor: float) -> None:
    def adjust(transforms: Any) -> Any:
        return lambda img: getattr(transforms.functional, f"adjust_{name}")(img, factor)

    if kind != "tensor" or name != "contrast":  # its mean of floats is rounded otherwise
        assert_same(adjust, image, kind)
    else:
        our_image, their_image = pair(image, kind)
        apart = pixels(adjust(ours)(our_image)).astype(int) - pixels(adjust(theirs)(their_image))
        assert np.abs(apart).max() <= 1


@given(images(), st.sampled_from(KINDS), st.floats(-0.5, 0.5, width=32))
def test_hue(image: Any, kind: str, factor: float) -> None:
    assert_same(lambda transforms: lambda img: transforms.functional.adjust_hue(img, factor), image, kind)


@pytest.mark.parametrize("hue_factor", [0.0, 0.1, -0.3, 0.5])
def test_the_hues_of_many_colours(hue_factor: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    for kind in KINDS:
        assert_same(lambda transforms: lambda img: transforms.functional.adjust_hue(img, hue_factor), image, kind)


@given(st.integers(0, 1000), st.sampled_from([0.4, (0.5, 2.0), 0]), st.sampled_from([0.2, (-0.1, 0.4), 0]))
def test_color_jitter_draws_torchs_numbers(seed: int, brightness: Any, hue: Any) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (5, 4, 3), np.uint8)
    options = {"brightness": brightness, "contrast": 0.5, "saturation": (0.1, 1.5), "hue": hue}
    assert_same(lambda transforms: transforms.ColorJitter(**options), image, "array", seed)
    assert_same(lambda transforms: transforms.ColorJitter(**options | {"contrast": 0}), image, "tensor", seed)


@given(st.integers(0, 1000), st.sampled_from([0, 0.5, (0.1, 0.2, 0.3)]), st.sampled_from([0.5, 1.0, 0.0]))
def test_random_erasing_draws_torchs_numbers(seed: int, value: Any, p: float) -> None:
    image = np.random.default_rng(seed).random((3, 9, 12), np.float32)
    found = []
    for transforms, img, generator in ((ours, wrap(image.copy()), random), (theirs, torch.tensor(image), torch)):
        generator.manual_seed(seed)
        erased = pixels(transforms.RandomErasing(p, scale=(0.02, 0.6), value=value)(img))
        found.append(
            (
                erased.tolist(),
                generator.default_generator.get_state().tobytes()
                if generator is random
                else generator.default_generator.get_state().numpy().tobytes(),
            )
        )
        assert (pixels(img) == image).all()
    assert found[0] == found[1]


def test_random_erasing_with_random_values() -> None:
    image = np.zeros((3, 20, 20), np.float32)
    random.manual_seed(3)
    torch.manual_seed(3)
    mine = pixels(ours.RandomErasing(1, value="random", inplace=True)(wrap(image)))
    torchs = pixels(theirs.RandomErasing(1, value="random")(torch.zeros(3, 20, 20)))
    np.testing.assert_allclose(mine, torchs, atol=1e-6)
    assert mine.base is image or mine is image


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.ColorJitter(brightness=-1),
        lambda t: t.ColorJitter(hue=0.6),
        lambda t: t.ColorJitter(contrast=(2, 1)),
        lambda t: t.ColorJitter(contrast="1"),
        lambda t: t.RandomErasing(value="gray"),
        lambda t: t.RandomErasing(value=None),
        lambda t: t.RandomErasing(p=2),
        lambda t: t.RandomErasing(scale=0.2),
        lambda t: t.RandomErasing(scale=(0.2, 2)),
        lambda t: t.ColorJitter(0.5, (0.1, 0.2), 0, 0.25),
        lambda t: t.RandomErasing(),
    ],
)
def test_errors_and_reprs_are_torchvisions(make: Any) -> None:
    def told(transforms: Any) -> str:
        try:
            return repr(make(transforms))
        except (TypeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"

    assert told(ours) == told(theirs)


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="put ToTensor before RandomErasing"):
        ours.RandomErasing(1)(np.zeros((4, 4), np.uint8))
    with pytest.raises(ValueError, match="either a single value or 1"):
        ours.RandomErasing(1, value=(1, 2, 3))(wrap(np.zeros((1, 4, 4), np.float32)))
    with pytest.raises(TypeError, match=r"permitted channel values are \[1, 3\], but found 2"):
        ours.functional.adjust_hue(wrap(np.zeros((2, 4, 4), np.float32)), 0.1)
    with pytest.raises(ValueError, match="is not non-negative"):
        ours.functional.adjust_contrast(np.zeros((4, 4), np.uint8), -1)

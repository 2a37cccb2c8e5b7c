"""ToTensor and its companions do to an image what torchvision's do, to the last bit."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from minitrain.data import Compose, Lambda, Normalize, ToTensor
from minitrain.tensor import Tensor, wrap
from minitrain.with_torch.import_torchvision import import_torchvision

reference = import_torchvision().transforms

shapes = hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=6)
byte_images = hnp.arrays(np.uint8, shapes)


def assert_same_bits(ours: Tensor, torchs: torch.Tensor) -> None:
    expected = torchs.numpy()
    assert (ours.dtype, ours.shape) == (expected.dtype, expected.shape)
    assert ours.array.tobytes() == expected.tobytes()


def test_every_byte_becomes_the_float_that_torchvision_makes_of_it() -> None:
    every_byte = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert_same_bits(ToTensor()(every_byte), reference.ToTensor()(every_byte))


@given(image=byte_images, transposed=st.booleans())
def test_bytes_are_scaled_and_channels_come_first(image: Any, transposed: bool) -> None:
    image = image.T if transposed else image  # not contiguous then
    result = ToTensor()(image)
    assert_same_bits(result, reference.ToTensor()(image))
    assert result.array.flags.c_contiguous


@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64, np.int16, np.int32, np.int64, np.int8, np.bool_]))
def test_other_dtypes_are_not_scaled(data: st.DataObject, dtype: Any) -> None:
    image = data.draw(hnp.arrays(dtype, shapes))
    assert_same_bits(ToTensor()(image), reference.ToTensor()(image))


@given(image=byte_images)
def test_the_result_shares_no_memory_with_bytes(image: Any) -> None:
    assert not np.shares_memory(ToTensor()(image).array, image)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_pil_images_are_taken(mode: str) -> None:
    size = (3, 4) if mode == "L" else (3, 4, 3)
    image = Image.fromarray(np.arange(np.prod(size), dtype=np.uint8).reshape(size), mode=None)
    assert image.mode == mode
    assert_same_bits(ToTensor()(image), reference.ToTensor()(image))


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "I", "F"])
def test_other_pil_images_are_refused(mode: str) -> None:
    with pytest.raises(TypeError, match=f"convert.*of mode {mode}"):
        ToTensor()(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("pic", [[[1, 2]], "cat", None, wrap(np.zeros((2, 2), np.uint8))])
def test_what_is_no_image_is_refused(pic: Any) -> None:
    with pytest.raises(TypeError, match="pic should be an ndarray or a PIL image"):
        ToTensor()(pic)


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 1, 1)])
def test_an_image_has_two_or_three_dimensions(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"pic should be 2/3 dimensional. Got {len(shape)} dimensions"):
        ToTensor()(np.zeros(shape, np.uint8))


floats = st.floats(-10, 10, width=32)


@given(
    image=hnp.arrays(st.sampled_from([np.float32, np.float64]), st.just((2, 3, 4)), elements=floats, fill=st.nothing()),
    mean=st.lists(floats, min_size=2, max_size=2),
    std=st.lists(floats.filter(lambda x: abs(x) > 1e-3), min_size=2, max_size=2),
    inplace=st.booleans(),
    one_for_all=st.booleans(),
)
def test_normalize(image: Any, mean: Any, std: Any, inplace: bool, one_for_all: bool) -> None:
    mean, std = (mean[:1], std[:1]) if one_for_all else (mean, std)
    ours, torchs = wrap(image.copy()), torch.tensor(image)
    result = Normalize(mean, std, inplace)(ours)
    assert_same_bits(result, reference.Normalize(mean, std, inplace)(torchs))
    assert np.shares_memory(result.array, ours.array) == inplace
    assert_same_bits(ours, torchs)


def test_normalize_says_what_it_takes() -> None:
    normalize = Normalize((0.5,), (0.5,))
    with pytest.raises(TypeError, match="apply Normalize after ToTensor"):
        normalize(np.zeros((2, 2), np.uint8))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"should be a float tensor. Got uint8"):
        normalize(wrap(np.zeros((1, 2, 2), np.uint8)))
    with pytest.raises(ValueError, match=r"size \(..., C, H, W\)"):
        normalize(wrap(np.zeros((2, 2), np.float32)))
    with pytest.raises(ValueError, match="std evaluated to zero"):
        Normalize((0.5,), (1e-60,))(wrap(np.zeros((1, 2, 2), np.float32)))


@given(image=hnp.arrays(np.uint8, (4, 4)))
def test_compose_is_one_after_the_other(image: Any) -> None:
    def chain(transforms: Any) -> Any:
        return transforms.Compose(
            [
                transforms.Lambda(lambda pixels: pixels[:, ::-1].copy()),
                transforms.ToTensor(),
                transforms.Normalize((0.1307,), (0.3081,)),
            ]
        )

    import minitrain.data.transforms

    assert_same_bits(chain(minitrain.data.transforms)(image), chain(reference)(image))


def test_transforms_are_shown_as_torchvisions() -> None:
    def shown(transforms: Any) -> str:
        normalize = transforms.Normalize((0.5,), (0.25,))
        return repr(transforms.Compose([transforms.ToTensor(), transforms.Lambda(abs), normalize]))

    import minitrain.data.transforms

    assert shown(minitrain.data.transforms) == shown(reference)
    assert repr(Compose([])) == repr(reference.Compose([]))


def test_lambda_wants_a_function() -> None:
    with pytest.raises(TypeError, match="should be callable, got 'int'"):
        Lambda(3)  # type: ignore[arg-type]

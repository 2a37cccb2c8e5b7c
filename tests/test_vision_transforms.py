"""The transforms give torchvision's pixels, and take the same random numbers: on Tensors, arrays and PIL images."""

import random as python_random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import minitrain
from minitrain.data import transforms as ours
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike import random
from minitrain.with_torch.import_torchvision import import_torchvision

theirs = import_torchvision().transforms

KINDS = ("array", "pil", "tensor")


def images(max_side: int = 9, channels: Any = (None, 3)) -> Any:
    """Arrays of bytes (H, W) or (H, W, 3)."""
    sides = st.integers(1, max_side)
    shapes = st.tuples(sides, sides, st.sampled_from(channels)).map(lambda s: s if s[2] else s[:2])
    return shapes.flatmap(lambda shape: hnp.arrays(np.uint8, shape, elements=st.integers(0, 255)))


def pair(image: Any, kind: str) -> tuple[Any, Any]:
    """The image as minitrain's transforms take it, and as torchvision's do."""
    if kind == "tensor":
        array = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
        return wrap(array.copy()), torch.tensor(array)
    return (image if kind == "array" else Image.fromarray(image)), Image.fromarray(image)


def pixels(image: Any) -> Any:
    return np.asarray(image.detach()) if isinstance(image, Tensor | torch.Tensor) else np.asarray(image)


def outcome(transform: Any, image: Any) -> Any:
    """The pixels, or the kind of error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = pixels(transform(image))
        except (TypeError, ValueError, RuntimeError) as error:
            return type(error)
    return result.dtype, result.shape, result.tolist()


def assert_same(make: Any, image: Any, kind: str, seed: int = 0) -> None:
    """Both libraries' transforms give the same, and leave the random stream at the same place."""
    random.manual_seed(seed)
    torch.manual_seed(seed)
    our_image, their_image = pair(image, kind)
    before = pixels(our_image).copy()
    assert outcome(make(ours), our_image) == outcome(make(theirs), their_image)
    assert (pixels(our_image) == before).all()
    states = random.default_generator.get_state(), torch.default_generator.get_state().numpy()
    assert states[0].tobytes() == states[1].tobytes()


# --- resizing --------------------------------------------------------------------------------------------------

MODES = ("NEAREST", "BILINEAR", "BICUBIC", "BOX", "HAMMING", "LANCZOS")


def rows_then_columns(image: Any, size: tuple[int, int], mode: str) -> Any:
    """Pillow's resize in two steps. At once, Pillow 13 begins with the columns where the height shrinks a lot."""
    picture, filter = Image.fromarray(image), Image.Resampling[mode]
    for step in ((size[1], picture.height), (size[1], size[0])):
        picture = picture.resize(step, filter)
    return np.asarray(picture)


@settings(max_examples=150)
@given(
    image=images(24),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    mode=st.sampled_from(MODES),
)
def test_arrays_are_resized_as_pillow_resizes(image: Any, size: Any, mode: str) -> None:
    found = ours.Resize(size, ours.InterpolationMode[mode])(image)
    assert found.tolist() == rows_then_columns(image, size, mode).tolist()


@pytest.mark.parametrize("kind", ["array", "pil"])
def test_squares_are_resized_as_torchvision_resizes(kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8)
    for size in (32, 64, 224, 14, 7, (30, 40), (28, 20), (20, 28)):
        for mode in MODES:
            assert_same(
                lambda library, size=size, mode=mode: library.Resize(size, library.InterpolationMode[mode]), image, kind
            )


@given(
    image=hnp.arrays(np.float32, st.tuples(*[st.integers(1, 12)] * 3), elements=st.floats(-4, 4, width=32)),
    size=st.tuples(st.integers(1, 15), st.integers(1, 15)),
    mode=st.sampled_from(["BILINEAR", "BICUBIC", "NEAREST", "NEAREST_EXACT"]),
    antialias=st.booleans(),
    as_bytes=st.booleans(),
)
def test_tensors_are_resized_as_torch_interpolates(
    image: Any, size: Any, mode: str, antialias: bool, as_bytes: bool
) -> None:
    if as_bytes:
        image = ((image + 4) * 31).astype(np.uint8)
    result, expected = (
        pixels(library.Resize(size, library.InterpolationMode[mode], antialias=antialias)(tensor))
        for library, tensor in ((ours, wrap(image.copy())), (theirs, torch.tensor(image)))
    )
    assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
    # Two sums of at most 12 products whose absolute weights add up to less than 2; bytes are rounded from them.
    within = 1 if as_bytes else 100 * np.finfo(np.float32).eps * 4
    if mode.startswith("NEAREST"):
        within = 0
    assert np.abs(result.astype(np.float64) - expected).max() <= within


@given(
    sides=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    size=st.one_of(st.integers(1, 20), st.lists(st.integers(1, 20), max_size=3)),
    max_size=st.one_of(st.none(), st.integers(1, 40)),
)
def test_the_new_size_is_torchvisions(sides: Any, size: Any, max_size: Any) -> None:
    image = np.zeros(sides, np.uint8)

    def resize(library: Any) -> Any:
        return lambda img: library.functional.resize(img, size, library.InterpolationMode.NEAREST, max_size)

    for kind in KINDS:
        found, expected = (outcome(resize(library), img) for library, img in zip((ours, theirs), pair(image, kind)))  # noqa: B905
        if isinstance(expected, tuple) and 0 in expected[1]:
            return  # Pillow and torch disagree about images without pixels
        if found != expected:
            assert ValueError in (found, expected)  # a side of 0 is another error in torch


# --- crops, borders, flips, colours ----------------------------------------------------------------------------

paddings = st.one_of(
    st.integers(0, 3),
    st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple),
)


@given(
    image=images(), kind=st.sampled_from(KINDS), padding=paddings, fill=st.integers(0, 255),
    mode=st.sampled_from(["constant", "edge", "symmetric"]),
)  # fmt: skip
def test_borders(image: Any, kind: str, padding: Any, fill: int, mode: str) -> None:
    if mode == "symmetric" and kind == "tensor":
        padding = 1  # torch's own symmetric padding is limited to the image's size
    assert_same(lambda library: lambda img: library.Pad(padding, fill, mode)(img), image, kind)


def test_borders_of_all_kinds() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    for kind in KINDS:
        assert_same(lambda library: library.Pad((1, 2, 3, 0), padding_mode="reflect"), image, kind)
        assert_same(lambda library: library.Pad((-1, 2, 0, -2), padding_mode="edge"), image, kind)
        assert_same(lambda library: library.Pad(5, padding_mode="reflect"), image, kind)
    assert_same(lambda library: library.Pad(1, fill=(1, 2, 3)), image, "array")


@given(
    image=images(), kind=st.sampled_from(KINDS), places=st.tuples(*[st.integers(-4, 12)] * 2, *[st.integers(1, 12)] * 2)
)
def test_crops(image: Any, kind: str, places: Any) -> None:
    top, left, height, width = places
    if kind == "tensor" and (top + height < 0 or left + width < 0 or top > image.shape[0] or left > image.shape[1]):
        return  # torchvision's Tensors are cut wrongly, or not at all, where nothing of the image is left
    assert_same(lambda library: lambda img: library.functional.crop(img, *places), image, kind)
    assert_same(lambda library: library.CenterCrop((height, width)), image, kind)
    assert_same(lambda library: library.CenterCrop(height), image, kind)


@given(image=images(channels=(None, 3)), kind=st.sampled_from(KINDS), channels=st.sampled_from([1, 3]))
def test_flips_and_gray(image: Any, kind: str, channels: int) -> None:
    assert_same(lambda library: library.functional.hflip, image, kind)
    assert_same(lambda library: library.functional.vflip, image, kind)
    if not (kind == "tensor" and image.ndim == 2 and channels == 3):  # torchvision leaves such a Tensor as it is
        assert_same(lambda library: library.Grayscale(channels), image, kind)
    assert_same(lambda library: library.functional.get_dimensions, image, kind)


def test_gray_floats() -> None:
    image = np.random.default_rng(1).random((3, 5, 4)).astype(np.float32)
    for dtype in (np.float32, np.float64):
        found = pixels(ours.Grayscale()(wrap(image.astype(dtype))))
        expected = pixels(theirs.Grayscale()(torch.tensor(image.astype(dtype))))
        assert found.tolist() == expected.tolist()


# --- random transforms -----------------------------------------------------------------------------------------

RANDOM: dict[str, Any] = {
    "flips": lambda v: v.Compose([v.RandomHorizontalFlip(), v.RandomVerticalFlip(0.3)]),
    "crop": lambda v: v.RandomCrop(7),
    "crop with a border": lambda v: v.RandomCrop((6, 9), padding=2, fill=3, padding_mode="constant"),
    "crop of what is too small": lambda v: v.RandomCrop(14, pad_if_needed=True, padding_mode="edge"),
    "crop that is too large": lambda v: v.RandomCrop(30),
    "resized crop": lambda v: v.RandomResizedCrop(8, interpolation=v.InterpolationMode.NEAREST),
    "resized crop of odd ratio": lambda v: v.RandomResizedCrop(
        (5, 3), (0.9, 1.0), (4.0, 9.0), v.InterpolationMode.NEAREST
    ),
    "gray": lambda v: v.RandomGrayscale(0.5),
    "apply": lambda v: v.RandomApply([v.Pad(1), v.CenterCrop(5)], 0.6),
}
TURNED: dict[str, Any] = {
    "rotation": lambda v: v.RandomRotation(30),
    "rotation that expands": lambda v: v.RandomRotation((-170, 170), expand=True, fill=7),
    "rotation about a corner": lambda v: v.RandomRotation(90, v.InterpolationMode.BILINEAR, center=(1, 2)),
    "rotation by a right angle": lambda v: lambda img: v.functional.rotate(img, 90, expand=True),
    "affine": lambda v: v.RandomAffine(15, (0.1, 0.2), (0.8, 1.2), 10),
    "affine by lines": lambda v: v.RandomAffine(
        0, shear=(-5, 5, -9, 9), interpolation=v.InterpolationMode.BILINEAR, fill=9
    ),
}


@pytest.mark.parametrize("channels", [None, 3])
@pytest.mark.parametrize("name", [*RANDOM, *TURNED])
def test_random_transforms_draw_and_give_what_torchvisions_do(name: str, channels: Any) -> None:
    generator = np.random.default_rng(2)
    for seed in range(25):
        shape = (11, 13) if channels is None else (11, 13, channels)
        image = generator.integers(0, 256, shape, np.uint8)
        for kind in KINDS if name in RANDOM else ("array", "pil"):
            if name == "gray" and kind == "tensor" and channels is None:
                continue
            assert_same((RANDOM | TURNED)[name], image, kind, seed)


def test_a_draw_left_out_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minitrain.data.transforms.random_transforms.chance", lambda: 0.9)
    with pytest.raises(AssertionError):
        assert_same(RANDOM["flips"], np.zeros((2, 2), np.uint8), "array")


def test_choices_and_orders_come_from_pythons_stream() -> None:
    image = np.arange(30, dtype=np.uint8).reshape(5, 6)
    for seed in range(10):
        results = []
        for library in (ours, theirs):
            python_random.seed(seed)
            several = [library.CenterCrop(4), library.Pad(1), library.Pad(2, fill=9)]
            chain = [
                library.RandomChoice(several),
                library.RandomChoice(several, [1, 2, 3]),
                library.RandomOrder(several),
            ]
            results.append(pixels(library.Compose(chain)(pair(image, "pil")[1])).tolist())
        assert results[0] == results[1]


def test_rotations_of_tensors_say_where_they_belong() -> None:
    for transform in (ours.RandomRotation(3), ours.RandomAffine(3)):
        with pytest.raises(NotImplementedError, match="put it before ToTensor"):
            transform(wrap(np.zeros((1, 2, 2), np.float32)))


# --- conversions -----------------------------------------------------------------------------------------------

DTYPES = [np.uint8, np.int8, np.int16, np.int32, np.int64, np.float32, np.float64]


@given(data=st.data(), old=st.sampled_from(DTYPES), new=st.sampled_from(DTYPES))
def test_dtypes_are_converted_as_torchvision_does(data: st.DataObject, old: Any, new: Any) -> None:
    floats = np.dtype(old).kind == "f"
    elements = st.floats(0, 1, width=32) if floats else st.integers(0, int(np.iinfo(old).max))
    image = data.draw(hnp.arrays(old, (1, 2, 3), elements=elements))
    torch_new = torch.tensor(np.zeros((), new)).dtype
    found = outcome(ours.ConvertImageDtype(new), wrap(image.copy()))
    expected = outcome(theirs.ConvertImageDtype(torch_new), torch.tensor(image))
    assert found == expected
    v2 = import_torchvision_v2()
    if old != new and not (floats and np.dtype(new).kind == "f"):
        plain = outcome(ours.v2.ToDtype(new), wrap(image.copy()))
        assert plain == outcome(v2.ToDtype(torch_new), torch.tensor(image))


def import_torchvision_v2() -> Any:
    from torchvision.transforms import v2

    return v2


@given(image=images())
def test_pixels_become_tensors_and_pictures(image: Any) -> None:
    for kind in ("array", "pil"):
        assert_same(lambda library: library.PILToTensor(), image, kind)
        assert_same(lambda library: library.ToTensor(), image, kind)
        our_image, their_image = pair(image, kind)
        modern = ours.v2.Compose([ours.v2.ToImage(), ours.v2.ToDtype(minitrain.float32, scale=True)])
        assert pixels(modern(our_image)).tobytes() == pixels(theirs.ToTensor()(their_image)).tobytes()


@pytest.mark.parametrize("mode", [None, "L", "RGB", "YCbCr", "RGBA", "F"])
@pytest.mark.parametrize("shape", [(4, 5), (1, 4, 5), (2, 4, 5), (3, 4, 5), (4, 4, 5), (5, 4, 5), (1, 1, 1, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int16, np.int32, np.int64])
def test_pictures_are_torchvisions(mode: Any, shape: Any, dtype: Any) -> None:
    values = np.random.default_rng(3).random(shape) * (1 if dtype is np.float32 else 200)
    array = values.astype(dtype)

    def picture(library: Any, image: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = library.ToPILImage(mode)(image)
        return result.mode, result.size, result.tobytes()

    for our_image, their_image in ((wrap(array), torch.tensor(array)), (array, array)):
        found, expected = [], []
        for into, library, image in ((found, ours, our_image), (expected, theirs, their_image)):
            try:
                into.append(picture(library, image))
            except (TypeError, ValueError) as error:
                into.append(type(error))
        if found != expected:  # torchvision raises KeyError-like TypeErrors of Pillow's for some dtypes
            assert isinstance(found[0], type)
            assert isinstance(expected[0], type)


def test_every_transform_is_shown_as_torchvisions() -> None:
    def shown(v: Any) -> list[str]:
        several = [v.Pad(1), v.CenterCrop(3)]
        bilinear = v.InterpolationMode.BILINEAR
        made = [
            *[make(v) for name, make in (RANDOM | TURNED).items() if "right angle" not in name],
            *(v.Resize(3), v.Resize((3, 4), 0, antialias=False), v.Grayscale(3), v.PILToTensor(), v.ToPILImage("L")),
            *(v.RandomChoice(several, [1, 2]), v.RandomOrder(several), v.RandomRotation(5, bilinear, center=(0, 0))),
        ]
        return [repr(each) for each in made]

    assert shown(ours) == shown(theirs)


@pytest.mark.parametrize(
    "make",
    [
        lambda v: v.Resize(3.0),
        lambda v: v.Resize((1, 2, 3)),
        lambda v: v.CenterCrop((1, 2, 3)),
        lambda v: v.Pad("1"),
        lambda v: v.Pad(1, fill="x"),
        lambda v: v.Pad(1, padding_mode="wrap"),
        lambda v: v.Pad((1, 2, 3)),
        lambda v: v.RandomRotation(-1),
        lambda v: v.RandomRotation((1, 2, 3)),
        lambda v: v.RandomAffine(1, translate=(2, 0)),
        lambda v: v.RandomAffine(1, scale=(0, 1)),
        lambda v: v.RandomAffine(1, shear=(1, 2, 3)),
        lambda v: v.RandomResizedCrop(1, scale=1),
        lambda v: v.RandomChoice(3),
        lambda v: v.RandomOrder(3),
        lambda v: v.Grayscale(2)(torch.zeros(3, 2, 2) if v is theirs else minitrain.zeros(3, 2, 2)),
        lambda v: v.ToPILImage()("cat"),
        lambda v: v.PILToTensor()(torch.zeros(1) if v is theirs else minitrain.zeros(1)),
    ],
)
def test_what_torchvision_refuses_is_refused(make: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as expected:
        make(theirs)
    with pytest.raises(expected.type):
        make(ours)


@pytest.mark.parametrize("image", ["cat", None, np.zeros(3), np.zeros((1, 1, 1, 1)), Image.new("P", (2, 2))])
def test_what_is_no_image_is_refused(image: Any) -> None:
    with pytest.raises(TypeError, match="img should be"):
        ours.functional.hflip(image)


def test_a_tensor_that_requires_a_gradient_is_refused() -> None:
    with pytest.raises(NotImplementedError, match=r"transforms record no gradients: pass img.detach\(\)"):
        ours.functional.hflip(minitrain.zeros(1, 2, 2, requires_grad=True))


def test_without_pillow_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "minitrain\[images\]"'):
        ours.ToPILImage()(np.zeros((2, 2), np.uint8))

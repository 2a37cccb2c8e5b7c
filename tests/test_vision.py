"""minitrain.vision and minitrain.utils.data offer torchvision's and torch.utils.data's names, with the same results."""

import importlib
import io
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.data
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import minitrain
from minitrain.tensor import wrap
from minitrain.vision import io as our_io
from minitrain.vision import utils as our_utils
from minitrain.with_torch.import_torchvision import import_torchvision

torchvision = import_torchvision()
OUR_OWN = {"Digits", "to_unit_range", "v2"}  # torchvision.transforms has v2 once it is imported

# --- the mapping of names --------------------------------------------------------------------------------------

MAPPED = {
    "minitrain.vision": "torchvision",
    "minitrain.vision.datasets": "torchvision.datasets",
    "minitrain.vision.transforms": "torchvision.transforms",
    "minitrain.vision.transforms.functional": "torchvision.transforms.functional",
    "minitrain.vision.transforms.v2": "torchvision.transforms.v2",
    "minitrain.vision.transforms.v2.functional": "torchvision.transforms.v2.functional",
    "minitrain.vision.utils": "torchvision.utils",
    "minitrain.vision.io": "torchvision.io",
    "minitrain.utils": "torch.utils",
    "minitrain.utils.data": "torch.utils.data",
    "minitrain.utils.data.dataset": "torch.utils.data.dataset",
    "minitrain.utils.data.dataloader": "torch.utils.data.dataloader",
    "minitrain.utils.data.sampler": "torch.utils.data.sampler",
}


@pytest.mark.parametrize("name", MAPPED)
def test_every_name_is_one_of_torchs(name: str) -> None:
    ours, theirs = importlib.import_module(name), importlib.import_module(MAPPED[name])
    names = set(ours.__all__) - OUR_OWN
    # v2's functional names these two differently.
    missing = {each for each in names if not hasattr(theirs, each)} - {"get_image_num_channels", "to_tensor"}
    assert not missing
    assert all(hasattr(ours, each) for each in ours.__all__)


@pytest.mark.parametrize(
    "lines",
    [
        "import minitrain as torch; import minitrain.vision as torchvision; import minitrain.vision.transforms as T; "
        "torch.utils.data.DataLoader; torchvision.datasets.MNIST; torchvision.utils.make_grid; "
        "torchvision.io.read_image; T.functional.resize; torchvision.transforms.v2.ToImage",
        "from minitrain.utils import data; from minitrain.utils.data import DataLoader, random_split; "
        "from minitrain.utils.data.sampler import SubsetRandomSampler; data.ConcatDataset",
        "import minitrain.utils.data as data_utils; data_utils.TensorDataset",
        "import minitrain.vision.transforms.functional as F; F.to_pil_image",
        "from minitrain.vision import datasets, transforms; from minitrain.vision.utils import save_image; "
        "from minitrain.vision.transforms import ToTensor, v2; datasets.CIFAR10",
        "from minitrain.data import datasets, transforms, ToTensor, DataLoader, Lambda, Compose; "
        "from minitrain.data.datasets import Digits",
        "import minitrain.data as torchvision; from minitrain.data.io import read_image; torchvision.utils.make_grid",
    ],
)
def test_import_lines(lines: str) -> None:
    subprocess.run([sys.executable, "-c", lines], check=True)


def test_the_classes_are_the_same_under_every_name() -> None:
    from minitrain.data import DataLoader, ToTensor
    from minitrain.data.datasets import FashionMNIST

    assert minitrain.utils.data.DataLoader is DataLoader
    vision = importlib.import_module("minitrain.vision")
    assert (vision.transforms.ToTensor, vision.datasets.FashionMNIST) == (ToTensor, FashionMNIST)


# --- grids -----------------------------------------------------------------------------------------------------


@given(
    data=st.data(),
    shape=st.one_of(
        st.tuples(st.integers(1, 7), st.sampled_from([1, 2, 3]), st.integers(1, 4), st.integers(1, 4)),
        st.tuples(st.sampled_from([1, 3]), st.integers(1, 4), st.integers(1, 4)),
        st.tuples(st.integers(1, 4), st.integers(1, 4)),
    ),
    as_list=st.booleans(),
    options=st.fixed_dictionaries(
        {},
        optional={
            "nrow": st.integers(1, 9),
            "padding": st.integers(0, 3),
            "normalize": st.booleans(),
            "value_range": st.sampled_from([None, (0.0, 1.0), (-1.0, 0.5), (0.0, 0.0)]),
            "scale_each": st.booleans(),
            "pad_value": st.sampled_from([0.0, 0.5, -1]),
        },
    ),
)
def test_grids_are_torchvisions(data: st.DataObject, shape: Any, as_list: bool, options: Any) -> None:
    array = data.draw(hnp.arrays(np.float32, shape, elements=st.floats(-2, 2, width=32)))
    ours, theirs = wrap(array.copy()), torch.tensor(array)
    given_ours: Any = list(ours) if as_list else ours
    given_theirs: Any = list(theirs) if as_list else theirs
    grid, expected = our_utils.make_grid(given_ours, **options), torchvision.utils.make_grid(given_theirs, **options)
    assert grid.array.tolist() == expected.numpy().tolist()
    assert (grid.dtype, grid.shape) == (expected.numpy().dtype, tuple(expected.shape))
    assert (ours.array == array).all()


def test_grids_of_bytes() -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 1, 2, 3)
    expected = torchvision.utils.make_grid(torch.tensor(array), pad_value=9)
    assert our_utils.make_grid(wrap(array), pad_value=9).array.tolist() == expected.numpy().tolist()
    with pytest.raises(RuntimeError, match="normalize=True needs floats, got uint8"):
        our_utils.make_grid(wrap(array), normalize=True)
    with pytest.raises(RuntimeError):
        torchvision.utils.make_grid(torch.tensor(array), normalize=True)


@pytest.mark.parametrize("given_", ["cat", ["cat"], (1, 2)])
def test_what_is_no_tensor_has_no_grid(given_: Any) -> None:
    for library in (our_utils, torchvision.utils):
        with pytest.raises(TypeError, match="tensor or list of tensors expected, got"):
            library.make_grid(given_)


# --- files -----------------------------------------------------------------------------------------------------


def test_saved_images_are_torchvisions(tmp_path: Path) -> None:
    array = np.random.default_rng(0).random((5, 1, 6, 7)).astype(np.float32) * 1.2 - 0.1
    our_utils.save_image(wrap(array), tmp_path / "ours.png", nrow=3)
    torchvision.utils.save_image(torch.tensor(array), tmp_path / "theirs.png", nrow=3)
    assert (tmp_path / "ours.png").read_bytes() == (tmp_path / "theirs.png").read_bytes()
    file = io.BytesIO()
    our_utils.save_image(wrap(array[0]), file, format="bmp")
    assert Image.open(file).format == "BMP"
    with pytest.raises(RuntimeError, match="expects floats from 0 to 1, got uint8"):
        our_utils.save_image(wrap(array.astype(np.uint8)), tmp_path / "bytes.png")


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4), ("P", 3), ("1", 1)])
def test_files_are_read_as_they_are(tmp_path: Path, mode: str, channels: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (5, 6, 4), np.uint8)
    picture = Image.fromarray(noise).convert("RGB" if mode in ("P", "1") else "RGBA").convert(mode)
    picture.save(tmp_path / "image.png")
    read = our_io.read_image(str(tmp_path / "image.png"))
    assert (read.shape, read.dtype) == ((channels, 5, 6), np.uint8)
    flat = picture.convert({"P": "RGB", "1": "L"}.get(mode, mode))
    assert read.array.tolist() == np.asarray(flat).reshape(5, 6, channels).transpose(2, 0, 1).tolist()
    for wanted, pillows in ((our_io.ImageReadMode.RGB, "RGB"), ("GRAY", "L")):
        expected = np.asarray(picture.convert(pillows)).reshape(5, 6, -1).transpose(2, 0, 1)
        assert our_io.read_image(tmp_path / "image.png", wanted).array.tolist() == expected.tolist()


def test_images_are_written_and_read_again(tmp_path: Path) -> None:
    image = wrap(np.random.default_rng(2).integers(0, 256, (3, 4, 5), np.uint8))
    our_io.write_png(image, tmp_path / "image.png")
    assert our_io.read_image(tmp_path / "image.png").array.tolist() == image.array.tolist()
    content = np.frombuffer((tmp_path / "image.png").read_bytes(), np.uint8)
    assert our_io.decode_image(wrap(content.copy())).array.tolist() == image.array.tolist()
    our_io.write_jpeg(image, tmp_path / "image.jpg", quality=90)
    assert our_io.decode_image(tmp_path / "image.jpg").shape == (3, 4, 5)


def test_a_picture_is_rotated_as_its_exif_tag_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(tmp_path / "image.png", exif=exif)
    assert our_io.read_image(tmp_path / "image.png").tolist() == [[[0, 1, 2], [3, 4, 5]]]
    turned = our_io.read_image(tmp_path / "image.png", apply_exif_orientation=True)
    assert turned.tolist() == [[[3, 0], [4, 1], [5, 2]]]


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(RuntimeError, match=r"not an image that Pillow can read: .*text\.png"):
        our_io.read_image(tmp_path / "text.png")
    with pytest.raises(FileNotFoundError):
        our_io.read_image(tmp_path / "none.png")
    Image.fromarray(np.zeros((2, 2), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(RuntimeError, match=r"8 bits per channel, got Pillow's mode I"):
        our_io.read_image(tmp_path / "deep.png")
    for bad in (np.zeros((2, 2), np.uint8), np.zeros((1, 2, 2), np.float32), np.zeros((4, 2, 2), np.uint8)):
        with pytest.raises(RuntimeError, match=r"expected a uint8 Tensor of shape \(1, H, W\) or \(3, H, W\), got"):
            our_io.write_png(wrap(bad), os.devnull)


# --- a program -------------------------------------------------------------------------------------------------


def test_a_program_that_augments_its_images_prints_the_same_numbers() -> None:
    """Random transforms, a loader with workers, a weighted sampler and a grid: one chain, both libraries."""
    pixels = np.random.default_rng(3).integers(0, 256, (40, 12, 12, 3), np.uint8)

    def run(lib: Any, vision: Any, data: Any, as_image: Any) -> list[Any]:
        transforms = vision.transforms

        class Pictures(data.Dataset):
            transform = transforms.Compose(
                [
                    transforms.RandomCrop(10, padding=1),
                    transforms.RandomHorizontalFlip(),
                    transforms.RandomRotation(20),
                    transforms.Resize(8),
                    transforms.ToTensor(),
                    transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.2, 0.3)),
                ]
            )

            def __len__(self) -> int:
                return len(pixels)

            def __getitem__(self, index: int) -> Any:
                return self.transform(as_image(pixels[index])), index % 3

        lib.manual_seed(1)
        train, test = data.random_split(Pictures(), [0.8, 0.2])
        sampler = data.WeightedRandomSampler([1.0, 2.0] * 16, 20)
        result = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for loader in (data.DataLoader(train, 6, sampler=sampler, num_workers=2), data.DataLoader(test, 6)):
                for X, y in loader:
                    grid = vision.utils.make_grid(X, normalize=True)
                    result += [X.numpy().tolist(), y.tolist(), grid.numpy().tolist()]
        return result

    import minitrain.vision

    ours = run(minitrain, minitrain.vision, minitrain.utils.data, lambda image: image)
    assert ours == run(torch, torchvision, torch.utils.data, Image.fromarray)

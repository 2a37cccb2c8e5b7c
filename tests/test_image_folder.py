"""ImageFolder and DatasetFolder find the samples that torchvision's find, and refuse what they refuse."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from minitrain.data import DataLoader, ToTensor
from minitrain.vision import datasets as ours
from minitrain.with_torch.import_torchvision import import_torchvision

theirs: Any = import_torchvision().datasets


@pytest.fixture
def root(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, mode in (("cat/b.PNG", "RGB"), ("cat/deep/a.bmp", "L"), ("dog/c.png", "RGB"), ("ant/z.png", "L")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shape = (4, 5, 3) if mode == "RGB" else (4, 5)
        Image.fromarray(random.integers(0, 256, shape, np.uint8)).save(path, "BMP" if "bmp" in name else "PNG")
    (tmp_path / "cat" / "notes.txt").write_text("no picture")
    (tmp_path / "loose.png").write_bytes(b"")
    return tmp_path


def test_samples_classes_and_pictures(root: Path) -> None:
    a, b = ours.ImageFolder(root), theirs.ImageFolder(root)
    assert (a.classes, a.class_to_idx, a.samples, a.imgs, a.targets) == (
        b.classes,
        b.class_to_idx,
        b.samples,
        b.imgs,
        b.targets,
    )
    assert (len(a), repr(a), a.extensions) == (len(b), repr(b), b.extensions)
    for (picture, target), (other, number) in zip(list(a), [b[i] for i in range(len(b))], strict=True):
        assert (picture.mode, picture.tobytes(), target) == (other.mode, other.tobytes(), number)


def test_transforms_and_batches(root: Path) -> None:
    data = ours.ImageFolder(str(root), transform=ToTensor(), target_transform=lambda target: 10 * target)
    images, targets = next(iter(DataLoader(data, batch_size=4)))
    assert (images.shape, targets.tolist()) == ((4, 3, 4, 5), [0, 10, 10, 20])


def test_files_of_other_kinds(root: Path) -> None:
    for library in (ours, theirs):
        texts = library.DatasetFolder(root, lambda path: Path(path).read_text(), (".txt",), allow_empty=True)
        assert [texts[0], len(texts)] == [("no picture", 1), 1]
        chosen = library.ImageFolder(root, is_valid_file=lambda path: path.endswith("c.png"), allow_empty=True)
        assert [Path(path).name for path, _ in chosen.samples] == ["c.png"]


@pytest.mark.parametrize(
    "make",
    [
        lambda library, root: library.ImageFolder(root / "dog"),
        lambda library, root: library.ImageFolder(root / "missing"),
        lambda library, root: library.DatasetFolder(root, open, (".txt", ".md")),
        lambda library, root: library.DatasetFolder(root, open),
        lambda library, root: library.ImageFolder(root, is_valid_file=lambda path: False),
    ],
)
def test_errors_are_torchvisions(root: Path, make: Any) -> None:
    messages = []
    for library in (ours, theirs):
        with pytest.raises((FileNotFoundError, ValueError)) as error:
            make(library, root)
        messages.append((error.type, str(error.value)))
    assert messages[0] == messages[1]

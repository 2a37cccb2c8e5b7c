"""DatasetFolder and ImageFolder: a folder for each class, a file for each sample. Pictures need Pillow."""

import os
from collections.abc import Callable
from typing import Any

from minitrain.data.datasets import Transform, VisionDataset
from minitrain.data.downloads import StrPath
from minitrain.data.transforms.images import pillow

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

Samples = list[tuple[str, int]]


def default_loader(path: str) -> Any:
    """The picture in a file, as a PIL image of mode RGB."""
    with pillow().open(path) as image:
        return image.convert("RGB")


def find_classes(directory: StrPath) -> tuple[list[str], dict[str, int]]:
    """The names of the folders, sorted, and their numbers. Raises FileNotFoundError if there is no folder."""
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {directory}.")
    return classes, {name: i for i, name in enumerate(classes)}


class DatasetFolder(VisionDataset):
    """The files below root/CLASS/, each with its class's number.

    Args:
        loader: called with a file's path, returns the sample.
        extensions: the endings of the files to take; or is_valid_file, which is called with a path.
        allow_empty: whether a class may have no file.

    Attributes:
        classes, class_to_idx: the names of the classes, sorted, and their numbers.
        samples: (path, number of the class) of each file, sorted. targets: these numbers.

    `dataset[i]` is (sample, number), each after its transform. Raises FileNotFoundError for classes without files.
    """

    def __init__(
        self,
        root: StrPath,
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.root = os.path.expanduser(root)
        self.classes, self._class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, self._class_to_idx, extensions, is_valid_file, allow_empty)
        self.targets = [target for _, target in self.samples]
        self.loader, self.extensions = loader, extensions

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The classes' numbers."""
        return self._class_to_idx

    @staticmethod
    def find_classes(directory: StrPath) -> tuple[list[str], dict[str, int]]:
        """The classes and their numbers; a subclass can choose others."""
        return find_classes(directory)

    @staticmethod
    def make_dataset(
        directory: StrPath,
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> Samples:
        """The samples, sorted by class and path."""
        if (extensions is None) == (is_valid_file is None):
            raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
        samples = [
            (path, class_to_idx[name])
            for name in sorted(class_to_idx)
            for folder, _, files in sorted(os.walk(os.path.join(directory, name), followlinks=True))
            for path in (os.path.join(folder, file) for file in sorted(files))
            if (path.lower().endswith(extensions) if extensions is not None else is_valid_file(path))  # type: ignore[misc]
        ]
        filled = {number for _, number in samples}
        empty = sorted(name for name, number in class_to_idx.items() if number not in filled)
        if empty and not allow_empty:
            known = "" if extensions is None else f"Supported extensions are: {', '.join(extensions)}"
            raise FileNotFoundError(f"Found no valid file for the classes {', '.join(empty)}. {known}")
        return samples

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        path, target = self.samples[index]
        sample: Any = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)

    def collated_batch(self, indices: list[int]) -> None:
        """None: the samples are not in memory."""

    def extra_repr(self) -> str:
        """Nothing, as in torchvision."""
        return ""


class ImageFolder(DatasetFolder):
    """The pictures below root/CLASS/, as PIL images of mode RGB; see DatasetFolder."""

    def __init__(
        self,
        root: StrPath,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Callable[[str], Any] = default_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples

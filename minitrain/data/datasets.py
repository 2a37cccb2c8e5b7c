"""The image data sets: MNIST and its relatives, CIFAR-10, and Digits, which is part of the package.

Their names, folders and attributes are those of torchvision.datasets. Every file is checked against its known
checksum before it is used.
"""

import operator
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minitrain.data import checksums
from minitrain.data.checksums import COLLECTIONS, DIGITS, FASHION_MNIST, Collection, File, Files
from minitrain.data.dataset import Dataset, batch_index
from minitrain.data.downloads import Status, StrPath, data_root, fetch, load, raw_folder, status, verify
from minitrain.data.formats import DataError, read_cifar_file, read_digits, read_idx, read_idx_file
from minitrain.data.transforms import ToTensor, to_unit_range
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.not_offered import ChecksKeywords, torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = [
    "CIFAR10",
    "COLLECTIONS",
    "DIGITS",
    "FILES",
    "KMNIST",
    "MNIST",
    "Collection",
    "DataError",
    "Digits",
    "FashionMNIST",
    "File",
    "Files",
    "Status",
    "VisionDataset",
    "data_root",
    "fetch",
    "raw_folder",
    "read_digits",
    "read_idx",
    "status",
    "verify",
]

FILES = FASHION_MNIST.files
Transform = Callable[[Any], Any]


# --- what they have in common ----------------------------------------------------------------------------------


class VisionDataset(ChecksKeywords, Dataset[tuple[Any, Any]]):
    """Images and their labels in memory.

    `dataset[i]` is (image, label). The image is a uint8 ndarray of shape (H, W), or (H, W, 3) if it is coloured, or
    the transform's result; the label is an int, or the target_transform's result. (torchvision gives PIL images; the
    base install has no Pillow. The transforms treat such an array as a PIL image.)

    Attributes:
        data, targets: all images and all labels.
        root: the folder for data; None if the images are part of the package.
        transform, target_transform: called with each image and each label.
    """

    classes: Sequence[str]
    data: Any
    targets: Any
    root: str | None = None
    train: bool = True

    def __init__(
        self,
        root: StrPath | None = None,
        transforms: Any = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        if transforms is not None:
            raise NotImplementedError(
                "transforms=, which gets image and label together, is not offered: pass transform= and "
                "target_transform="
            )
        if root is not None:
            self.root = os.path.expanduser(root)
        self.transform = transform
        self.target_transform = target_transform

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        index = operator.index(index)
        image: Any = np.array(self.data[index])  # a copy: a transform may write into it
        target: Any = self.targets[index]
        if not isinstance(self.targets, list):
            target = int(target)
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        return len(self.data)

    def collated_batch(self, indices: list[int]) -> list[Tensor] | None:
        """Labels (N,) int64, and images: (N, C, H, W) float32 with ToTensor, (N, H, W[, C]) uint8 without a transform.

        None with any other transform.
        """
        scaled = type(self.transform) is ToTensor
        if not (scaled or self.transform is None) or self.target_transform is not None:
            return None
        images = self.data.array if isinstance(self.data, Tensor) else self.data
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim not in (3, 4):
            return None  # the user has replaced them
        index = batch_index(indices, len(images))
        if index is None or len(images) != len(self.targets):
            return None
        labels = _labels_at(self.targets, index)
        if labels is None:
            return None
        chosen = images[index]
        if scaled:
            batch = to_unit_range(chosen[:, None] if images.ndim == 3 else chosen.transpose(0, 3, 1, 2))
        else:
            batch = chosen.copy(order="C")
        return [wrap(batch), wrap(labels)]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Each class's label."""
        return {name: label for label, name in enumerate(self.classes)}

    def extra_repr(self) -> str:
        """What a data set's repr says besides its length, root and transforms."""
        return f"Split: {'Train' if self.train else 'Test'}"

    def __repr__(self) -> str:
        # Line for line torchvision's, which does not indent the transforms.
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"    Root location: {self.root}")
        lines.append(f"    {self.extra_repr()}")
        if self.transform is not None or self.target_transform is not None:
            lines.append("    StandardTransform")
        for head, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                lines.append(head + repr(transform).replace("\n", "\n" + " " * len(head)))
        return "\n".join(lines)


def _labels_at(targets: Any, index: slice | list[int]) -> Any:
    """The labels at these places, a new int64 array; None unless they are an int64 Tensor or a list of ints."""
    if isinstance(targets, list):
        labels = targets[index] if isinstance(index, slice) else [targets[i] for i in index]
        return np.array(labels) if set(map(type, labels)) == {int} else None
    if not isinstance(targets, Tensor) or targets.dtype != np.int64 or targets.ndim != 1:
        return None
    return targets.array[index].copy()


class _OfKnownFiles(VisionDataset):
    """A data set whose files' exact content is known. collection: None if the images are part of the package."""

    collection: ClassVar[Collection | None] = None
    mirrors: ClassVar[Sequence[str]] = ()

    def __init__(
        self,
        root: StrPath | None = None,
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(None if self.collection is None else data_root(root), None, transform, target_transform)
        self.train = train
        if download and self.collection is not None:
            fetch(self.root, of=self.collection._replace(mirrors=self.mirrors), progress=sys.stderr.isatty())
        self.data, self.targets = self._load()

    def _load(self) -> tuple[Any, Any]:
        """All images and all labels of the chosen part. Raises DataError if a file is not the original."""
        raise NotImplementedError


# --- MNIST and its relatives -----------------------------------------------------------------------------------


def _renamed(old: str, new: str) -> Any:
    """A property under torchvision's old name, with its warning."""

    def value(dataset: VisionDataset) -> Any:
        warnings.warn(f"{old} has been renamed {new}", stacklevel=2)
        return getattr(dataset, new)

    return property(value)


class MNIST(_OfKnownFiles):
    """28x28 images of handwritten digits in ten classes: 60,000 for training and 10,000 for testing.

    `dataset[i]` is (image, label): see VisionDataset. `data` is the uint8 Tensor (N, 28, 28) of all images, `targets`
    the int64 Tensor (N,) of all labels.

    Args:
        root: the folder that contains MNIST/raw/ with the four files, compressed (.gz) or unpacked as by torchvision.
            If None: the environment variable MINITRAIN_DATA, else ./data.
        train: the training images if True, the test images if False.
        transform, target_transform: called with each image and each label.
        download: download missing files, and replace files that are damaged or swapped.

    Raises:
        DataError: a file is missing, or its content is not the original.

    Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86 (1998).
    """

    collection: ClassVar[Collection] = checksums.MNIST
    mirrors: ClassVar[Sequence[str]] = collection.mirrors
    resources: ClassVar[Sequence[tuple[str, str]]] = [(each.name, each.md5) for each, *_ in collection.files]
    classes: Sequence[str] = [
        *("0 - zero", "1 - one", "2 - two", "3 - three", "4 - four"),
        *("5 - five", "6 - six", "7 - seven", "8 - eight", "9 - nine"),
    ]

    def _load(self) -> tuple[Tensor, Tensor]:
        files = self.collection.files[:2] if self.train else self.collection.files[2:]
        images, labels = (load(self.collection, self.root, forms, read_idx_file) for forms in files)
        return wrap(images), wrap(labels.astype(np.int64))

    @property
    def raw_folder(self) -> str:
        """The folder that contains the files."""
        return raw_folder(self.root, self.collection)

    train_data, test_data = _renamed("train_data", "data"), _renamed("test_data", "data")
    train_labels, test_labels = _renamed("train_labels", "targets"), _renamed("test_labels", "targets")


class FashionMNIST(MNIST):
    """Zalando's 28x28 images of clothes in ten classes, in MNIST's format: 60,000 for training and 10,000 for testing.

    All else is as in MNIST; the folder is FashionMNIST/raw.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv:1708.07747 (2017); MIT licence.
    """

    collection: ClassVar[Collection] = checksums.FASHION_MNIST
    mirrors: ClassVar[Sequence[str]] = collection.mirrors
    resources: ClassVar[Sequence[tuple[str, str]]] = [(each.name, each.md5) for each, *_ in collection.files]
    classes: Sequence[str] = [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ]


class KMNIST(MNIST):
    """28x28 images of ten cursive Japanese characters, in MNIST's format: 60,000 for training and 10,000 for testing.

    All else is as in MNIST; the folder is KMNIST/raw. Only the .gz files are read.

    Source: T. Clanuwat and others, "Deep Learning for Classical Japanese Literature", arXiv:1812.01718 (2018);
    CC BY-SA 4.0.
    """

    collection: ClassVar[Collection] = checksums.KMNIST
    mirrors: ClassVar[Sequence[str]] = collection.mirrors
    resources: ClassVar[Sequence[tuple[str, str]]] = [(each.name, each.md5) for each, *_ in collection.files]
    classes: Sequence[str] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]


# --- CIFAR-10 --------------------------------------------------------------------------------------------------


class CIFAR10(_OfKnownFiles):
    """32x32 colour photographs in ten classes: 50,000 for training and 10,000 for testing.

    `dataset[i]` is (image, label): see VisionDataset. `data` is the uint8 ndarray (N, 32, 32, 3) of all images,
    `targets` the list of all labels, as in torchvision.

    Args:
        root: the folder that contains cifar-10-batches-py/, as unpacked from cifar-10-python.tar.gz.
            If None: the environment variable MINITRAIN_DATA, else ./data.
        train: the training images if True, the test images if False.
        transform, target_transform: called with each image and each label.
        download: if files are missing or damaged, download the archive (170 MB) unless it is in root, and unpack them.

    Raises:
        DataError: a file is missing, or its content is not the original.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", University of Toronto (2009).
    """

    collection: ClassVar[Collection] = checksums.CIFAR10
    mirrors: ClassVar[Sequence[str]] = collection.mirrors
    base_folder: ClassVar[str] = collection.folder
    classes: Sequence[str] = [
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ]

    def _load(self) -> tuple[Any, list[int]]:
        files = self.collection.files[:-1] if self.train else self.collection.files[-1:]
        batches = [load(self.collection, self.root, forms, read_cifar_file) for forms in files]
        rows = np.concatenate([images for images, _ in batches])  # (N, 3072): all red, then green, then blue pixels
        return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), [label for _, labels in batches for label in labels]


# --- Digits ----------------------------------------------------------------------------------------------------


class Digits(_OfKnownFiles):
    """8x8 images of handwritten digits, part of the package: 1,500 for training and 297 for testing.

    All else is as in MNIST. The source's pixels range from 0 to 16. Here they are value * 255 / 16,
    rounded to uint8, so that ToTensor scales them to [0, 1] like any other image; no value is lost by rounding.
    The split is the permutation of numpy.random.RandomState(0): its first 1,500 indices are for training.

    Args: those of MNIST. root and download have no effect, since the images are in the package.

    Raises:
        DataError: the package's file is damaged.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
    (1998), https://doi.org/10.24432/C50P49, its test part; CC BY 4.0.
    """

    classes: Sequence[str] = list("0123456789")

    def _load(self) -> tuple[Tensor, Tensor]:
        from importlib import resources

        images, labels = read_digits(resources.files("minitrain.data").joinpath(DIGITS.name))
        order = np.random.RandomState(0).permutation(len(images))
        chosen = order[:1500] if self.train else order[1500:]
        return wrap(np.rint(images[chosen] * (255 / 16)).astype(np.uint8)), wrap(labels[chosen].astype(np.int64))

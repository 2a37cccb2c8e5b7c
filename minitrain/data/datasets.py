"""The image data sets: FashionMNIST, read from its four files, and Digits, which is part of the package.

Every file is checked against its known size and SHA-256. If a file is missing, truncated, damaged or swapped with
another, a DataError names the file, what was expected, what was found, and the remedy.
"""

import contextlib
import io
import math
import operator
import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from minitrain.data.dataset import Dataset, batch_index
from minitrain.data.transforms import ToTensor, to_unit_range
from minitrain.tensor import Tensor, wrap

# hashlib, gzip, zlib, importlib.resources and pooch are imported in the functions that need them, so that
# `import minitrain` takes little longer than `import numpy`.

StrPath = str | os.PathLike[str]


class DataError(RuntimeError):
    """Data files are missing, truncated, damaged, swapped or cannot be downloaded."""


# --- the files and their checksums -----------------------------------------------------------------------------


class File(NamedTuple):
    """A file whose exact content is known: its array's shape, its size in bytes, its checksum."""

    name: str
    shape: tuple[int, ...]
    size: int
    sha256: str


def _both_forms(
    name: str, shape: tuple[int, ...], packed: tuple[int, str], unpacked: tuple[int, str]
) -> tuple[File, File]:
    """The file as it is downloaded, and as torchvision unpacks it next to the download."""
    return File(f"{name}.gz", shape, *packed), File(name, shape, *unpacked)


FILES = (
    _both_forms(
        "train-images-idx3-ubyte",
        (60_000, 28, 28),
        (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        (47_040_016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
    ),
    _both_forms(
        "train-labels-idx1-ubyte",
        (60_000,),
        (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        (60_008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
    ),
    _both_forms(
        "t10k-images-idx3-ubyte",
        (10_000, 28, 28),
        (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        (7_840_016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
    ),
    _both_forms(
        "t10k-labels-idx1-ubyte",
        (10_000,),
        (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        (10_008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
    ),
)
Files = Sequence[tuple[File, File]]

# MNIST's files have the same names and shapes, so they are easily mistaken for these. Their published MD5 sums:
MNIST_MD5 = {
    "f68b3c2dcbeaaa9fbdd348bbdeb94873": "train-images-idx3-ubyte.gz",
    "d53e105ee54ea40749a09fcbcd1e9432": "train-labels-idx1-ubyte.gz",
    "9fb629c4189551a2d022fa330f9573f3": "t10k-images-idx3-ubyte.gz",
    "ec29112dd5afa0611ce80d1b7f02629c": "t10k-labels-idx1-ubyte.gz",
    "6bbc9ace898e44ae57da46a324031adb": "train-images-idx3-ubyte",
    "a25bea736e30d166cdddb491f175f624": "train-labels-idx1-ubyte",
    "2646ac647ad5339dbf082846283269ea": "t10k-images-idx3-ubyte",
    "27ae3e4e09519cfbb04c329615203637": "t10k-labels-idx1-ubyte",
}

MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

DIGITS = File("digits.npz", (1_797, 8, 8), 45_394, "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e")


# --- the data sets ---------------------------------------------------------------------------------------------


class _ImageDataset(Dataset[tuple[Any, Any]]):
    """Images and their labels in memory: the common base of both data sets."""

    classes: ClassVar[list[str]]
    root: str | None = None

    def __init__(
        self,
        images: npt.NDArray[np.uint8],
        labels: npt.NDArray[np.uint8],
        train: bool,
        transform: Callable[[Any], Any] | None,
        target_transform: Callable[[Any], Any] | None,
    ) -> None:
        self.data = wrap(images)
        self.targets = wrap(labels.astype(np.int64))
        self.train = train
        self.transform = transform
        self.target_transform = target_transform

    def __getitem__(self, index: Any) -> tuple[Any, Any]:
        index = operator.index(index)
        image: Any = np.array(self.data[index])  # a copy: a transform may write into it
        target: Any = int(self.targets[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return image, target

    def __len__(self) -> int:
        return len(self.data)

    def collated_batch(self, indices: list[int]) -> list[Tensor] | None:
        """Labels (N,) int64, and images: (N, 1, H, W) float32 with ToTensor, (N, H, W) uint8 without a transform.

        None with any other transform.
        """
        scaled = type(self.transform) is ToTensor
        if not (scaled or self.transform is None) or self.target_transform is not None:
            return None
        if not (_holds(self.data, np.uint8, 3) and _holds(self.targets, np.int64, 1)):
            return None  # the user has replaced them
        images, labels = self.data.array, self.targets.array
        index = batch_index(indices, len(images))
        if index is None or len(images) != len(labels):
            return None
        batch = to_unit_range(images[index][:, None]) if scaled else images[index].copy(order="C")
        return [wrap(batch), wrap(labels[index].copy())]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Each class's label."""
        return {name: label for label, name in enumerate(self.classes)}

    def __repr__(self) -> str:
        # Line for line torchvision's, which does not indent the transforms.
        lines = [f"Dataset {type(self).__name__}", f"    Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"    Root location: {self.root}")
        lines.append(f"    Split: {'Train' if self.train else 'Test'}")
        if self.transform is not None or self.target_transform is not None:
            lines.append("    StandardTransform")
        for head, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                lines.append(head + repr(transform).replace("\n", "\n" + " " * len(head)))
        return "\n".join(lines)


def _holds(values: object, dtype: type[np.generic], ndim: int) -> bool:
    return isinstance(values, Tensor) and values.dtype == dtype and values.ndim == ndim


class FashionMNIST(_ImageDataset):
    """Zalando's 28x28 images of clothes in ten classes: 60,000 for training and 10,000 for testing.

    `dataset[i]` is (image, label). The image is a uint8 ndarray of shape (28, 28), or the transform's result; the
    label is an int. (torchvision passes the transform a PIL image; the base install has no Pillow.) `data` is the
    uint8 Tensor (N, 28, 28) of all images, `targets` the int64 Tensor (N,) of all labels.

    Args:
        root: the folder that contains FashionMNIST/raw/ with the four files, compressed (.gz) or unpacked as by
            torchvision. If None: the environment variable MINITRAIN_DATA, else ./data.
        train: the training images if True, the test images if False.
        transform, target_transform: called with each image and each label.
        download: download missing files, and replace files that are damaged or swapped.

    Raises:
        DataError: a file is missing, or its content is not the original.

    Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
    Algorithms", arXiv:1708.07747 (2017); MIT licence.
    """

    files: ClassVar[Files] = FILES
    mirrors: ClassVar[Sequence[str]] = MIRRORS
    classes: ClassVar[list[str]] = [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ]

    def __init__(
        self,
        root: StrPath | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        self.root = data_root(root)
        if download:
            fetch(self.root, progress=sys.stderr.isatty(), files=self.files, mirrors=self.mirrors)
        part = self.files[:2] if train else self.files[2:]
        images, labels = (_load(raw_folder(self.root), forms, self.files) for forms in part)
        super().__init__(images, labels, train, transform, target_transform)


class Digits(_ImageDataset):
    """8x8 images of handwritten digits, part of the package: 1,500 for training and 297 for testing.

    Everything else is as in FashionMNIST. The source's pixels range from 0 to 16. Here they are value * 255 / 16,
    rounded to uint8, so that ToTensor scales them to [0, 1] like any other image; no value is lost by rounding.
    The split is the permutation of numpy.random.RandomState(0): its first 1,500 indices are for training.

    Args: those of FashionMNIST. root and download have no effect, since the images are in the package.

    Raises:
        DataError: the package's file is damaged.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository
    (1998), https://doi.org/10.24432/C50P49, its test part; CC BY 4.0.
    """

    classes: ClassVar[list[str]] = list("0123456789")

    def __init__(
        self,
        root: StrPath | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        download: bool = False,
    ) -> None:
        from importlib import resources

        images, labels = read_digits(resources.files("minitrain.data").joinpath(DIGITS.name))
        order = np.random.RandomState(0).permutation(len(images))
        chosen = order[:1500] if train else order[1500:]
        pixels = np.rint(images[chosen] * (255 / 16)).astype(np.uint8)
        super().__init__(pixels, labels[chosen], train, transform, target_transform)


# --- Fashion-MNIST's folder ------------------------------------------------------------------------------------


class Status(NamedTuple):
    """The result of checking one file. `size` is None if there is no file; `fault` is None if the file is intact."""

    path: str
    file: File
    size: int | None
    fault: str | None


def data_root(root: StrPath | None = None) -> str:
    """The folder for data: `root` if given, else the environment variable MINITRAIN_DATA, else ./data."""
    return os.path.expanduser(root if root is not None else os.environ.get("MINITRAIN_DATA") or "data")


def raw_folder(root: StrPath | None = None) -> str:
    """The folder for Fashion-MNIST's files, the same as torchvision's."""
    return os.path.join(data_root(root), "FashionMNIST", "raw")


def status(root: StrPath | None = None, *, files: Files = FILES) -> list[Status]:
    """Check each of the four files, checksum included: the .gz file, or the unpacked one if there is no .gz."""
    return [_examine(*_locate(raw_folder(root), forms), files) for forms in files]


def verify(root: StrPath | None = None, *, files: Files = FILES) -> None:
    """Raise a DataError for the first of the four files that is missing, or whose content is not the original."""
    for forms in files:
        _check(raw_folder(root), forms, files)


def fetch(
    root: StrPath | None = None,
    *,
    progress: Callable[[str, int], Any] | bool = False,
    files: Files = FILES,
    mirrors: Sequence[str] = MIRRORS,
    timeout: float = 30.0,
) -> None:
    """Download missing files, and replace files that are damaged or swapped.

    A file is downloaded under a .part name, verified, and only then renamed. If anything fails on the way, the old
    file is still in place.

    Args:
        root: as in FashionMNIST.
        progress: called with a file's name and size; returns a progress bar with tqdm's methods. True for pooch's bars.
        mirrors: base addresses, tried one after the other; the file's name is appended.
        timeout: how many seconds to wait for a silent mirror.

    Raises:
        DataError: no mirror sent the original file, or the folder cannot be written.
    """
    folder = raw_folder(root)
    for forms in files:
        fault = _examine(*_locate(folder, forms), files).fault
        if fault is not None:
            _download(folder, forms[0], fault, files, mirrors, progress, timeout)


def _download(
    folder: str,
    file: File,
    fault: str,
    files: Files,
    mirrors: Sequence[str],
    progress: Callable[[str, int], Any] | bool,
    timeout: float,
) -> None:
    import pooch  # type: ignore[import-untyped]

    path = os.path.join(folder, file.name)
    part = f"{path}.{os.getpid()}.part"  # one per process: two may download at the same time
    failures = []
    try:
        os.makedirs(folder, exist_ok=True)
        for mirror in mirrors:
            bar = progress(file.name, file.size) if callable(progress) else progress
            download = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=timeout)
            with open(part, "wb") as stream:
                try:
                    download(mirror + file.name, stream, None)
                except (OSError, ValueError) as error:  # requests' errors are OSErrors
                    answer = getattr(error, "response", None)
                    reason = type(error).__name__ if answer is None else f"HTTP status {answer.status_code}"
                    failures.append(f"{mirror} ({reason})")
                    continue
            sent = _examine(part, file, files).fault
            if sent is None:
                os.replace(part, path)
                return
            failures.append(f"{mirror} (sent {sent})")
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}): choose another folder (--data-dir)") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)
    raise DataError(
        f"{os.path.join(folder, file.name)}: found {fault}, and the download failed: tried "
        f"{', '.join(failures)}. {_by_hand(folder, files)}"
    )


def _locate(folder: str, forms: tuple[File, File]) -> tuple[str, File]:
    """Where a file is, and in which form: unpacked only if it exists unpacked and not as .gz."""
    packed, unpacked = ((os.path.join(folder, file.name), file) for file in forms)
    return unpacked if os.path.exists(unpacked[0]) and not os.path.exists(packed[0]) else packed


def _check(folder: str, forms: tuple[File, File], files: Files) -> tuple[str, File]:
    """Where the file is, and in which form. Raises DataError if it is missing, or its content is not the original."""
    path, file, _, fault = _examine(*_locate(folder, forms), files)
    if fault is not None:
        raise DataError(
            f"{path}: expected Fashion-MNIST's {file.name} ({file.size:,} bytes, SHA-256 {file.sha256[:16]}...), "
            f"found {fault}. Name the folder that has it (--data-dir, MINITRAIN_DATA), or download it with "
            f"`minitrain data fetch` (in a program, download=True). {_by_hand(folder, files)}"
        )
    return path, file


def _by_hand(folder: str, files: Files) -> str:
    return (
        f"By hand: put {', '.join(packed.name for packed, _ in files)} into {folder}. The digits (datasets.Digits, or "
        "--dataset digits) need neither files nor a network."
    )


def _examine(path: str, file: File, files: Files) -> Status:
    """Check the file at `path`, which should be `file`; `files` are those it may be swapped with."""
    size = None
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            return Status(path, file, None, "a pipe, a socket or a device, not a file")  # reading could block
        size = found.st_size
        content = _identify(path, size, file, files)
    except FileNotFoundError:
        return Status(path, file, None, "no file")
    except OSError as error:
        return Status(path, file, size, f"a file that cannot be read ({error.strerror})")
    return Status(path, file, size, None if content is None else f"{size:,} bytes, {content}")


def _identify(path: str, size: int, file: File, files: Files) -> str | None:
    """What the content is instead of the original, in words; None if it is the original."""
    known = {each.sha256: each for forms in files for each in forms}
    if size > max(each.size for each in known.values()):
        return "larger than all of Fashion-MNIST's files"  # so there is no need to read it
    sha256 = _digest(path, "sha256")
    if sha256 == file.sha256:
        return None
    if sha256 in known:
        return f"the content of {known[sha256].name}"
    if mnist := MNIST_MD5.get(_digest(path, "md5")):
        return f"MNIST's {mnist} (handwritten digits, not Fashion-MNIST's clothes)"
    try:
        _read(path, file)
    except DataError as error:
        return str(error)
    return f"an IDX file of the right shape, but with SHA-256 {sha256[:16]}...: damaged, or other images"


def _digest(path: str, algorithm: str) -> str:
    import hashlib

    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


# --- reading a file --------------------------------------------------------------------------------------------


def read_digits(path: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The images (1797, 8, 8), with values from 0 to 16, and the labels (1797,) in the package's file.

    path: a Path, or importlib.resources' equivalent.
    Raises DataError if the file is missing or damaged.
    """
    import hashlib

    try:
        with path.open("rb") as file:
            content = file.read(DIGITS.size + 1)
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); reinstall minitrain") from error
    found = hashlib.sha256(content).hexdigest()
    if found != DIGITS.sha256:
        size = f"{len(content):,}" if len(content) <= DIGITS.size else f"more than {DIGITS.size:,}"
        raise DataError(
            f"{path} is damaged: expected SHA-256 {DIGITS.sha256} of {DIGITS.size:,} bytes, found {found} of {size}; "
            "reinstall minitrain"
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return arrays["images"], arrays["labels"]


def _load(folder: str, forms: tuple[File, File], files: Files) -> npt.NDArray[np.uint8]:
    """The array in the file. Raises DataError if the file is missing, or its content is not the original."""
    path, file = _check(folder, forms, files)
    try:
        return _read(path, file)
    except (DataError, OSError) as error:  # the check passed a moment ago
        raise DataError(f"{path} changed while it was being read: {error}") from error


def _read(path: str, file: File) -> npt.NDArray[np.uint8]:
    """The array in the file. Raises DataError for wrong content, OSError if the file cannot be read."""
    import gzip
    import zlib

    try:
        opener: Callable[..., Any] = gzip.open if file.name.endswith(".gz") else open
        with opener(path, "rb") as stream:
            return read_idx(stream, file.shape)
    except EOFError as error:
        raise DataError("a truncated gzip file") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"a damaged gzip file, or not a gzip file ({error})") from error


def read_idx(source: bytes | IO[bytes], shape: tuple[int, ...] | None = None) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of bytes: two zeros, the type (8), the rank, each dimension's size, the data.

    Memory is allocated as data arrives, so a header that promises too much costs nothing.

    Args:
        source: the bytes, or a stream. At most one byte more is read from it than the header promises.
        shape: the shape that the header must state; any shape if None.

    Raises:
        DataError: the format, type or shape is wrong, or there is more or less data than the header promises.
    """
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    magic = stream.read(4)
    if not magic:
        raise DataError("an empty file")
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise DataError(f"not an IDX file: it begins with {magic!r} instead of two zeros")
    if magic[2] != 8:
        raise DataError(f"an IDX file of type 0x{magic[2]:02x}, not of unsigned bytes (0x08)")
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"a truncated IDX file: it ends within its header, after {4 + len(sizes)} bytes")
    found = tuple(np.frombuffer(sizes, ">u4").tolist())
    if shape is not None and found != shape:
        raise DataError(f"an IDX file of shape {found}, not {shape}")
    expected = math.prod(found)
    data, filled = np.empty(min(expected, 2**18), np.uint8), 0
    while block := stream.read(min(2**18, expected - filled)):
        if filled + len(block) > data.size:
            data.resize(min(expected, 2 * data.size), refcheck=False)
        data[filled : filled + len(block)] = np.frombuffer(block, np.uint8)
        filled += len(block)
    if filled < expected:
        raise DataError(f"a truncated IDX file: it ends after {filled:,} of {expected:,} bytes of data")
    if stream.read(1):
        raise DataError(f"an IDX file with more than the {expected:,} bytes of data that its header promises")
    try:
        return data.reshape(found)
    except ValueError as error:  # too many axes, or an axis that is too long
        raise DataError(f"an IDX file of shape {found}, whose header promises {expected:,} bytes ({error})") from error

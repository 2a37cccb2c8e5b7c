"""Readers of the data sets' files: IDX, CIFAR's pickles, and the package's digits.npz. None of them can run code."""

import io
import math
import pickle
from collections.abc import Callable
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from minitrain.data.checksums import DIGITS, File

# gzip, zlib and hashlib are imported in the functions that need them, so that `import minitrain` stays fast.


class DataError(RuntimeError):
    """Data files are missing, truncated, damaged, swapped or cannot be downloaded."""


# --- IDX, the format of MNIST and its relatives ----------------------------------------------------------------


def read_idx_file(path: str, file: File) -> npt.NDArray[np.uint8]:
    """The array in an IDX file, compressed if its name ends in .gz.

    Raises DataError for wrong content, OSError if the file cannot be read.
    """
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


# --- CIFAR's pickles -------------------------------------------------------------------------------------------


def read_cifar_file(path: str, file: File) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """The images, an array of the file's shape, and their labels.

    Raises DataError for wrong content, OSError if the file cannot be read.
    """
    with open(path, "rb") as stream:
        content = read_pickle(stream)
    images = content.get(b"data") if isinstance(content, dict) else None
    labels = content.get(b"labels") if isinstance(content, dict) else None
    if not isinstance(images, _PickledBytes) or images.array.shape != file.shape or not isinstance(labels, list):
        raise DataError(f"a pickle without the labels and the images of shape {file.shape}")
    if len(labels) != len(images.array) or any(type(label) is not int for label in labels):
        raise DataError(f"a pickle without one label for each of its {len(images.array):,} images")
    return images.array, labels


def read_pickle(stream: IO[bytes]) -> Any:
    """The object in a pickle of plain data: numbers, strings (as bytes), lists, tuples, dicts and arrays of bytes.

    Raises DataError if the pickle is damaged or names anything else.
    """
    try:
        return _PlainUnpickler(stream, encoding="bytes").load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise DataError(f"a damaged pickle ({type(error).__name__}: {error})") from error


class _PickledBytes:
    """Stands for a NumPy array of bytes in a pickle. It accepts the array's state without NumPy's own unpickling."""

    array: npt.NDArray[np.uint8]

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, content = state
        if not (isinstance(dtype, _PickledDtype) and dtype.name in ("u1", b"u1") and isinstance(content, bytes)):
            raise DataError("a pickle with an array of another type than bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(shape)


class _PickledDtype:
    """Stands for a dtype in a pickle; only its name matters."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name

    def __setstate__(self, state: Any) -> None:
        pass  # byte order and alignment: a byte has neither


class _PlainUnpickler(pickle.Unpickler):
    """Builds plain data only. The three names in an array's pickle get the classes above; any other is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return lambda *_: _PickledBytes()
        if (module, name) == ("numpy", "ndarray"):
            return _PickledBytes
        if (module, name) == ("numpy", "dtype"):
            return _PickledDtype
        raise DataError(f"a pickle that names {module}.{name}: only plain data and arrays of bytes are read")


# --- the package's digits --------------------------------------------------------------------------------------


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

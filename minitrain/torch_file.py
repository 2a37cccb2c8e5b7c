"""Reads the files that torch.save writes (its zip format), as far as they hold Tensors and plain data; runs no code.

Such a file is a zip archive with a pickle, data.pkl, and the bytes of each Tensor's memory, data/0, data/1, ... A
pickle is a program for a small machine, and most of what it can call is dangerous. So it is read by an unpickler that
knows the few functions below by torch's names, builds nothing else, and names whatever else a file asks for.

Source: torch/serialization.py and torch/_utils.py of torch 2.13.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from minitrain.nn import Parameter
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.arguments import Size

# The storages of torch's dtypes, little-endian. bfloat16 is widened: NumPy does not have it.
_STORAGES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "<u2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_DTYPES = ("float16", "float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


class _Storage:
    """The elements of one or more Tensors, one after another."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.views: list[Array] = []  # of the Tensors that lie in it


def load_torch_file(file: IO[bytes]) -> Any:
    """What torch.save wrote: Tensors, and dicts, lists, tuples, sets, numbers and strings around them.

    Raises ValueError for a damaged file, and with its name for anything in it that is not plain data.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _Reader(archive).load()
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"it is damaged, or not written by torch.save: {error}") from None
    except (AttributeError, UnicodeDecodeError, OverflowError, struct.error) as error:
        raise ValueError(f"it is damaged: {error}") from None


class _Reader:
    """The archive's pickle and storages."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in self._members if name.rpartition("/")[2] == "data.pkl" and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("it is a zip archive, but torch.save did not write it: it has no data.pkl")
        self._folder = pickles[0].partition("/")[0]
        if self._read("byteorder", missing=b"little") != b"little":
            raise ValueError("it was written on a big-endian machine")
        self._storages: dict[str, _Storage] = {}

    def load(self) -> Any:
        """Run the pickle."""
        unpickler = _Unpickler(io.BytesIO(self._read("data.pkl")), self._storage)
        value = unpickler.load()
        return _finished(
            value, {id(storage.views[0]) for storage in self._storages.values() if len(storage.views) == 1}
        )

    def _read(self, name: str, missing: bytes | None = None) -> bytes:
        info = self._members.get(f"{self._folder}/{name}")
        if info is None:
            if missing is None:
                raise ValueError(f"it lacks {name}")
            return missing
        if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses; a bomb would
            raise ValueError(f"{name} is compressed, which torch.save does not do")
        return self._archive.read(info)

    def _storage(self, reference: Any) -> _Storage:
        """The storage that the pickle refers to as ("storage", type, key, location, number of elements)."""
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ValueError(f"it refers to something that is not a storage: {reference!r:.80}")
        _, kind, key, _, count = reference[:5]
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or type(count) is not int:
            raise ValueError(f"it refers to a storage that minitrain cannot read: {reference!r:.80}")
        if key not in self._storages:
            data = self._read(f"data/{key}")
            dtype = np.dtype(_STORAGES[kind.name])
            if len(data) != count * dtype.itemsize:
                raise ValueError(f"data/{key} has {len(data)} bytes, expected {count} elements of {kind.name}")
            array = np.frombuffer(bytearray(data), dtype)  # which can be written
            if kind.name == "BFloat16Storage":  # the upper half of a float32
                array = (array.astype("<u4") << 16).view("<f4")
            self._storages[key] = _Storage(array)
        return self._storages[key]


class _StorageType:
    """A storage's class, by name."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Unpickler(pickle.Unpickler):
    """An unpickler that finds only the names in _KNOWN."""

    def __init__(self, file: IO[bytes], storage: Callable[[Any], _Storage]) -> None:
        super().__init__(file, encoding="utf-8")
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name. Raises ValueError for any that is not plain data."""
        if module in ("torch", "torch.storage") and name in _STORAGES:
            return _StorageType(name)
        if module == "torch" and name in _DTYPES:
            return np.dtype(name)
        if (known := _KNOWN.get((module, name))) is not None:
            return known
        raise ValueError(
            f"it contains {module}.{name}, which minitrain does not build, since code could run then. In torch, save "
            "model.state_dict() instead of the model."
        )

    def persistent_load(self, pid: Any) -> Any:
        """A storage."""
        return self._storage(pid)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *ignored: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2: a Tensor on a storage, which others may share."""
    numbers = (offset, *size, *stride)
    if (
        not isinstance(storage, _Storage)
        or any(type(x) is not int or x < 0 for x in numbers)
        or len(size) != len(stride)
    ):
        raise ValueError(f"a Tensor of size {size!r:.60} and stride {stride!r:.60} at {offset!r:.20} cannot be built")
    count = math.prod(size)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else offset
    if end > storage.array.size or count > storage.array.size or len(size) > 32:
        raise ValueError(f"a Tensor of size {size!r:.60} is larger than its memory of {storage.array.size} elements")
    strides = [step * storage.array.itemsize for step in stride]
    tensor = wrap(np.lib.stride_tricks.as_strided(storage.array[offset:], tuple(size), strides))
    storage.views.append(tensor.array)
    return tensor.requires_grad_(bool(requires_grad) and tensor.is_floating_point())


def _parameter(data: Any, requires_grad: Any, *ignored: Any) -> Parameter:
    """torch._utils._rebuild_parameter."""
    if not isinstance(data, Tensor):
        raise ValueError("a Parameter without a Tensor cannot be built")
    return Parameter(data, requires_grad=bool(requires_grad))


def _bytes(text: Any, encoding: Any) -> bytes:
    """_codecs.encode, which old pickle protocols write bytes with."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("it encodes something that is not bytes")
    return text.encode("latin1")


class _Ordered(collections.OrderedDict[Any, Any]):
    """An OrderedDict that drops the attributes which a state_dict has beside its entries, such as _metadata."""

    def __setstate__(self, state: Any) -> None: ...


def _finished(value: Any, alone: set[int]) -> Any:
    """The value with the plain OrderedDict for our own.

    alone: the ids of arrays that share their storage with no other. They get memory of their own, in the order of their
    indices, and the rest of the storage is dropped.
    """
    if isinstance(value, Tensor) and id(value.array) in alone:
        value.array = np.array(value.array, order="C")
    if isinstance(value, _Ordered):
        return collections.OrderedDict((key, _finished(item, alone)) for key, item in value.items())
    if isinstance(value, dict):
        return {key: _finished(item, alone) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_finished(item, alone) for item in value)
    return value


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Ordered,
    ("torch", "Size"): Size,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("_codecs", "encode"): _bytes,
}
_KNOWN |= {(m, kind.__name__): kind for m in ("builtins", "__builtin__") for kind in (set, frozenset, bytes, complex)}

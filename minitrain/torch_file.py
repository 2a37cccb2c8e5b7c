"""Reads the files that torch.save writes (its zip format), as far as they hold Tensors and plain data; runs no code.

Such a file is a zip archive with a pickle, data.pkl, and the bytes of each Tensor's memory, data/0, data/1, ... A
pickle is a program for a small machine, and most of what it can do is dangerous. So it is read by an unpickler that
knows the few functions below by torch's names, builds nothing else, and names whatever else a file asks for. Its time
and memory stay in proportion to the file's size.

Source: torch/serialization.py and torch/_utils.py of torch 2.13.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterable
from typing import IO, Any, ClassVar

import numpy as np

from minitrain.files import shown
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

    def __init__(self, array: Array, kind: str) -> None:
        self.array, self.kind = array, kind
        self.views: list[Array] = []  # of the Tensors that lie in it


def load_torch_file(file: IO[bytes]) -> Any:
    """What torch.save wrote: Tensors, and dicts, lists, tuples, sets, numbers and strings around them.

    Raises ValueError for a damaged file, and with its name for anything in it that is not plain data.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _Reader(archive, file.seek(0, io.SEEK_END)).load()
    except (zipfile.BadZipFile, pickle.UnpicklingError, EOFError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"it is damaged, or not written by torch.save: {error}") from None
    except (AttributeError, UnicodeDecodeError, OverflowError, RuntimeError, struct.error) as error:
        raise ValueError(f"it is damaged: {error}") from None  # RuntimeError: for example, zipfile's for a password


class _Reader:
    """The archive's pickle and storages. size: the file's, in bytes."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        self._left = size  # the bytes that its members can still have
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
        value = _Unpickler(self._read("data.pkl"), self._storage).load()
        _finish(value, {id(storage.views[0]) for storage in self._storages.values() if len(storage.views) == 1})
        return value

    def _read(self, name: str, missing: bytes | None = None) -> bytes:
        info = self._members.get(f"{self._folder}/{name}")
        if info is None:
            if missing is None:
                raise ValueError(f"it lacks {name}")
            return missing
        if info.compress_type != zipfile.ZIP_STORED:  # torch never compresses; a bomb would
            raise ValueError(f"{name} is compressed, which torch.save does not do")
        self._left -= info.file_size
        if self._left < 0:
            raise ValueError("its members overlap, or are longer than the file")
        return self._archive.read(info)

    def _storage(self, reference: Any) -> _Storage:
        """The storage that the pickle refers to as ("storage", type, key, location, number of elements)."""
        if not isinstance(reference, tuple) or len(reference) < 5 or reference[0] != "storage":
            raise ValueError(f"it refers to something that is not a storage: {shown(reference)}")
        _, kind, key, _, count = reference[:5]
        if not isinstance(kind, _StorageType) or not isinstance(key, str) or type(count) is not int:
            raise ValueError(f"it refers to a storage that minitrain cannot read: {shown(reference)}")
        if key not in self._storages:
            data = self._read(f"data/{key}")
            dtype = np.dtype(_STORAGES[kind.name])
            if len(data) != count * dtype.itemsize:
                raise ValueError(f"data/{key} has {len(data)} bytes, expected {count} elements of {kind.name}")
            array = np.frombuffer(bytearray(data), dtype)  # which can be written
            if kind.name == "BFloat16Storage":  # the upper half of a float32
                array = (array.astype("<u4") << 16).view("<f4")
            self._storages[key] = _Storage(array, kind.name)
        storage = self._storages[key]
        if storage.kind != kind.name:
            raise ValueError(f"data/{shown(key)} is a {storage.kind} and a {kind.name}")
        return storage


class _StorageType:
    """A storage's class, by name."""

    def __init__(self, name: str) -> None:
        self.name = name


# Opcodes by their names in pickle.py. The others call classes, or torch.save never writes them.
_PLAIN = """
    PROTO FRAME MARK POP POP_MARK STOP GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL
    BINPERSID NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE BINUNICODE
    SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST
    LIST APPEND APPENDS EMPTY_DICT EMPTY_SET
"""
_PLAIN_OPCODES = [getattr(pickle, name)[0] for name in _PLAIN.split()]


_SIZED = (str, bytes, tuple, list, dict, set, frozenset)
_InPython: Any = pickle._Unpickler


class _Unpickler(_InPython):  # type: ignore[misc]
    """An unpickler that finds only the names in _KNOWN, and sets no attributes.

    It is Python's own in Python, as torch's: that in C allocates as much memory as a file's numbers ask for.
    """

    def __init__(self, content: bytes, storage: Callable[[Any], _Storage]) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")
        self._storage = storage
        self._left = len(content)  # how many values the calls can still be given: each takes a byte of the pickle

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

    def _call(self) -> None:
        """Call a known function. Its arguments can be large only if they are in the pickle, not by being repeated."""
        arguments = self.stack.pop()
        self._left -= len(arguments) + sum(len(each) for each in arguments if isinstance(each, _SIZED))
        if self._left < 0:
            raise ValueError("it uses the same values again and again")
        self.stack[-1] = self.stack[-1](*arguments)

    def _set_state(self) -> None:
        """Drop the attributes that a state_dict has beside its entries, such as _metadata."""
        self.stack.pop()
        if not isinstance(self.stack[-1], collections.OrderedDict):
            raise ValueError(f"it sets attributes of a {type(self.stack[-1]).__name__}")

    def _set_items(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise ValueError(f"it sets items of a {type(self.stack[-1]).__name__}")
        self.stack[-1].update((_key(key), value) for key, value in zip(items[::2], items[1::2], strict=True))

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _add_items(self) -> None:
        items = self.pop_mark()
        if not isinstance(self.stack[-1], set):
            raise ValueError(f"it adds items to a {type(self.stack[-1]).__name__}")
        self.stack[-1].update(map(_key, items))

    def _refuse(self) -> None:
        raise ValueError("it has opcodes that torch.save does not write")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **dict.fromkeys(range(256), _refuse),
        **{code: method for code, method in _InPython.dispatch.items() if code in _PLAIN_OPCODES},
        pickle.REDUCE[0]: _call,
        pickle.BUILD[0]: _set_state,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: lambda self: self._set_items(self.pop_mark()),
        pickle.ADDITEMS[0]: _add_items,
        pickle.FROZENSET[0]: lambda self: self.append(frozenset(map(_key, self.pop_mark()))),
    }


def _key(value: Any) -> Any:
    """A dict's key, or a member of a set. Raises ValueError for nested tuples, whose hash may take any time."""
    parts = value if isinstance(value, tuple) else (value,)
    if all(part is None or isinstance(part, bool | int | float | complex | str | bytes | np.dtype) for part in parts):
        return value
    raise ValueError(f"it has a {type(value).__name__} as a key or in a set, which is not plain")


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, *ignored: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2: a Tensor on a storage, which others may share."""
    numbers = (offset, *size, *stride)
    if (
        not isinstance(storage, _Storage)
        or any(type(x) is not int or x < 0 for x in numbers)
        or len(size) != len(stride)
    ):
        raise ValueError(
            f"a Tensor of size {shown(size)} and stride {shown(stride)} at {shown(offset)} cannot be built"
        )
    count = math.prod(size)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else offset
    if end > storage.array.size or count > storage.array.size or len(size) > 32:
        raise ValueError(f"a Tensor of size {shown(size)} is larger than its memory of {storage.array.size} elements")
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


def _no_bytes(*arguments: Any) -> bytes:
    """bytes, which old pickle protocols call for b"". bytes(10**10) would take all memory."""
    if arguments:
        raise ValueError("it builds bytes in a way that torch.save does not")
    return b""


def _ordered(pairs: Iterable[tuple[Any, Any]] = ()) -> Any:
    """collections.OrderedDict."""
    return collections.OrderedDict((_key(key), value) for key, value in pairs)


def _set(members: Iterable[Any] = ()) -> set[Any]:
    return set(map(_key, members))


def _frozenset(members: Iterable[Any] = ()) -> frozenset[Any]:
    return frozenset(map(_key, members))


def _finish(value: Any, alone: set[int]) -> None:
    """Check that only plain data and Tensors are left, and give Tensors memory of their own.

    alone: the ids of arrays that share their storage with no other. They get memory of their own, in the order of their
    indices, and the rest of the storage is dropped.
    """
    left, seen = [value], {id(value)}
    while left:
        part = left.pop()
        if isinstance(part, Tensor) and id(part.array) in alone:
            part.array = np.array(part.array, order="C")
        elif callable(part) or isinstance(part, _Storage | _StorageType):
            raise ValueError(f"it contains a {type(part).__name__}, which is not plain data")
        inner = part.values() if isinstance(part, dict) else part if isinstance(part, list | tuple) else ()
        left += [each for each in inner if id(each) not in seen and not seen.add(id(each))]  # type: ignore[func-returns-value]


_KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch", "Size"): Size,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("_codecs", "encode"): _bytes,
}
_BUILTINS = {"set": _set, "frozenset": _frozenset, "bytes": _no_bytes, "complex": complex}
_KNOWN |= {(module, name): known for module in ("builtins", "__builtin__") for name, known in _BUILTINS.items()}

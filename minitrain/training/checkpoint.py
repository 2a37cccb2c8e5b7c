"""Files of Tensors, in a format that cannot carry code: save and load, as torch.save and torch.load.

The format is safetensors (https://github.com/huggingface/safetensors), which other programs read too. A dictionary
from names to Tensors, as state_dict() gives, is stored under those names. What is nested deeper, such as an
optimizer's state, has its outline in the file's metadata as JSON, beside a checksum of the whole.
"""

from __future__ import annotations

import json
import os
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from minitrain.arguments import as_dtype
from minitrain.device import device as Device
from minitrain.ops import Array
from minitrain.tensor import Tensor
from minitrain.training.atomic import write_atomically

_METADATA = "__metadata__"  # the header's entry that is no tensor
_OURS = "minitrain"  # one entry of that: the library writes several in any order, and files should be reproducible
_DTYPES = {"BOOL", "U8", "I8", "I16", "I32", "I64", "F32", "F64"}  # those that Tensors have, as headers name them


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write Tensors, or dicts, lists and tuples of Tensors, numbers, strings and None, to a file.

    f: a path, or a file opened for writing bytes. At a path, a file that is there stays until the new one is whole and
    on the disk.
    Raises TypeError for anything else, such as a whole Module: save its state_dict().
    """
    import safetensors.numpy  # here, since importing minitrain should cost little more than importing NumPy

    arrays: dict[str, Array] = {}
    outline = _outline_of(obj, "", arrays)
    data = safetensors.numpy.save(arrays, {_OURS: json.dumps([_OURS, _checksum(outline, arrays), outline])})
    if not isinstance(f, str | os.PathLike):
        f.write(data)
        return
    path = Path(f)
    if path.is_dir():
        raise IsADirectoryError(f"cannot save to {path}: it is a directory; name a file in it")
    write_atomically(path, data)


def load(f: str | os.PathLike[str] | IO[bytes], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what save wrote, or any safetensors file (an OrderedDict from names to Tensors).

    map_location: the CPU or None. weights_only: True; there is no code in these files.
    Raises FileNotFoundError, and ValueError for a file that is not whole or not in this format.
    """
    if map_location is not None:
        Device(map_location)
    if not weights_only:
        raise ValueError("weights_only=False is not offered: it would run code from the file; leave it True.")
    import safetensors
    import safetensors.numpy

    name = f if isinstance(f, str | os.PathLike) else "the file"
    data = Path(f).read_bytes() if isinstance(f, str | os.PathLike) else f.read()
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = header.pop(_METADATA, {})
        for key, entry in header.items():
            if entry["dtype"] not in _DTYPES:
                raise ValueError(f"{key!r} has the dtype {entry['dtype']}, which is not offered; write it as float32")
        arrays = safetensors.numpy.load(data)
        if not any(key == _OURS or text.startswith(f'["{_OURS}"') for key, text in metadata.items()):
            # Another program's file. Ours says so twice, so that no damaged one is taken for another's.
            return OrderedDict((key, Tensor(arrays[key])) for key in header)
        name_again, checksum, outline = json.loads(metadata[_OURS])
        if name_again != _OURS or _checksum(outline, arrays) != checksum:
            raise ValueError("its checksum does not fit: it was damaged")
        return _from_outline(outline, arrays)
    except (safetensors.SafetensorError, AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        # A pickle's first bytes; those of safetensors are a length below 2**24, whose upper bytes are 0.
        if data[:4] == b"PK\x03\x04" or (data[:1] == b"\x80" and any(data[3:8])):
            raise ValueError(
                f"{name} is a pickle, as torch.save writes it, which can carry code. Write it anew from torch with "
                "safetensors.torch.save_file(model.state_dict(), PATH)."
            ) from None
        raise ValueError(f"cannot read {name} ({len(data)} bytes) as a safetensors file: {error}") from None


def _outline_of(obj: Any, path: str, arrays: dict[str, Array]) -> Any:
    """The outline of obj as JSON values; the arrays in it are put into arrays, by their paths."""
    if isinstance(obj, np.generic):
        obj = obj.item()
    if hasattr(obj, "__array__"):
        name = path or "tensor"
        while name in arrays or name == _METADATA:
            name += "'"
        array = np.asarray(obj.detach() if hasattr(obj, "detach") else obj)
        as_dtype(array.dtype)
        # Contiguous, since the library would write a transposed array's values in the wrong order.
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return {"tensor": name}
    if isinstance(obj, Mapping):
        return {
            "dict": [[_plain(key), _outline_of(obj[key], f"{path}.{key}" if path else str(key), arrays)] for key in obj]
        }
    if isinstance(obj, list | tuple):
        parts = [_outline_of(part, f"{path}.{i}" if path else str(i), arrays) for i, part in enumerate(obj)]
        return {type(obj).__name__ if type(obj) is list else "tuple": parts}
    return {"value": _plain(obj)}


def _plain(value: Any) -> Any:
    if value is not None and not isinstance(value, bool | int | float | str):
        raise TypeError(
            f"cannot save a {type(value).__name__}: only Tensors, numbers, strings, None, and dicts, lists and tuples "
            "of them. Of a Module or an optimizer, save its state_dict()."
        )
    return value


def _from_outline(outline: dict[str, Any], arrays: dict[str, Array]) -> Any:
    ((kind, content),) = outline.items()
    if kind == "tensor":
        return Tensor(arrays[content])
    if kind == "dict":
        return OrderedDict((key, _from_outline(part, arrays)) for key, part in content)
    if kind in ("list", "tuple"):
        return (list if kind == "list" else tuple)(_from_outline(part, arrays) for part in content)
    if kind == "value":
        return content
    raise ValueError(f"unknown kind {kind!r} in its outline")


def _checksum(outline: Any, arrays: dict[str, Array]) -> int:
    """Of all that was saved: an array's shape or dtype counts as its values do."""
    crc = zlib.crc32(json.dumps(outline).encode())
    for name, array in sorted(arrays.items()):
        crc = zlib.crc32(f"{name} {array.dtype} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return crc

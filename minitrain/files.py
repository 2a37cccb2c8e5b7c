"""Files that nobody vouches for are read carefully, and written so that the old or the new one is always intact."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import reprlib
import stat
from pathlib import Path
from typing import IO, Any

# --- writing ----------------------------------------------------------------------------------------------------------

PART = ".part"  # how the name of a file ends that is being written; one that a crash left behind is worth nothing


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file such that under its name there is always the whole new one or what was there before.

    When this returns, the file is on the disk: after a loss of power it is there.
    Raises OSError; also where what is read back is not what was written. What was there before is there then.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if part.read_bytes() != data:
            raise OSError(errno.EIO, "what was written there is not what is read back", str(part))
        part.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Have the folder's entries on the disk, too: a new name is one of them. Not every system can, or needs it."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- reading ----------------------------------------------------------------------------------------------------------

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 120


def shown(value: object) -> str:
    """A value from a file, as an error may show it: on one line, and shortened."""
    return _REPR.repr(value)


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file to read its bytes. Raises OSError; also for a pipe, a socket or a device, without waiting for it."""
    file = open(path, "rb", buffering=0, opener=_open_without_waiting)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "It is no file, but a pipe, a socket or a device", os.fspath(path))
    return file


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for someone who writes into it


def read_file(path: str | os.PathLike[str], at_most: int) -> bytes:
    """The file's bytes. Raises OSError as open_file does, ValueError if there are more than at_most."""
    content = read_beginning(path, at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"it has more than the {at_most:,} bytes that such a file can have")
    return content


def read_beginning(path: str | os.PathLike[str], length: int) -> bytes:
    """So many bytes of a file, or all if it has fewer: memory for those that are there. Raises OSError as open_file."""
    parts, left = [], length
    with open_file(path) as file:
        while left and (part := file.read(min(left, 2**20))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def parse_json(text: str | bytes, *, constants: bool = False, levels: int = 100) -> Any:
    """The value of a JSON text in UTF-8.

    constants: whether NaN, Infinity and -Infinity, which JSON has not, but Python writes, may be there.
    levels: how many objects and arrays may lie in each other. Python's recursion limit holds as well.
    Raises ValueError, saying why; also for a name that stands twice in an object.
    """
    try:
        value = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_object,
            parse_constant=None if constants else _refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    if _is_deeper(value, levels):
        raise ValueError(f"its JSON is nested too deeply: more than {levels} levels")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    within = [value]
    for _ in range(levels):
        containers = [part for part in within if isinstance(part, dict | list)]
        within = [part for each in containers for part in (each.values() if isinstance(each, dict) else each)]
    return any(isinstance(part, dict | list) for part in within)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        for name, _ in pairs:
            if content.pop(name, pairs) is pairs:  # it was met before, and is gone since
                raise ValueError(f"its JSON has {shown(name)} twice in one object")
    return content


def _refuse_constant(text: str) -> None:
    raise ValueError(f"its JSON has {text}, which is no JSON")

"""Careful file access: writes leave the old or the new file intact, and reads trust nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import reprlib
import stat
import sys
from pathlib import Path
from typing import IO, Any

# "", or what to say where an operation's formula, the first line of its docstring, is missing.
NO_FORMULAS = (
    "python -OO has removed the docstrings, and with them the formulas; run it without -OO"
    if sys.flags.optimize > 1
    else ""
)

# --- writing ----------------------------------------------------------------------------------------------------------

PART = ".part"  # the suffix of a file that is being written; a crash may leave one behind, which is useless


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file, so that at any time its path holds either the old content or all of the new.

    The new content is on the disk when this returns, even if power fails then.
    Raises OSError, also if other bytes are read back; the old file is then intact.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    try:
        part.unlink(missing_ok=True)  # it could be a link to another file
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if part.read_bytes() != data:
            raise OSError(errno.EIO, "other bytes are read back than were written", str(part))
        part.replace(path)
        _sync_folder(path.parent)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_output(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that the user has named: through a link to its target, and into a device or a pipe, as programs do.

    Raises OSError that says which file could not be written, and why.
    """
    file = Path(path)
    try:
        if file.exists() and not file.is_file():
            file.write_bytes(data)
        else:
            write_atomically(Path(os.path.realpath(file)), data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise OSError(f"cannot write {os.fspath(path)} ({reason}); choose another place") from None


def _sync_folder(folder: Path) -> None:
    """Write the folder's entries, with the new name, to the disk. Not every system can do this, or needs it."""
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
    """A value from a file, on one short line, for an error message."""
    return _REPR.repr(value)


def open_file(path: str | os.PathLike[str]) -> IO[bytes]:
    """Open a file to read bytes. Raises OSError, also for a pipe, socket or device, without waiting for it."""
    without_waiting = getattr(os, "O_NONBLOCK", 0)  # opening a pipe would wait for a writer
    file = open(path, "rb", buffering=0, opener=lambda path, flags: os.open(path, flags | without_waiting))  # noqa: SIM115
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "It is not a file, but a pipe, a socket or a device", os.fspath(path))
    return file


def read_file(path: str | os.PathLike[str], at_most: int) -> bytes:
    """A file's bytes. Raises OSError as open_file does, ValueError if there are more than at_most."""
    content = read_beginning(path, at_most + 1)
    if len(content) > at_most:
        raise ValueError(f"it has more than {at_most:,} bytes, the most that such a file can have")
    return content


def read_beginning(path: str | os.PathLike[str], length: int) -> bytes:
    """The first bytes of a file, at most this many; uses no more memory than that. Raises OSError as open_file does."""
    parts, left = [], length
    with open_file(path) as file:
        while left and (part := file.read(min(left, 2**20))):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def parse_json(text: str | bytes, *, constants: bool = False, levels: int = 100) -> Any:
    """The value of a JSON text in UTF-8.

    constants: allow NaN, Infinity and -Infinity, which Python writes although JSON does not have them.
    levels: how deep objects and arrays may be nested, within Python's recursion limit.
    Raises ValueError that says why, also if an object has a name twice.
    """
    try:
        value = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_object,
            parse_constant=None if constants else _refuse_constant,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from None
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
            if content.pop(name, pairs) is pairs:  # popped before, so it appears twice
                raise ValueError(f"its JSON has {shown(name)} twice in one object")
    return content


def _refuse_constant(text: str) -> None:
    raise ValueError(f"it has {text}, which JSON does not allow")

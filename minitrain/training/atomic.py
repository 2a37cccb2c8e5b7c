"""Files that are there whole or not at all: written beside their place, read back from it, and only then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

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

"""A text file that grows by whole lines, such as a run's tables and log."""

from __future__ import annotations

import contextlib
import errno
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from minitrain.files import write_atomically


class Place(NamedTuple):
    """A position in a file: how many bytes come before it, and their CRC-32."""

    length: int
    crc: int


class LineFile:
    """Lines wait in memory until they are flushed; if that fails, they wait for the next flush."""

    def __init__(self, path: Path, content: bytes) -> None:
        write_atomically(path, content)
        self._waiting = bytearray()
        self._file = path.open("r+b", buffering=0)
        try:
            if not os.path.samestat(self.stat(), path.lstat()):
                raise OSError(errno.ELOOP, "It was replaced by a link", str(path))
        except OSError:
            self._file.close()
            raise
        self.place = Place(len(content), zlib.crc32(content))

    def append(self, line: str) -> None:
        """Add a line, to be written by the next flush."""
        self._waiting += f"{line}\n".encode()

    def flush(self) -> None:
        """Write the waiting lines. Raises OSError, after which the file ends with a whole line."""
        if not self._waiting:
            return
        try:
            self._file.seek(self.place.length)
            rest = memoryview(bytes(self._waiting))
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(self.place.length)
            raise
        self.place = Place(self.place.length + len(self._waiting), zlib.crc32(self._waiting, self.place.crc))
        self._waiting.clear()

    def sync(self) -> None:
        """Wait until the flushed lines are on the disk."""
        os.fsync(self._file.fileno())

    def stat(self) -> os.stat_result:
        """That of the open file, whatever its path is now."""
        return os.fstat(self._file.fileno())

    def content(self) -> bytes:
        """All lines, read through the open file: its path may be gone."""
        self._file.seek(0)
        return (self._file.read(self.place.length) or b"") + self._waiting

    def close(self) -> None:
        """Write the waiting lines if possible, and close the file."""
        if not self._file.closed:
            with contextlib.suppress(OSError):
                self.flush()
            self._file.close()

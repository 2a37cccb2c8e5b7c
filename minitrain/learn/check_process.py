"""Runs a learner's piece in place of the library's: a script, which child_process.py starts as a separate process.

It reads from standard input what to run, and writes its answers to standard output. An answer is a start byte, a line
of JSON, and as many bytes of arrays as the line says. What the learner's code prints becomes answers, too. When the
time is up, or the interpreter crashes, the last output is Python's own traceback. minitrain is imported only after the
loader for the learner's piece is installed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib.abc
import importlib.util
import io
import json
import marshal
import os
import sys
import threading
import traceback
import types
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

BEGIN = b"\x1e"  # the first byte of an answer; Python's own tracebacks do not begin with it
PRINTED_AT_MOST = 4000  # characters
MEMORY = 2 << 30  # bytes that the process may write to
ADDRESS_SPACE = 8 << 30  # bytes; more, since libraries reserve some without using it


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a package from its folder, and one of its modules from the code that splice.py compiled.

    code: that module's code; if it is empty, the module is imported from its file as usual.
    Put it first in sys.meta_path, in a process that has not imported the package.
    """

    def __init__(self, package: Path, module: str, path: Path, code: Sequence[types.CodeType]) -> None:
        self._package, self._module, self._path, self._code = package, module, path, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec; None leaves the module to the other finders."""
        if fullname == self._package.name:
            return importlib.util.spec_from_file_location(
                fullname, self._package / "__init__.py", submodule_search_locations=[str(self._package)]
            )
        if fullname == self._module and self._code:
            return importlib.util.spec_from_file_location(fullname, self._path, loader=self)
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the spliced code as the module's code."""
        for code in self._code:
            exec(code, module.__dict__)


class Channel:
    """Writes answers to a file descriptor. A fork of the process writes nothing."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._lock = threading.RLock()
        self._process = os.getpid()

    def send(self, answer: Mapping[str, Any], arrays: bytes = b"") -> None:
        """Write one answer, immediately."""
        if os.getpid() != self._process:
            return
        data = BEGIN + json.dumps({**answer, "bytes": len(arrays)}).encode() + b"\n" + arrays
        with self._lock:
            while data:
                data = data[os.write(self.descriptor, data) :]


class Printed(io.TextIOBase):
    """Replaces stdout and stderr: sends what is printed as answers, up to a limit."""

    encoding = "utf-8"

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._left = PRINTED_AT_MOST

    def writable(self) -> bool:
        """True."""
        return True

    def write(self, text: str) -> int:
        """Send the text, or as much of it as the limit allows."""
        if self._left > 0 and text:
            shown = text[: self._left]
            self._left -= len(shown)
            self._channel.send({"printed": shown, "cut": self._left == 0})
        return len(text)


def described(error: BaseException) -> dict[str, Any]:
    """An exception as JSON values: its type, message, notes, and traceback with the arrays' shapes."""
    try:
        message = str(error)[:1000]
    except Exception:
        message = ""
    frames = list(traceback.walk_tb(error.__traceback__))[-200:]
    return {
        "type": type(error).__name__,
        "message": message,
        "frames": [[frame.f_code.co_filename, line, frame.f_code.co_name, _shapes(frame)] for frame, line in frames],
        "notes": [str(note) for note in getattr(error, "__notes__", [])],
        "function": str(getattr(error, "function", "")),
    }


def _shapes(frame: types.FrameType) -> str:
    """The shapes of the arrays in a frame, such as "a (3, 4), b (4,)"."""
    arrays = {name: value for name, value in frame.f_locals.items() if hasattr(value, "dtype")}
    shapes = {name: getattr(value, "shape", None) for name, value in arrays.items()}
    return ", ".join([f"{name} {shape}" for name, shape in shapes.items() if type(shape) is tuple][:8])


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows, and not above an existing limit
        import resource

        limits = {resource.RLIMIT_AS: ADDRESS_SPACE, resource.RLIMIT_DATA: MEMORY, resource.RLIMIT_CORE: 0}
        for kind, limit in limits.items():
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))


def main() -> None:
    """Import the piece (stage ""), run the requested stages, and answer for each, until one fails."""
    channel = Channel(os.dup(1))
    os.dup2(2, 1)  # anything else written to stdout (by C code, or by processes that the learner starts) goes to stderr
    package, module, path, code, exercise, stages, limit = marshal.loads(sys.stdin.buffer.read())
    faulthandler.enable(channel.descriptor)
    _limit_memory()
    sys.stdout = sys.stderr = Printed(channel)
    sys.meta_path.insert(0, Finder(Path(package), module, Path(path), code))
    for stage in ("", *stages):
        faulthandler.dump_traceback_later(limit, exit=True, file=channel.descriptor)
        try:
            from minitrain.learn.exercises import EXERCISES, packed  # stage "": with a time limit of its own

            answer, arrays = EXERCISES[exercise].run(stage) if stage else ({}, b"")
            channel.send({"stage": stage, **answer}, arrays)
        except BaseException as error:  # including SystemExit from the learner's code
            before = getattr(error, "arrays", None)
            arrays = packed(before) if before else b""
            channel.send({"stage": stage, "error": described(error)}, arrays)
            break
    faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()

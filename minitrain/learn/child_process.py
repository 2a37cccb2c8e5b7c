"""Starts the process in which a learner's piece runs (check_process.py), and reads its answers."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import queue
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from minitrain.learn.check_process import BEGIN
from minitrain.learn.exercises import PACKAGE, Exercise, unpacked
from minitrain.learn.screen import STAGE_WIDTH
from minitrain.learn.splice import Piece
from minitrain.ops import Array

GRACE = 5.0  # seconds beyond the limit, so that the process can report where it was
TORCH_LIMIT = 120.0  # seconds
PRINTED_LINES = 12


class Child:
    """A process that runs a learner's piece. As a context manager, it ends the process when it exits."""

    def __init__(
        self,
        exercise: Exercise,
        piece: Piece,
        code: Sequence[types.CodeType],
        stages: Sequence[str],
        limit: float,
    ) -> None:
        self.arrays: dict[str, Array] = {}
        self._limit = limit
        self._printed: list[str] = []
        self._errors = b""
        self._answers: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
        one_thread = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", str(Path(__file__).with_name("check_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **one_thread},
            start_new_session=True,
        )
        request = (str(PACKAGE), piece.module, str(piece.path), list(code), exercise.name, list(stages), limit)
        for task in (self._read_answers, self._read_errors):
            threading.Thread(target=task, daemon=True).start()
        with contextlib.suppress(OSError), self._stream("stdin") as stdin:  # answer() reports a process that died
            stdin.write(marshal.dumps(request))

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def _stream(self, name: str) -> Any:
        return getattr(self._process, name)

    def end(self) -> int:
        """End the process and its own child processes; returns its exit status."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        return self._process.wait()

    def _read_answers(self) -> None:
        with self._stream("stdout") as stream:
            while (begin := stream.read(1)) == BEGIN:
                answer = json.loads(stream.readline())
                self._answers.put((answer, stream.read(answer["bytes"])))
            self._answers.put(({"died": (begin + stream.read()).decode("utf-8", "replace")}, b""))

    def _read_errors(self) -> None:
        with self._stream("stderr") as stream:
            while block := stream.read1(65536):
                self._errors = (self._errors + block)[-4000:]

    def answer(self) -> dict[str, Any]:
        """The next answer. If the process ended instead: {"died": its last output, "status": its exit status, ...}."""
        self._printed = []
        while True:
            try:
                answer, data = self._answers.get(timeout=self._limit + GRACE)
            except queue.Empty:
                return {"died": "Timeout", "status": self.end()}
            if "printed" in answer:
                self._printed.append(answer["printed"] + ("\n[more output is not shown]" if answer["cut"] else ""))
                continue
            if "died" in answer:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1)
                answer |= {"status": self.end(), "errors": self._errors.decode("utf-8", "replace")}
            if data:
                self.arrays = unpacked(data)
            return answer

    def printed(self) -> str:
        """What the learner's code printed before the last answer, as indented lines."""
        lines = "".join(self._printed).rstrip().splitlines()
        if len(lines) > PRINTED_LINES:
            lines = [*lines[:PRINTED_LINES], f"[{len(lines) - PRINTED_LINES} more lines]"]
        return "\nOutput:" + "".join(f"\n  | {line[: STAGE_WIDTH - 4]}" for line in lines) if lines else ""


# By exercise: torch's values never change, and importing torch takes a second.
_TORCHS: dict[str, dict[str, Array] | str] = {}


@contextlib.contextmanager
def torch_values(exercise: Exercise) -> Iterator[Callable[[], dict[str, Array] | str]]:
    """Compute torch's values for an exercise in a separate process.

    Yields a function that waits for them. It returns the values by label, or a text that says why there are none.
    """
    name = exercise.name
    if name in _TORCHS:
        yield lambda: _TORCHS[name]
        return

    def wait() -> dict[str, Array] | str:
        answer = child.answer()
        if "died" in answer:
            return f"torch's process ended with status {answer['status']}: {answer['died']}"
        if "error" in answer:
            _TORCHS[name] = "torch cannot be used: {type}: {message}".format(**answer["error"])
        else:
            _TORCHS[name] = child.arrays
        return _TORCHS[name]

    with Child(exercise, exercise.piece, [], ["torch"], TORCH_LIMIT) as child:
        yield wait

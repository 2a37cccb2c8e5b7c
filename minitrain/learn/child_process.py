"""Starts the process in which a learner's piece runs (check_process.py), and reads its answers."""

from __future__ import annotations

import contextlib
import io
import marshal
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import types
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from minitrain.files import parse_json
from minitrain.learn.check_process import BEGIN
from minitrain.learn.exercises import PACKAGE, Exercise, unpacked
from minitrain.learn.screen import STAGE_WIDTH
from minitrain.learn.splice import Piece
from minitrain.ops import Array

GRACE = 5.0  # seconds beyond the limit, so that the process can report where it was
LOOK = 0.2  # seconds between two looks at whether the process still runs
TORCH_LIMIT = 120.0  # seconds
PRINTED_LINES = 12
LARGEST = 2**24  # bytes of all answers of a process; the largest results have 33 kB
LAST_WORDS = 2**16  # bytes of a traceback by Python's fault handler
ROUNDS = 50  # looks at the processes that are left, while they start others
MARK = "MINITRAIN_CHECK"  # the environment variable that marks the processes of a check
NOT_AN_ANSWER = (
    "The process of the check wrote something that is not an answer. Your code must not write to the check's own file "
    "descriptors. print() is shown, and files that you open are yours."
)
TOO_LONG = f"The process of the check wrote more than {LARGEST >> 20} MiB to the check, so it was ended."


class Child:
    """A process that runs a learner's piece. As a context manager, it ends the process when it exits.

    Whatever the process writes, an answer has the form that check_process.py gives it, or is refused. On Linux, the
    processes that the learner's code started end with it even if they have a session of their own: they inherit an
    environment variable that marks them.
    """

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
        self._stages = ["", *stages]  # still to be answered
        self._has_ended = False
        self._answers: queue.SimpleQueue[tuple[dict[str, Any], dict[str, Array]]] = queue.SimpleQueue()
        self._mark = uuid.uuid4().hex
        one_thread = dict.fromkeys(["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"], "1")
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", str(Path(__file__).with_name("check_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **one_thread, MARK: self._mark},
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
        """End the process and all that it started, even if it has ended itself; returns its exit status."""
        if not self._has_ended:
            self._has_ended = True
            with contextlib.suppress(OSError):  # nothing of the group is left
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
            _end_marked(f"{MARK}={self._mark}".encode())
        return self._process.wait()

    def _is_running(self) -> bool:
        """Whether the process runs. Does not reap it: until then the number of its group belongs to no other."""
        if self._has_ended or not hasattr(os, "waitid"):
            return self._process.poll() is None
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def _read_answers(self) -> None:
        with self._stream("stdout") as stream:
            for answer in read_answers(stream):
                self._answers.put(answer)

    def _read_errors(self) -> None:
        with self._stream("stderr") as stream:
            while block := stream.read1(65536):
                self._errors = (self._errors + block)[-4000:]

    def answer(self) -> dict[str, Any]:
        """The answer of the next stage.

        If the process ended instead: {"died": its last output, "status": its exit status, "errors": ...}. If it wrote
        something that is not an answer: {"refused": what happened}. Each stage has one deadline, whatever is printed.
        """
        self._printed = []
        answer = self._answer()
        if answer.get("stage") == "" and "error" not in answer:  # the piece was imported
            answer = self._answer()
        return answer

    def _answer(self) -> dict[str, Any]:
        deadline, ended = time.monotonic() + self._limit + GRACE, False
        while time.monotonic() < deadline:
            try:
                answer, arrays = self._answers.get(timeout=LOOK)
            except queue.Empty:
                if not ended and not self._is_running():  # what it left behind may hold the pipe open
                    deadline, ended = time.monotonic() + GRACE, True
                    self.end()
                continue
            if "printed" in answer:
                self._printed.append(answer["printed"] + ("\n[more output is not shown]" if answer["cut"] else ""))
                continue
            if "died" in answer:
                return self._died(answer["died"])
            if "stage" in answer and answer["stage"] != self._stages.pop(0):
                answer = {"refused": NOT_AN_ANSWER}
            if "refused" in answer:
                self.end()
            self.arrays = arrays or self.arrays
            return answer
        return self._died("" if ended else "Timeout")

    def _died(self, words: str) -> dict[str, Any]:
        patience = time.monotonic() + (0 if words == "Timeout" else 1)
        while self._is_running() and time.monotonic() < patience:  # it has closed the pipe, so it is about to end
            time.sleep(0.01)
        return {"died": words, "status": self.end(), "errors": self._errors.decode("utf-8", "replace")}

    def printed(self) -> str:
        """What the learner's code printed before the last answer, as indented lines."""
        lines = "".join(self._printed).rstrip().splitlines()
        if len(lines) > PRINTED_LINES:
            lines = [*lines[:PRINTED_LINES], f"[{len(lines) - PRINTED_LINES} more lines]"]
        return "\nOutput:" + "".join(f"\n  | {line[: STAGE_WIDTH - 4]}" for line in lines) if lines else ""


def read_answers(stream: IO[bytes]) -> Iterator[tuple[dict[str, Any], dict[str, Array]]]:
    """The answers in a stream, each with its arrays, in the form that check_process.py gives them.

    The last one is {"died": Python's last words} at the end of the stream, or {"refused": why} at the first thing that
    is not an answer. Reads no more than LARGEST bytes, and no more than one answer at a time.
    """
    left = LARGEST
    while (begin := stream.read(1)) == BEGIN:
        line = stream.readline(left)
        left -= len(line)
        try:
            answer = parse_json(line, constants=True)
            size = answer.pop("bytes")
            if not (_is_answer(answer) and type(size) is int and size >= 0):
                raise ValueError("it has other keys or types")
            left -= size
            data = stream.read(size) if left >= 0 else b""
            arrays = _unpacked(data) if data else {}
        except Exception:  # the learner's code may have written anything, a damaged archive for example
            yield {"refused": NOT_AN_ANSWER if left > 0 else TOO_LONG}, {}
            return
        if left < 0:
            yield {"refused": TOO_LONG}, {}
            return
        yield answer, arrays
    words = begin + (stream.read(LAST_WORDS) if begin in (b"T", b"F") else b"")
    died = not words or words.startswith((b"Timeout", b"Fatal Python error"))
    yield {"died": words.decode("utf-8", "replace")} if died else {"refused": NOT_AN_ANSWER}, {}


def _unpacked(data: bytes) -> dict[str, Array]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(file.file_size for file in archive.infolist()) > len(data):
            raise ValueError("it is compressed, and has no bound")
    return unpacked(data)


def _is_answer(answer: dict[str, Any]) -> bool:
    """Whether an answer has the keys and types that the check relies on."""
    match answer:
        case {"printed": str(), "cut": bool()}:
            return True
        case {"stage": str(), "error": error}:
            return _is_error(error)
        case {"stage": "training", "losses": [*losses]}:
            return all(isinstance(loss, float) for loss in losses)
        case {"stage": "values", "wrong": str(), "new_memory": [*lines]}:
            return all(isinstance(line, int) for line in lines)
        case {"stage": "values", "wrong": None, "right": str(), "measured": int(), "new_memory": [*lines]}:
            return all(isinstance(line, int) for line in lines)
        case {"stage": "" | "torch"}:
            return True
    return False


def _is_error(error: Any) -> bool:
    match error:
        case {"type": str(), "message": str(), "function": str(), "notes": [*notes], "frames": [_, *_] as frames}:
            parts = [[type(part) for part in frame] for frame in frames if isinstance(frame, list)]
            return all(isinstance(note, str) for note in notes) and parts == [[str, int, str, str]] * len(frames)
    return False


def _end_marked(mark: bytes) -> None:
    """End the processes whose environment has this entry, in any session; does nothing where /proc does not exist."""
    for _ in range(ROUNDS):
        found = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _environment(path)]
        if not found:
            return
        for number in found:
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.01)


def _environment(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().split(b"\0")
    except OSError:  # it has ended, or belongs to someone else
        return []


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
        if "refused" in answer:
            return f"torch's process gave no result: {answer['refused']}"
        if "died" in answer:
            return f"torch's process ended with status {answer['status']}: {answer['died']}"
        if "error" in answer:
            _TORCHS[name] = "torch cannot be used: {type}: {message}".format(**answer["error"])
        else:
            _TORCHS[name] = child.arrays
        return _TORCHS[name]

    with Child(exercise, exercise.piece, [], ["torch"], TORCH_LIMIT) as child:
        yield wait

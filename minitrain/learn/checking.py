"""The check of a learner's file: the piece in the library's place, held against measurement, torch and a real run.

The learner's code runs in a process of its own (check_process.py), never here. Its results are judged here, beside
those of the library's own piece. Whatever a learner wrote, a check ends with a message about it.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import marshal
import math
import os
import queue
import re
import signal
import subprocess
import sys
import textwrap
import threading
import tokenize
import types
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minitrain.learn.check_process import BEGIN
from minitrain.learn.exercises import PACKAGE, Exercise, unpacked
from minitrain.learn.screen import ASCII, BLOCKS, plot
from minitrain.learn.splice import Piece, SpliceError, splice
from minitrain.ops import Array

LIMIT = 10.0  # seconds for a stage of a check
GRACE = 5.0  # beyond the limit, for the child to say where it was
TORCH_LIMIT = 120.0
WIDTH = 71
PRINTED_LINES = 12
CLOSE = {"float32": (1e-4, 1e-5), "float64": (1e-7, 1e-10)}  # rtol, atol for the library's values
CLOSE_TO_TORCH = {"float32": (1e-4, 1e-5), "float64": (1e-6, 1e-8)}  # a measured gradient is among the values
CURVES_APART = 1e-3  # relative; rounding in another order makes about 1e-6


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a check and what came of it, in words.

    name: "file"; "gradcheck", "updates" or "values", as the piece is; "torch"; "training".
    """

    name: str
    passed: bool
    text: str


def check(
    exercise: Exercise, path: str | os.PathLike[str], *, torch: bool | None = None, limit: float = LIMIT
) -> Iterator[Stage]:
    """Check a learner's file, stage by stage; a stage that fails is the last.

    torch: whether to compare with torch. None: if it is installed; True: fail if it is not.
    limit: seconds after which a stage is ended.
    Never raises for what stands in the file, or is not there.
    """
    path = Path(path)
    piece = exercise.piece
    try:
        source = _read(path)
        code = splice(piece, source, str(path))
    except SpliceError as error:
        yield Stage("file", False, _at(path, error.line, source if error.line else "") + _wrapped(str(error)))
        return
    yield Stage("file", True, f"{piece.name} of this file stands in for the one of {piece.module}")

    learners = _Learners(path, source, piece, limit)
    with contextlib.ExitStack() as running:
        child = running.enter_context(_Child(exercise, piece, code, ["values", "training"], limit))
        twins = None
        if torch is not False and (torch or find_spec("torch") is not None):
            twins = running.enter_context(_Twins(exercise))
        stage = _values(exercise, child, learners)
        yield stage
        if not stage.passed:
            return
        if twins is None:
            yield Stage("torch", True, "skipped: " + ("not asked for" if torch is False else "torch is not installed"))
        else:
            stage = _against_torch(exercise, child.arrays, twins, required=bool(torch))
            yield stage
            if not stage.passed:
                return
        yield _training(exercise, child, learners)


def _read(path: Path) -> str:
    """The file's text; raises SpliceError where there is none."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except FileNotFoundError:
        raise SpliceError(f"{path} is not there") from None
    except OSError as error:
        raise SpliceError(f"{path} cannot be read: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise SpliceError("this is not text in UTF-8; save it as that") from None


# --- the stages -------------------------------------------------------------------------------------------------------


def _undiagnosed(report: str) -> str:
    """A report without what is likely wrong: where a bug is to be found, that is the learner's part."""
    kept, diagnosis = [], False
    for line in report.splitlines():
        diagnosis = line.strip().startswith(("Likely:", "Or:")) or (diagnosis and line.startswith("    "))
        if not diagnosis:
            kept.append(line)
    return "\n".join([*kept, "Why, is yours to find. Run the file; gradcheck tells more, and so do the hints."])


def _values(exercise: Exercise, child: _Child, learners: _Learners) -> Stage:
    """What measuring says of the piece, and what differs from the library's values."""
    kinds = {probe.kind for probe in exercise.probes}
    name = next(kind for kind in ("gradcheck", "updates", "values") if kind in kinds)
    expected = exercise.expected  # computed here while the child computes its own
    answer = child.answer()
    if trouble := learners.trouble(answer):
        return Stage(name, False, trouble + child.printed())
    found = [answer["wrong"], _difference(child.arrays, expected, CLOSE, "the library has")]
    if learners.piece.function_name == "forward":  # a wrong result first, then what it means for backward
        results = {label: array for label, array in expected.items() if label.endswith("\ny")}
        saved = [f"{SAVED_WRONGLY}\n{text}" for text in found if text]
        found = [_difference(child.arrays, results, CLOSE, "the library has"), *saved]
    wrong = next((text for text in found if text), None)
    if wrong is not None:
        told = _undiagnosed(wrong) if exercise.bug else wrong
        return Stage(name, False, _wrapped(told) + child.printed())
    right = [answer["right"]] if answer["right"] else []
    if answer["measured"]:
        right.append(f"{answer['measured']} derivatives are what is measured")
    right.append(f"{len(expected)} results are the library's, to 7 digits (float32: 4)")
    return Stage(name, True, "\n".join(right) + child.printed())


def _against_torch(exercise: Exercise, arrays: Mapping[str, Array], twins: _Twins, *, required: bool) -> Stage:
    """What differs from torch's values."""
    expected = twins.arrays()
    if isinstance(expected, str):
        return Stage("torch", not required, _wrapped(expected if required else f"skipped: {expected}"))
    if not expected:
        return Stage("torch", True, "skipped: torch has no twin of this piece")
    wrong = _difference(arrays, expected, CLOSE_TO_TORCH, "torch has")
    if wrong is not None:
        return Stage("torch", False, _wrapped(wrong))
    return Stage("torch", True, f"{len(expected)} results are torch's, to 6 digits (float32: 4)")


def _training(exercise: Exercise, child: _Child, learners: _Learners) -> Stage:
    """The losses of a training run beside those of the library's own."""
    library = exercise.expected_losses
    answer = child.answer()
    if trouble := learners.trouble(answer):
        return Stage("training", False, trouble + child.printed())
    yours: list[float] = answer["losses"]
    finite = [loss for loss in library + yours if math.isfinite(loss)]
    low, high = min(finite), max(finite)
    blocks = BLOCKS if _encodable(BLOCKS) else ASCII
    curves = [
        f"{title}\n{plot(losses, low, high, width=60, height=4, blocks=blocks)}"
        for title, losses in ((f"the loss with your {learners.piece.name}", yours), ("with the library's", library))
    ]
    apart = max((abs(a - b) / abs(b) for a, b in zip(yours, library, strict=False)), default=math.inf)
    if len(yours) != len(library):
        verdict = f"There are {len(yours)} losses, where the library has {len(library)}."
    elif not all(map(math.isfinite, yours)):
        bad = next(i for i, loss in enumerate(yours) if not math.isfinite(loss))
        verdict = (
            f"The loss is {yours[bad]} from batch {bad + 1} on. `with minitrain.autograd.detect_anomaly():` around the "
            "steps of a program names the operation that has made the first one."
        )
    elif apart > CURVES_APART:
        parted = next(i for i, (a, b) in enumerate(zip(yours, library, strict=True)) if abs(a - b) > CURVES_APART * b)
        verdict = f"They part at batch {parted + 1}: {yours[parted]:.6g}, where the library has {library[parted]:.6g}."
    else:
        verdict = (
            f"They agree in all {len(yours)} losses: {apart:.1g} apart at most, where {CURVES_APART:g} is allowed."
        )
        return Stage("training", True, "\n".join([*curves, verdict]) + child.printed())
    return Stage("training", False, "\n".join([*curves, _wrapped(verdict)]) + child.printed())


def _encodable(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


# --- comparing --------------------------------------------------------------------------------------------------------


def _difference(
    got: Mapping[str, Array], expected: Mapping[str, Array], close: Mapping[str, tuple[float, float]], theirs: str
) -> str | None:
    """The first difference, in words; None if there is none."""
    for label, right in expected.items():
        case, _, what = label.rpartition("\n")
        begin = f"In the case: {case}\n" if case else ""
        if label not in got:
            return f"{begin}There is no result for {what}."
        array = got[label]
        if array.shape != right.shape:
            return f"{begin}{what} has shape {list(array.shape)}, where {theirs} {list(right.shape)}."
        if right.dtype == bool:
            wrong = array != right
            if wrong.any():
                answers = ", ".join("yes" if value else "no" for value in array.flat)
                return f"{begin}{what}: {answers}; expected {', '.join('yes' if x else 'no' for x in right.flat)}."
            continue
        if what == "y" and array.dtype != right.dtype:
            return (
                f"{begin}y has dtype {array.dtype}, where {theirs} {right.dtype}: an operation does not change its "
                "input's float type. (np.zeros and np.ones make float64 unless told a dtype.)"
            )
        rtol, atol = close["float32" if np.float32 in (array.dtype, right.dtype) else "float64"]
        wrong = ~np.isclose(array, right, rtol=rtol, atol=atol, equal_nan=True)
        if wrong.any():
            return begin + _numbers_that_differ(what, array, right, wrong, theirs)
    return None


def _numbers_that_differ(what: str, array: Array, right: Array, wrong: Array, theirs: str) -> str:
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    place = f"{what} at {list(index)}" if index else what
    text = f"{place} is {array[index]:.8g}, where {theirs} {right[index]:.8g}."
    if wrong.size > 1:
        text += f" {int(wrong.sum())} of {wrong.size} numbers differ."
    if 1 < wrong.size <= 15 and array.ndim <= 2:
        for name, values in (("yours", array), (theirs.removesuffix(" has"), right)):
            text += f"\n{name}:\n" + textwrap.indent(np.array2string(values, precision=4, suppress_small=True), "    ")
    return text


# --- the child process ------------------------------------------------------------------------------------------------


class _Child:
    """A process that runs a learner's piece; a context manager, which ends it."""

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
        with contextlib.suppress(OSError), self._stream("stdin") as stdin:  # if it has died, the answer will say so
            stdin.write(marshal.dumps(request))

    def __enter__(self) -> _Child:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def _stream(self, name: str) -> Any:
        return getattr(self._process, name)

    def end(self) -> int:
        """End it, and what it has started; returns its exit status."""
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
        """Its next answer; or {"died": its last words, "status": ...}."""
        self._printed = []
        while True:
            try:
                answer, data = self._answers.get(timeout=self._limit + GRACE)
            except queue.Empty:
                return {"died": "Timeout", "status": self.end()}
            if "printed" in answer:
                self._printed.append(answer["printed"] + ("\n[the rest is left out]" if answer["cut"] else ""))
                continue
            if "died" in answer:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=1)
                answer |= {"status": self.end(), "errors": self._errors.decode("utf-8", "replace")}
            if "labels" in answer:
                self.arrays = unpacked(answer["labels"], data)
            return answer

    def printed(self) -> str:
        """What was printed before the last answer, as lines to go below it."""
        lines = "".join(self._printed).rstrip().splitlines()
        if len(lines) > PRINTED_LINES:
            lines = [*lines[:PRINTED_LINES], f"[{len(lines) - PRINTED_LINES} more lines]"]
        return "\nIt printed:" + "".join(f"\n  | {line[: WIDTH - 4]}" for line in lines) if lines else ""


_TORCHS: dict[
    str, dict[str, Array] | str
] = {}  # by exercise: torch's values never change, and importing it takes a second


class _Twins:
    """torch's values for an exercise, computed in a process of its own; a context manager, which ends it."""

    def __init__(self, exercise: Exercise) -> None:
        self._name = exercise.name
        self._child = None
        if exercise.name not in _TORCHS:
            self._child = _Child(exercise, exercise.piece, [], ["torch"], TORCH_LIMIT)

    def __enter__(self) -> _Twins:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._child is not None:
            self._child.end()

    def arrays(self) -> dict[str, Array] | str:
        """The values by name; in words why there are none."""
        if self._child is not None:
            answer = self._child.answer()
            if "labels" in answer:
                _TORCHS[self._name] = self._child.arrays
            elif "error" in answer:
                error = answer["error"]
                _TORCHS[self._name] = f"torch cannot be used: {error['type']}: {error['message']}"
            else:
                return f"torch has ended with status {answer['status']}: {answer['died']}"
            self._child.end()
            self._child = None
        return _TORCHS[self._name]


# --- what went wrong in a learner's code, in words --------------------------------------------------------------------

READ_ONLY = (
    "What is passed in, and what forward has saved, belongs to others as well, and must not be written. Make a new "
    "array: x = x * 2 where you have x *= 2; for parts of it, begin with a copy."
)
NONE_SAVED = (
    "Something here is None: an input that may be left out, such as a bias, or what forward has not saved since nobody "
    "asks for the gradient that needs it (ctx.needs_input_grad)."
)
SAVED_WRONGLY = "y is right. But backward, which is given, makes a wrong gradient of what forward has left on ctx."
LEFT_FOR_BACKWARD = (
    "backward takes what it needs from ctx. forward has to leave it there: arrays with ctx.save_for_backward(...), in "
    "the order in which backward takes them from ctx.saved_arrays, and anything else as an attribute, ctx.shape = ..."
)
# The exception's type, what its message holds, what the line holds, and what to say of it.
EXPLANATIONS = (
    ("ValueError", "read-only", "", READ_ONLY),
    ("ValueError", "values to unpack", "saved_arrays", LEFT_FOR_BACKWARD),
    ("AttributeError", "'Context' object has no attribute", "", LEFT_FOR_BACKWARD),
    ("TypeError", "'NoneType'", "", NONE_SAVED),
    ("AttributeError", "'NoneType'", "", NONE_SAVED),
    ("UFuncTypeError", "dtype('O')", "", NONE_SAVED),
    (
        "ValueError",
        "matmul: Input operand",
        "",
        "The shapes do not fit: (n, k) @ (k, m) is (n, m), with the same k in both.",
    ),
    ("MemoryError", "", "", "It asks for more memory than there is for a check."),
    (
        "RecursionError",
        "",
        "",
        "It calls itself without end, or too often for Python; a loop can go on as long as need be.",
    ),
    ("SystemExit", "", "", "A check cannot go on when its process ends: leave exit() and quit() away."),
    ("EOFError", "", "", "There is no keyboard in a check: leave input() and breakpoint() away; print() is shown."),
    ("BdbQuit", "", "", "There is no keyboard in a check: leave breakpoint() away; print() is shown."),
    (
        "ImportError",
        "partially initialized",
        "",
        "This file becomes part of a module that the other one is built on. Import it inside of the function.",
    ),
)


class _Learners:
    """A learner's file, and where in it something happened."""

    def __init__(self, path: Path, source: str, piece: Piece, limit: float) -> None:
        self.path, self.source, self.piece, self.limit = path, source, piece, limit
        self._tree = ast.parse(source)

    def trouble(self, answer: Mapping[str, Any]) -> str | None:
        """Why an answer is none, in words; None if it is one."""
        if "died" in answer:
            return self._death(answer)
        return self._error(answer["error"]) if "error" in answer else None

    def _error(self, error: Mapping[str, Any]) -> str:
        case = "".join(f"In the case: {note}\n" for note in error["notes"])
        kind, message = error["type"], error["message"]
        if kind == "ContractError":
            line = self._where_it_returns(error["function"] or self.piece.name)
            return case + (_at(self.path, line, self.source) if line else "") + _wrapped(message)
        lines = [(line, name) for file, line, name in error["frames"] if file == str(self.path)]
        if not lines:
            file, line, name = error["frames"][-1]
            what = f"{kind}: {message}" if message else kind
            return case + _wrapped(
                f"{what}\nThis was raised in {file}, line {line}, in {name}, with what your piece gave."
            )
        line, name = lines[-1]
        if kind == "NotImplementedError" and "raise NotImplementedError" in self._line(line):
            text = (
                "This is still to be written: your code goes where that line is. The docstring says what is asked for."
            )
            return _at(self.path, line, self.source) + _wrapped(text)
        text = case + _at(self.path, line, self.source, name) + _wrapped(f"{kind}: {message}" if message else kind)
        callers = list(dict.fromkeys(str(number) for number, _ in lines[:-1] if number != line))
        if callers:
            text += f"\n(called from line {', '.join(callers[-3:])})"
        for known, part, code, explanation in EXPLANATIONS:
            if kind == known and part in message and code in self._line(line):
                return f"{text}\n{_wrapped(explanation)}"
        return text

    def _death(self, answer: Mapping[str, Any]) -> str:
        words = answer["died"]
        file = str(self.path).encode("ascii", "backslashreplace").decode("ascii")
        found = re.search(rf'File "{re.escape(file[:490])}.*", line (\d+) in (\S+)', words)
        line, name = (int(found[1]), found[2]) if found else (None, "")
        where = _at(self.path, line, self.source, name) if line else ""
        if words.startswith("Timeout"):
            where = where or "It has not come back to this file, or has not been called. "
            return where + _wrapped(f"This was still running after {self.limit:g} s. Does every loop come to an end?")
        if words.startswith("Fatal Python error"):
            return where + _wrapped(f"The interpreter broke down here: {words.splitlines()[0]}.")
        exits = [
            node.lineno
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute | ast.Name)
            and (node.attr if isinstance(node, ast.Attribute) else node.id) in ("_exit", "abort", "kill", "execv")
        ]
        where = _at(self.path, exits[0], self.source) if exits else ""
        text = f"The process of the check has ended, with status {answer['status']}, before it could answer."
        errors = answer.get("errors", "").strip()
        return where + _wrapped(text + (f"\n{errors}" if errors else ""))

    def _line(self, number: int) -> str:
        lines = self.source.splitlines()
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def _where_it_returns(self, function: str) -> int | None:
        """The line of its only return; if there are none or several, that of its def."""
        holder, _, name = function.rpartition(".")
        nodes: list[ast.stmt] = self._tree.body
        if holder:
            nodes = [x for node in nodes if isinstance(node, ast.ClassDef) and node.name == holder for x in node.body]
        for node in nodes:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                returns = [x.lineno for x in ast.walk(node) if isinstance(x, ast.Return)]
                return returns[0] if len(returns) == 1 else node.lineno
        return None


def _at(path: Path, line: int | None, source: str, name: str = "") -> str:
    """A place in the learner's file, and its line."""
    if line is None:
        return f"{path.name}:\n"
    lines = source.splitlines()
    text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
    return f"{path.name}, line {line}{f', in {name}' if name else ''}:\n" + (f"    {text}\n" if text else "")


def _wrapped(text: str) -> str:
    """Lines of a readable length; what is indented stays so, and lines that were wrapped wider are wrapped anew."""
    lines: list[str] = []
    for line in text.splitlines():
        if lines and len(lines[-1]) > WIDTH and _indent(line) > _indent(lines[-1]) > 0:
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    wrapped = []
    for line in lines:
        further = " " * (_indent(line) + 2 * (_indent(line) > 0))
        wrapped += textwrap.wrap(line, WIDTH, subsequent_indent=further, break_long_words=False) or [""]
    return "\n".join(wrapped)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())

"""Checks a learner's file: puts the piece into the library, then measures it, compares it with torch, and trains.

The learner's code runs in a separate process (check_process.py), never here. This module judges its results, and
compares them with the library's own. Whatever the learner wrote, a check ends with a message about it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minitrain.learn.child_process import Child, torch_values
from minitrain.learn.compare_values import CLOSE, CLOSE_TO_TORCH, difference
from minitrain.learn.exercises import Exercise
from minitrain.learn.explain_errors import LearnerFile, place
from minitrain.learn.screen import ASCII, BLOCKS, is_encodable, plot, wrapped
from minitrain.learn.splice import SpliceError, splice
from minitrain.ops import Array

LIMIT = 10.0  # seconds for each stage of a check
SCREEN = 15  # lines of a report
CURVES_APART = 1e-3  # relative; a different order of rounding changes a loss by about 1e-6
SAVED_WRONGLY = "y is right. But backward, which is given, computes a wrong gradient from what forward saved on ctx."


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of a check: whether it passed, and the text to show.

    name: "file"; then "gradcheck", "updates" or "values", depending on the piece; "torch"; "training".
    rest: how many lines of a longer report the text leaves out. curves: the losses of the training runs, by title; the
    text begins with drawn(curves). arrays: the first result that differs, "yours" and the one it should be, by title.
    """

    name: str
    passed: bool
    text: str
    rest: int = 0
    curves: Mapping[str, Sequence[float]] = dataclasses.field(default_factory=dict)
    arrays: Mapping[str, Array] = dataclasses.field(default_factory=dict)


def check(
    exercise: Exercise,
    path: str | os.PathLike[str],
    *,
    source: str | None = None,
    torch: bool = True,
    limit: float = LIMIT,
    verbose: bool = False,
) -> Iterator[Stage]:
    """Check a learner's file, stage by stage; the first stage that fails is the last one.

    source: code that is not in a file (a notebook's cell); path is then its name in messages.
    torch: whether to compare with torch, if it is installed. limit: the time limit of each stage, in seconds.
    verbose: report everything that is wrong; otherwise the first thing, in at most SCREEN lines.
    Never raises, whatever the file contains, and even if it does not exist.
    """
    path = Path(path)
    piece = exercise.piece
    try:
        if source is None:
            source = _read(path)
        code = splice(piece, source, str(path))
    except SpliceError as error:
        yield Stage(
            "file", False, place(path, error.line, source if error.line and source else "") + wrapped(str(error))
        )
        return
    yield Stage("file", True, f"{piece.name} of this file replaces the one in {piece.module}")

    theirs: Any = contextlib.nullcontext("torch is not installed" if torch else "not asked for")
    if torch and find_spec("torch") is not None:
        theirs = torch_values(exercise)
    with Child(exercise, piece, code, ["values", "training"], limit) as child, theirs as expected:
        for stage in _stages(exercise, child, LearnerFile(path, source, piece, limit), expected):
            yield stage if verbose or stage.passed else _short(stage)
            if not stage.passed:
                return


def _stages(
    exercise: Exercise, child: Child, file: LearnerFile, theirs: Callable[[], dict[str, Array] | str] | str
) -> Iterator[Stage]:
    yield _values(exercise, child, file)
    yield _against_torch(child.arrays, theirs if isinstance(theirs, str) else theirs())
    yield _training(exercise, child, file)


def _read(path: Path) -> str:
    """The file's text; raises SpliceError if it cannot be read."""
    try:
        with tokenize.open(path) as file:
            return file.read()
    except FileNotFoundError:
        raise SpliceError(f"{path} does not exist") from None
    except OSError as error:
        raise SpliceError(f"{path} cannot be read: {error.strerror}") from None
    except (SyntaxError, UnicodeDecodeError, LookupError):
        raise SpliceError("this is not UTF-8 text; save the file as UTF-8") from None


# --- the stages -------------------------------------------------------------------------------------------------------


def _short(stage: Stage) -> Stage:
    """The first thing that is wrong: of a gradcheck report, the first wrong input and its first diagnosis."""
    kept: list[str] = []
    wrong = likely = False  # whether a wrong input was seen, whether its diagnosis was
    for line in stage.text.splitlines():
        if "entries right, largest error" in line and not wrong and not line.startswith(" "):
            continue
        if (likely and not line.startswith("    ")) or line.startswith(("Also:", "Or:", "Update taken /")):
            break
        wrong = wrong or "entries wrong" in line or "expected [" in line or "must be linear" in line
        likely = likely or line.startswith("  Likely:")
        kept.append(line)
    kept = kept[:SCREEN]
    return dataclasses.replace(stage, text="\n".join(kept), rest=len(stage.text.splitlines()) - len(kept))


def _never_written(answer: Mapping[str, Any], arrays: Mapping[str, Array], expected: Mapping[str, Array]) -> str | None:
    """What to say of a result with numbers that were never written; None if there are none."""
    for label, array in arrays.items():
        right = expected.get(label)
        if right is None or array.shape != right.shape or array.dtype.kind != "f" or right.dtype.kind != "f":
            continue
        if answer["new_memory"] and (unwritten := int((np.isnan(array) & ~np.isnan(right)).sum())):
            case, _, what = label.rpartition("\n")
            return (
                f"{f'Case: {case}' if case else ''}\n{unwritten} of {array.size} numbers of {what} were never written. "
                "np.empty and np.empty_like (line "
                f"{answer['new_memory'][0]}) only take memory, with whatever lies in it (the check puts nan there). "
                "Write every number, or begin with np.zeros."
            ).strip()
    return None


def _undiagnosed(report: str) -> str:
    """A report without the likely mistakes: in a find-the-bug exercise, finding them is the learner's part."""
    kept, diagnosis = [], False
    for line in report.splitlines():
        diagnosis = line.strip().startswith(("Likely:", "Or:")) or (diagnosis and line.startswith("    "))
        if not diagnosis:
            kept.append(line)
    return "\n".join([*kept, "Finding out why is up to you. Run the file; gradcheck and the hints say more."])


def _values(exercise: Exercise, child: Child, file: LearnerFile) -> Stage:
    """Measure the piece's derivatives or updates, and compare its results with the library's."""
    kinds = {probe.kind for probe in exercise.probes}
    name = next(kind for kind in ("gradcheck", "updates", "values") if kind in kinds)
    expected = exercise.expected  # computed here while the child process computes its own
    answer = child.answer()
    if trouble := file.explain(answer):
        if file.piece.function_name == "forward":  # a wrong y is why the backward that is given raised
            before = {label: array for label, array in expected.items() if label in child.arrays}
            trouble = wrapped(difference(child.arrays, before, CLOSE, "the library has") or "") or trouble
        return Stage(name, False, trouble + child.printed())
    found = [
        _never_written(answer, child.arrays, expected),
        answer["wrong"],
        difference(child.arrays, expected, CLOSE, "the library has"),
    ]
    if file.piece.function_name == "forward":  # first a wrong result, then what it does to backward
        results = {label: array for label, array in expected.items() if label.endswith("\ny")}
        saved = [f"{SAVED_WRONGLY}\n{text}" for text in found if text]
        found = [difference(child.arrays, results, CLOSE, "the library has"), *saved]
    wrong = next((text for text in found if text), None)
    if wrong is not None:
        told = _undiagnosed(wrong) if exercise.bug else wrong
        return Stage(name, False, wrapped(told) + child.printed(), arrays=_side_by_side(child.arrays, expected))
    right = [answer["right"]] if answer["right"] else []
    if answer["measured"]:
        right.append(f"{answer['measured']} derivatives equal the measured ones")
    right.append(f"{len(expected)} results equal the library's, to 7 digits (float32: 4)")
    return Stage(name, True, "\n".join(right) + child.printed())


def _side_by_side(arrays: Mapping[str, Array], expected: Mapping[str, Array]) -> dict[str, Array]:
    """The first array of floats that differs in its numbers alone, and the library's."""
    for label, right in expected.items():
        array = arrays.get(label)
        if array is None or array.shape != right.shape or not array.dtype.kind == right.dtype.kind == "f":
            continue
        if difference({label: array}, {label: right}, CLOSE, ""):
            return {f"your {label.rpartition(chr(10))[2]}": array, "the library's": right}
    return {}


def _against_torch(arrays: Mapping[str, Array], expected: Mapping[str, Array] | str) -> Stage:
    """Compare the results with torch's; a text says why there are none."""
    if isinstance(expected, str):
        return Stage("torch", True, wrapped(f"skipped: {expected}"))
    if not expected:
        return Stage("torch", True, "skipped: torch has no counterpart of this piece")
    wrong = difference(arrays, expected, CLOSE_TO_TORCH, "torch has")
    if wrong is not None:
        return Stage("torch", False, wrapped(wrong))
    return Stage("torch", True, f"{len(expected)} results equal torch's, to 6 digits (float32: 4)")


def _training(exercise: Exercise, child: Child, file: LearnerFile) -> Stage:
    """Train with the piece, and compare the losses with those of the library's own."""
    if exercise.program is None:
        return Stage("training", True, "skipped: nothing can be trained with this piece")
    library = exercise.expected_losses
    answer = child.answer()
    if trouble := file.explain(answer):
        return Stage("training", False, trouble + child.printed())
    yours: list[float] = answer["losses"]
    curves = {f"the loss with your {file.piece.name}": yours, "with the library's": library}
    apart = max((abs(a - b) / abs(b) for a, b in zip(yours, library, strict=False)), default=math.inf)
    if len(yours) != len(library):
        verdict = f"Your run has {len(yours)} losses, where the library's has {len(library)}."
    elif not all(map(math.isfinite, yours)):
        bad = next(i for i, loss in enumerate(yours) if not math.isfinite(loss))
        verdict = (
            f"The loss is {yours[bad]} from batch {bad + 1} on. In a program, put `with "
            "minitrain.autograd.detect_anomaly():` around the steps: it names the operation that produced it first."
        )
    elif apart > CURVES_APART:
        first = next(i for i, (a, b) in enumerate(zip(yours, library, strict=True)) if abs(a - b) > CURVES_APART * b)
        verdict = (
            f"First difference: batch {first + 1} has {yours[first]:.6g}, where the library has {library[first]:.6g}."
        )
    else:
        verdict = (
            f"All {len(yours)} losses agree: the largest difference is {apart:.1g}, where {CURVES_APART:g} is allowed."
        )
        return Stage("training", True, f"{drawn(curves)}\n{verdict}" + child.printed(), curves=curves)
    return Stage("training", False, f"{drawn(curves)}\n{wrapped(verdict)}" + child.printed(), curves=curves)


def drawn(curves: Mapping[str, Sequence[float]]) -> str:
    """The curves as text, each below its title, on a common scale."""
    finite = [loss for losses in curves.values() for loss in losses if math.isfinite(loss)]
    blocks = BLOCKS if is_encodable(BLOCKS, getattr(sys.stdout, "encoding", None)) else ASCII
    return "\n".join(
        f"{title}\n{plot(losses, min(finite), max(finite), width=60, height=4, blocks=blocks)}"
        for title, losses in curves.items()
    )

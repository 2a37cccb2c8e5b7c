"""The check of an exercise in a notebook: check("relu-backward", ReLU) checks the cell that defines ReLU.

The result displays as a page, in plain HTML with inline styles: every notebook program shows it, without extensions.
The code is taken from the cell that was last run with the definition, and checked as a file is, see checking.py. It is
also saved in the exercise's file. So the commands check the same code as the notebook, and if the kernel stops or the
notebook is lost, the file has the code of the last check.
"""

from __future__ import annotations

import dataclasses
import html
import inspect
import math
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.learn import checking
from minitrain.learn.checking import LIMIT, Stage, drawn
from minitrain.learn.exercises import EXERCISES, PACKAGE, Exercise
from minitrain.learn.workspace import LearnError, LearnUsageError, Workspace, file_name, find
from minitrain.learn.write_notebook import introduction_of
from minitrain.ops import Array
from minitrain.study.picture import SCALES, mixed, text_on
from minitrain.study.picture import text as as_css

if TYPE_CHECKING:
    from minitrain.learn.splice import Piece

GREEN, RED, BLUE, GREY = "#1a7f37", "#d1242f", "#3b82f6", "#808080"  # readable on white and on black
ELSEWHERE = (
    "A check runs this cell alone. If another cell defines this name, copy the import or the helper function into this "
    "cell, too."
)


def check(name: str, piece: object = None, *, verbose: bool = False, limit: float = LIMIT) -> Result:
    """Check the learner's cell for an exercise, and record the result in the learner's progress.

    piece: the class or function that the cell defines. verbose: report everything that is wrong. limit: the time limit
    of each stage, in seconds. Never raises: the result says what is wrong.
    """
    try:
        workspace: Workspace | None = find_workspace()
        note = ""
    except (LearnError, LearnUsageError):
        workspace, note = (
            None,
            (
                "Your progress was not saved: there is no folder of exercises here. Start Jupyter in your folder of "
                "exercises, or make one: !minitrain learn start"
            ),
        )
    try:
        exercise = (workspace or Workspace(Path(), EXERCISES)).resolve(name)
    except LearnUsageError as error:
        return _problem(name, str(error))
    try:
        path, source = _cell(exercise.piece, piece)
    except LookupError as error:
        return _problem(exercise.name, str(error), exercise)
    try:
        stages = [
            _of_a_cell(stage) for stage in checking.check(exercise, path, source=source, limit=limit, verbose=verbose)
        ]
    except KeyboardInterrupt:
        return _problem(exercise.name, "The check was interrupted.", exercise)
    passed = all(stage.passed for stage in stages)
    notes = [note] if note else []
    if workspace is not None:
        try:
            notes += _record(workspace, exercise, source, passed)
        except LearnError as error:
            notes.append(f"Your progress was not saved: {error}.")
    return Result(exercise.name, exercise.title, tuple(stages), tuple(notes))


def find_workspace() -> Workspace:
    """The learner's folder, with the exercises of its assignment, if it is one's hand-out."""
    from minitrain.learn.assignment import exercises_in

    workspace = find(None, EXERCISES)
    return Workspace(workspace.folder, exercises_in(workspace.folder))


def _problem(name: str, message: str, exercise: Exercise | None = None) -> Result:
    stage = Stage("cell", False, textwrap.fill(message, 90))
    return Result(name, exercise.title if exercise is not None else "", (stage,), ())


def _of_a_cell(stage: Stage) -> Stage:
    """The stage in the words of a notebook."""
    text = stage.text.replace(" of this file replaces ", " of this cell replaces ")
    if re.search(r"^(NameError|UnboundLocalError): ", text, re.MULTILINE):
        text += "\n" + textwrap.fill(ELSEWHERE, 71)
    return dataclasses.replace(stage, text=text)


def _record(workspace: Workspace, exercise: Exercise, source: str, passed: bool) -> list[str]:
    """Save the code and the result; returns what to say below the result."""
    content = as_file(exercise, source).encode()
    kept = workspace.replace(exercise, content)
    workspace.record(exercise, content, passed)
    notes = [f"Your file was edited after the last check here. It is kept as {workspace.shown(kept)}."] if kept else []
    if not passed:
        return [*notes, "The cell below has hints."]
    notes += [exercise.notice] if exercise.notice else []
    notes.append(f"To read the library's own: !minitrain learn solution {exercise.name}")
    following = workspace.next(after=exercise)
    if following is None:
        return [*notes, f"All {len(workspace.exercises)} exercises are done."]
    place = "in this notebook" if following.track == exercise.track else f"in {file_name(following.track)}.ipynb"
    return [*notes, f"Next: {following.name}, {place} (level {following.level}, about {following.minutes} minutes)"]


def as_file(exercise: Exercise, source: str) -> str:
    """The learner's file with a cell's code, below the exercise's docstring unless the cell has its own."""
    try:
        own = introduction_of(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        own = ""
    text = source.strip("\n") + "\n"
    return text if own else f"{introduction_of(exercise.stub())}\n\n{text}"


# --- the cell ---------------------------------------------------------------------------------------------------------


def _cell(piece: Piece, given: object) -> tuple[Path, str]:
    """The name and the code of the cell that defines the piece, or of its file. Raises LookupError with a message."""
    name = piece.name.partition(".")[0]
    found = getattr(given, "__name__", None)
    if given is not None and found != name:
        got = f"the class {found}" if isinstance(given, type) else found or f"a {type(given).__name__}"
        raise LookupError(f"this exercise is about {name}, but it got {got}. Pass {name} itself.")
    if getattr(given, "__module__", "__main__") != "__main__":
        return _imported(given, name)
    cells = _history()
    for number in reversed(range(len(cells))):
        if defines(cells[number], name):
            return Path(f"Cell In[{number}]"), without_magics(cells[number])
    if given is not None:
        return _imported(given, name)
    raise LookupError(f"no cell that defines {name} was run. Run the exercise's cell first, then this one.")


def _history() -> Sequence[str]:
    """The cells that were run, as they were typed; the numbers are IPython's."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return [] if shell is None else shell.history_manager.input_hist_raw


def _imported(given: Any, name: str) -> tuple[Path, str]:
    """The file that defines the object."""
    try:
        path = Path(inspect.getsourcefile(inspect.unwrap(given)) or "")
        source = path.read_text("utf-8")
    except (TypeError, OSError, ValueError):
        raise LookupError(f"the code of {name} cannot be found. Define it in a cell, or in a file.") from None
    if PACKAGE in path.resolve().parents:
        raise LookupError(f"this {name} is the library's own. Run the cell with yours, then this one.")
    return path, source


def defines(source: str, name: str) -> bool:
    """Whether a cell defines this class or function; the cell need not be correct Python."""
    return re.search(rf"^(class|def|async def)\s+{re.escape(name)}\b", source, re.MULTILINE) is not None


def without_magics(source: str) -> str:
    """A cell with IPython's own lines (%timeit, !ls) as comments, so that the line numbers stay."""
    return re.sub(r"^([%!])", r"# \1", source, flags=re.MULTILINE)


# --- the page ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What a check found. A notebook displays it as a page; print() and repr() give plain text."""

    name: str
    title: str
    stages: tuple[Stage, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every stage passed."""
        return all(stage.passed for stage in self.stages)

    def __repr__(self) -> str:
        lines = [f"{self.name}: {self.title}".rstrip(": "), ""]
        for stage in self.stages:
            lines += [f"  {'pass' if stage.passed else 'FAIL'}  {stage.name}", textwrap.indent(stage.text, " " * 8)]
            if stage.rest:
                lines.append(f"{' ' * 8}({self._more(stage)})")
        return "\n".join([*lines, "", "Passed." if self.passed else "Not yet.", *self.notes])

    def _more(self, stage: Stage) -> str:
        return f"{stage.rest} more line{'s' * (stage.rest != 1)}: add verbose=True to the check"

    def _repr_html_(self) -> str:
        colour, verdict = (GREEN, "Passed") if self.passed else (RED, "Not yet")
        title = f": {html.escape(self.title)}" if self.title else ""
        parts = [
            f'<div style="border-left: 4px solid {colour}; padding: 2px 0 2px 14px; line-height: 1.45">',
            f'<div><b style="color: {colour}">{verdict}</b> &nbsp; <b>{html.escape(self.name)}</b>{title}</div>',
            *map(self._stage, self.stages),
            *[f'<div style="margin-top: 4px">{html.escape(note)}</div>' for note in self.notes],
            "</div>",
        ]
        return "\n".join(parts)

    def _stage(self, stage: Stage) -> str:
        mark, colour = ("✓", GREEN) if stage.passed else ("✗", RED)
        text = stage.text.removeprefix(drawn(stage.curves)).strip("\n") if stage.curves else stage.text
        if stage.rest:
            text += f"\n({self._more(stage)})"
        style = "margin: 0 0 0 1.4em; padding: 0; white-space: pre-wrap; background: none; color: inherit"
        return (
            f'<div style="margin-top: 6px"><b style="color: {colour}">{mark}</b> {html.escape(stage.name)}</div>'
            f"{curves_as_svg(stage.curves) if stage.curves else ''}"
            f'<pre style="{style}">{html.escape(text)}</pre>'
            f"{arrays_as_tables(stage.arrays)}"
        )


CELLS = 12  # rows and columns of an array that are shown


def arrays_as_tables(arrays: Mapping[str, Array]) -> str:
    """Arrays of one shape beside each other, in the colours of the step page; what differs has a frame.

    Of more than two axes, the last two are shown, at index 0 of the others.
    """
    if not arrays or not all(array.size for array in arrays.values()):
        return ""
    shown = {title: np.atleast_2d(array[(0,) * (array.ndim - 2)])[:CELLS, :CELLS] for title, array in arrays.items()}
    first, *others = shown.values()
    differs = ~np.isclose(first, others[0] if others else first, rtol=1e-5, atol=1e-8, equal_nan=True)
    largest = max(float(np.abs(x[np.isfinite(x)]).max(initial=0)) for x in shown.values()) or 1.0
    tables = [
        f'<div><div style="color: {GREY}">{html.escape(title)}</div><table style="border-collapse: separate; '
        f'border-spacing: 1px; margin: 0">{"".join(_row(*row, largest) for row in zip(array, differs, strict=True))}'
        "</table></div>"
        for title, array in shown.items()
    ]
    return f'<div style="display: flex; flex-wrap: wrap; gap: 20px; margin: 6px 0 4px 1.4em">{"".join(tables)}</div>'


def _row(numbers: Array, differs: Array, largest: float) -> str:
    cells = []
    for number, other in zip(numbers.tolist(), differs.tolist(), strict=True):
        place = 0.5 + 0.5 * max(-1.0, min(1.0, number / largest)) if math.isfinite(number) else 0.5
        colour = mixed(SCALES["light"], place)
        frame = f"outline: 2px solid {RED}; outline-offset: -2px; " if other else ""
        cells.append(
            f'<td style="{frame}background: {as_css(colour)}; color: {text_on(colour)}; padding: 2px 6px; '
            f'text-align: right; font-size: 12px">{number:.3g}</td>'
        )
    return f"<tr>{''.join(cells)}</tr>"


WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 560, 190, 56, 10, 42  # of a picture, and its margins, in pixels


def curves_as_svg(curves: Mapping[str, Sequence[float]]) -> str:
    """The losses of two runs, yours first, as an inline SVG picture. A loss that is not finite leaves a gap."""
    finite = [loss for losses in curves.values() for loss in losses if math.isfinite(loss)]
    low, high = min(finite), max(finite)
    longest = max(len(losses) for losses in curves.values())

    def at(batch: int, loss: float) -> str:
        x = LEFT + (WIDTH - LEFT - 10) * batch / max(longest - 1, 1)
        y = TOP + (HEIGHT - TOP - BOTTOM) * ((high - loss) / (high - low) if high > low else 0.5)
        return f"{x:.1f},{y:.1f}"

    # The library's curve is drawn first, wide and grey; an equal one of yours lies on it and both can be seen.
    styles = [(BLUE, 1.5), (GREY, 5)]
    lines: list[str] = []
    legend: list[str] = []
    for number, (title, losses) in enumerate(curves.items()):
        colour, width = styles[min(number, 1)]
        shape = f'fill="none" stroke="{colour}" stroke-width="{width}" stroke-opacity="{1 if number == 0 else 0.45}"'
        for points in _runs(losses):
            lines.insert(0, f'<polyline {shape} points="{" ".join(at(batch, losses[batch]) for batch in points)}"/>')
        x = LEFT + number * 250
        legend.append(f'<line x1="{x}" y1="{HEIGHT - 12}" x2="{x + 20}" y2="{HEIGHT - 12}" {shape}/>')
        legend.append(_text(x + 26, HEIGHT - 8, title))
    axes = [
        _text(LEFT - 6, TOP + 5, f"{high:.3g}", "end"),
        _text(LEFT - 6, HEIGHT - BOTTOM + 3, f"{low:.3g}", "end"),
        _text(WIDTH - 10, HEIGHT - BOTTOM + 15, f"batch {longest}", "end"),
        f'<path d="M{LEFT - 2},{TOP}V{HEIGHT - BOTTOM + 2}H{WIDTH - 10}" fill="none" stroke="{GREY}"/>',
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
        f'style="max-width: 100%; display: block; margin: 4px 0 4px 1.4em" font-family="sans-serif" font-size="12">'
        f"<title>{html.escape(' and '.join(curves))}</title>{''.join(axes + lines + legend)}</svg>"
    )


def _runs(losses: Sequence[float]) -> list[list[int]]:
    """The batches with a finite loss, in runs without a gap."""
    runs: list[list[int]] = [[]]
    for batch, loss in enumerate(losses):
        if math.isfinite(loss):
            runs[-1].append(batch)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="currentColor">{html.escape(text)}</text>'

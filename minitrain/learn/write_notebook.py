"""Writes the exercises as notebooks, one for each track; notebook.py has the check that their cells call."""

from __future__ import annotations

import ast
import difflib
import html
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitrain.files import write_atomically
from minitrain.learn.formulas import formula
from minitrain.learn.workspace import LearnError, LearnUsageError, Workspace, file_name

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise

INTRODUCTION = """\
# {track}

Each exercise is a piece of minitrain without its body. Write the body in its cell and run the cell. Then run the cell
below it: the check runs your code in place of the library's, and shows what is right, or what is wrong and why.

- A check runs the exercise's cell alone, in a process of its own. Imports and helper functions that it needs belong in
  the same cell.
- Your progress is shared with `minitrain learn list`, and the code of each check is saved in the exercise's file. So
  you can change between the notebook and your editor, and nothing is lost if the kernel stops.
"""


def write_notebooks(workspace: Workspace, tracks: Sequence[str]) -> tuple[list[Path], list[Path]]:
    """Write a notebook for each of the tracks (none named: all) into the learner's folder.

    Returns the notebooks that were written, and those that existed already, which are not changed.
    Raises LearnUsageError for an unknown track, and if nbformat is not installed.
    """
    if find_spec("nbformat") is None:
        raise LearnUsageError('notebooks need nbformat: pip install -e ".[notebook]"')
    of_track: dict[str, list[Exercise]] = {}
    for exercise in workspace.exercises.values():
        of_track.setdefault(exercise.track, []).append(exercise)
    chosen = dict.fromkeys(_resolve(name, of_track) for name in tracks) or of_track
    written: list[Path] = []
    kept: list[Path] = []
    for track in chosen:
        path = workspace.folder / f"{file_name(track)}.ipynb"
        if path.exists():
            kept.append(path)
            continue
        try:
            write_atomically(path, as_text(track, of_track[track]).encode())
        except OSError as error:
            raise LearnError(f"cannot write {workspace.shown(path)} ({error.strerror})") from None
        written.append(path)
    return written, kept


def _resolve(name: str, tracks: Mapping[str, Any]) -> str:
    """The track with this name, or the only one whose name begins so; case and dashes do not matter."""
    known = {file_name(track): track for track in tracks}
    plain = file_name(name)
    found = [plain] if plain in known else [other for other in known if plain and other.startswith(plain)]
    if len(found) == 1:
        return known[found[0]]
    if found:
        raise LearnUsageError(f"{name!r} could be {' or '.join(found)}; type more of the name")
    alike = difflib.get_close_matches(plain, known, n=1)
    meant = f"; did you mean {alike[0]}?" if alike else ""
    raise LearnUsageError(f"there is no track {name!r}{meant} (the tracks: {', '.join(known)})")


def as_text(track: str, exercises: Sequence[Exercise], *, solved: bool = False) -> str:
    """The notebook of a track, as the text of its file. solved: with the library's bodies in the cells."""
    import nbformat

    v4: Any = nbformat.v4  # has no annotations
    # The ids make the same notebook of the same exercises, and must be unique.
    cells = [
        v4.new_markdown_cell(INTRODUCTION.format(track=track), id="introduction"),
        v4.new_code_cell("from minitrain.learn.notebook import check", id="import"),
    ]
    may_raise = {"tags": ["raises-exception"]}  # a script shows the bug, and "run all" shall go on after it
    for exercise in exercises:
        name = exercise.name
        code = code_of(exercise.solution() if solved else exercise.stub())
        top = exercise.piece.name.partition(".")[0]
        cells += [
            v4.new_markdown_cell(_explained(exercise), id=f"{name}-text"),
            v4.new_code_cell(code, id=f"{name}-code", metadata=may_raise if exercise.script else {}),
            v4.new_code_cell(f'check("{name}", {top})', id=f"{name}-check"),
            v4.new_markdown_cell(_hints(exercise), id=f"{name}-hints"),
        ]
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = v4.new_notebook(cells=cells, metadata={"kernelspec": python, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    text: str = v4.writes(notebook)
    return text + "\n"


def _explained(exercise: Exercise) -> str:
    """What an exercise is about, in Markdown."""
    after = f" · builds on {', '.join(exercise.builds_on)}" if exercise.builds_on else ""
    parts = [
        f"## {exercise.title}\n\n`{exercise.name}` · level {exercise.level} · about {exercise.minutes} minutes{after}",
        _escaped(exercise.why),
        _escaped(exercise.task),
    ]
    if (content := formula(exercise.target)) is not None:
        parts.insert(2, f"$$\n{content}\n$$")
    return "\n\n".join(parts)


def _hints(exercise: Exercise) -> str:
    count = len(exercise.hints)
    return "\n".join(
        f"<details><summary>Hint {number} of {count}</summary>\n\n{_escaped(hint)}\n\n</details>\n"
        for number, hint in enumerate(exercise.hints, 1)
    )


def _escaped(text: str) -> str:
    """Text for a Markdown cell, in which code such as `a * b`, `w[i]` or `__init__` keeps its characters."""
    for character in "\\`*_[]$~#":
        text = text.replace(character, f"\\{character}")
    return html.escape(text, quote=False)


def introduction_of(text: str) -> str:
    """The docstring of a learner's file, as it is written there; "" if it has none."""
    return "\n".join(text.splitlines()[: _end_of_docstring(text)])


def code_of(text: str) -> str:
    """A learner's file without its docstring: the content of its cell."""
    return "\n".join(text.splitlines()[_end_of_docstring(text) :]).strip("\n")


def _end_of_docstring(text: str) -> int:
    first = next(iter(ast.parse(text).body), None)
    is_docstring = isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)
    return (first.end_lineno or 0) if first is not None and is_docstring else 0

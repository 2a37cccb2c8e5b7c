"""Finds what students handed in: the exercises' files and the notebooks' cells in a folder."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from minitrain.files import parse_json, read_file
from minitrain.learn.notebook import as_file, defines, without_magics
from minitrain.learn.workspace import LearnUsageError, file_name

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise

LARGEST, LARGEST_NOTEBOOK = 2**20, 2**25  # bytes; a notebook contains its pictures


class Answer(NamedTuple):
    """A student's code for an exercise.

    place: the file, or the notebook and its cell, relative to the student's folder. name: the same in messages of the
    check. source: the code; None if it cannot be read, and trouble says why. started: whether it differs from the file
    that was handed out.
    """

    exercise: str
    place: str
    name: str
    source: str | None
    trouble: str = ""
    started: bool = True


def students_in(folder: Path, exercises: Mapping[str, Exercise]) -> dict[str, list[Answer]]:
    """The answers of each student, by the name of the student's folder.

    A folder with answers in it, or in its tracks' folders, is one student's. Otherwise each of its folders is one.
    Raises LearnUsageError if it is not a folder, cannot be listed, or contains no answers.
    """
    try:
        inside = sorted(folder.iterdir())
    except OSError as error:
        raise LearnUsageError(f"cannot list the folder {folder} ({error.strerror})") from None
    tracks = {file_name(exercise.track) for exercise in exercises.values()}
    own = [path for path in inside if not path.is_dir()]
    own += [path for track in inside if track.is_dir() and track.name in tracks for path in sorted(track.iterdir())]
    if any(answers_of(path, folder, exercises) for path in own):
        return {folder.resolve().name: _answers(folder, exercises)}
    below = [path for path in inside if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")]
    students = {path.name: _answers(path, exercises) for path in below}
    if not any(students.values()):
        raise LearnUsageError(
            f"there are no exercises in {folder}: no file such as {next(map(file_name, exercises))}.py, and no "
            "notebook with checks, in it or in its folders"
        )
    return students


def _answers(folder: Path, exercises: Mapping[str, Exercise]) -> list[Answer]:
    """All answers below a student's folder, each code once."""
    found: dict[tuple[str, str | None, str], Answer] = {}
    for path in _files(folder):
        for answer in answers_of(path, folder, exercises):
            code = None if answer.source is None else as_file(exercises[answer.exercise], answer.source).strip()
            found.setdefault((answer.exercise, code, answer.trouble), answer)  # a check in a notebook writes the file
    return list(found.values())


def _files(folder: Path) -> Iterator[Path]:
    """The files below a folder, without hidden ones (.ipynb_checkpoints) and without following links."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return
    for path in inside:
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink() and path.suffix != ".py":
            yield from _files(path)
        else:
            yield path


def answers_of(path: Path, folder: Path, exercises: Mapping[str, Exercise]) -> list[Answer]:
    """The answers in a file: one in a .py file, several in a notebook, none in any other file."""
    place = str(path.relative_to(folder))
    try:
        if path.suffix == ".ipynb":
            return list(_in_notebook(path, place, exercises))
        if path.suffix != ".py":
            return []
    except (OSError, ValueError):
        return []
    exercise = next((x for x in exercises.values() if file_name(x.name) == file_name(path.stem)), None)
    try:
        if path.is_symlink():
            raise ValueError("it is a link to another file")
        content = read_file(path, LARGEST)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        source = io.TextIOWrapper(io.BytesIO(content), encoding).read()
    except OSError as error:
        trouble = error.strerror or "it cannot be read"
    except (SyntaxError, UnicodeDecodeError, LookupError):
        trouble = "it is not UTF-8 text"
    except ValueError as error:
        trouble = str(error)
    else:
        exercise = exercise or _by_docstring(source, exercises)
        if exercise is None:
            return []
        return [Answer(exercise.name, place, path.name, source, started=source != exercise.stub())]
    return [] if exercise is None else [Answer(exercise.name, place, path.name, None, f"cannot be read: {trouble}")]


def _by_docstring(source: str, exercises: Mapping[str, Exercise]) -> Exercise | None:
    """The exercise that a file's first line names; upload forms often rename files."""
    found = re.match(r'"""([a-z0-9-]+): ', source)
    return exercises.get(found[1]) if found else None


def _in_notebook(path: Path, place: str, exercises: Mapping[str, Exercise]) -> Iterator[Answer]:
    """The answers in a notebook: for each check, the last cell above it that defines the piece."""
    if path.is_symlink():
        return
    cells = _code_cells(parse_json(read_file(path, LARGEST_NOTEBOOK), constants=True))
    for number, (_, checks) in enumerate(cells):
        for name in re.findall(r"^check\(\s*[\"']([a-z0-9-]+)[\"']", checks, re.MULTILINE):
            if name not in exercises:
                continue
            exercise = exercises[name]
            top = exercise.piece.name.partition(".")[0]
            above = [(cell, code) for cell, code in cells[: number + 1] if defines(code, top)]
            if above:
                cell, code = above[-1]
                label, code = f"{path.name} cell {cell}", without_magics(code)
                started = as_file(exercise, code) != exercise.stub()
                yield Answer(name, f"{place}, cell {cell}", label, code, started=started)


def _code_cells(notebook: Any) -> list[tuple[int, str]]:
    """The number, counted from 1, and the text of each code cell. Raises ValueError if it is not a notebook."""
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise ValueError("it is not a notebook of format 4")
    found = []
    for number, cell in enumerate(cells, 1):
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            lines = cell.get("source", "")
            lines = [lines] if isinstance(lines, str) else lines
            if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
                found.append((number, "".join(lines)))
    return found

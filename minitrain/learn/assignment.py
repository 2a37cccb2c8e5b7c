"""Assignments: a folder of chosen exercises to hand out, without solutions.

The folder is a folder of exercises as `minitrain learn start` makes one, with fewer of them. Its assignment.json names
them and their points. In that folder the commands know only those; `minitrain learn grade --assignment` counts
them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minitrain.files import parse_json, read_file, shown, write_atomically
from minitrain.learn.exercises import EXERCISES
from minitrain.learn.workspace import LearnError, LearnUsageError, Workspace, start

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise

FILE, FORMAT = "assignment.json", "minitrain assignment 1"
LARGEST = 2**20  # bytes of an assignment's file
MOST_POINTS = 10**6


def write_assignment(names: Sequence[str], folder: str, points: int) -> Workspace:
    """Write the hand-out: a file for each exercise, a README.md, and assignment.json.

    names: the exercises, see Workspace.resolve. points: for each exercise.
    Raises LearnUsageError for an unknown exercise or a folder that is not empty, LearnError if it cannot be written.
    """
    if not 0 < points <= MOST_POINTS:
        raise LearnUsageError(f"an exercise has 1 to {MOST_POINTS:,} points, but got {points}")
    if not folder:
        raise LearnUsageError("the folder's name is empty; give a name")
    place, everything = Path(folder), Workspace(Path(folder), EXERCISES)
    chosen = {everything.resolve(name).name for name in names}
    exercises = {name: exercise for name, exercise in EXERCISES.items() if name in chosen}
    if place.is_dir() and any(place.iterdir()):
        raise LearnUsageError(f"{folder} is not empty; choose a new folder for the assignment")
    workspace = start(folder, exercises).workspace
    content = {"format": FORMAT, "exercises": dict.fromkeys(exercises, points)}
    try:
        (place / "README.txt").unlink()  # which is about all exercises
        write_atomically(place / "README.md", _readme(workspace, points).encode())
        write_atomically(place / FILE, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise LearnError(f"cannot write the assignment in {folder} ({error.strerror})") from None
    return workspace


def exercises_in(folder: Path) -> Mapping[str, Exercise]:
    """The exercises of a learner's folder: those of its assignment, or all."""
    if not (folder / FILE).exists():
        return EXERCISES
    return {name: EXERCISES[name] for name in read_assignment(folder / FILE)}


def read_assignment(path: Path) -> dict[str, int]:
    """The points of each exercise of an assignment, in the exercises' order.

    Raises LearnUsageError if it is not an assignment, or names an exercise that this version does not have.
    """
    try:
        content = parse_json(read_file(path, LARGEST))
        points = _points(content)
    except OSError as error:
        raise LearnUsageError(f"cannot read {path} ({error.strerror})") from None
    except ValueError as error:
        raise LearnUsageError(f"{path} is not the file of an assignment: {error}") from None
    if unknown := [name for name in points if name not in EXERCISES]:
        raise LearnUsageError(
            f"{path} names the exercise {shown(unknown[0])}, which this version of minitrain does not have; use the "
            "version that the assignment was made with"
        )
    return {name: points[name] for name in EXERCISES if name in points}


def _points(content: Any) -> dict[str, int]:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"its format is not {FORMAT!r}")
    points = content.get("exercises")
    if not isinstance(points, dict) or not points:
        raise ValueError("it has no exercises")
    for name, number in points.items():
        if type(number) is not int or not 0 <= number <= MOST_POINTS:
            raise ValueError(f"the points of {shown(name)} are {shown(number)}, not a whole number")
    return points


def _readme(workspace: Workspace, points: int) -> str:
    exercises = workspace.exercises
    rows = [
        f"| {exercise.name} | {exercise.title} | {exercise.level} | {exercise.minutes} | {points} | [{file}]({file}) |"
        for exercise in exercises.values()
        for file in [workspace.file(exercise).relative_to(workspace.folder).as_posix()]
    ]
    first = next(iter(exercises))
    minutes = sum(exercise.minutes for exercise in exercises.values())
    return f"""\
# Assignment

{len(exercises)} exercise{"s" * (len(exercises) != 1)}, {points * len(exercises)} points, about {minutes} minutes.

| exercise | title | level | minutes | points | file |
|---|---|---|---|---|---|
{chr(10).join(rows)}

Each file is a piece of minitrain without its body. The text at its top says what to write. Points are given for an
exercise that passes every stage of its check, and the check is the one that you can run yourself, in this folder:

    minitrain learn watch              checks a file each time you save it
    minitrain learn check {first:<12} checks one exercise
    minitrain learn hint {first:<13} shows one more hint
    minitrain learn list               shows what you have passed

If you prefer notebooks, `minitrain learn notebook` writes the same exercises as notebooks.

Work on your own, and do not look the solution up in the library's source: it is there. Hand in this folder.
"""

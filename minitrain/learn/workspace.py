"""The learner's folder: a file for each exercise, and a progress file.

The progress file, .minitrain-learn.json, is one JSON object that people can read:

    format     "minitrain learn 2"; files of "minitrain learn 1", which had no checksum, are read too
    exercises  {name: {tries, hints, passed, sha256, notebook}}: how often it was checked, how many hints were shown,
               when it passed (ISO 8601 in UTC), the SHA-256 of the file that passed, and of the file that a notebook's
               check wrote. A missing key has not happened.
    checksum   CRC-32 of the rest, which detects damage

Unknown names and entries are kept. The file is read again for every question, so that commands in two terminals see
each other's work. It is written to a temporary file and then renamed, so that a crash leaves the old file.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import itertools
import json
import os
import re
import textwrap
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from minitrain.files import open_file, parse_json, read_file, shown, write_atomically
from minitrain.runs.config import ConfigError

if TYPE_CHECKING:
    from minitrain.learn.exercises import Exercise

PROGRESS = ".minitrain-learn.json"
FORMAT, EARLIER = "minitrain learn 2", "minitrain learn 1"
FOLDER = "minitrain-exercises"  # the default folder
LARGEST = 2**20  # bytes of a progress file; with all exercises done it has 10 kB
COMMANDS = """\
minitrain learn start [DIR]     make the exercise files
minitrain learn list            all exercises, and your progress
minitrain learn next            which file to open next
minitrain learn watch [NAME]    check on every save, then show the next
minitrain learn check [NAME]    check one exercise now
minitrain learn hint NAME       one more hint
minitrain learn solution NAME   the library's body, once yours has passed
minitrain learn reset NAME      start one again; your file is kept
minitrain learn zoo [NAME]      known mistakes, and how each is diagnosed
minitrain learn notebook        the exercises as notebooks
"""

Status = Literal["new", "tried", "done"]


class LearnError(RuntimeError):
    """The learner's folder, or a file in it, cannot be read or written. The message says what to do."""


class LearnUsageError(ConfigError):
    """The user named something that does not exist. The message says what does."""


class Standing(NamedTuple):
    """The state of an exercise.

    tries: how often it was checked. hints: how many were shown. changed: it is done, but its file is not the one that
    passed. missing: it has no file.
    """

    status: Status
    tries: int
    hints: int
    changed: bool
    missing: bool


class Started(NamedTuple):
    """What start() did. made: how many exercise files it wrote. aside: the new name of a damaged progress file."""

    workspace: Workspace
    made: int
    aside: Path | None


class Workspace:
    """A folder of exercises with its progress file.

    Methods that read or write raise LearnError, with the remedy, if a file cannot be read or written.
    """

    def __init__(self, folder: Path, exercises: Mapping[str, Exercise]) -> None:
        self.folder = folder
        self.exercises = exercises

    # --- files ---

    def file(self, exercise: Exercise) -> Path:
        """The path of the learner's file: a folder for each track, a file for each exercise."""
        return self.folder / file_name(exercise.track) / f"{file_name(exercise.name)}.py"

    def shown(self, path: Path) -> str:
        """The path as the user would type it: relative, if it is below the current directory."""
        path, here = Path(os.path.abspath(path)), Path.cwd()
        return str(path.relative_to(here) if here in path.parents else path)

    def content(self, exercise: Exercise) -> bytes | None:
        """The content of the learner's file; None if it does not exist."""
        path = self.file(exercise)
        try:
            with open_file(path) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LearnError(f"cannot read {self.shown(path)} ({error.strerror})") from None

    def is_stub(self, exercise: Exercise) -> bool:
        """Whether the learner's file has not been changed since it was made."""
        stub: bytes = exercise.stub().encode()
        return self.content(exercise) == stub

    def reset(self, exercise: Exercise) -> Path | None:
        """Reset the exercise: its file, its hints, its status.

        Returns the path where the learner's file is kept; None if there was no file, or if it was unchanged.
        """
        path, content, stub = self.file(exercise), self.content(exercise), exercise.stub().encode()
        progress, kept = self._read(), None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None and content != stub:
                kept = _first_free(path)
                write_atomically(kept, content)
            write_atomically(path, stub)
        except OSError as error:
            raise LearnError(
                f"cannot reset {exercise.name} in {self.shown(path.parent)} ({error.strerror}). Nothing is lost: make "
                "the folder writable, or free some space, and try again"
            ) from None
        if progress["exercises"].pop(exercise.name, None) is not None:
            self._write(progress)
        return kept

    def replace(self, exercise: Exercise, content: bytes) -> Path | None:
        """Make this the content of the learner's file: the code that a notebook's check has run.

        A file that the learner has edited since is kept under another name; returns its path, or None.
        """
        path, old, kept = self.file(exercise), self.content(exercise), None
        if old == content:
            return None
        progress = self._read()
        entry = progress["exercises"].setdefault(exercise.name, {})
        stub: bytes = exercise.stub().encode()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if old not in (None, stub) and hashlib.sha256(old or b"").hexdigest() != entry.get("notebook"):
                kept = _first_free(path)
                write_atomically(kept, old or b"")
            write_atomically(path, content)
        except OSError as error:
            raise LearnError(f"cannot write {self.shown(path)} ({error.strerror})") from None
        entry["notebook"] = hashlib.sha256(content).hexdigest()
        self._write(progress)
        return kept

    # --- which exercise ---

    def resolve(self, name: str) -> Exercise:
        """The exercise with this name, this file, or a name that begins so and is the only one.

        Raises LearnUsageError, with suggestions, for an unknown name.
        """
        if name in self.exercises:
            return self.exercises[name]
        path = Path(name).resolve()
        for exercise in self.exercises.values():
            if path == self.file(exercise).resolve():
                return exercise
        beginning = [known for known in self.exercises if name and known.startswith(name)]
        if len(beginning) == 1:
            return self.exercises[beginning[0]]
        if beginning:
            raise LearnUsageError(f"{name!r} could be {' or '.join(beginning)}; type more of the name")
        typed = re.sub(r"[^a-z0-9]+", "-", Path(name).name.removesuffix(".py").lower())
        alike = difflib.get_close_matches(typed, self.exercises, n=1)
        alike = alike or [known for known in self.exercises if typed and typed in known][:3]
        meant = f"; did you mean {' or '.join(alike)}?" if alike else ""
        raise LearnUsageError(f"there is no exercise {name!r}{meant} (minitrain learn list shows all)")

    def next(self, after: Exercise | None = None) -> Exercise | None:
        """The first exercise that is not done, searched from `after` on and then from the start; None if all are."""
        entries = self._read()["exercises"]
        names = list(self.exercises)
        if after is not None:
            place = names.index(after.name) + 1
            names = [*names[place:], *names[:place]]
        return next((self.exercises[name] for name in names if "passed" not in entries.get(name, {})), None)

    # --- progress ---

    def standings(self) -> dict[str, Standing]:
        """The state of each exercise, by name, in the exercises' order."""
        entries = self._read()["exercises"]
        return {name: self._standing(exercise, entries.get(name, {})) for name, exercise in self.exercises.items()}

    def standing(self, exercise: Exercise) -> Standing:
        """The state of one exercise."""
        return self._standing(exercise, self._read()["exercises"].get(exercise.name, {}))

    def _standing(self, exercise: Exercise, entry: Mapping[str, Any]) -> Standing:
        content = self.content(exercise)
        tries, hints = entry.get("tries", 0), min(entry.get("hints", 0), len(exercise.hints))
        if "passed" not in entry:
            return Standing("tried" if tries else "new", tries, hints, False, content is None)
        changed = content is not None and hashlib.sha256(content).hexdigest() != entry["sha256"]
        return Standing("done", tries, hints, changed, content is None)

    def record(self, exercise: Exercise, content: bytes, passed: bool) -> None:
        """Record a check of the learner's file with this content. An exercise that has passed once stays done."""
        progress = self._read()
        entry = progress["exercises"].setdefault(exercise.name, {})
        entry["tries"] = entry.get("tries", 0) + 1
        if passed:
            entry["passed"] = datetime.now(UTC).isoformat(timespec="seconds")
            entry["sha256"] = hashlib.sha256(content).hexdigest()
        self._write(progress)

    def record_hint(self, exercise: Exercise) -> None:
        """Record that one more hint was shown."""
        progress = self._read()
        entry = progress["exercises"].setdefault(exercise.name, {})
        entry["hints"] = min(entry.get("hints", 0) + 1, len(exercise.hints))
        self._write(progress)

    def _read(self) -> dict[str, Any]:
        """The progress file's content, after checking its types."""
        path = self.folder / PROGRESS
        try:
            return _parsed(read_file(path, LARGEST))
        except (FileNotFoundError, NotADirectoryError):
            raise LearnError(
                f"{self.shown(path)} is gone; {_start_line(self)} makes a new one, and minitrain learn check --all "
                "then finds what passes"
            ) from None
        except OSError as error:
            raise LearnError(f"cannot read {self.shown(path)} ({error.strerror}); make it readable") from None
        except ValueError as error:
            raise LearnError(
                f"{self.shown(path)} cannot be read as a progress file ({error}). Your exercises are not affected. "
                f"{_start_line(self)} renames it and makes a new one; minitrain learn check --all then finds what "
                "passes"
            ) from None

    def _write(self, progress: dict[str, Any]) -> None:
        path = self.folder / PROGRESS
        try:
            write_atomically(path, _text(progress).encode())
        except OSError as error:
            raise LearnError(
                f"cannot write {self.shown(path)} ({error.strerror}). This result was not saved, but earlier ones are: "
                "make the folder writable, or free some space, and try again"
            ) from None


# --- finding and making a folder --------------------------------------------------------------------------------------


def find(folder: str | None, exercises: Mapping[str, Exercise]) -> Workspace:
    """The learner's folder: the given one, or the current directory or a parent of it, or ./minitrain-exercises.

    A folder that was not named is used only if it and its files belong to the user, since a check runs its files.
    Raises LearnUsageError, with the command that makes a folder, if there is no progress file.
    """
    if folder is not None:
        named = _named(folder)
        if not os.path.lexists(named / PROGRESS):
            raise LearnUsageError(f"there are no exercises in {folder}; minitrain learn start {folder} makes them")
        return Workspace(named, exercises)
    found, foreign = _around(exercises)
    if found is not None:
        return Workspace(found, exercises)
    if foreign is not None:
        raise LearnUsageError(
            f"{foreign.path} belongs to another user, and a check would run that user's code. If you trust it, add "
            f"--dir {foreign.folder}. To make your own exercises: minitrain learn start DIR"
        )
    raise LearnUsageError(
        f"there are no exercises here; minitrain learn start makes them in ./{FOLDER}. If yours are elsewhere, "
        "change to that folder, or name it with --dir"
    )


def named_or_found(folder: str | None, exercises: Mapping[str, Exercise]) -> Path:
    """The folder with this name, or the one that find() finds, or else the one that start() makes."""
    return _named(folder) if folder is not None else _around(exercises)[0] or Path(FOLDER)


def find_or_start(folder: str | None, exercises: Mapping[str, Exercise]) -> Workspace:
    """The folder that find() finds, or else the one that start() makes."""
    place = named_or_found(folder, exercises)
    return Workspace(place, exercises) if os.path.lexists(place / PROGRESS) else start(folder, exercises).workspace


def start(folder: str | None, exercises: Mapping[str, Exercise]) -> Started:
    """Make a folder of exercises, or complete one; existing files are never overwritten.

    folder: None means the folder that find() finds, or else ./minitrain-exercises. A progress file that cannot be read
    is renamed. Raises LearnUsageError if the folder is a file, or another user's; LearnError if it cannot be written.
    """
    place = named_or_found(folder, exercises)
    if folder is None and (foreign := _foreign(place, exercises)) is not None:
        raise LearnUsageError(f"{foreign} belongs to another user; choose another folder: minitrain learn start DIR")
    workspace = Workspace(place, exercises)
    made, aside = 0, None
    try:
        place.mkdir(parents=True, exist_ok=True)
        for exercise in exercises.values():
            made += _write_new(workspace.file(exercise), exercise.stub())
        _write_new(place / "README.txt", _readme(workspace))
        aside = _put_aside_if_damaged(workspace)
        _write_new(place / PROGRESS, _text({"format": FORMAT, "exercises": {}}))
    except (FileExistsError, NotADirectoryError) as error:
        raise LearnUsageError(
            f"cannot make the folder {error.filename}: a file with this name exists; choose another folder"
        ) from None
    except OSError as error:
        raise LearnError(
            f"cannot make the exercises in {place} ({error.strerror}); free some space or choose another folder, and "
            "start again. Existing files are kept"
        ) from None
    return Started(workspace, made, aside)


def _named(folder: str) -> Path:
    if not folder:
        raise LearnUsageError("the folder's name is empty; give a name, or leave it out")
    return Path(folder)


class _Foreign(NamedTuple):
    """A folder of exercises, and the first path of it that belongs to another user."""

    folder: Path
    path: Path


def _around(exercises: Mapping[str, Exercise]) -> tuple[Path | None, _Foreign | None]:
    """The user's folder here, above or below; without one, the nearest that is not only the user's."""
    here, others = Path.cwd(), None
    for place in (here, *here.parents, Path(FOLDER)):
        if os.path.lexists(place / PROGRESS):
            foreign = _foreign(place, exercises)
            if foreign is None:
                return place, None
            others = others or _Foreign(place, foreign)
    return None, others


def _foreign(place: Path, exercises: Mapping[str, Exercise]) -> Path | None:
    """The first path of a folder of exercises that is another user's; None if all are one's own, or on Windows."""
    if not hasattr(os, "geteuid"):
        return None
    users = {os.geteuid()}
    if users == {0} and os.environ.get("SUDO_UID", "").isdecimal():
        users.add(int(os.environ["SUDO_UID"]))
    files = [Workspace(place, exercises).file(exercise) for exercise in exercises.values()]
    for path in (place, place / PROGRESS, *dict.fromkeys(file.parent for file in files), *files):
        if not _owners(path) <= users:
            return path
    return None


def _owners(path: Path) -> set[int]:
    """The user who owns the path, and the one who owns what it links to; empty if it does not exist."""
    owners = set()
    with contextlib.suppress(OSError):
        owners.add(path.lstat().st_uid)
        owners.add(path.stat().st_uid)
    return owners


def is_found_here(workspace: Workspace) -> bool:
    """Whether find() finds this folder without its name."""
    found, _ = _around(workspace.exercises)
    return found is not None and found.resolve() == workspace.folder.resolve()


def _put_aside_if_damaged(workspace: Workspace) -> Path | None:
    path = workspace.folder / PROGRESS
    if not os.path.lexists(path):
        return None
    try:
        _parsed(read_file(path, LARGEST))
    except ValueError:
        aside = _first_free(path)
        path.rename(aside)
        return aside
    return None


def _start_line(workspace: Workspace) -> str:
    return f"minitrain learn start {workspace.shown(workspace.folder)}"


def _readme(workspace: Workspace) -> str:
    first = next(iter(workspace.exercises.values()))
    file = workspace.file(first).relative_to(workspace.folder)
    return f"""\
The exercises of minitrain
==========================

Each file here is a piece of minitrain without its body. You write the body.
The check runs it in place of the library's, and says what is wrong with it
until it is right.

How to start:

    1. Open {file} in your editor.
       The text at its top says what to write.
    2. In a terminal, in this folder:   minitrain learn watch
    3. Write, and save. Each save is checked.

You can do them in any order: save any file, and it is checked.

{textwrap.indent(COMMANDS, "    ")}
Your progress is saved in {PROGRESS}.
"""


# --- the progress file's format ---------------------------------------------------------------------------------------


def _text(progress: dict[str, Any]) -> str:
    progress = {**progress, "format": FORMAT}
    return json.dumps({**progress, "checksum": _checksum(progress)}, indent=1) + "\n"


def _checksum(progress: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(progress, sort_keys=True).encode()):08x}"


def _parsed(text: bytes) -> dict[str, Any]:
    """The content of a progress file. Raises ValueError, with the reason, if it is not one."""
    content = parse_json(text)
    if not isinstance(content, dict) or not isinstance(content.get("format"), str):
        raise ValueError("it has no format")
    if content["format"] not in (FORMAT, EARLIER):
        raise ValueError(f"its format is {shown(content['format'])}, but this minitrain reads {FORMAT!r}")
    if not isinstance(content.get("exercises"), dict):
        raise ValueError("it has no exercises")
    checked = content["format"] == FORMAT or "checksum" in content
    if checked and content.pop("checksum", None) != _checksum(content):
        raise ValueError("its checksum is wrong: the file was damaged, or edited by hand")
    for name, entry in content["exercises"].items():
        if not isinstance(entry, dict):
            raise ValueError(f"the entry of {shown(name)} is not an object")
        for count in ("tries", "hints"):
            if type(entry.get(count, 0)) is not int or not 0 <= entry.get(count, 0) < 2**31:
                raise ValueError(f"the {count} of {shown(name)} are not a count")
        for text_ in ("passed", "sha256", "notebook"):
            if not isinstance(entry.get(text_, ""), str):
                raise ValueError(f"{text_} of {shown(name)} is not text")
        if ("passed" in entry) != ("sha256" in entry):
            raise ValueError(f"{shown(name)} has only one of passed and sha256")
    return content


# --- writing files ----------------------------------------------------------------------------------------------------


def _write_new(path: Path, text: str) -> bool:
    """Write a file and its folder, unless the file exists; returns whether it was written."""
    if os.path.lexists(path):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.encode())
    return True


def _first_free(path: Path) -> Path:
    """The first free path name.kept-N.py beside name.py, counted from 1."""
    numbered = (path.with_name(f"{path.stem}.kept-{number}{path.suffix}") for number in itertools.count(1))
    return next(kept for kept in numbered if not os.path.lexists(kept))


def file_name(name: str) -> str:
    """A name for a file: lower case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")

"""The learner's folder: nothing is overwritten, nothing is lost, and what is damaged is told."""

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitrain.learn import workspace as module
from minitrain.learn.workspace import (
    EARLIER,
    FOLDER,
    FORMAT,
    PROGRESS,
    LearnError,
    LearnUsageError,
    Workspace,
    find,
    start,
)


@dataclass(frozen=True)
class Exercise:
    """Stands in for an exercise of the library: the workspace asks for no more."""

    name: str
    track: str
    title: str = "A title"
    target: str = "ops.Something.backward"
    hints: tuple[str, ...] = ("First.", "Second.", "Third.")
    minutes: int = 5
    level: int = 1
    builds_on: tuple[str, ...] = ()
    notice: str = ""
    why: str = "A reason."

    def stub(self) -> str:
        return f'"""Write {self.name}: y = x², dL/dx = 2 x · dL/dy."""\n'

    def solution(self) -> str:
        return f"{self.stub()}solved = True\n"


EXERCISES: dict[str, Any] = {
    name: Exercise(name, track)
    for name, track in [
        ("relu", "forward passes"),
        ("relu-backward", "backward passes"),
        ("linear-weight", "backward passes"),
        ("adam", "optimizers"),
    ]
}
RELU, RELU_BACKWARD, LINEAR, ADAM = EXERCISES.values()


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder just made, in the current directory."""
    monkeypatch.chdir(tmp_path)
    return start(None, EXERCISES).workspace


def pass_(workspace: Workspace, exercise: Any, content: bytes = b"right = True\n") -> None:
    """Write a file, and record that it has passed."""
    workspace.file(exercise).write_bytes(content)
    workspace.record(exercise, content, passed=True)


# --- making a folder --------------------------------------------------------------------------------------------------


def test_start_makes_a_file_for_each_exercise_a_readme_and_the_progress_file(workspace: Workspace) -> None:
    made = sorted(str(path.relative_to(FOLDER)) for path in Path(FOLDER).rglob("*") if path.is_file())
    assert made == [
        PROGRESS,
        "README.txt",
        "backward_passes/linear_weight.py",
        "backward_passes/relu_backward.py",
        "forward_passes/relu.py",
        "optimizers/adam.py",
    ]
    assert workspace.file(ADAM).read_text(encoding="utf-8") == ADAM.stub()
    assert "forward_passes/relu.py" in (workspace.folder / "README.txt").read_text(encoding="utf-8")


def test_start_again_overwrites_nothing_and_makes_what_is_missing(workspace: Workspace) -> None:
    pass_(workspace, RELU, b"mine\n")
    (workspace.folder / "README.txt").write_text("my notes")
    workspace.file(ADAM).unlink()
    again = start(None, EXERCISES)
    assert (again.made, again.aside) == (1, None)
    assert workspace.file(RELU).read_bytes() == b"mine\n"
    assert (workspace.folder / "README.txt").read_text() == "my notes"
    assert workspace.file(ADAM).read_text(encoding="utf-8") == ADAM.stub()
    assert again.workspace.standing(RELU).status == "done"


def test_start_within_a_folder_of_exercises_makes_no_second_one_in_it(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace.file(RELU).parent)
    assert start(None, EXERCISES).made == 0
    assert list(Path().iterdir()) == [Path("relu.py")]


@pytest.mark.parametrize("inside", ["", "/deeper"])
def test_start_in_a_file_is_refused(inside: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(LearnUsageError, match=r"file.*: a file with this name exists; choose another folder"):
        start(f"{tmp_path}/file{inside}", EXERCISES)
    assert (tmp_path / "file").read_text() == "kept"


def test_an_empty_name_of_a_folder_is_refused() -> None:
    for act in (start, find):
        with pytest.raises(LearnUsageError, match="the folder's name is empty"):
            act("", EXERCISES)


# --- finding it -------------------------------------------------------------------------------------------------------


def test_the_folder_is_found_from_beside_it_from_within_and_by_name(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / FOLDER
    for here, named in [(".", None), (place, None), (place / "optimizers", None), ("/", str(place))]:
        monkeypatch.chdir(here)
        assert find(named, EXERCISES).folder.resolve() == place


def test_where_there_is_none_the_message_holds_the_line_that_makes_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LearnUsageError, match=r"minitrain learn start makes them in \./minitrain-exercises"):
        find(None, EXERCISES)
    with pytest.raises(LearnUsageError, match="no exercises in mine; minitrain learn start mine makes them"):
        find("mine", EXERCISES)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners")
@pytest.mark.parametrize("theirs", [".", PROGRESS, "optimizers", "optimizers/adam.py"])
def test_a_folder_that_is_partly_another_users_is_used_only_by_name(
    theirs: str, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / FOLDER
    owners = module._owners

    def others(path: Path) -> set[int]:
        return {os.geteuid() + 1} if path.resolve() == (place / theirs).resolve() else owners(path)

    monkeypatch.setattr(module, "_owners", others)
    for here in (tmp_path, place, place / "optimizers"):
        monkeypatch.chdir(here)
        with pytest.raises(LearnUsageError, match=r"belongs to another user, and a check would run .* add --dir "):
            find(None, EXERCISES)
    assert find(str(place), EXERCISES).folder == place
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LearnUsageError, match="belongs to another user; choose another folder"):
        start(None, EXERCISES)
    monkeypatch.chdir(place)  # above is another user's folder; one's own, beside it, is found as before
    assert start(None, EXERCISES).workspace.folder == Path(FOLDER)
    assert find(None, EXERCISES).folder.resolve() == place / FOLDER


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="files have no owners")
def test_a_files_owners_are_those_of_the_link_and_of_its_target(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    user = workspace.file(RELU).stat().st_uid
    (tmp_path / "link").symlink_to(workspace.file(RELU))
    assert module._owners(tmp_path / "link") == {user}
    assert module._owners(tmp_path / "nothing") == set()
    if user == 0:
        os.chown(tmp_path / "link", 65534, -1, follow_symlinks=False)
        assert module._owners(tmp_path / "link") == {0, 65534}
    with monkeypatch.context() as patch:  # as root by sudo: the user's own files are trusted, too
        patch.setattr(module.os, "geteuid", lambda: user + 1)
        with pytest.raises(LearnUsageError, match="belongs to another user"):
            find(None, EXERCISES)
        patch.setattr(module.os, "geteuid", lambda: 0)
        patch.setenv("SUDO_UID", str(user))
        assert find(None, EXERCISES).folder == Path(FOLDER)


# --- names ------------------------------------------------------------------------------------------------------------


def test_an_exercise_is_named_by_its_name_its_beginning_or_its_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workspace.resolve("relu") is RELU  # which is the beginning of another's name, too
    assert workspace.resolve("relu-") is RELU_BACKWARD
    assert workspace.resolve("a") is ADAM
    assert workspace.resolve(f"{FOLDER}/optimizers/adam.py") is ADAM
    monkeypatch.chdir(workspace.file(ADAM).parent)
    assert find(None, EXERCISES).resolve("adam.py") is ADAM


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("r", "'r' could be relu or relu-backward; type more of the name"),
        ("relu-backwards", r"no exercise 'relu-backwards'; did you mean relu-backward\? "),
        ("ReLU.backward", r"did you mean relu-backward\? "),
        ("backward_passes/Relu_backwrad.py", r"did you mean relu-backward\? "),
        ("weight", r"did you mean linear-weight\? "),
        ("", "no exercise ''"),
        ("zzz", "no exercise 'zzz' \\(minitrain learn list shows all\\)"),
        ("no_such.py", "no exercise 'no_such.py'"),
    ],
)
def test_another_name_is_refused_with_those_that_were_meant(name: str, told: str, workspace: Workspace) -> None:
    with pytest.raises(LearnUsageError, match=told):
        workspace.resolve(name)


# --- states -----------------------------------------------------------------------------------------------------------


def test_an_exercise_is_new_then_tried_then_done_and_stays_done(workspace: Workspace) -> None:
    assert workspace.standing(RELU).status == "new"
    workspace.record(RELU, b"wrong", passed=False)
    assert workspace.standing(RELU)[:2] == ("tried", 1)
    pass_(workspace, RELU)
    assert workspace.standing(RELU)[:2] == ("done", 2)
    workspace.record(RELU, b"wrong again", passed=False)
    assert workspace.standing(RELU)[:2] == ("done", 3)


def test_a_file_changed_since_it_passed_is_told_until_it_passes_again(workspace: Workspace) -> None:
    pass_(workspace, RELU, b"first")
    assert not workspace.standing(RELU).changed
    workspace.file(RELU).write_bytes(b"second")
    assert workspace.standing(RELU).changed
    workspace.file(RELU).write_bytes(b"first")
    assert not workspace.standing(RELU).changed
    pass_(workspace, RELU, b"second")
    assert not workspace.standing(RELU).changed


def test_what_passed_is_the_content_that_was_checked_not_what_is_there_afterwards(workspace: Workspace) -> None:
    workspace.file(RELU).write_bytes(b"saved during the check")
    workspace.record(RELU, b"checked", passed=True)
    assert workspace.standing(RELU).changed


def test_next_is_the_first_that_is_not_done_from_where_one_is(workspace: Workspace) -> None:
    assert workspace.next() is RELU
    pass_(workspace, LINEAR)
    assert workspace.next() is RELU
    assert workspace.next(after=RELU_BACKWARD) is ADAM
    pass_(workspace, ADAM)
    assert workspace.next(after=LINEAR) is RELU
    pass_(workspace, RELU)
    pass_(workspace, RELU_BACKWARD)
    assert workspace.next() is None
    assert workspace.next(after=RELU) is None


def test_hints_are_counted_up_to_their_number(workspace: Workspace) -> None:
    counts = []
    for _ in range(5):
        workspace.record_hint(RELU)
        counts.append(workspace.standing(RELU).hints)
    assert counts == [1, 2, 3, 3, 3]
    assert workspace.standing(RELU).status == "new"
    path = workspace.folder / PROGRESS
    assert json.loads(path.read_text())["exercises"]["relu"]["hints"] == 3
    path.write_text(json.dumps({"format": EARLIER, "exercises": {"relu": {"hints": 7}}}))  # when there were more
    assert workspace.standing(RELU).hints == 3


def test_two_terminals_see_each_others_work(workspace: Workspace) -> None:
    other = find(None, EXERCISES)
    workspace.record(RELU, b"", passed=True)
    other.record_hint(ADAM)
    workspace.record_hint(RELU)
    for seen in (workspace, other):
        assert (seen.standing(RELU).status, seen.standing(RELU).hints, seen.standing(ADAM).hints) == ("done", 1, 1)


# --- reset ------------------------------------------------------------------------------------------------------------


def test_reset_keeps_every_file_of_the_learner_and_makes_the_exercise_new(workspace: Workspace) -> None:
    for content in (b"one", b"two"):
        pass_(workspace, RELU, content)
        workspace.record_hint(RELU)
        kept = workspace.reset(RELU)
        assert kept is not None
        assert kept.read_bytes() == content
        assert workspace.is_stub(RELU)
        assert workspace.standing(RELU) == ("new", 0, 0, False, False)
    folder = workspace.file(RELU).parent
    assert sorted(path.name for path in folder.iterdir()) == ["relu.kept-1.py", "relu.kept-2.py", "relu.py"]


def test_reset_of_a_stub_or_of_nothing_keeps_no_copy(workspace: Workspace) -> None:
    assert workspace.reset(RELU) is None
    workspace.file(RELU).unlink()
    workspace.file(RELU).parent.rmdir()
    assert workspace.reset(RELU) is None
    assert workspace.is_stub(RELU)


# --- the progress file ------------------------------------------------------------------------------------------------


def test_the_progress_file_can_be_read_by_a_person(workspace: Workspace) -> None:
    workspace.record_hint(ADAM)
    workspace.record(ADAM, b"", passed=False)
    text = (workspace.folder / PROGRESS).read_text(encoding="utf-8")
    entry = '  "adam": {\n   "hints": 1,\n   "tries": 1\n  }'
    checksum = json.loads(text)["checksum"]
    assert text == f'{{\n "format": "{FORMAT}",\n "exercises": {{\n{entry}\n }},\n "checksum": "{checksum}"\n}}\n'


def test_names_and_entries_of_another_version_are_kept(workspace: Workspace) -> None:
    path = workspace.folder / PROGRESS
    theirs = {"tries": 3, "stars": 5}
    path.write_text(json.dumps({"format": EARLIER, "exercises": {"gone-\ud800": theirs}, "more": [1]}))
    workspace.record(RELU, b"", passed=True)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["exercises"]["gone-\ud800"] == theirs
    assert content["more"] == [1]
    assert list(workspace.standings()) == list(EXERCISES)


def passed(**changes: Any) -> dict[str, Any]:
    entry = {"tries": 1, "hints": 0, "passed": "2026-01-02T03:04:05+00:00", "sha256": "ab"}
    return {key: value for key, value in {**entry, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"format": 1, "exercises": {}},
        {"format": "minitrain learn 3", "exercises": {}},
        {"format": FORMAT, "exercises": {}},
        {"format": FORMAT, "exercises": {}, "checksum": "00000000"},
        {"format": EARLIER, "exercises": {}, "checksum": None},
        {"format": EARLIER},
        {"format": EARLIER, "exercises": []},
        {"format": EARLIER, "exercises": {"relu": []}},
        {"format": EARLIER, "exercises": {"relu": passed(tries=True)}},
        {"format": EARLIER, "exercises": {"relu": passed(tries=-1)}},
        {"format": EARLIER, "exercises": {"relu": passed(tries=1e400)}},
        {"format": EARLIER, "exercises": {"relu": passed(hints="1")}},
        {"format": EARLIER, "exercises": {"relu": passed(hints=10**30)}},
        {"format": EARLIER, "exercises": {"relu": passed(passed=None)}},
        {"format": EARLIER, "exercises": {"relu": passed(passed=...)}},
        {"format": EARLIER, "exercises": {"relu": passed(sha256=...)}},
        {"format": EARLIER, "exercises": {"relu": passed(sha256=7)}},
        {"format": EARLIER, "exercises": {"of another version": passed(tries=None)}},
    ],
)
def test_a_progress_file_with_anything_else_in_it_is_refused_with_the_remedy(
    content: Any, workspace: Workspace
) -> None:
    (workspace.folder / PROGRESS).write_text(json.dumps(content))
    for act in every_question(workspace):
        with pytest.raises(
            LearnError, match=r"Your exercises are not affected\. minitrain learn start minitrain-exercis"
        ):
            act()
    assert json.loads((workspace.folder / PROGRESS).read_text()) == json.loads(json.dumps(content))


def every_question(workspace: Workspace) -> list[Callable[[], Any]]:
    """All that reads the progress file."""
    return [
        workspace.next,
        workspace.standings,
        lambda: workspace.standing(RELU),
        lambda: workspace.record(RELU, b"", passed=True),
        lambda: workspace.record_hint(RELU),
        lambda: workspace.reset(RELU),
    ]


def test_another_versions_format_is_named(workspace: Workspace) -> None:
    (workspace.folder / PROGRESS).write_text('{"format": "minitrain learn 3", "exercises": {}}')
    with pytest.raises(LearnError, match="format is 'minitrain learn 3', but this minitrain reads 'minitrain learn 2'"):
        workspace.next()


def test_an_earlier_versions_file_is_read_and_gets_a_checksum(workspace: Workspace) -> None:
    path = workspace.folder / PROGRESS
    path.write_text(json.dumps({"format": EARLIER, "exercises": {"relu": passed(tries=3), "adam": {"hints": 2}}}))
    assert workspace.standing(RELU)[:2] == ("done", 3)
    workspace.record_hint(ADAM)
    assert (workspace.standing(RELU).tries, workspace.standing(ADAM).hints) == (3, 3)
    content = json.loads(path.read_text())
    assert content["format"] == FORMAT
    path.write_text(json.dumps({**content, "exercises": {}}))
    with pytest.raises(LearnError, match="its checksum is wrong"):
        workspace.standings()


@pytest.mark.parametrize("damaged", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b"9" * 5000])
def test_start_puts_a_damaged_progress_file_aside_and_begins_a_new_one(damaged: bytes, workspace: Workspace) -> None:
    path = workspace.folder / PROGRESS
    for number in (1, 2):
        workspace.file(RELU).write_bytes(b"mine")
        path.write_bytes(damaged)
        with pytest.raises(LearnError, match="renames it"):
            workspace.next()
        again = start(None, EXERCISES)
        assert again.aside == workspace.folder / f".minitrain-learn.kept-{number}.json"
        assert again.aside.read_bytes() == damaged
        assert workspace.file(RELU).read_bytes() == b"mine"
        assert workspace.next() is RELU


WHOLE = json.dumps(
    {"format": EARLIER, "exercises": {"relu": passed(), "adam": {"hints": 2}, "gone": passed(tries=9)}}, indent=1
).encode()


@st.composite
def damaged_versions(draw: st.DrawFn, whole: bytes) -> bytes:
    """The bytes, perhaps cut off, with up to three bits turned over."""
    damaged = bytearray(whole[: draw(st.integers(0, len(whole)) | st.just(len(whole)))])
    for bit in draw(st.lists(st.integers(0, 8 * len(damaged) - 1), max_size=3)) if damaged else []:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


@given(damaged_versions(WHOLE))
def test_a_truncated_or_flipped_progress_file_is_refused_or_rightly_read(damaged: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = start(folder, EXERCISES).workspace
        path = workspace.folder / PROGRESS
        path.write_bytes(damaged)
        try:
            standings = workspace.standings()
        except LearnError:
            for act in every_question(workspace):
                with pytest.raises(LearnError, match="renames it"):
                    act()
            assert path.read_bytes() == damaged
            return
        assert all(0 <= standing.hints <= 3 for standing in standings.values())
        before = json.loads(path.read_bytes())
        for act in every_question(workspace)[:-1]:
            act()
        after = json.loads(path.read_bytes())
        assert workspace.standing(RELU).status == "done"
        assert {name: entry for name, entry in after["exercises"].items() if name != "relu"} == {
            name: entry for name, entry in before["exercises"].items() if name != "relu"
        }


# --- when the file system does not let it -----------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_on_a_full_disk_what_was_there_stays_and_no_part_is_left(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pass_(workspace, RELU)
    before = tree(workspace.folder)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    told = r"cannot (write|reset).*\(No space left on device\).*(make the folder writable, or )?free some space"
    for act in every_question(workspace)[3:]:
        with pytest.raises(LearnError, match=told):
            act()
        assert tree(workspace.folder) == before
    with pytest.raises(LearnError, match=r"cannot make the exercises in other \(No space left on device\)"):
        start("other", EXERCISES)


def test_a_folder_that_cannot_be_written_is_told_with_the_reason(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def read_only(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if {"w", "x"} & {*mode}:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, mode, *arguments, **options)

    monkeypatch.setattr(Path, "open", read_only)
    for act in every_question(workspace)[3:-1]:
        with pytest.raises(LearnError, match=r"cannot write .*\(Permission denied\).*make the folder writable"):
            act()
    assert workspace.next() is RELU


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_can_be_read(workspace: Workspace) -> None:
    workspace.folder.chmod(0o500)
    try:
        assert workspace.next() is RELU
        with pytest.raises(LearnError, match="Permission denied"):
            workspace.record(RELU, b"", passed=True)
    finally:
        workspace.folder.chmod(0o700)


def test_a_vanished_folder_is_told_with_the_line_that_makes_it_anew(workspace: Workspace, tmp_path: Path) -> None:
    workspace.folder.rename(tmp_path / "elsewhere")
    for act in every_question(workspace):
        with pytest.raises(LearnError, match=r"is gone; minitrain learn start minitrain-exercises makes a new one"):
            act()


def test_a_progress_file_that_is_a_folder_is_told(workspace: Workspace) -> None:
    (workspace.folder / PROGRESS).unlink()
    (workspace.folder / PROGRESS).mkdir()
    with pytest.raises(LearnError, match=r"cannot read .*\(Is a directory\)"):
        workspace.next()
    with pytest.raises(LearnError, match=r"cannot make the exercises in minitrain-exercises \(Is a directory\)"):
        start(None, EXERCISES)

"""The commands of `minitrain learn`: what they say, what they leave, and their exit status."""

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minitrain.learn import commands
from minitrain.learn.screen import Screen
from minitrain.learn.watching import PATIENCE, Saves, watch
from minitrain.learn.workspace import LearnError, LearnUsageError, Workspace, start
from tests.test_workspace import ADAM, EXERCISES, LINEAR, RELU, RELU_BACKWARD, pass_


class Stage(NamedTuple):
    """Stands in for a stage of a real check."""

    name: str
    passed: bool
    text: str


def check(exercise: Any, path: Path) -> Iterator[Stage]:
    """Stands in for the real check: what says 'right' is right, 'half' passes the first stage only."""
    text = path.read_text(encoding="utf-8")
    yield Stage("gradcheck", "right" in text or "half" in text, f"{exercise.name} · looked at\nin two lines")
    if "right" in text or "half" in text:
        yield Stage("agreement with torch", "right" in text, "")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A folder just made, in the current directory."""
    monkeypatch.chdir(tmp_path)
    return start(None, EXERCISES).workspace


@pytest.fixture
def said() -> io.StringIO:
    """What the screen shows."""
    return io.StringIO()


@pytest.fixture
def screen(said: io.StringIO) -> Screen:
    """A screen that is no terminal."""
    return Screen(said)


# --- the screen -------------------------------------------------------------------------------------------------------


def test_colours_are_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Screen(Terminal()).paint("done", "green") == "\x1b[32mdone\x1b[0m"
    assert Screen(io.StringIO()).paint("done", "green") == "done"
    for variable, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert Screen(Terminal()).paint("done", "green") == "done"


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "dL/dx = 2 · xᵀ → √y"),
        ("ascii", "dL/dx = 2 * x.T \\u2192 sqrt y"),
        ("latin-1", "dL/dx = 2 * x.T \\u2192 sqrt y"),
    ],
)
def test_what_a_stream_cannot_encode_is_spelled_in_ascii(encoding: str, expected: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    Screen(stream).print("dL/dx = 2 · xᵀ → √y")
    stream.seek(0)
    assert stream.read() == f"{expected}\n"


# --- overview, start, list, next --------------------------------------------------------------------------------------


def test_the_overview_tells_every_command_and_how_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Screen, said: io.StringIO
) -> None:
    monkeypatch.chdir(tmp_path)
    commands.show_overview(None, EXERCISES, screen)
    out = said.getvalue()
    assert "4 exercises in 3 tracks" in out
    for command in ("start", "list", "next", "watch", "check", "hint", "solution", "reset"):
        assert f"minitrain learn {command}" in out
    assert out.endswith("Begin with: minitrain learn start\n")


def test_the_overview_tells_where_one_is(workspace: Workspace, screen: Screen, said: io.StringIO) -> None:
    pass_(workspace, RELU)
    commands.show_overview(None, EXERCISES, screen)
    assert "In minitrain-exercises: 1 of 4 done.\nNext: relu-backward (about " in said.getvalue()


def test_start_tells_the_first_file_and_the_first_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Screen, said: io.StringIO
) -> None:
    monkeypatch.chdir(tmp_path)
    commands.begin(None, EXERCISES, screen)
    assert said.getvalue() == (
        "4 exercises are new in minitrain-exercises, a file for each.\n\n"
        "First: relu (about 5 minutes)\n"
        "  title  A title\n"
        "  track  forward passes, 0 of 1 done\n"
        "  why    A reason.\n\n"
        "  1. open   minitrain-exercises/forward_passes/relu.py\n"
        "  2. run    minitrain learn watch\n"
        "  3. write  what its docstring asks for, and save: each save is checked\n"
    )


def test_start_elsewhere_says_to_go_there(tmp_path: Path, screen: Screen, said: io.StringIO) -> None:
    commands.begin(str(tmp_path / "mine"), EXERCISES, screen)
    assert f"  1. cd {tmp_path / 'mine'}\n  2. open   {tmp_path / 'mine'}/forward_passes/relu.py\n" in said.getvalue()


def test_start_says_where_a_damaged_progress_file_is_kept(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    (workspace.folder / ".minitrain-learn.json").write_text("{")
    commands.begin(None, EXERCISES, screen)
    assert "it is kept as minitrain-exercises/.minitrain-learn.kept-1.json,\n" in said.getvalue()
    assert "0 exercises are new in minitrain-exercises; 4 were there and are as they were." in said.getvalue()


def test_list_shows_every_state_and_what_is_next(workspace: Workspace, screen: Screen, said: io.StringIO) -> None:
    pass_(workspace, RELU)
    workspace.record(RELU_BACKWARD, b"", passed=False)
    workspace.record_hint(RELU_BACKWARD)
    pass_(workspace, LINEAR)
    workspace.file(LINEAR).write_text("changed")
    workspace.file(ADAM).unlink()
    commands.show_list(workspace, screen)
    assert said.getvalue() == (
        "The exercises in minitrain-exercises\n"
        "\nforward passes, 1 of 1\n"
        "  done   relu            5 min  A title\n"
        "\nbackward passes, 1 of 2\n"
        "> tried  relu-backward   5 min  A title\n"
        "         1 of 3 hints shown\n"
        "  done   linear-weight   5 min  A title\n"
        "         changed since it passed\n"
        "\noptimizers, 0 of 1\n"
        "  new    adam            5 min  A title\n"
        "         its file is gone (minitrain learn start makes it)\n"
        "\n2 of 4 done. > is next; minitrain learn next tells more.\n"
    )


def test_next_tells_the_file_the_title_why_and_how_long(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    pass_(workspace, RELU)
    workspace.record(RELU_BACKWARD, b"", passed=False)
    assert commands.show_next(workspace, screen) is RELU_BACKWARD
    assert said.getvalue() == (
        "Next: relu-backward (about 5 minutes)\n"
        "  title  A title\n"
        "  track  backward passes, 0 of 2 done; this one you have tried\n"
        "  why    A reason.\n"
        "  open   minitrain-exercises/backward_passes/relu_backward.py\n"
        "  check  minitrain learn check relu-backward\n"
    )


def test_when_all_are_done_every_command_says_so(workspace: Workspace) -> None:
    for exercise in EXERCISES.values():
        pass_(workspace, exercise)
    acts: list[Callable[[Screen], Any]] = [
        lambda screen: commands.show_next(workspace, screen),
        lambda screen: commands.show_list(workspace, screen),
        lambda screen: commands.begin(None, EXERCISES, screen),
        lambda screen: commands.show_overview(None, EXERCISES, screen),
        lambda screen: commands.check_named(workspace, None, screen, check),
        lambda screen: watch(workspace, None, screen, check),
    ]
    for act in acts:
        said = io.StringIO()
        act(Screen(said))
        assert said.getvalue().endswith("All 4 exercises are done.\n")


# --- check ------------------------------------------------------------------------------------------------------------


def test_a_check_shows_each_stage_and_a_pass_leads_on(workspace: Workspace, screen: Screen, said: io.StringIO) -> None:
    workspace.file(RELU).write_text("right")
    assert commands.check_named(workspace, None, screen, check)
    assert said.getvalue() == (
        "relu: A title\nminitrain-exercises/forward_passes/relu.py\n\n"
        "  pass  gradcheck\n"
        "        relu · looked at\n"
        "        in two lines\n"
        "  pass  agreement with torch\n\n"
        "Passed. The library's own body: minitrain learn solution relu\n\n"
        "Next: relu-backward (about 5 minutes)\n"
        "  title  A title\n"
        "  track  backward passes, 0 of 2 done\n"
        "  why    A reason.\n"
        "  open   minitrain-exercises/backward_passes/relu_backward.py\n"
        "  check  minitrain learn check relu-backward\n"
    )
    assert workspace.standing(RELU).status == "done"


@pytest.mark.parametrize("written", ["wrong", "half"])
def test_a_check_that_fails_in_any_stage_fails_and_points_to_the_hints(
    written: str, workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    workspace.file(ADAM).write_text(written)
    workspace.record_hint(ADAM)
    assert not commands.check_named(workspace, "adam", screen, check)
    assert said.getvalue().endswith("Not yet. minitrain learn hint adam (2 hints left)\n")
    assert "  FAIL  " in said.getvalue()
    assert workspace.standing(ADAM).status == "tried"


def test_a_check_without_any_stage_is_no_pass(workspace: Workspace, screen: Screen) -> None:
    assert not commands.check_named(workspace, "adam", screen, lambda exercise, path: iter(()))


def test_the_outcome_is_shown_before_it_turns_out_that_it_cannot_be_remembered(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    workspace.file(RELU).write_text("right")
    (workspace.folder / ".minitrain-learn.json").unlink()
    with pytest.raises(LearnError, match="is gone"):
        commands.check_named(workspace, "relu", screen, check)
    assert "  pass  agreement with torch" in said.getvalue()


def test_a_file_that_is_gone_is_told_with_what_makes_it(workspace: Workspace, screen: Screen) -> None:
    workspace.file(RELU).unlink()
    with pytest.raises(LearnUsageError, match=r"relu\.py is not there; minitrain learn reset relu makes it"):
        commands.check_named(workspace, "relu", screen, check)


def test_check_all_finds_what_passes_and_leaves_the_stubs_alone(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    workspace.file(RELU).write_text("right")
    workspace.file(ADAM).write_text("half")
    assert not commands.check_all(workspace, screen, check)
    assert said.getvalue() == ("  pass  relu\n  FAIL  adam\n1 of 4 done; those still to be written were not checked\n")
    assert [standing.status for standing in workspace.standings().values()] == ["done", "new", "new", "tried"]
    workspace.file(ADAM).write_text("right")
    assert commands.check_all(workspace, screen, check)


# --- hint, solution, reset --------------------------------------------------------------------------------------------


def test_each_call_shows_one_hint_more(workspace: Workspace) -> None:
    seen = []
    for _ in range(4):
        said = io.StringIO()
        commands.show_hint(workspace, "relu", Screen(said))
        seen.append(re.findall(r"Hint (\d) of 3", said.getvalue()))
        last = said.getvalue()
    assert seen == [["1"], ["1", "2"], ["1", "2", "3"], ["1", "2", "3"]]
    assert "That is all. To see it done: minitrain learn solution relu --spoil" in last
    assert "Hint 3 of 3\n  Third.\n" in last


def test_the_solution_is_shown_after_a_pass_or_if_it_may_be_spoiled(workspace: Workspace) -> None:
    with pytest.raises(LearnUsageError, match=r"relu has not passed yet: .*hint relu helps \(0 of 3 shown\), and --sp"):
        commands.show_solution(workspace, "relu", Screen(io.StringIO()), spoil=False)
    before = workspace.file(RELU).read_bytes()
    for spoil in (True, False):
        said = io.StringIO()
        commands.show_solution(workspace, "relu", Screen(said), spoil=spoil)
        assert said.getvalue() == RELU.solution()
        assert workspace.file(RELU).read_bytes() == before
        workspace.record(RELU, b"", passed=True)


def test_reset_says_where_the_file_is_kept(workspace: Workspace, screen: Screen, said: io.StringIO) -> None:
    workspace.file(RELU).write_text("mine")
    commands.reset(workspace, "relu", screen)
    assert "Your file is kept as minitrain-exercises/forward_passes/relu.kept-1.py\n" in said.getvalue()


# --- saves ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file to be saved."""
    path = tmp_path / "a.py"
    save(path, "first", 1)
    return path


def save(path: Path, text: str, moment: int) -> None:
    """Write a file as if at this moment, in seconds."""
    path.write_text(text)
    os.utime(path, (moment, moment))


def test_a_save_is_told_once_when_it_has_come_to_rest(file: Path) -> None:
    saves = Saves({"a": file})
    assert saves.look() == []
    save(file, "second", 2)
    assert [saves.look() for _ in range(4)] == [[], ["a"], [], []]


def test_a_half_written_save_is_left_to_be_finished(file: Path) -> None:
    saves = Saves({"a": file})
    looks = []
    for moment, text in enumerate(["", "ha", "half wri", "half written"], 2):
        save(file, text, moment)
        looks.append(saves.look())
    assert looks == [[]] * 4
    assert saves.look() == ["a"]


def test_a_save_of_the_same_content_is_a_save(file: Path) -> None:
    saves = Saves({"a": file})
    save(file, "first", 2)
    assert [saves.look(), saves.look()] == [[], ["a"]]


def test_a_save_by_a_new_file_in_its_place_is_told_even_with_the_old_time(file: Path, tmp_path: Path) -> None:
    saves = Saves({"a": file})
    save(tmp_path / "a.py.new", "other", 1)
    (tmp_path / "a.py.new").replace(file)
    assert [saves.look(), saves.look(), saves.look()] == [[], ["a"], []]


def test_a_file_away_for_a_moment_is_no_save_until_it_is_back(file: Path, tmp_path: Path) -> None:
    saves = Saves({"a": file})
    file.rename(tmp_path / "a.py~")
    assert [saves.look() for _ in range(3)] == [[]] * 3
    save(file, "second", 2)
    assert [saves.look() for _ in range(3)] == [[], ["a"], []]


def test_many_saves_during_a_check_are_one_afterwards(file: Path) -> None:
    saves = Saves({"a": file})
    saves.see("a")  # a check begins
    for moment in (2, 3, 4):
        save(file, str(moment), moment)
    assert [saves.look() for _ in range(4)] == [[], ["a"], [], []]


def test_of_several_saves_the_latest_is_last(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in "abc"}
    saves = Saves(files)
    for name, moment in (("b", 3), ("c", 1), ("a", 2)):
        save(files[name], "", moment)
    assert [saves.look(), saves.look()] == [[], ["c", "a", "b"]]


# --- watch ------------------------------------------------------------------------------------------------------------


class Learner:
    """Stands in for time.sleep: while watch sleeps, the learner acts, some looks apart, and at last presses Ctrl-C."""

    def __init__(self, *acts: Callable[[], Any]) -> None:
        self._acts = list(acts)
        self._looks = 0

    def __call__(self, seconds: float) -> None:
        self._looks += 1
        if self._looks % 4 == 0:
            if not self._acts:
                raise KeyboardInterrupt
            self._acts.pop(0)()


def watched(workspace: Workspace, *acts: Callable[[], Any], name: str | None = None, check: Any = check) -> str:
    """What watch says while a learner acts."""
    said = io.StringIO()
    watch(workspace, name, Screen(said), check, Learner(*acts))
    return said.getvalue()


def test_watch_checks_each_save_goes_on_after_a_pass_and_ends_when_all_are_done(workspace: Workspace) -> None:
    saves = [
        lambda exercise=exercise, text=text: workspace.file(exercise).write_text(text)
        for exercise in EXERCISES.values()
        for text in ("wrong", "now it is right")
    ]
    out = watched(workspace, *saves)
    assert re.findall("^(Passed|Not yet|Next: [a-z-]*|All 4)", out, re.MULTILINE) == [
        "Next: relu",
        *("Not yet", "Passed", "Next: relu-backward"),
        *("Not yet", "Passed", "Next: linear-weight"),
        *("Not yet", "Passed", "Next: adam"),
        *("Not yet", "Passed", "All 4"),
    ]
    assert "No longer watching" not in out


def test_watch_does_not_check_a_stub_until_it_is_saved(workspace: Workspace) -> None:
    assert "gradcheck" not in watched(workspace)
    assert "FAIL  gradcheck" in watched(workspace, lambda: workspace.file(RELU).touch())


def test_watch_checks_at_once_what_is_already_written(workspace: Workspace) -> None:
    for exercise in (RELU, RELU_BACKWARD):
        workspace.file(exercise).write_text("right")
    out = watched(workspace)
    assert out.count("Passed.") == 2
    assert workspace.next() is LINEAR


def test_watch_begins_where_it_is_told_and_checks_whichever_file_is_saved(workspace: Workspace) -> None:
    out = watched(workspace, lambda: workspace.file(RELU).write_text("right"), name="adam")
    assert out.startswith("adam (about 5 minutes)\n  title  A title\n")
    assert "  open   minitrain-exercises/optimizers/adam.py\n" in out
    assert workspace.standing(RELU).status == "done"
    assert "Next: relu-backward" in out


def test_of_several_saves_at_once_watch_checks_the_current_one(workspace: Workspace) -> None:
    def save_all() -> None:
        for exercise in EXERCISES.values():
            workspace.file(exercise).write_text("wrong")

    watched(workspace, save_all, name="relu-backward")
    tried = [name for name, standing in workspace.standings().items() if standing.status == "tried"]
    assert tried == ["relu-backward"]


def test_saves_during_a_check_are_checked_once_more(workspace: Workspace) -> None:
    contents = []

    def slow_check(exercise: Any, path: Path) -> Iterator[Stage]:
        contents.append(path.read_text())
        if len(contents) == 1:
            for number in range(3):
                path.write_text(f"wrong {number}, saved while the check runs")
        yield Stage("gradcheck", False, "")

    watched(workspace, lambda: workspace.file(RELU).write_text("wrong"), check=slow_check)
    assert contents == ["wrong", "wrong 2, saved while the check runs"]


def test_a_file_that_is_taken_away_and_put_back_is_checked_when_it_is_back(workspace: Workspace) -> None:
    path = workspace.file(RELU)
    out = watched(
        workspace,
        lambda: path.rename("elsewhere.py"),
        lambda: Path("elsewhere.py").write_text("right"),
        lambda: Path("elsewhere.py").rename(path),
    )
    assert out.count("Passed.") == 1
    assert "is gone" not in out


def test_a_file_that_stays_away_is_missed_once_and_still_waited_for(workspace: Workspace) -> None:
    path = workspace.file(RELU)
    waiting = [lambda: None] * PATIENCE
    out = watched(workspace, path.unlink, *waiting, lambda: path.write_text("right"))
    assert out.count("relu.py is gone. Save it again, or: minitrain learn reset relu\n") == 1
    assert out.count("Passed.") == 1


def test_a_file_that_vanishes_as_the_check_begins_ends_nothing(workspace: Workspace) -> None:
    path = workspace.file(RELU)
    path.write_text("wrong")
    stub, looked = workspace.is_stub, []

    def is_stub(exercise: Any) -> bool:
        looked.append(stub(exercise))
        path.unlink()
        return looked[-1]

    workspace.is_stub = is_stub  # type: ignore[method-assign]
    out = watched(workspace)
    assert looked == [False]
    assert "gradcheck" not in out
    assert out.endswith("minitrain learn list\n")


def test_a_folder_that_vanishes_ends_watching_with_the_line_that_makes_it(workspace: Workspace) -> None:
    waiting = [lambda: None] * PATIENCE
    with pytest.raises(LearnError, match="the folder minitrain-exercises is gone; minitrain learn start makes a new"):
        watched(workspace, lambda: workspace.folder.rename("elsewhere"), *waiting)


def test_ctrl_c_ends_watching_even_within_a_check(workspace: Workspace) -> None:
    def interrupted(exercise: Any, path: Path) -> Iterator[Stage]:
        yield Stage("gradcheck", True, "")
        raise KeyboardInterrupt

    workspace.file(RELU).write_text("right")
    out = watched(workspace, check=interrupted)
    assert out.endswith("\nNo longer watching. What you have done is remembered: minitrain learn list\n")
    assert workspace.standing(RELU).status == "new"

"""The commands of `minitrain learn`: what they say, what they leave, and their exit status."""

import contextlib
import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given

from minitrain.cli import main
from minitrain.learn import checking, commands
from minitrain.learn.exercises import EXERCISES as REAL
from minitrain.learn.screen import BLOCKS, Screen, columns, fitted, plot, wrapped
from minitrain.learn.watch import PATIENCE, SHORT_HELP, Keys, Saves, watch
from minitrain.learn.workspace import FOLDER, PROGRESS, LearnError, LearnUsageError, Workspace, start
from tests.test_cli import minitrain
from tests.test_workspace import ADAM, EXERCISES, LINEAR, RELU, RELU_BACKWARD, WHOLE, damaged_versions, pass_


class Stage(NamedTuple):
    """Stands in for a stage of a real check."""

    name: str
    passed: bool
    text: str
    rest: int = 0


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
    assert out.startswith("Start with: minitrain learn start\n(there are no exercises here; ")
    assert out.index("Start with") < out.index("4 exercises in 3 tracks") < out.index("minitrain learn list")


def test_the_overview_tells_where_one_is(workspace: Workspace, screen: Screen, said: io.StringIO) -> None:
    pass_(workspace, RELU)
    commands.show_overview(None, EXERCISES, screen)
    assert said.getvalue().startswith(
        "In minitrain-exercises: 1 of 4 done, 15 min left.\nNext: relu-backward (level 1, about 5 minutes)\n"
    )
    assert said.getvalue().index("watch  minitrain learn watch") < said.getvalue().index("4 exercises in 3 tracks")


def test_start_tells_the_first_file_and_the_first_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: Screen, said: io.StringIO
) -> None:
    monkeypatch.chdir(tmp_path)
    commands.begin(None, EXERCISES, screen)
    assert said.getvalue() == (
        "4 new exercises in minitrain-exercises, one file for each.\n\n"
        "First: relu (level 1, about 5 minutes)\n"
        "  title  A title\n"
        "  track  forward passes, 0 of 1 done\n"
        "  why    A reason.\n\n"
        "  1. open   minitrain-exercises/forward_passes/relu.py\n"
        "  2. run    minitrain learn watch\n"
        "  3. write  what its docstring asks for, and save; each save is checked\n"
    )


def test_start_elsewhere_says_to_go_there(tmp_path: Path, screen: Screen, said: io.StringIO) -> None:
    commands.begin(str(tmp_path / "mine"), EXERCISES, screen)
    assert f"  1. cd {tmp_path / 'mine'}\n  2. open   {tmp_path / 'mine'}/forward_passes/relu.py\n" in said.getvalue()


def test_start_says_where_a_damaged_progress_file_is_kept(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    (workspace.folder / ".minitrain-learn.json").write_text("{")
    commands.begin(None, EXERCISES, screen)
    assert "It was renamed to\n  minitrain-exercises/.minitrain-learn.kept-1.json\n" in said.getvalue()
    assert "0 new exercises in minitrain-exercises; 4 existing files were not changed." in said.getvalue()


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
        "\nforward passes   [##########] 1 of 1\n"
        "  done   relu           *    5 min  A title\n"
        "\nbackward passes  [#####.....] 1 of 2, 5 min left\n"
        "> tried  relu-backward  *    5 min  A title\n"
        "         1 of 3 hints shown\n"
        "  done   linear-weight  *    5 min  A title\n"
        "         changed since it passed\n"
        "\noptimizers       [..........] 0 of 1, 5 min left\n"
        "  new    adam           *    5 min  A title\n"
        "         file missing (minitrain learn start makes it)\n"
        "\n2 of 4 done, 10 min left. * is a first step, *** needs thought. > marks the\n"
        "next one; minitrain learn next describes it.\n"
    )


@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_command_fits_the_terminal(width: int, begun: Path) -> None:
    name = max(REAL, key=len)
    for words in ([], ["start"], ["list"], ["next"], ["hint", name], ["check", name]):
        told = learn(*words, cwd=begun, COLUMNS=str(width)).stdout
        lines = [line for line in told.splitlines() if f"{FOLDER}/" not in line]  # paths are not broken
        assert max(map(len, lines)) < width, told
    listed = learn("list", cwd=begun, COLUMNS=str(width)).stdout
    titles = sum(exercise.title in listed for exercise in REAL.values()) / len(REAL)
    assert {60: titles == 0, 80: 0.5 < titles < 1, 120: titles > 0.9}[width]


def test_a_check_is_wrapped_and_its_curves_are_narrower_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = "A long line " * 9 + "\n    indented " + "and long " * 9 + "\n" + plot([0.0] * 200, 0, 1, width=60, height=2)
    for shown in (fitted(text, 51), wrapped(text)):
        assert max(map(len, shown.splitlines())) <= 51
    assert "\n      and long" in fitted(text, 51)
    assert plot([0.0] * 200, 0, 1, width=60, height=1).count(BLOCKS[1]) == 44
    monkeypatch.setenv("COLUMNS", "0")
    assert columns(io.StringIO()) == 79


def test_next_tells_the_file_the_title_why_and_how_long(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    pass_(workspace, RELU)
    workspace.record(RELU_BACKWARD, b"", passed=False)
    assert commands.show_next(workspace, screen) is RELU_BACKWARD
    assert said.getvalue() == (
        "Next: relu-backward (level 1, about 5 minutes)\n"
        "  title  A title\n"
        "  track  backward passes, 0 of 2 done; you have tried this one\n"
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
        "Passed.\n"
        "  read   the library's ops.Something.backward: minitrain learn solution relu\n\n"
        "Next: relu-backward (level 1, about 5 minutes)\n"
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
    with pytest.raises(LearnUsageError, match=r"relu\.py does not exist; minitrain learn reset relu makes it"):
        commands.check_named(workspace, "relu", screen, check)


def test_check_all_finds_what_passes_and_leaves_the_stubs_alone(
    workspace: Workspace, screen: Screen, said: io.StringIO
) -> None:
    workspace.file(RELU).write_text("right")
    workspace.file(ADAM).write_text("half")
    assert not commands.check_all(workspace, screen, check)
    assert said.getvalue() == ("  pass  relu\n  FAIL  adam\n1 of 4 done; 2 not written yet, so not checked\n")
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
    assert "That was the last hint. The solution:\n  minitrain learn solution relu --spoil" in last
    assert "Hint 3 of 3\n  Third.\n" in last


def test_the_solution_is_shown_after_a_pass_or_if_it_may_be_spoiled(workspace: Workspace) -> None:
    with pytest.raises(
        LearnUsageError, match=r"relu has not passed yet; .*hint relu gives a hint \(0 of 3 shown\), and --sp"
    ):
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
    """Stands in for a terminal: while watch waits, the learner acts, some looks apart, and at last presses Ctrl-C.

    An act is a function to call, or a key.
    """

    def __init__(self, *acts: Callable[[], Any] | str) -> None:
        self._acts = list(acts)
        self._looks = 0

    def __call__(self, seconds: float) -> str:
        self._looks += 1
        if self._looks % 4 == 0:
            if not self._acts:
                raise KeyboardInterrupt
            act = self._acts.pop(0)
            if isinstance(act, str):
                return act
            act()
        return ""


def watched(workspace: Workspace, *acts: Callable[[], Any] | str, name: str | None = None, check: Any = check) -> str:
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
    assert "Stopped watching" not in out


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
    assert out.startswith("adam (level 1, about 5 minutes)\n  title  A title\n")
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


def test_the_next_file_saved_during_a_check_is_checked_once(workspace: Workspace) -> None:
    checked = []

    def slow_check(exercise: Any, path: Path) -> Iterator[Stage]:
        checked.append(exercise.name)
        if exercise is RELU:
            workspace.file(RELU_BACKWARD).write_text("wrong")
        yield Stage("gradcheck", exercise is RELU, "")

    watched(workspace, lambda: workspace.file(RELU).write_text("right"), check=slow_check)
    assert checked == ["relu", "relu-backward"]


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
    assert out.count("relu.py is gone. Save it again, or run: minitrain learn reset relu\n") == 1
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
    assert out.endswith("\nStopped watching. Your progress is saved: minitrain learn list\n")
    assert workspace.standing(RELU).status == "new"


def test_keys_show_hints_run_again_lead_on_and_quit(workspace: Workspace) -> None:
    out = watched(workspace, "h", "h", "n", "r", "x", "?", "q", lambda: pytest.fail("q has not quit"))
    assert re.findall(r"^(Hint \d|Next: [a-z-]*|  FAIL|  r  run|Keys|Stopped)", out, re.MULTILINE) == [
        *("Next: relu", "Keys"),
        *("Hint 1", "Hint 1", "Hint 2"),
        "Next: relu-backward",
        *("  FAIL", "Keys"),
        *("  r  run", "Stopped"),
    ]
    standings = workspace.standings()
    assert (standings["relu"].hints, standings["relu"].tries, standings["relu-backward"].tries) == (2, 0, 1)


def test_the_next_exercise_is_checked_at_once_if_it_is_already_written(workspace: Workspace) -> None:
    workspace.file(RELU_BACKWARD).write_text("wrong")
    out = watched(workspace, "n", "n", "n")
    assert out.count("FAIL") == 1
    assert re.findall("Next: ([a-z-]*)", out) == ["relu", "relu-backward", "linear-weight", "adam"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of a terminal that is this process's stdin; job control is left out."""
    ours, theirs = pty.openpty()
    with open(theirs, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp())
        yield ours
    os.close(ours)
    os.close(theirs)


def test_keys_are_read_one_by_one_and_the_terminal_is_restored(terminal: int) -> None:
    before = termios.tcgetattr(sys.stdin.fileno())
    with contextlib.suppress(ZeroDivisionError), Keys() as keys:
        assert not termios.tcgetattr(sys.stdin.fileno())[3] & (termios.ICANON | termios.ECHO)
        os.write(terminal, b"hN?\x1b[A\x1b[H\x1bOPq")
        assert [keys.wait(5) for _ in range(4)] == ["h", "n", "?", "q"]
        assert keys.wait(0) == ""
        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, before)  # a shell does so after Ctrl-Z
        os.write(terminal, b"r")
        assert keys.wait(5) == "r"
        1 / 0  # noqa: B018
    assert termios.tcgetattr(sys.stdin.fileno()) == before


def test_in_the_background_and_without_a_terminal_no_key_is_read(
    terminal: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = termios.tcgetattr(sys.stdin.fileno())
    os.write(terminal, b"q")
    monkeypatch.setattr(os, "tcgetpgrp", lambda descriptor: os.getpgrp() + 1)
    with Keys() as keys:
        assert not keys.are_read()
        assert keys.wait(0) == ""
        assert termios.tcgetattr(sys.stdin.fileno()) == before
    for stdin in (io.StringIO("q"), None):
        monkeypatch.setattr(sys, "stdin", stdin)
        with Keys() as keys:
            assert not keys.are_read()
            assert keys.wait(0) == ""


# --- the commands as a user types them, with the real exercises and the real check ------------------------------------


class Ended(NamedTuple):
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def learn(*arguments: str, cwd: Path, encoding: str = "utf-8", **environment: str) -> Ended:
    """Run the command as in a process of its own, but in this one, and as if torch were not installed."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, newline="\n") for _ in range(2)]
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(streams[0]),
        contextlib.redirect_stderr(streams[1]),
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(checking, "find_spec", lambda name: None)
        try:
            status = main(["learn", *arguments])
        except SystemExit as error:  # the parser's
            status = int(error.code or 0)
    for stream in streams:
        stream.seek(0)
    return Ended(status, *[stream.read() for stream in streams])


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A directory in which `minitrain learn start` was run."""
    assert learn("start", cwd=tmp_path).returncode == 0
    return tmp_path


def first() -> tuple[str, Path]:
    """The first exercise's name, and its file as seen from beside the folder."""
    exercise = next(iter(REAL.values()))
    return exercise.name, Workspace(Path(FOLDER), REAL).file(exercise)


def test_the_first_minutes(begun: Path) -> None:
    name, file = first()
    assert f"open   {file}\n" in learn("next", cwd=begun).stdout

    failed = learn("check", cwd=begun)
    assert (failed.returncode, failed.stderr) == (1, "")
    assert "  FAIL  " in failed.stdout
    assert failed.stdout.endswith(f"Not yet. minitrain learn hint {name} ({len(REAL[name].hints)} hints left)\n")

    assert learn("hint", name, cwd=begun).stdout.startswith(f"Hint 1 of {len(REAL[name].hints)}\n")
    refused = learn("solution", name, cwd=begun)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{name} has not passed yet" in refused.stderr

    (begun / file).write_text(learn("solution", name, "--spoil", cwd=begun).stdout, encoding="utf-8")
    passed = learn("check", cwd=begun)
    assert (passed.returncode, passed.stderr) == (0, "")
    assert "FAIL" not in passed.stdout
    assert f"Passed. {REAL[name].notice}" in passed.stdout.replace("\n", " ")
    second = list(REAL)[1]
    assert f"\nNext: {second} " in passed.stdout

    told = learn("list", cwd=begun).stdout
    assert re.search(rf"^  done   {name} ", told, re.MULTILINE)
    assert re.search(rf"^> new    {second} ", told, re.MULTILINE)
    assert learn("solution", name, cwd=begun).returncode == 0

    again = learn("reset", name, cwd=begun)
    assert again.returncode == 0
    assert f"kept as {file.with_suffix('.kept-1.py')}\n" in again.stdout
    assert re.search(rf"^> new    {name} ", learn("list", cwd=begun).stdout, re.MULTILINE)


def test_every_line_of_the_readme_fits_a_terminal_of_80_columns(begun: Path) -> None:
    assert max(map(len, (begun / FOLDER / "README.txt").read_text(encoding="utf-8").splitlines())) < 80


def test_a_reader_that_ends_early_causes_no_traceback(begun: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "minitrain", "learn", "list"], cwd=begun, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()  # before the first line
    _, errors = process.communicate(timeout=60)
    assert errors == b"minitrain: nobody reads the output any more: stopped\n"


def test_each_exercise_says_in_up_to_three_lines_what_its_pass_shows() -> None:
    notices = {name: exercise.notice for name, exercise in REAL.items()}
    for name, notice in notices.items():
        assert re.fullmatch(r"[^\n]{30,230}\.", notice), name
    assert len(set(notices.values())) == len(notices)


def test_each_exercise_has_a_file_of_its_own() -> None:
    workspace = Workspace(Path(FOLDER), REAL)
    assert len({str(workspace.file(exercise)).lower() for exercise in REAL.values()}) == len(REAL)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list"], "minitrain: error: there are no exercises here; minitrain learn start makes them"),
        (["list", "--dir", "mine"], "minitrain: error: there are no exercises in mine; minitrain learn start mine"),
        (["--dir", "mine"], "minitrain: error: there are no exercises in mine; minitrain learn start mine"),
        (["--dir", "mine", "next"], "minitrain: error: there are no exercises in mine; minitrain learn start mine"),
        (["hint"], "minitrain learn hint: error: the following arguments are required: NAME"),
        (["fly"], "minitrain learn: error: argument action: invalid choice: 'fly'"),
        (["start", "a", "--dir", "b"], "minitrain: error: the folder is given twice, as a and as --dir b"),
        (["start", "file"], "minitrain: error: cannot make the folder file: a file with this name exists"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(arguments: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = learn(*arguments, cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1


def test_a_wrong_name_gets_one_line_and_status_2(begun: Path) -> None:
    for command in ("check", "watch", "hint", "solution", "reset"):
        result = learn(command, "no-such-exercise", cwd=begun)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("minitrain: error: there is no exercise 'no-such-exercise'")
        assert result.stderr.count("\n") == 1
    both = learn("check", "--all", "some", cwd=begun)
    assert (both.returncode, both.stderr) == (2, "minitrain: error: --all checks every exercise; leave some out\n")


def test_debug_shows_the_traceback_before_and_behind_the_action(tmp_path: Path) -> None:
    for arguments in (["list", "--debug"], ["--debug", "list"]):
        with pytest.raises(LearnUsageError):
            learn(*arguments, cwd=tmp_path)
    result = minitrain("learn", "list", "--debug", cwd=tmp_path)
    assert result.returncode == 1
    assert "LearnUsageError" in result.stderr


def test_where_stdout_has_only_ascii_everything_is_told_all_the_same(begun: Path) -> None:
    name, file = first()
    solution = learn("solution", name, "--spoil", cwd=begun).stdout
    (begun / file).write_text(solution, encoding="utf-8")
    for words in (["list"], ["next"], ["hint", name], ["solution", name, "--spoil"], ["check"]):
        result = learn(*words, cwd=begun, encoding="ascii")
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.isascii()
    process = minitrain("learn", "solution", name, "--spoil", cwd=begun, PYTHONIOENCODING="ascii")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.isascii()


@given(damaged_versions(WHOLE.replace(b"relu", next(iter(REAL)).encode())))
def test_a_damaged_progress_file_gets_one_line_or_is_rightly_read(damaged: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, PROGRESS)
        path.write_bytes(damaged)
        for words in (["list"], ["next"], ["hint", next(iter(REAL))]):
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(["learn", *words, "--dir", folder])
            if status == 0:
                assert err.getvalue() == ""
                continue
            assert (status, out.getvalue(), path.read_bytes()) == (1, "", damaged)
            assert err.getvalue().count("\n") == 1
            assert f"minitrain learn start {folder} renames it" in err.getvalue()


class Watching:
    """`minitrain learn watch` in a terminal of its own."""

    def __init__(self, cwd: Path) -> None:
        self.seen = ""
        self._terminal, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minitrain", "learn", "watch"],
            cwd=cwd,
            env={**environment, "TERM": "xterm"},
            stdin=child,
            stdout=child,
            stderr=child,
            start_new_session=True,
            preexec_fn=self._take_terminal,
        )
        os.close(child)

    @staticmethod
    def _take_terminal() -> None:
        """As a shell starts a job in the foreground."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def press(self, key: bytes) -> None:
        os.write(self._terminal, key)

    def is_restored(self) -> bool:
        """Whether the terminal shows what is typed, line by line."""
        return termios.tcgetattr(self._terminal)[3] & (termios.ICANON | termios.ECHO) == termios.ICANON | termios.ECHO

    def until(self, text: str) -> str:
        """All that was shown up to this text since the last time, colours and all."""
        deadline = time.monotonic() + 60
        while text not in self.seen and time.monotonic() < deadline:
            if select.select([self._terminal], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):  # the other end is closed
                    self.seen += os.read(self._terminal, 65536).decode("utf-8", "replace").replace("\r\n", "\n")
            elif self.process.poll() is not None:
                break
        before, found, self.seen = self.seen.partition(text)
        assert found, before
        return before

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._terminal)


@pytest.fixture
def watching(begun: Path) -> Iterator[Watching]:
    """A process that watches; ended afterwards, whatever became of it."""
    process = Watching(begun)
    yield process
    process.end()


def test_watch_checks_a_save_goes_on_after_a_pass_and_ends_cleanly_on_ctrl_c(watching: Watching, begun: Path) -> None:
    name, file = first()
    watching.until(f"Watching: each save is checked.\n{SHORT_HELP}")
    assert not watching.is_restored()
    watching.press(b"h")
    watching.until(f"Hint 1 of {len(REAL[name].hints)}")
    watching.until(f"minitrain learn hint {name}\n")
    saved = begun / file
    saved.write_text(saved.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert "\x1b[31mFAIL\x1b[0m" in watching.until(f"minitrain learn hint {name}")
    part = saved.with_name("part")  # as an editor saves
    part.write_text(REAL[name].solution(), encoding="utf-8")
    part.replace(saved)
    assert "\x1b[31mFAIL\x1b[0m" not in watching.until("\x1b[32mPassed.\x1b[0m")
    watching.until(list(REAL)[1])
    watching.until("minitrain learn check")
    watching.press(b"\x03")  # Ctrl-C
    watching.until("Stopped watching. Your progress is saved: minitrain learn list")
    assert watching.process.wait(timeout=60) == 0
    assert watching.is_restored()
    assert "Traceback" not in watching.seen
    assert re.search(rf"^  done   {name} ", learn("list", cwd=begun).stdout, re.MULTILINE)


def test_ctrl_c_ends_a_check_and_the_process_that_runs_the_learners_code(begun: Path) -> None:
    name, file = first()
    forever = f"import os\n        open({str(begun / 'pid')!r}, 'w').write(str(os.getpid()))\n        while True: pass"
    stub = (begun / file).read_text(encoding="utf-8")
    (begun / file).write_text(re.sub(r"raise NotImplementedError.*", lambda _: forever, stub), encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "minitrain", "learn", "check", name],
        cwd=begun,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        waited(lambda: (begun / "pid").exists() and (begun / "pid").read_text())
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "minitrain: interrupted\n")
    pid = int((begun / "pid").read_text())
    waited(lambda: not running(pid))
    assert re.search(rf"^> new    {name} ", learn("list", cwd=begun).stdout, re.MULTILINE)


def waited(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, 0)
        return "zombie" not in Path(f"/proc/{pid}/status").read_text() if Path("/proc").exists() else True
    return False

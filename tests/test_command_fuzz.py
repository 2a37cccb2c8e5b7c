"""Whatever stands on a command line, minitrain ends with a status and in words: no traceback, no hang, nothing lost."""

import argparse
import contextlib
import io
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minitrain import cli
from minitrain.data import DataError
from minitrain.runs.config import Config
from minitrain.runs.recipe import Training
from minitrain.runs.run import train
from tests.fault_table import record

RUN = Config(dataset="digits", epochs=1, batch_size=500, hidden=(4,))

# Small, wrong, or far too large; nothing that would be begun in earnest and take all memory or all day.
INTEGERS = ["0", "1", "3", "-1", "9" * 30, str(10**13), "1.5", "", "x", "1e3", "٣", "1_0"]
FLOATS = ["0", "0.5", "-1", "nan", "inf", "-inf", "1e999", "1e-400", "1e30", "", "x", "1,5", "0x10"]
NAMES = ["", ".", "..", "-", "a b", "\n", "ü", "\ud800", "x" * 300, "/dev/null/x", "nowhere", "new", "new/deep"]
WITHIN = st.characters(exclude_characters="/")  # what is written is to stay in the folder
THERE = ["run", "damaged", "empty", "file", "run/config.json", "run/checkpoints", "picture.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, a damaged one, an empty one, a file and something like a picture."""
    folder = tmp_path_factory.mktemp("fuzz") / "folder"
    folder.mkdir()
    with contextlib.redirect_stdout(io.StringIO()):
        train(RUN, folder / "run")
    shutil.copytree(folder / "run", folder / "damaged")
    (folder / "damaged" / "config.json").write_text('{"format": 1}')
    (folder / "empty").mkdir()
    (folder / "file").write_text("text")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(autouse=True)
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No network, no endless loop, no other handlers of signals after the test; all else is real."""

    def no_network(*args: Any, **kwargs: Any) -> None:
        raise DataError("no network")

    monkeypatch.setattr("minitrain.data.datasets.fetch", no_network)
    monkeypatch.setattr(Training, "run", lambda self, observer, position: None)
    monkeypatch.setattr("minitrain.learn.watch.watch", lambda workspace, name, screen, check: None)
    monkeypatch.setattr("minitrain.learn.checking.check", lambda *args, **kwargs: iter(()))
    monkeypatch.setattr("minitrain.mistakes.table.table", lambda: iter(()))  # of the whole zoo: five seconds
    monkeypatch.delenv("MINITRAIN_DATA", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def parsers(parser: argparse.ArgumentParser, name: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command, and each of its commands, with its parser."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from parsers(below, (*name, word))


COMMANDS = dict(parsers(cli._parser()))


def values(action: argparse.Action) -> st.SearchStrategy[list[str]]:
    """What may be written for an option or an argument."""
    if action.nargs == 0:
        return st.just([])
    if isinstance(action, argparse.BooleanOptionalAction):
        return st.just([])
    if action.choices is not None:
        one = st.sampled_from([*map(str, action.choices), "", "x"])
    elif action.type is int:
        one = st.sampled_from(INTEGERS) | st.integers(-3, 3).map(str)
    elif action.type is float:
        one = st.sampled_from(FLOATS) | st.floats().map(repr)
    else:
        one = st.sampled_from(["run", "run", *THERE]) | st.sampled_from(NAMES) | st.text(WITHIN, max_size=5)
    several = action.nargs in ("*", "+")
    return st.lists(one, max_size=3) if several else one.map(lambda value: [value])


SLOW = {"--drift", "--steps", "--eps-sweep", "--mode"}  # which the tests of these commands look at


@st.composite
def lines(draw: st.DrawFn, command: tuple[str, ...]) -> list[str]:
    """A command line: some of its options, each once or twice, and its arguments, in any order."""
    options, arguments = [], []
    for action in COMMANDS[command]._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        if not action.option_strings:
            arguments.append(action)
        elif not {"--debug", *SLOW} & {*action.option_strings}:
            options.append(action)
    chosen = draw(st.lists(st.sampled_from(options), max_size=5)) if options else []
    words = [[draw(st.sampled_from(action.option_strings)), *draw(values(action))] for action in chosen]
    words += [draw(values(action)) for action in arguments if draw(st.integers(0, 9))]
    words = draw(st.permutations(words))
    small = ["--dataset", "digits"] if any("--dataset" in a.option_strings for a in options) else []
    return [*command, *(word for group in words for word in group), *small]


def ended(line: list[str], folder: Path) -> tuple[int, str, str]:
    """The status and what was printed, of a command line run in a copy of the folder."""
    out, err = io.StringIO(), io.StringIO()
    here = Path.cwd()
    work = folder / ".." / "parent" / "work"  # a parent of its own, since .. is among the names
    shutil.rmtree(work.parent, ignore_errors=True)
    shutil.copytree(folder, work)
    os.chdir(work)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                status = cli.main(line)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 99
    finally:
        os.chdir(here)
    return status, out.getvalue(), err.getvalue()


# How many lines are drawn, unless they are drawn thoroughly: fewer where one takes long.
SLOWER = {("train",): 30, ("gradcheck",): 10, ("compare",): 10}
SLOWER |= {("learn", "start"): 8, ("learn", "notebook"): 4, ("learn", "zoo"): 8}
FUZZED = [command for command in COMMANDS if command and command != ("doctor",)]


@pytest.mark.parametrize("command", FUZZED, ids=" ".join)
def test_every_command_line_ends_in_words(command: tuple[str, ...], folder: Path) -> None:
    thorough = settings.default is not None and settings.default.max_examples > 1000
    examples = 500 if thorough else SLOWER.get(command, 40)
    run = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    tries = 0

    @settings(max_examples=examples, suppress_health_check=[*HealthCheck])
    @given(lines(command))
    def check(line: list[str]) -> None:
        nonlocal tries
        tries += 1
        status, _, errors = ended(line, folder)
        assert status in (0, 1, 2), (line, errors)
        assert "Traceback" not in errors, line
        if status == 2:
            assert errors.startswith("minitrain"), (line, errors)
            assert errors.count("\n") == 1, (line, errors)
        if status != 0 and "--force" not in line and "--resume" not in line:
            work = folder / ".." / "parent" / "work"
            assert all((work / path.relative_to(folder)).read_bytes() == content for path, content in run.items()), line

    check()
    record("command lines drawn at random", tries, 0)


def test_a_command_that_ends_in_a_traceback_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "one_line", lambda text: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ended(["verify", "nowhere"], folder)

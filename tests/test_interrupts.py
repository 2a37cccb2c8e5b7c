"""A signal at any moment: the run is saved, and the printed command resumes it to its end."""

import os
import random
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from minitrain.runs.checkpoints import checkpoints, read_checkpoint
from tests import harness
from tests.fault_table import record
from tests.harness import BATCHES, EPOCHS, TRAIN, outcome, printed_command, resume, run, shell, straight, wait

STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
# Where a signal is answered by a checkpoint, and what is said of it.
PHASES = {
    "before the data are loaded": (("data", "", 1), "interrupted"),
    "before the first batch": (("written", "config.json", 1), "interrupted after batch 0 of epoch 1, and saved"),
    "in the first batch": (("batch", "", 1), "interrupted after batch 0 of epoch 1, and saved"),
    "in the middle of an epoch": (("batch", "", BATCHES + 10), "interrupted after batch 9 of epoch 2, and saved"),
    "in an epoch's last batch": (("batch", "", BATCHES), "interrupted after batch 41 of epoch 1, and saved"),
    "in a test": (("test", "", 2), "interrupted after epoch 2, and saved"),
    "in the last test": (("test", "", EPOCHS), f"interrupted after epoch {EPOCHS}, and saved"),
    "while a checkpoint is written": (("half", "checkpoints", 3), "interrupted after batch 13 of epoch 1, and saved"),
    "as a checkpoint gets its name": (("rename", "checkpoints", 3), "interrupted after batch 13 of epoch 1, and saved"),
    "after an epoch's checkpoint": (("renamed", "checkpoints", 8), "interrupted after epoch 1, and saved"),
}


def goes_on_to_the_end(folder: Path, first: harness.Ended) -> None:
    """What was printed goes on with the run: in all the same lines on stdout, and the same files."""
    ended = shell(printed_command(first.err), folder)
    assert ended.status == 0, ended
    assert first.out + ended.out == straight().out
    assert outcome(folder / "run") == straight().outcome


@pytest.mark.parametrize(
    ("phase", "name"),
    [
        # One of the two in turn; the other one among what takes long.
        pytest.param(phase, name, marks=[pytest.mark.slow] if (i + j) % 2 else [])
        for i, phase in enumerate(PHASES)
        for j, name in enumerate(["SIGINT", "SIGTERM"])
    ],
)
def test_a_signal_saves_the_run_and_the_command_that_it_prints_ends_it(phase: str, name: str, tmp_path: Path) -> None:
    rule, said = PHASES[phase]
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=[(*rule, name)])
    assert (ended.status, said in ended.err) == (STATUS[name], True), ended
    if rule[0] == "data":
        assert [*tmp_path.iterdir()] == []
        assert ended.out == ""
    else:
        goes_on_to_the_end(tmp_path, ended)
    record("SIGINT, SIGTERM or SIGHUP at a chosen moment", 1, 0)


def test_so_does_the_end_of_a_terminal(tmp_path: Path) -> None:
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 50, "SIGHUP")])
    assert (ended.status, "and saved" in ended.err) == (STATUS["SIGHUP"], True)
    goes_on_to_the_end(tmp_path, ended)
    record("SIGINT, SIGTERM or SIGHUP at a chosen moment", 1, 0)


@pytest.mark.parametrize("event", ["half", "rename", "renamed"])
def test_a_run_that_is_writing_its_weights_ends_as_if_no_signal_had_come(event: str, tmp_path: Path) -> None:
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=[(event, "model", 1, "SIGTERM")])
    assert (ended.status, ended.out) == (0, straight().out)
    assert outcome(tmp_path / "run") == straight().outcome
    record("SIGINT, SIGTERM or SIGHUP at a chosen moment", 1, 0)


@pytest.mark.parametrize(
    "rule",
    [
        ("batch", "", 1),
        ("batch", "", BATCHES + 10),
        ("test", "", 2),
        ("half", "checkpoints", 1),
        ("half", "checkpoints", 4),
        pytest.param(("written", "checkpoints", 4), marks=pytest.mark.slow),
        pytest.param(("rename", "checkpoints", 4), marks=pytest.mark.slow),
        ("renamed", "checkpoints", 4),
        pytest.param(("half", "steps", 3), marks=pytest.mark.slow),
        ("half", "model", 1),
    ],
)
def test_a_second_signal_stops_at_once_and_leaves_the_last_good_checkpoint(
    rule: tuple[str, str, int], tmp_path: Path
) -> None:
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=[(*rule, "SIGINT+SIGTERM")])
    assert (ended.status, ended.err.count("interrupted at once")) == (143, 1), ended
    assert harness.no_parts(tmp_path / "run")
    for path in checkpoints(tmp_path / "run"):
        read_checkpoint(path)
    ended = shell(printed_command(ended.err), tmp_path)
    assert ended.status == 0, ended
    assert outcome(tmp_path / "run") == straight().outcome
    record("a second signal at once", 1, 0)


def signalled_from_outside(folder: Path, number: signal.Signals, seconds: float, times: int = 1) -> harness.Ended:
    """A run that gets a signal so many seconds after its start."""
    process = harness.start(*TRAIN, "--out", "run", cwd=folder, preexec_fn=harness.default_signals)
    time.sleep(seconds)
    for _ in range(times):
        process.send_signal(number)
    return wait(process, traceback=True)


def check_from_outside(folder: Path, count: int, seed: int) -> None:
    """Signals at random moments from a run's very start, each answered and the run ended."""
    generator = random.Random(seed)
    for i in range(count):
        place = folder / str(i)
        place.mkdir()
        number = generator.choice([signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
        times = generator.choice([1, 1, 2, 3, 5])
        moment = generator.uniform(0, straight().seconds)
        ended = signalled_from_outside(place, number, moment, times)
        case = f"{number.name}, {times} times, after {moment:.3f} s: {ended}"
        # Before minitrain's first line is reached, it is Python that answers.
        assert not re.search(r'cli.py", line \d+, in main', ended.err), case
        if "Traceback" in ended.err:
            assert not (place / "run").exists(), case
        else:
            assert ended.status in (0, 128 + number, -number), case
        record("signals at a random moment", 1, 0)
        if (place / "run" / "model.safetensors").exists() and ended.status == 0:
            pass
        elif (place / "run" / "config.json").exists():
            resumed = run("train", "--resume", "run", cwd=place)
            assert resumed.status == 0 or "is complete" in resumed.err, f"{case}, then {resumed}"
        else:
            assert run(*TRAIN, "--out", "run", cwd=place).status == 0, case
        assert harness.no_parts(place / "run")
        assert outcome(place / "run") == straight().outcome, case


def test_signals_at_random_moments(tmp_path: Path) -> None:
    check_from_outside(tmp_path, 8, 6)


@pytest.mark.slow
def test_signals_at_many_random_moments(tmp_path: Path) -> None:
    check_from_outside(tmp_path, 150, 7)


def test_what_is_to_be_ignored_is_ignored(tmp_path: Path) -> None:
    def as_nohup_has_it() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    rules: list[harness.Rule] = [("batch", "", 50, "SIGHUP"), ("half", "checkpoints", 3, "SIGHUP+SIGHUP")]
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules, preexec_fn=as_nohup_has_it)
    assert (ended.status, ended.out) == (0, straight().out)
    assert outcome(tmp_path / "run") == straight().outcome
    record("SIGHUP that is to be ignored", 1, 0)


# --- an output that nobody reads --------------------------------------------------------------------------------------


def test_where_nobody_reads_on_the_run_is_saved_and_goes_on_to_the_same_end(tmp_path: Path) -> None:
    line = f"{' '.join(harness.command(*TRAIN, '--out', 'run'))} | head -n 3; exit ${{PIPESTATUS[0]}}"
    ended = shell(line, tmp_path)
    assert (ended.status, ended.out.splitlines()) == (1, straight().out.splitlines()[:3])
    told = r"minitrain: nobody reads the output any more: stopped after (batch \d+ of )?epoch \d, and saved"
    assert re.match(told, ended.err), ended
    assert shell(printed_command(ended.err), tmp_path).status == 0
    assert outcome(tmp_path / "run") == straight().outcome
    record("an output that nobody reads", 1, 0)


def test_where_nobody_reads_errors_either_it_ends_all_the_same(tmp_path: Path) -> None:
    for stream in ("stdout", "stderr"):
        read, write = os.pipe()
        os.close(read)
        place = tmp_path / stream
        place.mkdir()
        rules: list[harness.Rule] = [("batch", "", 50, "SIGTERM")]
        streams = {"stdout": subprocess.DEVNULL, stream: write}
        process = harness.start(*TRAIN, "--out", "run", cwd=place, rules=rules, **streams)
        os.close(write)
        assert wait(process).status == (1 if stream == "stdout" else 143)
        resume(place)
        assert outcome(place / "run") == straight().outcome
        record("an output that nobody reads", 1, 0)


def test_the_command_is_quoted_for_a_shell(tmp_path: Path) -> None:
    name = "my run's $HOME"
    ended = run(*TRAIN, "--out", name, cwd=tmp_path, rules=[("batch", "", 50, "SIGINT")])
    assert shell(printed_command(ended.err), tmp_path).status == 0
    assert outcome(tmp_path / name) == straight().outcome


def test_a_command_that_cannot_be_found_is_not_printed(tmp_path: Path) -> None:
    shutil.copy(shutil.which("bash") or "bash", tmp_path / "bash")  # a PATH without minitrain
    env = {**harness.environment(), "PATH": str(tmp_path)}
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 50, "SIGINT")], env=env)
    assert printed_command(ended.err) == "python -m minitrain train --resume run"

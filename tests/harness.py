"""Runs in child processes, the faults planted in them, and what they leave."""

from __future__ import annotations

import contextlib
import csv
import functools
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent.parent
# Small enough for hundreds of runs. An epoch has 42 batches, so every sixth checkpoint falls on its end; the state
# includes momentum and an order.
BATCHES, EPOCHS, EVERY = 42, 3, 7
TRAIN = (
    *("train", "--dataset", "digits", "--epochs", str(EPOCHS), "--batch-size", "36", "--hidden", "16"),
    *("--momentum", "0.9", "--checkpoint-every", str(EVERY)),
)
PATIENCE = 120  # seconds that a child may take
Rule = tuple[str, str, int, str]  # see tests/sabotage.py


def command(*arguments: str, rules: Sequence[Rule] = ()) -> list[str]:
    """The command line of minitrain with these arguments, and with the faults of these rules."""
    module = ["tests.sabotage", json.dumps(list(rules))] if rules else ["minitrain"]
    return [sys.executable, "-m", *module, *arguments]


def environment() -> dict[str, str]:
    """One thread, the checkout's tests, and the commands of this environment."""
    paths = {"PYTHONPATH": str(HERE), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return {**os.environ, **paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def start(
    *arguments: str, cwd: Path, rules: Sequence[Rule] = (), prefix: Sequence[str] = (), **options: Any
) -> subprocess.Popen[str]:
    """Start minitrain; prefix: a command that starts it."""
    return child([*prefix, *command(*arguments, rules=rules)], cwd, **options)


def child(line: list[str], cwd: Path, **options: Any) -> subprocess.Popen[str]:
    """A child process whose output is kept."""
    usual: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=cwd, text=True, **{**usual, "env": environment(), **options})


class Ended(NamedTuple):
    """How a child process has ended."""

    status: int
    out: str
    err: str


def wait(process: subprocess.Popen[str], *, traceback: bool = False) -> Ended:
    """Wait for its end, and check that it printed no traceback, unless it may."""
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    ended = Ended(process.returncode, out, err)
    assert traceback or "Traceback" not in (err or ""), ended
    return ended


def run(*arguments: str, cwd: Path, rules: Sequence[Rule] = (), **options: Any) -> Ended:
    """Run minitrain to its end."""
    return wait(start(*arguments, cwd=cwd, rules=rules, **options))


def shell(line: str, cwd: Path) -> Ended:
    """Run a line in a shell, as a user would who pastes it there."""
    return wait(child(["bash", "-c", line], cwd))


def resume(cwd: Path, *arguments: str, rules: Sequence[Rule] = ()) -> Ended:
    """Resume the run in cwd/run to its end."""
    ended = run("train", "--resume", "run", *arguments, cwd=cwd, rules=rules)
    assert ended.status == 0, ended
    return ended


def outcome(run: Path) -> dict[str, str]:
    """The hashes of a complete run's files, without the seconds that it took."""
    files = {name: (run / name).read_bytes() for name in ("model.safetensors", "steps.csv", "log.txt")}
    with (run / "epochs.csv").open(newline="", encoding="utf-8") as file:
        files["epochs.csv"] = repr([row[:-1] for row in csv.reader(file)]).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def losses(run: Path) -> list[float]:
    """The losses of all updates."""
    return [float(line.split(",")[-1]) for line in (run / "steps.csv").read_text().splitlines()[1:]]


class Straight(NamedTuple):
    """What an undisturbed run leaves."""

    outcome: dict[str, str]
    losses: list[float]
    out: str
    seconds: float


@functools.cache
def straight(*arguments: str) -> Straight:
    """The run TRAIN with these arguments."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        ended = run(*TRAIN, *arguments, "--out", "run", cwd=Path(folder))
        assert ended.status == 0, ended
        seconds = time.monotonic() - began
        return Straight(outcome(Path(folder) / "run"), losses(Path(folder) / "run"), ended.out, seconds)


def printed_command(err: str) -> str:
    """The command that an interrupted run prints to resume it."""
    found = re.search(r"\n    (\S.*--resume.*)\n", err)
    assert found is not None, err
    return found.group(1)


def no_parts(run: Path) -> bool:
    """Whether no unfinished file is left."""
    return not [*run.rglob("*.part")]


def whole_lines(run: Path) -> bool:
    """Whether all existing tables and the log end with complete lines."""
    contents = [path.read_bytes() for path in (*run.glob("*.csv"), *run.glob("*.txt"))]
    return all(content.endswith(b"\n") for content in contents if content)


@contextlib.contextmanager
def paused(mark: Path, process: subprocess.Popen[str]) -> Iterator[None]:
    """Inside it the process waits at a rule whose action is pause:mark."""
    until = time.monotonic() + PATIENCE
    while not mark.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"it never came to {mark}: {process.communicate()}")
        time.sleep(0.005)
    yield
    mark.unlink()


def default_signals() -> None:
    """In a child: the default signal handlers, even if this is a background job."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)

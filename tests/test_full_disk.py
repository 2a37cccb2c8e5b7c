"""A full disk, a folder that cannot be written or that vanishes: the run reports it, and loses nothing."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from minitrain.runs.checkpoints import checkpoints, read_checkpoint, read_last_good
from tests import harness
from tests.fault_table import record
from tests.harness import TRAIN, Rule, outcome, paused, printed_command, resume, run, shell, straight, wait

# A run of TRAIN needs 120 kB at its largest: two checkpoints, one that is written, metrics, weights.


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, of 1 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path, room: int = 0) -> Path:
    """Fill a file system but for so many bytes, to the page; returns the file that does it."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, max(filler.stat().st_size - room, 0))
    return filler


def good(run: Path) -> list[str]:
    """The names of the checkpoints that are there, each of which is whole."""
    return [read_checkpoint(path).path.stem for path in checkpoints(run)]


@pytest.mark.parametrize("room", [0, 8192, 16384, 65536])
def test_a_disk_that_is_full_at_the_start_is_found_out_before_training_and_nothing_is_left(
    room: int, disk: Path
) -> None:
    fill(disk, room)
    ended = run(*TRAIN, "--out", "run", cwd=disk)
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.startswith("minitrain: error: cannot write the run in run (") or "cannot create" in ended.err, (
        ended
    )
    assert "make room" in ended.err or "cannot create" in ended.err, ended
    assert ended.err.count("\n") == 1
    assert [path.name for path in disk.iterdir()] == ["filler"]
    record("a disk full before training", 1, 0)


def test_what_was_in_the_folder_stays_where_a_run_cannot_begin_in_it(disk: Path) -> None:
    (disk / "run").mkdir()
    (disk / "run" / "notes.part").write_text("mine")
    fill(disk)
    assert run(*TRAIN, "--out", "run", cwd=disk).status == 2
    assert [path.name for path in (disk / "run").iterdir()] == ["notes.part"]


@pytest.mark.parametrize("room", [0, 4096, 20480])
def test_a_disk_that_fills_up_and_empties_again_costs_nothing(room: int, disk: Path, tmp_path: Path) -> None:
    full, empty = tmp_path / "full", tmp_path / "empty"
    rules: list[Rule] = [("batch", "", 30, f"pause:{full}"), ("batch", "", 70, f"pause:{empty}")]
    process = harness.start(*TRAIN, "--out", "run", cwd=disk, rules=rules)
    with paused(full, process):
        before = good(disk / "run")
        filler = fill(disk, room)
    with paused(empty, process):
        assert good(disk / "run")[-1] >= before[-1]
        assert harness.no_parts(disk / "run")
        assert harness.whole_lines(disk / "run")
        filler.unlink()
    ended = wait(process)
    assert (ended.status, ended.out) == (0, straight().out)
    # Once for a reason, not at each save; and that it is over.
    failures = ended.err.count("cannot write in run (No space left on device")
    assert 1 <= failures <= 2, ended
    assert "The run continues and will try again; the last checkpoint is intact" in ended.err
    assert ended.err.count("run can be written again; nothing is missing there") == failures
    assert outcome(disk / "run") == straight().outcome
    record("a disk full for a while", 1, 0)


def test_a_disk_that_stays_full_ends_the_run_and_its_checkpoint_goes_on_once_there_is_room(
    disk: Path, tmp_path: Path
) -> None:
    full = tmp_path / "full"
    process = harness.start(*TRAIN, "--out", "run", cwd=disk, rules=[("batch", "", 30, f"pause:{full}")])
    with paused(full, process):
        before = good(disk / "run")
        filler = fill(disk)
    ended = wait(process)
    assert (ended.status, ended.err.count("Trying again in")) == (1, 3), ended
    assert "cannot save in run (No space left on device; 0.0 MB are free). The last checkpoint is intact" in ended.err
    assert ended.out == straight().out
    assert good(disk / "run") == before
    assert harness.no_parts(disk / "run")
    assert harness.whole_lines(disk / "run")
    filler.unlink()
    resume(disk)
    assert outcome(disk / "run") == straight().outcome
    record("a disk full to the end", 1, 0)


@pytest.mark.parametrize("signals", ["SIGINT", "SIGINT+SIGTERM"])
def test_a_signal_on_a_full_disk_leaves_the_last_checkpoint(signals: str, disk: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    rules: list[Rule] = [("batch", "", 30, f"pause:{full}"), ("batch", "", 34, signals)]
    process = harness.start(*TRAIN, "--out", "run", cwd=disk, rules=rules)
    with paused(full, process):
        before = good(disk / "run")
        filler = fill(disk)
    ended = wait(process)
    assert ended.status == (1 if signals == "SIGINT" else 143), ended
    assert good(disk / "run") == before
    filler.unlink()
    resume(disk)
    assert outcome(disk / "run") == straight().outcome
    record("a signal on a full disk", 1, 0)


def test_a_signal_ends_the_waiting_for_room(disk: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    # The third try waits for ten minutes, so that the signal comes within it.
    rules: list[Rule] = [("batch", "", 30, f"pause:{full}"), ("wait", "600", 0, "")]
    process = harness.start(*TRAIN, "--out", "run", cwd=disk, rules=rules)
    with paused(full, process):
        filler = fill(disk)
    assert process.stderr is not None
    for line in process.stderr:
        if "Ctrl-C gives up" in line:
            break
    process.send_signal(signal.SIGTERM)
    ended = wait(process)
    assert (ended.status, "interrupted at once. Resume the last checkpoint with:" in ended.err) == (143, True), ended
    filler.unlink()
    assert shell(printed_command(ended.err), disk).status == 0
    assert outcome(disk / "run") == straight().outcome
    record("a signal on a full disk", 1, 0)


def test_room_that_comes_while_the_run_waits_for_it_is_used(disk: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    process = harness.start(
        *TRAIN, "--out", "run", cwd=disk, rules=[("batch", "", 30, f"pause:{full}"), ("wait", "1", 0, "")]
    )
    with paused(full, process):
        filler = fill(disk)
    assert process.stderr is not None
    for line in process.stderr:
        if "Ctrl-C gives up" in line:
            break
    filler.unlink()
    assert wait(process).status == 0
    assert outcome(disk / "run") == straight().outcome
    record("a disk full for a while", 1, 0)


def test_a_disk_that_is_full_when_a_run_goes_on_leaves_it_as_it_was(disk: Path) -> None:
    assert run(*TRAIN, "--out", "run", cwd=disk, rules=[("batch", "", 60, "SIGKILL")]).status == -9
    filler = fill(disk)
    before = good(disk / "run")
    ended = run("train", "--resume", "run", cwd=disk)
    assert (ended.status, ended.out) == (2, ""), ended
    assert "cannot write the run in run (No space left on device" in ended.err
    assert good(disk / "run") == before
    filler.unlink()
    resume(disk)
    assert outcome(disk / "run") == straight().outcome
    record("a disk full when a run goes on", 1, 0)


def test_whoever_reads_metrics_while_the_run_goes_on_finds_whole_lines(tmp_path: Path) -> None:
    process, looks = harness.start(*TRAIN, "--out", "run", cwd=tmp_path), 0
    while process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            assert (tmp_path / "run" / "steps.csv").read_bytes()[-1:] == b"\n"
            looks += 1
    assert (wait(process).status, looks > 0) == (0, True)


def test_where_the_log_cannot_be_printed_it_goes_on_in_its_file(disk: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    with (disk / "out").open("w") as out:
        out.write("x" * (4096 - 100))  # so that the log's first lines fill a page
        out.flush()
        process = harness.start(
            *TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 30, f"pause:{full}")], stdout=out
        )
        with paused(full, process):
            fill(disk)
        ended = wait(process)
    assert ended.status == 0, ended
    told = "minitrain: cannot print (No space left on device); the log continues in run/log.txt\n"
    assert ended.err.startswith(told), ended
    assert outcome(tmp_path / "run") == straight().outcome
    record("a full disk under the output", 1, 0)


# --- a largest size of a file, which any user can set -----------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 1501, 6000])
def test_a_file_that_may_not_grow_is_a_disk_that_is_full(size: int, tmp_path: Path) -> None:
    limited, free = tmp_path / "limited", tmp_path / "free"
    rules: list[Rule] = [("batch", "", 37, f"pause:{limited}"), ("batch", "", 70, f"pause:{free}")]
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules)
    with paused(limited, process):
        before = good(tmp_path / "run")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    with paused(free, process):
        assert good(tmp_path / "run") == before
        assert harness.no_parts(tmp_path / "run")
        assert harness.whole_lines(tmp_path / "run")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ended = wait(process)
    assert (ended.status, "cannot write in run (File too large" in ended.err) == (0, True), ended
    assert outcome(tmp_path / "run") == straight().outcome
    record("a file that may not grow", 1, 0)


def test_a_file_that_may_not_grow_from_the_start_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # noqa: E731
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, preexec_fn=limit)
    assert (ended.status, ended.out, "File too large" in ended.err) == (2, "", True), ended
    assert [*tmp_path.iterdir()] == []
    record("a file that may not grow", 1, 0)


# --- folders that vanish ----------------------------------------------------------------------------------------------


def check_rescued(ended: harness.Ended, folder: Path, name: str = "run-rescued-0") -> None:
    """The run ended with one message; the command that it printed continues it in its new place to the same end."""
    assert (ended.status, ended.err.count("removed, moved or replaced during the run")) == (1, 1), ended
    assert f"The run stopped; its state is saved in {name}\nTo resume it:\n" in ended.err, ended
    resumed = shell(printed_command(ended.err), folder)
    assert resumed.status == 0, resumed
    assert ended.out + resumed.out == straight().out
    assert outcome(folder / name) == straight().outcome
    assert "is complete" in run("train", "--resume", name, cwd=folder).err
    record("a folder that vanishes", 1, 0)


INSTANTS: list[tuple[str, str, int]] = [
    *(("batch", "", number) for number in (1, 30, 42, 120)),
    *(("test", "", number) for number in (1, 3)),
    *((event, "checkpoints", 1) for event in ("half", "rename", "renamed", "remove")),
    *((event, "checkpoints", 4) for event in ("half", "written", "rename", "renamed", "remove")),
    *(("half", name, 2) for name in ("steps", "log", "epochs")),
]


@pytest.mark.parametrize("instant", INSTANTS, ids=lambda instant: "-".join(map(str, instant)))
def test_a_folder_that_vanishes_at_any_instant_stops_the_run_which_can_be_resumed(
    instant: tuple[str, str, int], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[(*instant, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
    check_rescued(wait(process), tmp_path)
    assert not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("event", ["half", "written", "rename", "renamed"])
def test_a_folder_that_vanishes_as_the_run_ends_leaves_a_complete_run_elsewhere(event: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[(event, "model", 1, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
    ended = wait(process)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, straight().out, 1), ended
    assert "run was removed, moved or replaced during the run. The complete run is saved in run-rescued-0" in ended.err
    assert outcome(tmp_path / "run-rescued-0") == straight().outcome
    assert "is complete" in run("train", "--resume", "run-rescued-0", cwd=tmp_path).err
    record("a folder that vanishes", 1, 0)


@pytest.mark.parametrize("instant", [("written", "config", 1), ("rename", "steps", 1), ("renamed", "log", 1)])
def test_a_folder_that_vanishes_before_training_ends_the_run_with_a_message(
    instant: tuple[str, str, int], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[(*instant, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
    ended = wait(process)
    assert (ended.status, ended.out) == (1, ""), ended
    assert ended.err.startswith("minitrain: error: run was removed, moved or replaced during the run"), ended
    record("a folder that vanishes", 1, 0)


@pytest.mark.parametrize("name", [".lock", "config.json", "steps.csv", "log.txt"])
def test_a_file_that_vanishes_stops_the_run_too(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 60, f"pause:{mark}")])
    with paused(mark, process):
        (tmp_path / "run" / name).unlink()
    check_rescued(wait(process), tmp_path)


def test_checkpoints_that_vanish_are_followed_by_others(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 60, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert wait(process).status == 0
    assert outcome(tmp_path / "run") == straight().outcome


@pytest.mark.parametrize("event", ["SIGINT", "SIGTERM"])
def test_a_signal_to_a_run_whose_folder_has_vanished_saves_it_elsewhere(event: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    rules: list[Rule] = [("batch", "", 30, f"pause:{mark}"), ("batch", "", 31, event)]
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules)
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
    check_rescued(wait(process), tmp_path)


@pytest.mark.parametrize("event", ["batch", "half", "renamed"])
def test_a_nan_in_a_run_whose_folder_has_vanished_saves_it_elsewhere(event: str, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    rules: list[Rule] = [(event, "" if event == "batch" else "checkpoints", 2, f"pause:{mark}")]
    process = harness.start(*TRAIN, "--lr", "1e25", "--out", "run", cwd=tmp_path, rules=rules)
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
    ended = wait(process)
    assert (ended.status, "its state is saved in run-rescued-0\n" in ended.err) == (1, True), ended
    assert "The run stopped before the update" in shell(printed_command(ended.err), tmp_path).err


def test_a_folder_that_vanishes_with_the_one_around_it_is_no_end_of_the_state(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "all/run", cwd=tmp_path, rules=[("batch", "", 30, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "all")
        (tmp_path / "all").write_text("I am a file")
    ended = wait(process)
    found = re.search(r"its state is saved in (\S+/run-rescued-\d+)\n", ended.err)
    assert (ended.status, found is not None) == (1, True), ended
    assert found is not None
    assert shell(printed_command(ended.err), tmp_path).status == 0
    assert outcome(Path(found[1])) == straight().outcome
    shutil.rmtree(found[1])


def test_a_rescued_state_replaces_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    (tmp_path / "run-rescued-0").write_text("mine")
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 30, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
    check_rescued(wait(process), tmp_path, "run-rescued-1")
    assert (tmp_path / "run-rescued-0").read_text() == "mine"


def test_where_nothing_can_be_saved_the_message_says_so(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 30, f"pause:{mark}")])
    with paused(mark, process):
        shutil.rmtree(tmp_path / "run")
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    ended = wait(process)
    assert (ended.status, ended.err.count("\n")) == (1, 1), ended
    assert "run was removed, moved or replaced during the run. Its state could not be saved elsewhere (" in ended.err
    assert [*tmp_path.iterdir()] == []


def test_a_run_that_was_moved_away_leaves_another_that_ended_in_its_place_alone(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 10, f"pause:{mark}")])
    with paused(mark, process):
        (tmp_path / "run").rename(tmp_path / "moved")
        assert run(*TRAIN, "--seed", "1", "--out", "run", cwd=tmp_path).status == 0
        other = contents(tmp_path / "run")
    check_rescued(wait(process), tmp_path)
    assert contents(tmp_path / "run") == other
    (tmp_path / "run").rename(tmp_path / "other")
    (tmp_path / "moved").rename(tmp_path / "run")
    resume(tmp_path)
    assert outcome(tmp_path / "run") == straight().outcome
    record("a run that another has displaced", 1, 0)


def test_a_run_whose_folder_was_removed_leaves_another_that_runs_in_its_place_alone(tmp_path: Path) -> None:
    marks = [tmp_path / "first", tmp_path / "second"]
    first, second = ([("batch", "", 10, f"pause:{mark}")] for mark in marks)
    displaced = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=first)
    with paused(marks[0], displaced):
        shutil.rmtree(tmp_path / "run")
        other = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=second)
        with paused(marks[1], other):
            marks[0].unlink()
            ended = wait(displaced)
            marks[0].touch()
        assert wait(other).status == 0
    check_rescued(ended, tmp_path)
    assert outcome(tmp_path / "run") == straight().outcome
    record("a run that another has displaced", 1, 0)


def contents(run: Path) -> dict[Path, bytes]:
    """All files in a directory."""
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


# --- folders that cannot be used --------------------------------------------------------------------------------------


def test_a_file_in_the_place_of_the_checkpoints_is_said_and_is_no_end(tmp_path: Path) -> None:
    mark, mended = tmp_path / "mark", tmp_path / "mended"
    rules: list[Rule] = [("batch", "", 30, f"pause:{mark}"), ("batch", "", 70, f"pause:{mended}")]
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules)
    folder = tmp_path / "run" / "checkpoints"
    with paused(mark, process):
        folder.rename(tmp_path / "moved")
        folder.write_text("I am a file")
    with paused(mended, process):
        assert folder.read_text() == "I am a file"
        folder.unlink()
        (tmp_path / "moved").rename(folder)
    ended = wait(process)
    assert (ended.status, "cannot write in run (" in ended.err, "run/checkpoints" in ended.err) == (0, True, True), (
        ended
    )
    assert outcome(tmp_path / "run") == straight().outcome
    record("a file in a folder's place", 1, 0)


# --- permissions ------------------------------------------------------------------------------------------------------

# Root may write everywhere, unless it is without that right.
PLAIN = [] if os.geteuid() else ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]


@pytest.fixture
def plain() -> list[str]:
    """A command's prefix, with which it may write only where permissions say so."""
    if PLAIN and subprocess.run([*PLAIN, "true"], check=False).returncode:
        pytest.skip("cannot start a command without root's rights here")
    return PLAIN


def test_a_folder_without_permission_is_found_out_before_training(tmp_path: Path, plain: list[str]) -> None:
    (tmp_path / "run").mkdir()
    for mode, out in ((0o555, "run"), (0o555, "run/below"), (0o000, "run")):
        os.chmod(tmp_path / "run", mode)
        ended = run(*TRAIN, "--out", out, cwd=tmp_path, prefix=plain)
        assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1), ended
        assert "Permission denied" in ended.err
    os.chmod(tmp_path / "run", 0o777)
    assert [*(tmp_path / "run").iterdir()] == []
    record("a folder without permission", 3, 0)


def test_permission_that_is_taken_and_given_again_costs_nothing(tmp_path: Path, plain: list[str]) -> None:
    taken, given = tmp_path / "taken", tmp_path / "given"
    rules: list[Rule] = [("batch", "", 30, f"pause:{taken}"), ("batch", "", 70, f"pause:{given}")]
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules, prefix=plain)
    with paused(taken, process):
        for folder in ("run", "run/checkpoints"):
            os.chmod(tmp_path / folder, 0o555)
    with paused(given, process):
        assert [int(name) for name in good(tmp_path / "run")] == [21, 28]
        for folder in ("run", "run/checkpoints"):
            os.chmod(tmp_path / folder, 0o777)
    ended = wait(process)
    # Once each, though each state has another name, and lines can be written all the while.
    assert (ended.status, ended.err.count("cannot write in run (Permission denied")) == (0, 1), ended
    assert ended.err.count("can be written again") == 1
    assert outcome(tmp_path / "run") == straight().outcome
    record("a folder without permission", 1, 0)


def test_a_run_that_may_not_be_written_does_not_go_on(tmp_path: Path, plain: list[str]) -> None:
    rules: list[Rule] = [("batch", "", 60, "SIGKILL")]
    assert run(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules, prefix=plain).status == -9
    os.chmod(tmp_path / "run", 0o555)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ended = run("train", "--resume", "run", cwd=tmp_path, prefix=plain)
    assert (ended.status in (1, 2), ended.out, ended.err.count("\n")) == (True, "", 1), ended
    assert "Permission denied" in ended.err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    os.chmod(tmp_path / "run", 0o777)
    assert run("train", "--resume", "run", cwd=tmp_path, prefix=plain).status == 0
    assert outcome(tmp_path / "run") == straight().outcome
    record("a folder without permission", 1, 0)


def test_a_file_system_that_can_only_be_read(disk: Path) -> None:
    assert run(*TRAIN, "--out", "run", cwd=disk, rules=[("batch", "", 60, "SIGKILL")]).status == -9
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    for arguments in ([*TRAIN, "--out", "other"], ["train", "--resume", "run"]):
        ended = run(*arguments, cwd=disk)
        assert (ended.status in (1, 2), ended.out, ended.err.count("\n")) == (True, "", 1), ended
        assert "Read-only file system" in ended.err
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    resume(disk)
    assert outcome(disk / "run") == straight().outcome
    record("a file system that can only be read", 2, 0)


def test_a_checkpoint_on_a_disk_that_gives_back_other_bytes_is_not_taken(tmp_path: Path) -> None:
    ended = run(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("flip", "checkpoints", 5, "")])
    assert (ended.status, "other bytes are read back than were written" in ended.err) == (0, True), ended
    assert outcome(tmp_path / "run") == straight().outcome
    last, faults = read_last_good(tmp_path / "run")
    assert (last is not None, faults) == (True, [])
    record("a disk that gives back other bytes", 1, 0)

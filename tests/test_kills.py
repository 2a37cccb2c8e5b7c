"""A run killed at any moment resumes from its last good checkpoint, with the bits of one never killed."""

import random
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from minitrain.runs.checkpoints import checkpoints, read_checkpoint, read_last_good
from tests import harness
from tests.fault_table import record
from tests.harness import BATCHES, EPOCHS, EVERY, TRAIN, Rule, losses, outcome, resume, run, straight

# Moments while something is written, and how often a run of TRAIN comes to them.
SAVES = 1 + EPOCHS * (BATCHES // EVERY) + EPOCHS
WRITING = {
    **{(event, "checkpoints"): SAVES for event in ("half", "written", "rename", "renamed")},
    ("remove", "checkpoints"): SAVES - EPOCHS - 2,  # those at an epoch's end replace the one of its last batch
    **{(event, "model"): 1 for event in ("half", "written", "rename", "renamed")},
    **{(event, "config"): 1 for event in ("half", "written", "rename", "renamed")},
    ("half", "steps"): SAVES - 2,
    ("half", "log"): 4,
    ("half", "epochs"): 3,
    ("rename", "steps"): 1,
    ("rename", "log"): 1,
}


def kill_at(moment: float, folder: Path) -> None:
    """Kill a run so many seconds after its first line."""
    process = harness.start(*TRAIN, "--out", "run", cwd=folder)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(moment)
    process.kill()
    harness.wait(process)
    assert harness.whole_lines(folder / "run")


def kill_by_rule(rule: Rule, folder: Path) -> None:
    """Have a run kill itself."""
    ended = run(*TRAIN, "--out", "run", cwd=folder, rules=[rule])
    assert ended.status == -9, (rule, ended)


def as_never_killed(folder: Path) -> str:
    """Go on with what was killed there; returns how it differs from a run never killed: "" if it does not."""
    before = read_last_good(folder / "run")[0] if (folder / "run" / "checkpoints").is_dir() else None
    if (folder / "run" / "model.safetensors").exists() and before and before.state["position"]["epoch"] > EPOCHS:
        ended = run("train", "--resume", "run", cwd=folder)
        if ended.status != 2 or "is complete" not in ended.err:
            return f"a complete run goes on: {ended}"
    elif (folder / "run" / "config.json").exists():
        resume(folder)
    else:  # which was killed before there was anything to go on with
        ended = run(*TRAIN, "--out", "run", cwd=folder)
        if ended.status:
            return f"it does not begin again: {ended}"
    if not harness.no_parts(folder / "run"):
        return "unfinished files are left"
    now, then = outcome(folder / "run"), straight().outcome
    return " ".join(name for name in now if now[name] != then[name])


def check(kind: str, kills: list[Callable[[Path], None]], folder: Path) -> None:
    """Each kill, then the same run to its end; two at a time."""
    straight()

    def one(number: int) -> str:
        place = folder / str(number)
        place.mkdir()
        kills[number](place)
        loss = as_never_killed(place)
        return loss and f"{place}: {loss}"

    with ThreadPoolExecutor(2) as pool:
        lost = [loss for loss in pool.map(one, range(len(kills))) if loss]
    record(kind, len(kills), len(lost))
    assert lost == []


def timed(count: int, seed: int) -> list[Callable[[Path], None]]:
    """Kills at random moments of the time that the epochs take."""
    generator, longest = random.Random(seed), max(straight().seconds - 0.3, 0.1)
    moments = [generator.uniform(0, longest) for _ in range(count)]
    return [lambda folder, moment=moment: kill_at(moment, folder) for moment in moments]  # type: ignore[misc]


def while_writing(count: int, seed: int) -> list[Callable[[Path], None]]:
    """Kills at random moments while a file is written."""
    generator, rules = random.Random(seed), []
    kinds = [*WRITING]
    for i in range(count):
        kind = kinds[i % len(kinds)]
        rules.append((*kind, generator.randint(1, WRITING[kind]), "SIGKILL"))
    return [lambda folder, rule=rule: kill_by_rule(rule, folder) for rule in rules]  # type: ignore[misc]


def test_killed_at_a_random_moment_a_run_ends_with_the_bits_of_one_never_killed(tmp_path: Path) -> None:
    check("SIGKILL at a random moment", timed(12, 1), tmp_path)


def test_killed_while_it_writes_a_run_ends_with_the_bits_of_one_never_killed(tmp_path: Path) -> None:
    check("SIGKILL while a file is written", while_writing(len(WRITING), 2), tmp_path)


@pytest.mark.slow
def test_killed_at_many_random_moments(tmp_path: Path) -> None:
    check("SIGKILL at a random moment", timed(250, 3), tmp_path)


@pytest.mark.slow
def test_killed_at_many_moments_while_it_writes(tmp_path: Path) -> None:
    check("SIGKILL while a file is written", while_writing(250, 4), tmp_path)


def kill_again_and_again(folder: Path, kills: int, seed: int) -> None:
    """Kill a run, and each session that goes on with it, then let it come to its end."""
    generator = random.Random(seed)
    arguments = [*TRAIN, "--out", "run"]
    for _ in range(kills):
        batches = generator.randint(EVERY + 1, 2 * EVERY)
        event, text, number = generator.choice([("batch", "", batches), ("half", "checkpoints", 2)])
        assert run(*arguments, cwd=folder, rules=[(event, text, number, "SIGKILL")]).status == -9
        arguments = ["train", "--resume", "run"]
    resume(folder)
    assert outcome(folder / "run") == straight().outcome


def test_what_goes_on_can_be_killed_again_and_again(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path, 6, 5)
    record("SIGKILL of what goes on already", 6, 0)


def test_a_kill_between_two_checkpoints_costs_what_came_after_the_first_and_no_more(tmp_path: Path) -> None:
    kill_by_rule(("batch", "", 3 * EVERY, "SIGKILL"), tmp_path)
    assert [path.stem for path in checkpoints(tmp_path / "run")] == [f"{n * EVERY:09d}" for n in (1, 2)]
    last, faults = read_last_good(tmp_path / "run")
    assert last is not None
    assert (last.path.stem, faults) == (f"{2 * EVERY:09d}", [])


@pytest.mark.parametrize("event", ["half", "written", "rename", "renamed", "remove"])
def test_at_every_moment_of_a_save_each_checkpoint_that_is_there_is_whole(event: str, tmp_path: Path) -> None:
    kill_by_rule((event, "checkpoints", 5, "SIGKILL"), tmp_path)
    found = checkpoints(tmp_path / "run")
    assert len(found) >= 2
    for path in found:
        read_checkpoint(path)


@pytest.mark.parametrize("options", [("--optimizer", "adam", "--momentum", "0", "--lr", "0.01"), ("--no-shuffle",)])
def test_whatever_the_optimizer_and_the_order(options: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(*TRAIN, *options, "--out", "run", cwd=tmp_path, rules=[("rename", "checkpoints", 9, "SIGKILL")])
    assert ended.status == -9
    resume(tmp_path)
    assert outcome(tmp_path / "run") == straight(*options).outcome
    record("SIGKILL with another optimizer or order", 1, 0)


# --- torch ------------------------------------------------------------------------------------------------------------

TORCH = ("--backend", "torch", "--device", "cpu")


def test_on_torch_as_on_numpy(tmp_path: Path) -> None:
    ended = run(*TRAIN, *TORCH, "--out", "run", cwd=tmp_path, rules=[("half", "checkpoints", 12, "SIGKILL")])
    assert ended.status == -9
    resume(tmp_path)
    assert outcome(tmp_path / "run") == straight(*TORCH).outcome
    record("SIGKILL on torch", 1, 0)


@pytest.mark.parametrize(("first", "second"), [((), TORCH), (TORCH, ("--backend", "numpy", "--device", "auto"))])
def test_what_one_backend_began_the_other_ends(first: tuple[str, ...], second: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(*TRAIN, *first, "--out", "run", cwd=tmp_path, rules=[("batch", "", 60, "SIGKILL")])
    assert ended.status == -9
    resume(tmp_path, *second)
    for one, other in zip(losses(tmp_path / "run"), straight().losses, strict=True):
        assert abs(one - other) < 2e-5
    record("SIGKILL, going on with the other backend", 1, 0)


# --- the comparison can fail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["place in the epoch", "momentum", "weights", "generator"])
def test_a_resumed_run_that_forgets_something_is_noticed(what: str, tmp_path: Path) -> None:
    # In the middle of the second epoch, so that a new order is drawn afterwards.
    kill_by_rule(("batch", "", BATCHES + 10, "SIGKILL"), tmp_path)
    shutil.copytree(tmp_path / "run", tmp_path / "whole" / "run")
    assert as_never_killed(tmp_path / "whole") == ""
    resume(tmp_path, rules=[("break", what, 0, "")])
    assert "model.safetensors" in as_never_killed(tmp_path)

"""Damaged files, two runs in one directory, nan losses: each is reported, and nothing is lost."""

import json
import os
import random
import re
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain.runs.checkpoints import checkpoints, read_checkpoint
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume as resume_planned
from minitrain.runs.run_files import RunError
from tests import harness
from tests.fault_table import record
from tests.harness import EPOCHS, EVERY, TRAIN, outcome, paused, resume, run, straight, wait


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that was killed in the middle of its second epoch; copy it, do not change it."""
    folder = tmp_path_factory.mktemp("broken_off")
    assert run(*TRAIN, "--out", "run", cwd=folder, rules=[("batch", "", 60, "SIGKILL")]).status == -9
    return folder


@pytest.fixture
def folder(broken_off: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(broken_off / "run", tmp_path / "run")
    return tmp_path


def contents(run: Path) -> dict[str, bytes]:
    """All that is in a directory."""
    return {str(path.relative_to(run)): path.read_bytes() for path in sorted(run.rglob("*")) if path.is_file()}


# --- damaged files ----------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = random.Random(path.stat().st_size).randrange(len(content))
    content[place] ^= 16
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def of_another_format(path: Path) -> None:
    minitrain.save({**minitrain.load(path), "format": 2}, path)


def of_another_shape(path: Path) -> None:
    state = minitrain.load(path)
    state["model"]["linear_relu_stack.0.weight"] = minitrain.zeros(3, 3)
    minitrain.save(state, path)


DAMAGES = [flip, cut, empty, of_another_format]


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_the_newest_checkpoint_is_damaged_the_one_before_it_goes_on(
    damage: Callable[[Path], None], folder: Path
) -> None:
    before, newest = checkpoints(folder / "run")
    damage(newest)
    ended = resume(folder)
    assert f"cannot read {newest.relative_to(folder)} as a checkpoint: " in ended.err, ended
    assert "using the checkpoint before it" in ended.err
    assert outcome(folder / "run") == straight().outcome
    assert int(before.stem) == int(newest.stem) - EVERY
    record("a damaged newest checkpoint", 1, 0)


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_all_checkpoints_are_damaged_each_is_named_and_nothing_is_touched(
    damage: Callable[[Path], None], folder: Path
) -> None:
    for path in checkpoints(folder / "run"):
        damage(path)
    before = contents(folder / "run")
    ended = run("train", "--resume", "run", cwd=folder)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1), ended
    for path in checkpoints(folder / "run"):
        assert f"cannot read {path.relative_to(folder)} as a checkpoint" in ended.err
    assert contents(folder / "run") == before
    record("all checkpoints damaged", 1, 0)


def test_a_whole_checkpoint_that_does_not_fit_its_configuration_is_named(folder: Path) -> None:
    newest = checkpoints(folder / "run")[-1]
    of_another_shape(newest)
    ended = run("train", "--resume", "run", cwd=folder)
    assert (ended.status, ended.err.count("\n")) == (1, 1), ended
    assert f"{newest.relative_to(folder)} does not fit the run's configuration" in ended.err
    record("a checkpoint of other shapes", 1, 0)


@pytest.mark.parametrize("name", ["steps.csv", "epochs.csv", "log.txt"])
@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_what_was_changed_in_a_file_of_lines_is_kept_aside(
    damage: Callable[[Path], None], name: str, folder: Path
) -> None:
    path = folder / "run" / name
    damage(path)
    changed = path.read_bytes()
    ended = resume(folder)
    assert f"run/{name} is not as the run left it; it starts again" in ended.err
    kept = path.with_name(f"{path.stem}.damaged-1{path.suffix}")
    assert f"; it starts again, and {kept.relative_to(folder)} keeps the old one" in ended.err
    assert kept.read_bytes() == changed
    now, then = outcome(folder / "run"), straight().outcome
    assert {file for file in now if now[file] != then[file]} == {name}
    assert then[name] != now[name]
    record("a damaged file of lines", 1, 0)


def test_a_file_of_lines_that_is_gone_begins_anew(folder: Path) -> None:
    (folder / "run" / "steps.csv").unlink()
    ended = resume(folder)
    assert "run/steps.csv is not as the run left it; it starts again\n" in ended.err
    lines = (folder / "run" / "steps.csv").read_text().splitlines()
    assert (lines[0], lines[1][:5], lines[-1][:5]) == ("epoch,batch,samples,loss", "2,14,", f"{EPOCHS},41,")
    record("a file of lines that is gone", 1, 0)


def test_lines_that_someone_has_added_are_cut_off(folder: Path) -> None:
    with (folder / "run" / "steps.csv").open("a") as file:
        file.write("2,15,1.5\n2,16")
    resume(folder)
    assert outcome(folder / "run") == straight().outcome


@pytest.mark.parametrize("damage", [flip, cut, empty, Path.unlink])
def test_without_a_configuration_that_can_be_read_that_of_the_checkpoint_goes_on(
    damage: Callable[[Path], None], folder: Path
) -> None:
    damage(folder / "run" / "config.json")
    ended = resume(folder)
    assert "run/config.json" in ended.err
    assert "it is written again from run/checkpoints/" in ended.err
    assert outcome(folder / "run") == straight().outcome
    assert json.loads((folder / "run" / "config.json").read_text())["momentum"] == 0.9
    record("a damaged configuration", 1, 0)


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_without_checkpoints_a_damaged_configuration_is_an_error(damage: Callable[[Path], None], folder: Path) -> None:
    shutil.rmtree(folder / "run" / "checkpoints")
    damage(folder / "run" / "config.json")
    ended = run("train", "--resume", "run", cwd=folder)
    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1), ended
    assert "cannot read run/config.json as a run's configuration" in ended.err
    record("a damaged configuration", 1, 0)


def test_without_checkpoints_a_run_begins_again(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "checkpoints")
    ended = resume(folder)
    assert ended.out == straight().out
    assert outcome(folder / "run") == straight().outcome
    record("all checkpoints gone", 1, 0)


def test_without_checkpoints_the_lines_of_what_is_gone_are_kept_aside(folder: Path) -> None:
    shutil.rmtree(folder / "run" / "checkpoints")
    before = contents(folder / "run")
    ended = resume(folder)
    for name in ("steps.csv", "epochs.csv", "log.txt"):
        kept = (folder / "run" / name).with_name(name.replace(".", ".damaged-1."))
        assert (
            f"run/{name} has lines, but there is no checkpoint; it starts again, and run/{kept.name} keeps the old one"
            in ended.err
        )
        assert kept.read_bytes() == before[name]


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again_without_a_word_on_its_lines(
    tmp_path: Path,
) -> None:
    rules = [("rename", "000000000.safetensors", 1, "SIGKILL")]
    assert run(*TRAIN, "--out", "run", cwd=tmp_path, rules=rules).status == -9
    assert "starts again" not in resume(tmp_path).err
    assert outcome(tmp_path / "run") == straight().outcome


@pytest.mark.parametrize("where", [".", "run", "run/checkpoints"])
def test_a_run_goes_back_to_a_checkpoint_from_wherever_it_is_named(where: str, folder: Path) -> None:
    older, newest = checkpoints(folder / "run")
    named = os.path.relpath(older, folder / where)
    rules = [("batch", "", 1, "SIGKILL")]
    assert run("train", "--resume", named, cwd=folder / where, rules=rules).status == -9
    assert checkpoints(folder / "run") == [older]  # so that the run goes on from there, whatever happens
    assert not newest.exists()
    resume(folder)
    assert outcome(folder / "run") == straight().outcome


@pytest.mark.parametrize("name", ["run/checkpoints/best.safetensors", "run/config.json", "copy.safetensors"])
def test_another_file_is_no_checkpoint_to_go_back_to(name: str, folder: Path) -> None:
    if not (folder / name).exists():
        shutil.copy(checkpoints(folder / "run")[0], folder / name)
    before = contents(folder)
    ended = run("train", "--resume", name, cwd=folder)
    assert (ended.status, ended.out) == (2, ""), ended
    assert f"{name} is not a checkpoint of a run" in ended.err
    assert contents(folder) == before


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_run_whose_streams_are_closed_is_a_run(closed: str, tmp_path: Path) -> None:
    assert harness.shell(f"{shlex.join(harness.command(*TRAIN, '--out', 'run'))} {closed}", tmp_path).status == 0
    assert outcome(tmp_path / "run") == straight().outcome


# --- other hyperparameters, complete runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--lr", "0.05"), "run was started with lr 0.1, not 0.05; leave that out, or add --override"),
        (("--momentum", "0.5", "--lr", "1"), "lr 0.1, not 1.0, momentum 0.9, not 0.5; leave that"),
        (("--batch-size", "8"), "batch-size 36, not 8; batch-size cannot change within a run"),
        (("--hidden", "4", "4"), "hidden 16, not 4 4; hidden cannot change within a run"),
        (("--seed", "3", "--override"), "seed 0, not 3; seed cannot change within a run, not even with"),
        (("--optimizer", "adam", "--override"), "optimizer sgd, not adam; optimizer cannot change"),
        (("--no-shuffle",), "shuffle True, not False"),
        (("--dataset", "fashion-mnist"), "dataset digits, not fashion-mnist"),
        (("--epochs", "1"), "--epochs counts them, so 1 adds none"),
        (("--epochs", "0"), "epochs must be at least 1"),
        (("--out", "other"), "--resume continues in run; leave out --out other"),
    ],
)
def test_other_hyperparameters_are_refused_with_the_difference(
    options: tuple[str, ...], told: str, folder: Path
) -> None:
    before = contents(folder / "run")
    ended = run("train", "--resume", "run", *options, cwd=folder)
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1), ended
    assert told in ended.err
    assert contents(folder / "run") == before
    record("other hyperparameters", 1, 0)


def test_the_same_hyperparameters_given_again_are_no_difference(folder: Path) -> None:
    resume(folder, *TRAIN[1:])
    assert outcome(folder / "run") == straight().outcome


def test_what_is_overridden_is_used_and_written_down(folder: Path) -> None:
    resume(folder, "--lr", "0.05", "--momentum", "0.5", "--override")
    now, then = outcome(folder / "run"), straight().outcome
    assert now["model.safetensors"] != then["model.safetensors"]
    config = json.loads((folder / "run" / "config.json").read_text())
    assert (config["lr"], config["momentum"]) == (0.05, 0.5)
    assert config["sessions"][-1]["changes"] == {"lr": [0.1, 0.05], "momentum": [0.9, 0.5]}


def test_what_is_overridden_has_the_effect_of_that_option(folder: Path) -> None:
    # Without any step, the weights stay as they are.
    before = read_checkpoint(checkpoints(folder / "run")[-1]).state["model"]
    resume(folder, "--lr", "0", "--override")
    after = minitrain.load(folder / "run" / "model.safetensors")
    assert all(np.array_equal(before[name].array, after[name].array) for name in after)


def test_a_complete_run_is_refused_and_goes_on_for_more_epochs_as_a_longer_run_would(tmp_path: Path) -> None:
    assert run(*TRAIN, "--out", "run", cwd=tmp_path).status == 0
    before = contents(tmp_path / "run")
    ended = run("train", "--resume", "run", cwd=tmp_path)
    assert (ended.status, ended.out, "run is complete with 3 epochs" in ended.err) == (2, "", True), ended
    assert contents(tmp_path / "run") == before
    resume(tmp_path, "--epochs", "5")
    now, then = outcome(tmp_path / "run"), straight("--epochs", "5").outcome
    assert now["model.safetensors"] == then["model.safetensors"]
    assert now["steps.csv"] == then["steps.csv"]
    assert now["epochs.csv"] == then["epochs.csv"]
    assert (tmp_path / "run" / "log.txt").read_text().count("Epoch") == 5


# --- two runs in one directory ----------------------------------------------------------------------------------------


def test_of_two_runs_that_begin_in_one_directory_together_one_wins(tmp_path: Path) -> None:
    for number in range(3):
        processes = [harness.start(*TRAIN, "--out", f"run-{number}", cwd=tmp_path) for _ in range(3)]
        ended = sorted(wait(process) for process in processes)
        assert ended[0].status == 0
        for status, out, err in ended[1:]:
            assert (status in (1, 2), out, err.count("\n")) == (True, "", 1), ended
            assert f"run-{number} is in use by another process" in err or "already holds a run" in err
        assert outcome(tmp_path / f"run-{number}") == straight().outcome
        record("three runs into one directory", 1, 0)


def test_runs_without_a_name_that_begin_together_get_a_directory_each(tmp_path: Path) -> None:
    processes = [harness.start(*TRAIN, cwd=tmp_path) for _ in range(3)]
    assert [wait(process).status for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits-0", "digits-1", "digits-2"]
    for path in (tmp_path / "runs").iterdir():
        assert outcome(path) == straight().outcome


def test_a_run_that_is_under_way_is_left_alone_and_one_that_was_killed_is_not_locked(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    process = harness.start(*TRAIN, "--out", "run", cwd=tmp_path, rules=[("batch", "", 60, f"pause:{mark}")])
    with paused(mark, process):
        before = contents(tmp_path / "run")
        for arguments in (["train", "--resume", "run"], [*TRAIN, "--out", "run"]):
            ended = run(*arguments, cwd=tmp_path)
            assert (ended.status in (1, 2), ended.out, ended.err.count("\n")) == (True, "", 1), ended
            assert contents(tmp_path / "run") == before
        assert "run is in use by another process" in run("train", "--resume", "run", cwd=tmp_path).err
        process.send_signal(signal.SIGKILL)
    wait(process)
    resume(tmp_path)
    assert outcome(tmp_path / "run") == straight().outcome
    record("a run that is under way, resumed", 2, 0)


def test_of_two_that_go_on_with_one_run_one_wins(folder: Path) -> None:
    processes = [harness.start("train", "--resume", "run", cwd=folder) for _ in range(3)]
    ended = sorted(wait(process) for process in processes)
    assert ended[0].status == 0
    for status, out, err in ended[1:]:
        assert (status in (1, 2), out, "in use by another process" in err or "is complete" in err) == (True, "", True)
    assert outcome(folder / "run") == straight().outcome
    record("three sessions of one run", 1, 0)


def test_a_run_that_another_process_has_completed_since_is_not_resumed_again(folder: Path) -> None:
    planned = plan_resumption(folder / "run", {})
    assert run("train", "--resume", "run", cwd=folder).status == 0
    before = contents(folder / "run")
    with pytest.raises(RunError, match="is complete: another process has finished it"):
        resume_planned(planned)
    assert contents(folder / "run") == before


# --- losses that are not finite ---------------------------------------------------------------------------------------


def newest(run: Path) -> Any:
    """The state in the newest checkpoint."""
    return read_checkpoint(checkpoints(run)[-1]).state


@pytest.mark.parametrize("options", [("--lr", "1e25"), ("--momentum", "5"), ("--optimizer", "rmsprop", "--lr", "1e37")])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_update(options: tuple[str, ...], tmp_path: Path) -> None:
    ended = run(*TRAIN, *options, "--out", "run", cwd=tmp_path)
    assert (ended.status, "The run stopped before the update" in ended.err) == (1, True), ended
    assert "learning rate" in ended.err or "momentum" in ended.err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    stopped = newest(tmp_path / "run")
    updates = stopped["position"]["updates"]
    losses = harness.losses(tmp_path / "run")
    assert (len(losses), np.isfinite(losses).all()) == (updates, True)

    # What is saved are the weights of a run that was killed where the loss came up, and saves at each step.
    (tmp_path / "straight").mkdir()
    rules: list[harness.Rule] = [("batch", "", updates + 1, "SIGKILL")]
    killed = run(*TRAIN, *options, "--checkpoint-every", "1", "--out", "run", cwd=tmp_path / "straight", rules=rules)
    assert killed.status == -9
    there = newest(tmp_path / "straight" / "run")
    for name in stopped["model"]:
        assert np.array_equal(stopped["model"][name].array, there["model"][name].array), name
    if "rmsprop" not in options:
        assert all(np.isfinite(tensor.array).all() for tensor in stopped["model"].values())

    # It stops there again, with the same words, as often as it goes on unchanged.
    for _ in range(2):
        again = run("train", "--resume", "run", cwd=tmp_path)
        assert (again.status, again.out) == (1, ""), again
        assert again.err.splitlines()[1:] == ended.err.splitlines(), again
    record("a loss that is not finite", 3, 0)


@pytest.mark.parametrize("name", ["run", "-run", "two  spaces", "qu'o\"te", "ü"])
def test_the_command_that_goes_on_all_the_same_can_be_pasted_whatever_the_runs_name(name: str, tmp_path: Path) -> None:
    ended = run(*TRAIN, "--lr", "1e25", f"--out={name}", cwd=tmp_path)
    assert ended.status == 1, ended
    line = ended.err.splitlines()[-1].rpartition("To continue anyway: ")[2]
    pasted = harness.shell(line, tmp_path)
    assert (pasted.status, "Done!" in pasted.out) == (0, True), pasted


def test_a_checkpoint_that_is_not_there_is_named_with_those_that_are(folder: Path) -> None:
    for name in ("run/checkpoints/000000001.safetensors", "x.safetensors"):
        ended = run("train", "--resume", name, cwd=folder)
        assert ended.status == 2
        assert ended.err.startswith(f"minitrain: error: there is no checkpoint {name}; in "), ended
    there = sorted(path.name for path in (folder / "run" / "checkpoints").iterdir())
    assert (
        f"in run/checkpoints there are: {', '.join(there)}\n"
        in run("train", "--resume", "run/checkpoints/000000001.safetensors", cwd=folder).err
    )


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "checkpoints/000000021.safetensors", ".lock"])
def test_no_other_command_writes_a_runs_own_files(name: str, folder: Path) -> None:
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    for command in (["evaluate", "run", "--json", f"run/{name}"], ["export", "--force", "run", f"run/{name}"]):
        ended = run(*command, cwd=folder)
        assert (ended.status, f"run/{name} belongs to the run in" in ended.err) == (2, True), ended
    assert {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()} == before


def test_to_continue_at_such_a_loss_is_a_choice(tmp_path: Path) -> None:
    assert run(*TRAIN, "--lr", "1e25", "--out", "run", cwd=tmp_path).status == 1
    resume(tmp_path, "--on-nan", "continue")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["on_nan"], config["sessions"][-1]["changes"]) == ("continue", {"on_nan": ["stop", "continue"]})
    assert outcome(tmp_path / "run") == straight("--lr", "1e25", "--on-nan", "continue").outcome
    record("a loss that is not finite", 1, 0)


def test_where_the_weights_have_grown_the_checkpoint_before_goes_on_with_other_settings(tmp_path: Path) -> None:
    ended = run(*TRAIN, "--momentum", "5", "--checkpoint-every", "0", "--out", "run", cwd=tmp_path)
    assert ended.status == 1
    found = re.search(
        r"To return to the checkpoint before it:\n    .*train --resume (\S+\.safetensors) --override --momentum 0.9\n",
        ended.err,
    )
    assert found is not None
    settings = ("--momentum", "0.9", "--checkpoint-every", str(EVERY), "--override")
    again = run("train", "--resume", "run", *settings, cwd=tmp_path)
    assert (again.status, "stopped before the update" in again.err) == (1, True), again  # other settings alone
    back = run("train", "--resume", found.group(1), *settings, cwd=tmp_path)
    assert (back.status, "Done!" in back.out) == (0, True), back
    assert outcome(tmp_path / "run")["model.safetensors"] == straight().outcome["model.safetensors"]
    record("a loss that is not finite", 1, 0)

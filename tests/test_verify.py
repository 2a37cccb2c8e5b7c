"""A repeated run gives the same bits and verify says so; otherwise it says which bits and settings differ."""

import os
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain.runs.checkpoints import checkpoints
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.recorder import NonFiniteLossError
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train
from minitrain.runs.run_files import RunError
from minitrain.runs.verify import Verification, find_stretch, verify
from minitrain.serialization import save
from minitrain.with_torch.choose_backend import choose_backend

SHORT: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 2,
    "batch_size": 64,
    "hidden": (8,),
    "lr": 0.1,
    "momentum": 0.9,
    "shuffle": True,
}


def run(path: Path, **options: Any) -> Path:
    config = Config(**{**SHORT, **options})
    with choose_backend(config) as backend:
        assert train(config, path, backend) == path
    return path


def verified(path: Path, *, from_start: bool = False) -> Verification:
    stretch = find_stretch(path, from_start=from_start)
    with choose_backend(stretch.config) as backend:
        return verify(stretch, backend)


def files(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("options", "updates"),
    [
        ({}, 24),
        ({"optimizer": "adam", "momentum": 0.0, "lr": 1e-3}, 24),
        ({"checkpoint_every": 7}, 6),  # the last checkpoints are those after 42 and 48 updates
        ({"backend": "torch", "device": "cpu"}, 24),
        ({"epochs": 1, "checkpoint_every": 5}, 4),
    ],
)
def test_the_last_stretch_gives_the_same_bits(options: dict[str, Any], updates: int, tmp_path: Path) -> None:
    path = run(tmp_path / "run", **options)
    before = files(path)
    found = verified(path)
    assert (found.ok, found.updates, found.environment) == (True, updates, [])
    assert str(found).endswith("The same bits.")
    assert files(path) == before


def test_the_whole_run_gives_the_same_bits(tmp_path: Path) -> None:
    found = verified(run(tmp_path / "run", layers_every=20), from_start=True)
    assert found.ok
    assert found.updates == 48
    assert {name: count for name, (count, _) in found.lines.items()} == {
        "steps.csv": 48,
        "epochs.csv": 2,
        "layers.csv": 9,
        "log.txt": 12,
    }
    assert found.parts == {"model": (0, 4), "optimizer": (0, 4), "generator": (0, 1)}


def spoil(path: Path, change: Callable[[Any], None], which: int = -1) -> None:
    """Write the last checkpoint, or another, again with something changed in it; its checksum fits."""
    last = checkpoints(path)[which]
    state = minitrain.load(last)
    change(state)
    save(state, last)


@pytest.mark.parametrize("part", ["model", "optimizer", "generator"])
def test_one_other_bit_is_noticed(part: str, tmp_path: Path) -> None:
    path = run(tmp_path / "run")

    def flip(state: Any) -> None:
        tensor = {
            "model": lambda: state["model"]["linear_relu_stack.0.bias"],
            "optimizer": lambda: state["optimizer"]["state"][1]["momentum_buffer"],
            "generator": lambda: state["generator"],
        }[part]()
        tensor.array.view(np.uint8).reshape(-1)[-1] ^= 1

    spoil(path, flip)
    found = verified(path)
    assert not found.ok
    assert {name: other for name, (other, _) in found.parts.items() if other} == {part: 1}
    assert "Not the same bits.\nminitrain sees no change in the environment" in str(found)


def without(state: Any, *keys: Any) -> None:
    """Remove a part of a state."""
    for key in keys[:-1]:
        state = state[key]
    del state[keys[-1]]


@pytest.mark.parametrize("which", [-1, -2])
@pytest.mark.parametrize(
    "keys",
    [
        ("optimizer", "state", 1),
        ("optimizer", "state", 1, "momentum_buffer"),
        ("loader", "pass"),
        ("schedule", "progress", "best"),
        ("schedule",),
    ],
)
def test_a_part_that_a_checkpoint_lacks_is_noticed(keys: tuple[Any, ...], which: int, tmp_path: Path) -> None:
    path = run(tmp_path / "run", scheduler="plateau")
    spoil(path, lambda state: without(state, *keys), which)
    found = verified(path, from_start=True)
    assert not found.ok
    if keys[0] == "optimizer" and which == -1:
        assert found.parts["optimizer"] == (1, 4)


def test_an_older_checkpoint_with_settings_that_no_session_had_is_noticed(tmp_path: Path) -> None:
    """Returning to it would train with them."""
    path = run(tmp_path / "run", epochs=1)
    resume(plan_resumption(path, {"epochs": 2, "lr": 0.01}, override=True))
    assert verified(path).ok
    spoil(path, lambda state: state["config"].update(lr=0.2), -2)
    found = verified(path)
    assert not found.ok
    assert "lr is 0.2, but 0.01 in the last checkpoint, and no session changed that" in str(found)


def test_what_a_checkpoint_has_besides_the_weights_is_noticed(tmp_path: Path) -> None:
    path = run(tmp_path / "run")
    spoil(path, lambda state: state["model"].update(extra=1), -2)
    found = verified(path, from_start=True)
    assert not found.ok
    assert "model: not the same" in str(found)


def test_another_loss_is_noticed_and_shown(tmp_path: Path) -> None:
    path = run(tmp_path / "run")
    table = path / "steps.csv"
    rows = table.read_text().splitlines(keepends=True)
    right = rows[30]
    rows[30] = right[:-2] + ("7" if right[-2] != "7" else "8") + "\n"
    table.write_text("".join(rows))

    def fit(state: Any) -> None:
        state["lines"]["steps.csv"] = [table.stat().st_size, zlib.crc32(table.read_bytes())]

    spoil(path, fit)
    found = verified(path)
    assert found.lines["steps.csv"] == (24, (rows[30].strip(), right.strip()))
    assert f"{rows[30].strip()}, as recorded\n    {right.strip()}, as now" in str(found)


def test_a_table_that_was_changed_is_named(tmp_path: Path) -> None:
    path = run(tmp_path / "run")
    with (path / "steps.csv").open("r+b") as file:
        file.seek(100)
        file.write(b"9")
    with pytest.raises(RunError, match=r"steps\.csv was changed or damaged since the run wrote it"):
        find_stretch(path)


def test_a_stretch_that_ends_amid_an_epoch_or_at_a_nan_is_verified_too(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError):
        run(tmp_path / "run", lr=1e25)
    found = verified(tmp_path / "run")
    assert (found.ok, found.updates) == (True, 1)


def test_a_resumed_run_is_verified_from_its_start(tmp_path: Path) -> None:
    path = run(tmp_path / "run", epochs=1)
    resumption = plan_resumption(path, {"epochs": 2})
    resume(resumption)
    assert verified(path, from_start=True).ok


def test_a_run_whose_table_was_damaged_and_began_anew_is_verified_from_there_on_only(tmp_path: Path) -> None:
    path = run(tmp_path / "run", epochs=1)
    for name in ("steps.csv", "epochs.csv"):
        (path / name).write_text("")
    resumption = plan_resumption(path, {"epochs": 2})
    resume(resumption)
    found = verified(path)
    lines = {"steps.csv": (24, None), "epochs.csv": (1, None), "layers.csv": (3, None), "log.txt": (6, None)}
    assert (found.ok, found.updates, found.lines) == (True, 24, lines)
    with pytest.raises(RunError, match=r"steps\.csv was damaged and started again .*; leave out --from-start"):
        find_stretch(path, from_start=True)


def test_a_damaged_table_of_the_layers_is_verified_from_there_on_only(tmp_path: Path) -> None:
    path = run(tmp_path / "run", epochs=1)
    (path / "layers.csv").write_text("")
    resume(plan_resumption(path, {"epochs": 2}))
    with pytest.raises(RunError, match=r"layers\.csv was damaged and started again"):
        find_stretch(path, from_start=True)
    found = verified(path)
    assert (found.ok, found.lines["layers.csv"]) == (True, (3, None))


@pytest.mark.parametrize("place", [[10**12, 0], [10**30, 0], [-1, 0], [2.5, 0], [float("inf"), 0], [1, 2, 3], "ab", 7])
def test_a_file_that_claims_long_tables_gets_no_memory_for_them(place: Any, tmp_path: Path) -> None:
    path = run(tmp_path / "run", epochs=1)
    spoil(path, lambda state: state["lines"].update({"steps.csv": place}))
    with pytest.raises(RunError, match=r"safetensors as a checkpoint|steps\.csv was changed or damaged"):
        find_stretch(path)


def test_a_run_whose_settings_were_changed_is_verified_from_there_on_only(tmp_path: Path) -> None:
    path = run(tmp_path / "run", epochs=1)
    resumption = plan_resumption(path, {"epochs": 2, "lr": 0.01}, override=True)
    resume(resumption)
    assert verified(path).ok
    with pytest.raises(ConfigError, match="changed during the run; leave out --from-start"):
        find_stretch(path, from_start=True)
    checkpoints(path)[0].unlink()
    with pytest.raises(ConfigError, match="changed during the run; there is no older checkpoint to repeat it from"):
        find_stretch(path)


def test_what_has_no_two_states_cannot_be_verified(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no run in"):
        find_stretch(tmp_path)
    path = run(tmp_path / "run")
    for checkpoint in checkpoints(path):
        checkpoint.unlink()
    with pytest.raises(RunError, match="has no checkpoint yet"):
        find_stretch(path)


def command(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minitrain", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_names_the_environment_that_differs(tmp_path: Path) -> None:
    options = ["--dataset", "digits", "--epochs", "1", "--out", "run"]
    assert command("train", *options, folder=tmp_path, OPENBLAS_NUM_THREADS="1").returncode == 0
    same = command("verify", "run", folder=tmp_path, OPENBLAS_NUM_THREADS="1")
    assert (same.returncode, same.stderr) == (0, "")
    assert "Changed" not in same.stdout
    other = command("verify", "run", folder=tmp_path, OPENBLAS_NUM_THREADS="2")
    assert "Changed since the run was recorded:" in other.stdout
    assert "OPENBLAS_NUM_THREADS: 1 then, 2 now" in other.stdout
    nowhere = command("verify", "nowhere", folder=tmp_path)
    assert nowhere.returncode == 2
    assert nowhere.stderr.startswith("minitrain: error: there is no run in 'nowhere'")

"""A run with a scheduler: its rates, resuming to the bit on both backends, old runs, and impossible combinations."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import optim
from minitrain.cli import main
from minitrain.cli.options import configuration
from minitrain.runs.backend import make_optimizer
from minitrain.runs.checkpoints import checkpoints, read_last_good
from minitrain.runs.config import OPTIMIZERS, SCHEDULER_SETTINGS, Config, ConfigError
from minitrain.runs.config_file import config_of, read_config
from minitrain.runs.interrupts import Interrupts
from minitrain.runs.recipe import Training
from minitrain.runs.recorder import Silent
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train
from minitrain.runs.run_files import RunError
from minitrain.runs.verify import find_stretch, verify
from minitrain.with_torch.choose_backend import choose_backend

SHORT: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 4,
    "batch_size": 128,
    "hidden": (8,),
    "lr": 0.1,
    "checkpoint_every": 5,
}
BATCHES = 12
SCHEDULES: dict[str, dict[str, Any]] = {
    "step": {"scheduler": "step", "step_size": 2, "gamma": 0.5, "momentum": 0.5},
    "exponential": {"scheduler": "exponential", "gamma": 0.7, "optimizer": "adamw", "lr": 0.01},
    "cosine": {"scheduler": "cosine", "momentum": 0.5},
    "onecycle": {"scheduler": "onecycle", "optimizer": "nadam", "lr": 0.01},
    "plateau": {"scheduler": "plateau", "patience": 0, "lr": 8.0, "gamma": 0.5},
}
ON = {"numpy": {"backend": "numpy"}, "torch": {"backend": "torch", "device": "cpu"}}


class CrashError(Exception):
    """The process ends."""


def run(config: Config, path: Path, crash_after: int = 0) -> Path:
    """Train, or crash after so many updates."""
    with choose_backend(config) as backend:
        make, updates = backend.optimizer, itertools.count(1)

        def crash(*_: Any) -> None:
            if next(updates) == crash_after:
                raise CrashError

        def optimizer(*arguments: Any) -> Any:
            made = make(*arguments)
            made.register_step_post_hook(crash)
            return made

        backend.optimizer = optimizer  # type: ignore[method-assign]
        train(config, path, backend)
    return path


def go_on(path: Path, *, override: bool = False, **given: Any) -> Path:
    resumption = plan_resumption(path, given, override=override)
    with choose_backend(resumption.config) as backend:
        resume(resumption, backend)
    return path


def rates(config: Config) -> list[float]:
    """The rate of each update."""
    seen: list[float] = []
    with choose_backend(config) as backend:
        training = Training(config, backend)
        training.optimizer.register_step_pre_hook(lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"]))
        training.run(Silent(Interrupts(), 1, "stop"), {"epoch": 1, "batch": 0})
    return seen


def contents(path: Path) -> list[bytes]:
    return [(path / name).read_bytes() for name in ("steps.csv", "log.txt", "model.safetensors")]


@pytest.mark.parametrize("name", SCHEDULES)
def test_both_backends_follow_the_same_rates(name: str) -> None:
    ours, theirs = (rates(Config(**{**SHORT, **SCHEDULES[name], **on})) for on in ON.values())
    assert ours == theirs
    assert len(set(ours)) > 1
    assert len(set(ours)) == (4 * BATCHES if name == "onecycle" else len({*ours[::BATCHES]}))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step", [0.1, 0.1, 0.05, 0.05]),
        ("exponential", [0.01, 0.007, 0.0049, 0.00343]),
        ("cosine", [0.1, 0.1 * (1 + 0.5**0.5) / 2, 0.05, 0.1 * (1 - 0.5**0.5) / 2]),
    ],
)
def test_the_rate_of_each_epoch_is_its_formulas(name: str, expected: list[float]) -> None:
    assert rates(Config(**{**SHORT, **SCHEDULES[name]}))[::BATCHES] == pytest.approx(expected)


def test_one_cycle_rises_and_falls_over_all_batches() -> None:
    lrs = rates(Config(**{**SHORT, **SCHEDULES["onecycle"]}))
    assert lrs[0] == pytest.approx(0.01 / 25)
    assert max(lrs) == pytest.approx(0.01, rel=0.01)
    assert lrs[-1] == pytest.approx(0.01 / 25 / 1e4)


@pytest.mark.parametrize("updates", [14, 28], ids=["after an epoch", "within an epoch"])
@pytest.mark.parametrize("on", ON)
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(name: str, on: str, updates: int, tmp_path: Path) -> None:
    config = Config(**{**SHORT, **SCHEDULES[name], **ON[on]})
    straight = run(config, tmp_path / "straight")
    with pytest.raises(CrashError):
        run(config, tmp_path / "run", crash_after=updates)
    last, _ = read_last_good(tmp_path / "run")
    assert last is not None
    assert last.state["position"]["updates"] == {14: 12, 28: 25}[updates]
    assert contents(go_on(tmp_path / "run")) == contents(straight)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_changes_its_backend_within_a_schedule(name: str, tmp_path: Path) -> None:
    config = Config(**{**SHORT, **SCHEDULES[name]})
    with pytest.raises(CrashError):
        run(config, tmp_path / "run", crash_after=28)
    losses = [
        np.loadtxt(path / "steps.csv", delimiter=",", skiprows=1, usecols=3)
        for path in (run(config, tmp_path / "straight"), go_on(tmp_path / "run", **ON["torch"]))
    ]
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_run_with_a_scheduler_is_verified(name: str, tmp_path: Path) -> None:
    path = run(Config(**{**SHORT, **SCHEDULES[name]}), tmp_path / "run")
    with choose_backend(read_config(path)) as backend:
        assert verify(find_stretch(path, from_start=True), backend).ok


@pytest.mark.parametrize("name", ["step", "onecycle"])
def test_an_overridden_lr_scales_the_rest_of_the_schedule(name: str, tmp_path: Path) -> None:
    config = Config(**{**SHORT, **SCHEDULES[name]})
    with pytest.raises(CrashError):
        run(config, tmp_path / "run", crash_after=26)
    resumption = plan_resumption(tmp_path / "run", {"lr": config.lr / 2}, override=True)
    last, _ = resumption.read()
    assert last is not None
    with choose_backend(resumption.config) as backend:
        training, seen = Training(resumption.config, backend), []
        training.load(last.state)
        training.optimizer.register_step_pre_hook(lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"]))
        training.run(Silent(Interrupts(), 3, "stop"), last.state["position"])
    assert seen == pytest.approx([lr / 2 for lr in rates(config)[25:]])


# --- configurations ---------------------------------------------------------------------------------------------------


def test_the_epochs_of_a_cosine_cannot_change_within_a_run(tmp_path: Path) -> None:
    path = run(Config(**{**SHORT, **SCHEDULES["cosine"]}), tmp_path / "run")
    with pytest.raises(ConfigError, match="was started with epochs 4, not 9; epochs cannot change within a run"):
        plan_resumption(path, {"epochs": 9})
    with pytest.raises(ConfigError, match="is complete, and its scheduler, cosine, has ended"):
        plan_resumption(path, {})


def test_a_step_schedule_goes_on_in_added_epochs(tmp_path: Path) -> None:
    longer = run(Config(**{**SHORT, **SCHEDULES["step"], "epochs": 6}), tmp_path / "longer")
    path = go_on(run(Config(**{**SHORT, **SCHEDULES["step"]}), tmp_path / "run"), epochs=6)
    assert (path / "steps.csv").read_bytes() == (longer / "steps.csv").read_bytes()


def test_the_scheduler_itself_cannot_change(tmp_path: Path) -> None:
    path = run(Config(**{**SHORT, **SCHEDULES["step"]}), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"was started with gamma 0.5, not 0.1; gamma cannot change within a run"):
        plan_resumption(path, {"epochs": 9, "gamma": 0.1}, override=True)


def test_runs_from_before_there_were_schedulers_resume(tmp_path: Path) -> None:
    config = Config(**SHORT)
    content = {name: value for name, value in vars(config).items() if name not in SCHEDULER_SETTINGS}
    assert config_of(content, "a run") == config
    with choose_backend(config) as backend:
        state = Training(config, backend).state()
        del state["schedule"]
        Training(config, backend).load({**state, "position": {"epoch": 1, "batch": 0, "updates": 0}})
    del content["lr"]
    with pytest.raises(RunError, match="has no lr"):
        config_of(content, "a run")


@pytest.mark.parametrize(
    "damage", [{}, {"lr": [float("nan")]}, {"lr": []}, {"lr": ["a"]}, {"progress": {}}, {"progress": {"best": 1.0}}]
)
def test_a_schedule_that_does_not_fit_is_refused(damage: dict[str, Any]) -> None:
    config = Config(**{**SHORT, **SCHEDULES["step"]})
    with choose_backend(config) as backend:
        state = Training(config, backend).state()
        state["schedule"] = {**state["schedule"], **damage} if damage else {}
        with pytest.raises((ValueError, KeyError)):
            Training(config, backend).load({**state, "position": {"epoch": 1, "batch": 0, "updates": 0}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "linear"}, "scheduler must be one of none, step, exponential, cosine, onecycle, plateau"),
        ({"step_size": 3}, "--step-size needs --scheduler step, but the scheduler is none"),
        ({"scheduler": "cosine", "gamma": 0.5}, "--gamma needs --scheduler step or exponential or plateau"),
        ({"scheduler": "step", "patience": 3}, "--patience needs --scheduler plateau, but the scheduler is step"),
        ({"scheduler": "step", "step_size": 0}, "step_size must be at least 1, but got 0"),
        ({"scheduler": "step", "gamma": 0.0}, "gamma must be a finite number above 0, but got 0.0"),
        ({"scheduler": "step", "gamma": float("inf")}, "gamma must be a finite number above 0"),
        ({"scheduler": "plateau", "gamma": 1.0}, "gamma must be below 1 for plateau"),
        ({"scheduler": "plateau", "patience": -1}, "patience must be at least 0, but got -1"),
        ({"optimizer": "nadam", "momentum": 0.5}, "nadam has no momentum option, but betas"),
        ({"optimizer": "adagrad", "momentum": 0.5}, "adagrad has no momentum option; leave out momentum"),
    ],
)
def test_an_impossible_combination_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**settings)


def test_the_command_line_has_the_usual_defaults_of_adamw_and_exponential() -> None:
    config = configuration({"dataset": "digits", "optimizer": "adamw", "scheduler": "exponential"})
    assert (config.weight_decay, config.gamma) == (0.01, 0.9)
    config = configuration({"optimizer": "adamw", "scheduler": "exponential", "weight_decay": 0.0, "gamma": 0.5})
    assert (config.weight_decay, config.gamma) == (0.0, 0.5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_trains_alike_on_both_backends(name: str, tmp_path: Path) -> None:
    losses = []
    for on in ON:
        path = run(Config(**{**SHORT, "optimizer": name, "lr": 0.01, "epochs": 2, **ON[on]}), tmp_path / on)
        losses.append(np.loadtxt(path / "steps.csv", delimiter=",", skiprows=1, usecols=3))
    np.testing.assert_allclose(*losses, rtol=1e-3)
    assert losses[0][-1] < losses[0][0]
    model = minitrain.nn.Linear(1, 1)
    assert type(make_optimizer(Config(optimizer=name), model)) is getattr(optim, OPTIMIZERS[name])


def test_the_command_trains_and_resumes_with_a_scheduler(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    line = ["train", "--dataset", "digits", "--epochs", "2", "--hidden", "8", "--out", out]
    assert main([*line, "--scheduler", "step", "--step-size", "1", "--gamma", "0.5"]) == 0
    assert main(["train", "--resume", out, "--epochs", "3"]) == 0
    assert [read_last_good(Path(out))[0].state["schedule"]["lr"]] == [[0.1 * 0.5**3]]  # type: ignore[union-attr]
    assert "lr" not in capsys.readouterr().out
    assert len(checkpoints(Path(out))) > 0


def test_a_nan_within_a_schedule_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The explanation repeats the step with an optimizer of its own, which has no scheduler."""
    for on in ON:
        config = Config(**{**SHORT, **ON[on], "lr": 1e25, "scheduler": "onecycle"})
        with choose_backend(config) as backend, pytest.raises(ArithmeticError):
            train(config, tmp_path / on, backend)
        assert "the learning rate, 1e+25, is too high" in " ".join(capsys.readouterr().err.split())

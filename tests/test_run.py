"""A run records everything about itself, and rejects impossible settings before it writes anything."""

import ast
import csv
import dataclasses
import inspect
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import loops, nn
from minitrain.cli import main
from minitrain.data import DataError, DataLoader, TensorDataset
from minitrain.data.datasets import Digits
from minitrain.loops import Observer, train_loop
from minitrain.runs import checkpoints as reading
from minitrain.runs.backend import Backend, make_optimizer
from minitrain.runs.checkpoints import checkpoints, read_last_good
from minitrain.runs.config import DIGITS, Config, ConfigError, default_config
from minitrain.runs.config_file import read_sessions
from minitrain.runs.directory import RunDirectory, make_run_dir
from minitrain.runs.model import build_model
from minitrain.runs.nonfinite_loss import Explainer
from minitrain.runs.recorder import NonFiniteLossError
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train
from minitrain.runs.run_files import RunError
from minitrain.runs.verify import find_stretch, verify
from minitrain.with_torch.choose_backend import choose_backend

SHORT: dict[str, Any] = {"dataset": "digits", "epochs": 2, "batch_size": 64, "hidden": (8,), "lr": 0.1}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_directory_tells_the_configuration_the_metrics_and_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = train(Config(**SHORT), tmp_path / "run")
    printed = capsys.readouterr().out

    config = json.loads((directory / "config.json").read_text())
    assert (config["epochs"], config["hidden"], config["optimizer"]) == (2, [8], "sgd")
    assert config["environment"]["numpy"] == np.__version__

    steps, epochs = rows(directory / "steps.csv"), rows(directory / "epochs.csv")
    assert [(int(row["epoch"]), int(row["batch"])) for row in steps] == [(e, b) for e in (1, 2) for b in range(24)]
    assert [int(row["samples"]) for row in steps[22:24]] == [23 * 64, 1500]
    assert f"loss: {float(steps[0]['loss']):>7f}  [   64/ 1500]\n" in printed
    assert [int(row["epoch"]) for row in epochs] == [1, 2]
    last = epochs[-1]
    assert f" Accuracy: {100 * float(last['accuracy']):>0.1f}%, Avg loss: {float(last['loss']):>8f} \n" in printed

    model = build_model(nn, 64, (8,), 10)
    assert (
        str(model.load_state_dict(minitrain.load(directory / "model.safetensors"))) == "<All keys matched successfully>"
    )
    test_data = DataLoader(
        minitrain.data.datasets.Digits(train=False, transform=minitrain.data.ToTensor()), batch_size=64
    )
    with minitrain.no_grad():
        accuracy, loss = loops.test_loop(test_data, model, nn.CrossEntropyLoss(), Observer())
    assert (accuracy, loss) == (float(last["accuracy"]), float(last["loss"]))


def test_stdout_is_the_tutorials_log_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Config(**SHORT), tmp_path / "run")
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1", "Epoch 2"]
    assert lines[1] == "-" * 31
    assert lines[2].startswith("loss: ")
    assert lines[3] == "Test Error: "
    assert lines[4].startswith(" Accuracy: ")
    assert lines[5] == ""
    assert lines[-1] == "Done!"
    assert len(lines) == 2 * 6 + 1


@pytest.mark.parametrize(
    "option", [{"optimizer": "rmsprop", "lr": 1e-2}, {"optimizer": "adam", "lr": 1e-2}, {"momentum": 0.9}]
)
def test_every_optimizer_learns(option: dict[str, Any], tmp_path: Path) -> None:
    directory = train(Config(**{**SHORT, **option}), tmp_path / "run")
    first, last = rows(directory / "epochs.csv")
    assert float(last["loss"]) < float(first["loss"])


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        config = Config(**{**SHORT, "epochs": 1, "seed": seed, "shuffle": True})
        return (train(config, tmp_path / name) / "model.safetensors").read_bytes()

    assert weights("a", 3) == weights("b", 3) != weights("c", 4)


def test_the_digits_default_reaches_95_percent(tmp_path: Path) -> None:
    directory = train(DIGITS, tmp_path / "run")
    assert float(rows(directory / "epochs.csv")[-1]["accuracy"]) >= 0.95


def test_the_defaults_are_the_tutorials() -> None:
    config = default_config("fashion-mnist")
    assert (config.epochs, config.batch_size, config.lr, config.hidden) == (10, 64, 1e-3, (512, 512))
    assert (config.optimizer, config.seed, config.shuffle, config.momentum) == ("sgd", 0, False, 0.0)
    assert default_config("digits") is DIGITS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, but got 0"),
        ({"batch_size": -1}, "batch_size must be at least 1"),
        ({"hidden": (8, 0)}, "hidden must be at least 1, but got 8 0"),
        ({"lr": float("nan")}, "lr must be a finite number"),
        ({"lr": -1.0}, "lr must be a finite number from 0 up, but got -1.0"),
        ({"weight_decay": float("inf")}, "weight_decay must be a finite number"),
        (
            {"optimizer": "lion"},
            "optimizer must be one of sgd, rmsprop, adam, .*, radam, but got 'lion'",
        ),
        ({"dataset": "mnist"}, "dataset must be one of fashion-mnist, digits"),
        ({"optimizer": "adam", "momentum": 0.9}, "adam has no momentum"),
        ({"seed": 2**64}, "seed must be between"),
    ],
)
def test_what_cannot_be_run_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(**options)


def test_a_directory_that_holds_a_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    directory = train(Config(**{**SHORT, "epochs": 1}), tmp_path / "run")
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="already holds a run; choose another --out"):
        train(Config(**SHORT), directory)
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_runs_are_numbered_from_the_first_free_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("runs/digits-0", "runs/digits-1"):
        with make_run_dir(None, "digits") as directory:
            assert directory.path == Path(path)
    shutil.rmtree("runs/digits-0")
    with make_run_dir(None, "digits") as directory:
        assert directory.path == Path("runs/digits-0")


def test_without_data_no_directory_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*args: Any, **kwargs: Any) -> None:
        raise DataError("no network")

    monkeypatch.setattr("minitrain.data.datasets.fetch", no_network)
    with pytest.raises(DataError):
        train(Config(data_dir=str(tmp_path / "nothing")), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("out", ["", "file", "file/below"])
def test_an_out_that_cannot_be_a_directory_is_refused(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(ConfigError, match=r"choose another --out|name a directory"):
        train(Config(**SHORT), out)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_out_that_is_taken_is_refused_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").touch()
    monkeypatch.setattr("minitrain.data.datasets.fetch", lambda *args, **kwargs: pytest.fail("fetched"))
    with pytest.raises(ConfigError, match="already holds a run"):
        train(Config(data_dir=str(tmp_path)), tmp_path)


def test_a_model_that_does_not_fit_into_memory_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(MemoryError):
        train(Config(**{**SHORT, "hidden": (10**13,)}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_adam_is_given_no_momentum() -> None:
    model = nn.Linear(2, 2)
    assert "momentum" not in make_optimizer(Config(optimizer="adam"), model).param_groups[0]
    assert make_optimizer(Config(momentum=0.5), model).param_groups[0]["momentum"] == 0.5


# --- the loops and their observer ----------------------------------------------------------------------------------


def a_loader(samples: int) -> DataLoader[Any]:
    minitrain.manual_seed(0)
    return DataLoader(TensorDataset(minitrain.rand(samples, 3), minitrain.randint(2, (samples,))), batch_size=4)


class Recorder(Observer):
    """Writes down what it is told."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.told: list[Any] = []
        self.stop_at = stop_at

    def line(self, text: str) -> None:
        self.told.append(text)

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        if batch == self.stop_at:
            raise StopIteration
        self.told.append(("before", batch, len(X), len(y)))

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        self.told.append(("after", batch, current, size))


def test_an_observer_is_told_of_every_update() -> None:
    model, recorder = nn.Linear(3, 2), Recorder()
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.1)
    train_loop(a_loader(6), model, nn.CrossEntropyLoss(), optimizer, recorder, first_batch=5)
    assert recorder.told == [("before", 5, 4, 4), ("after", 5, 24, 6), ("before", 6, 2, 2), ("after", 6, 26, 6)]


def test_an_observer_that_raises_before_the_update_leaves_the_parameters_as_they_are() -> None:
    model = nn.Linear(3, 2)
    before = model.weight.array.copy()
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(StopIteration):
        train_loop(a_loader(6), model, nn.CrossEntropyLoss(), optimizer, Recorder(stop_at=0))
    assert np.array_equal(model.weight.array, before)


def test_the_loops_set_the_modes() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    optimizer = minitrain.optim.SGD(model.parameters(), lr=0.1)
    loops.test_loop(a_loader(6), model, nn.CrossEntropyLoss(), Recorder())
    assert not model.training
    train_loop(a_loader(6), model, nn.CrossEntropyLoss(), optimizer, Recorder())
    assert model[1].training


def test_testing_on_nothing_is_refused() -> None:
    empty = DataLoader(TensorDataset(minitrain.zeros(0, 3), minitrain.zeros(0, dtype=minitrain.long)))
    with pytest.raises(ValueError, match="at least one batch"):
        loops.test_loop(empty, nn.Linear(3, 2), nn.CrossEntropyLoss())


def test_the_loops_name_no_framework() -> None:
    tree = ast.parse(inspect.getsource(loops))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "typing"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


def test_the_loops_drive_torchs_objects() -> None:
    import torch

    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = torch.utils.data.TensorDataset(torch.rand(6, 3), torch.randint(2, (6,)))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    recorder = Recorder()
    train_loop(loader, model, torch.nn.CrossEntropyLoss(), optimizer, recorder)
    with torch.no_grad():
        accuracy, _ = loops.test_loop(loader, model, torch.nn.CrossEntropyLoss(), recorder)
    assert ("after", 1, 6, 6) in recorder.told
    assert 0 <= accuracy <= 1


@pytest.mark.parametrize("hidden", [(), (5,), (5, 4, 3)])
def test_the_built_in_model_is_the_same_on_both_frameworks(hidden: tuple[int, ...]) -> None:
    import torch

    minitrain.manual_seed(1)
    mine = build_model(nn, 6, hidden, 2)
    torch.manual_seed(1)
    torchs = build_model(torch.nn, 6, hidden, 2)
    assert repr(mine) == repr(torchs)
    for (name, array), (other_name, tensor) in zip(mine.state_dict().items(), torchs.state_dict().items(), strict=True):
        assert name == other_name
        assert np.array_equal(array, tensor)


# --- a loss that is not finite ----------------------------------------------------------------------------------------


def explained(capsys: pytest.CaptureFixture[str], tmp_path: Path, **options: Any) -> str:
    """What a short run, which goes on whatever the loss is, prints on stderr."""
    assert train(Config(**{**SHORT, "on_nan": "continue", **options}), tmp_path / "run") is not None
    return capsys.readouterr().err


def test_a_learning_rate_that_is_too_high_is_explained_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = explained(capsys, tmp_path, lr=1e25)
    first, second, *_ = report.splitlines()
    assert first == "minitrain: the loss of epoch 1, batch 1 is nan."
    assert re.match(
        r"The run's first loss was 2\.\d+; the largest weight is now \d.*e\+\d+\. They have grown: ", second
    )
    assert "the learning rate, 1e+25, is too high. Try --lr 0.1." in " ".join(report.split())
    assert "The same batch with the same weights, on NumPy, under anomaly detection:" in report
    assert "Function 'Linear' produced" in report
    assert "phase      forward, step 1" in report
    assert "layer      linear_relu_stack.2 (Linear) of NeuralNetwork" in report
    assert "Cause: overflow:" in report
    assert "called at" not in report  # the caller is the command
    assert report.count("minitrain: the loss") == 1
    steps = rows(tmp_path / "run" / "steps.csv")
    assert len(steps) == 48
    assert steps[-1]["loss"] == "nan"


def test_a_loss_that_is_not_finite_stops_the_run_before_the_update_and_what_was_before_it_is_saved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = train(Config(**{**SHORT, "epochs": 1, "checkpoint_every": 3}), tmp_path / "straight")
    assert straight is not None
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, batch 3 is nan\. The run stopped before the update"):
        train(Config(**{**SHORT, "epochs": 1}), tmp_path / "run", Failing())
    assert capsys.readouterr().err.count("minitrain: the loss of epoch 1, batch 3 is nan.") == 1
    last, _ = read_last_good(tmp_path / "run")
    assert last is not None
    assert (last.state["position"]["epoch"], last.state["position"]["batch"], last.path.stem) == (1, 3, "000000003")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    first = rows(straight / "steps.csv")[:3]
    assert rows(tmp_path / "run" / "steps.csv") == first

    # Without what spoiled the loss it goes on with that very batch.
    resumed = resume(plan_resumption(tmp_path / "run", {}))
    assert resumed is not None
    assert (resumed / "steps.csv").read_bytes() == (straight / "steps.csv").read_bytes()
    weights = [minitrain.load(run / "model.safetensors") for run in (straight, resumed)]
    assert all(np.array_equal(weights[0][name].array, weights[1][name].array) for name in weights[0])


def test_epochs_are_added_to_a_complete_run_whose_weights_are_those_of_its_end_again(tmp_path: Path) -> None:
    straight = train(Config(**SHORT), tmp_path / "straight")
    run = train(Config(**{**SHORT, "epochs": 1}), tmp_path / "run")
    assert straight is not None
    assert run is not None
    with pytest.raises(ConfigError, match=r"is complete with 1 epochs; to train more, add --epochs 11"):
        plan_resumption(run, {})
    with pytest.raises(ConfigError, match=r"has trained 1 epochs; --epochs counts them, so 1 adds none|is complete"):
        plan_resumption(run, {"epochs": 1})
    resumption = plan_resumption(run, {"epochs": 2})

    class Stopped(Backend):
        def train(self, *args: Any, **kwargs: Any) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):  # however it ends, the old weights do not stand for the longer run
        resume(resumption, Stopped())
    assert not (run / "model.safetensors").exists()
    resume(plan_resumption(run, {}))
    for name in ("model.safetensors", "steps.csv", "log.txt"):
        assert (run / name).read_bytes() == (straight / name).read_bytes()


@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop"])
def test_momentum_may_be_added_on_either_backend(optimizer: str, tmp_path: Path) -> None:
    losses = {}
    for backend in ("numpy", "torch"):
        run = tmp_path / backend
        config = Config(**{**SHORT, "lr": 0.001}, optimizer=optimizer, backend=backend, device="cpu")
        with choose_backend(config) as computes:
            train(config, run, computes)
        resumption = plan_resumption(run, {"epochs": config.epochs + 1, "momentum": 0.9}, override=True)
        with choose_backend(resumption.config) as computes:
            resume(resumption, computes)
        losses[backend] = [float(line.split(",")[-1]) for line in (run / "steps.csv").read_text().splitlines()[1:]]
    assert losses["numpy"] == pytest.approx(losses["torch"], abs=2e-5)


def go_on(run: Path, **options: Any) -> None:
    """Resume a run with these options."""
    resumption = plan_resumption(run, options)
    resume(resumption)


def test_a_run_that_torch_has_compiled_goes_on_on_numpy(tmp_path: Path) -> None:
    train(Config(**SHORT), tmp_path / "run")
    with RunDirectory(tmp_path / "run") as directory:
        directory.description = {"sessions": read_sessions(tmp_path / "run")}
        directory.describe(Config(**SHORT, backend="torch", compile=True), {}, {"updates": 0})
    more = ["train", "--resume", str(tmp_path / "run"), "--epochs", "3", "--backend", "numpy"]
    assert main(more) == 2
    assert main([*more, "--no-compile"]) == 0


CHANGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda state: state["config"].update(seed=5), "it is from a run with seed 5, not 0"),
    (lambda state: state["model"].popitem(), "weights, but the configuration needs"),
    (lambda state: state["model"].update(more=1), "has no attribute 'numel'"),
    (lambda state: state["position"].update(updates=10**300), "its position is impossible in epochs of"),
    (lambda state: state["position"].update(batch=10**12), "its position is impossible in epochs of"),
    (lambda state: state["position"].update(epoch=1), "its position is impossible in epochs of"),
    (lambda state: state["position"].update(losses=["x"]), "its position is impossible: "),
    (lambda state: state["position"].update(seconds=math.nan), "its position is impossible: "),
    (lambda state: state.update(position=7), "as a checkpoint: "),
    (lambda state: state.update(optimizer=7), "does not fit"),
    (lambda state: state["optimizer"].update(state={0: {"momentum_buffer": "x"}}), "does not fit"),
    (lambda state: state["optimizer"].update(state={0: {"step": 10**400}}), "does not fit"),
    (lambda state: state.update(generator=7), "does not fit"),
    (lambda state: state.update(loader={"pass": 7, "generators": []}), "does not fit"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_a_whole_checkpoint_of_anything_else_is_named_and_nothing_is_changed(
    change: Callable[[Any], Any], told: str, tmp_path: Path
) -> None:
    train(Config(**SHORT), tmp_path / "run")
    for path in checkpoints(tmp_path / "run"):
        state = minitrain.load(path)
        change(state)
        minitrain.save(state, path)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=rf"checkpoints/\d+\.safetensors .*{told}"):
        go_on(tmp_path / "run", epochs=9)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_a_run_is_read_whose_checkpoints_are_replaced_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(Config(**SHORT), tmp_path / "run")
    older, newest = checkpoints(tmp_path / "run")
    later = newest.with_name("000000072.safetensors")

    def replaced(path: Path) -> Any:
        if newest.exists():
            older.unlink()
            newest.rename(later)
        return minitrain.load(path)

    monkeypatch.setattr(reading, "load", replaced)
    last, faults = read_last_good(tmp_path / "run")
    assert last is not None
    assert (last.path, faults) == (later, [])


def test_an_epoch_whose_order_is_gone_is_not_begun_again(tmp_path: Path) -> None:
    train(Config(**SHORT, checkpoint_every=1), tmp_path / "run")
    before, last = checkpoints(tmp_path / "run")
    last.unlink()
    state = minitrain.load(before)
    state["loader"]["pass"] = None
    minitrain.save(state, before)
    with pytest.raises(RunError, match="it is within an epoch, but lacks the order of its samples"):
        go_on(tmp_path / "run")


def test_the_optimizers_options_are_the_configurations_whatever_a_checkpoint_has(tmp_path: Path) -> None:
    results = []
    for name, option in (("as it is", {}), ("changed", {"maximize": True, "dampening": "x", "nesterov": True})):
        train(Config(**SHORT), tmp_path / name)
        for path in checkpoints(tmp_path / name):
            state = minitrain.load(path)
            state["optimizer"]["param_groups"][0].update(option)
            minitrain.save(state, path)
        go_on(tmp_path / name, epochs=SHORT["epochs"] + 1)
        results.append((tmp_path / name / "model.safetensors").read_bytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("hidden", [(10**6, 10**6), (2**62,) * 3])
def test_a_configuration_that_calls_for_a_larger_model_than_there_is_gets_no_memory(
    hidden: tuple[int, ...], tmp_path: Path
) -> None:
    train(Config(**SHORT), tmp_path / "run")
    with RunDirectory(tmp_path / "run") as directory:
        directory.description = {"sessions": read_sessions(tmp_path / "run")}
        directory.describe(dataclasses.replace(Config(**SHORT), hidden=hidden), {}, {"updates": 0})
    for path in checkpoints(tmp_path / "run"):
        state = minitrain.load(path)
        state["config"]["hidden"] = hidden
        minitrain.save(state, path)
    resumption = plan_resumption(tmp_path / "run", {"epochs": 9})
    with pytest.raises(RunError, match=r"weights, but the configuration needs"):
        resume(resumption)
    with pytest.raises(RunError, match=r"weights, but the configuration needs"):
        verify(find_stretch(tmp_path / "run", from_start=True), Backend())


def test_a_complete_run_without_checkpoints_is_not_trained_anew(tmp_path: Path) -> None:
    run = train(Config(**SHORT), tmp_path / "run")
    assert run is not None
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError, match="has no checkpoints to resume from"):
        plan_resumption(run, {"epochs": 3})


def test_the_losses_that_grew_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = " ".join(explained(capsys, tmp_path, momentum=5.0).split())
    assert "a momentum of 5 keeps every step as long as the one before, or longer. Try --momentum 0.9." in report
    losses = re.search(r"first loss was (\S+), the last ones before this (\S+), (\S+), (\S+), (\S+);", report)
    assert losses is not None
    assert sorted(map(float, losses.groups())) == [*map(float, losses.groups())]


def test_a_weight_decay_that_overshoots_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = " ".join(explained(capsys, tmp_path, lr=10.0, weight_decay=1.0).split())
    assert "is above 2, so each step flips the sign of the weights and makes them larger. Try --lr 0.1." in report


def test_a_nan_in_the_data_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Digits.collated_batch

    def spoiled(self: Digits, indices: list[int]) -> Any:
        X, y = genuine(self, indices) or pytest.fail("no batches")
        X.array[5, 0, 2, 3] = np.nan
        return X, y

    monkeypatch.setattr(Digits, "collated_batch", spoiled)
    report = explained(capsys, tmp_path)
    assert "the loss of epoch 1, batch 0 is nan.\nThis is the first loss of the run.\n" in report
    assert "The nan came in as input 0 (x) of Flatten, in flatten (Flatten) of NeuralNetwork: [64, 1, 8, 8]" in report
    assert "1 nan; the first at [5, 0, 2, 3]. No operation produced it. Check the data, or the constant" in " ".join(
        report.split()
    )


def test_parameters_that_an_update_has_spoiled_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = explained(capsys, tmp_path, optimizer="rmsprop", lr=1e38)
    assert (
        "Before this batch, 4 of 4 parameters were already nan or infinite:\n  linear_relu_stack.0.weight  [8, 64]"
        in report
    )
    assert re.search(r"The last update caused that; the loss of its step was 2\.\d+\.", report)
    assert "the learning rate, 1e+38, is too high. Try --lr 0.001" in " ".join(report.split())


class Failing(Backend):
    """Whose loss is nan in batch 3, for no reason that another computer would know."""

    def __init__(self, kind: float = float("nan")) -> None:
        self._kind = kind

    def loss_fn(self) -> Any:
        usual, calls = nn.CrossEntropyLoss(), iter(range(10**6))
        return lambda pred, y: usual(pred, y) * (self._kind if next(calls) == 3 else 1.0)


def test_a_nan_that_does_not_come_back_is_said_not_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = train(Config(**{**SHORT, "epochs": 1, "on_nan": "continue"}), tmp_path / "run", Failing())
    report = capsys.readouterr().err
    loss = float(rows(directory / "steps.csv")[2]["loss"]) if directory else 0.0
    assert "the loss of epoch 1, batch 3 is nan." in report
    found = re.search(r"on NumPy, gives a loss of (\S+) and no nan or infinity: it does not repeat\.", report)
    assert found is not None
    assert float(found.group(1)) == pytest.approx(loss, abs=0.3)


def test_what_the_update_would_have_done_is_looked_at_where_the_loss_comes_out_finite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Infinite(Failing):
        def optimizer(self, config: Config, model: Any) -> Any:
            optimizer = super().optimizer(config, model)
            optimizer.param_groups[0]["lr"] = 1e-30
            self.made = optimizer
            return optimizer

        def copy_optimizer_state(self, optimizer: Any, to: Any) -> None:
            optimizer.param_groups[0]["lr"] = 1e300
            super().copy_optimizer_state(optimizer, to)

    train(Config(**{**SHORT, "epochs": 1, "on_nan": "continue"}), tmp_path / "run", Infinite())
    report = " ".join(capsys.readouterr().err.split())
    assert re.search(r"gives a loss of \S+: the run's does not repeat\. After it, under anomaly", report)
    assert "The update by SGD produced" in report


@pytest.mark.parametrize("option", [{"momentum": 0.9}, {"optimizer": "adam", "lr": 1e-3}])
def test_explaining_changes_nothing(option: dict[str, Any], tmp_path: Path) -> None:
    """Not the weights, nor the state, nor the random stream of what comes after."""
    config = Config(**{**SHORT, **option, "shuffle": True})
    build = lambda nn: build_model(nn, 64, config.hidden, 10)  # noqa: E731
    minitrain.manual_seed(0)
    model, X, y = build(nn), minitrain.rand(5, 1, 8, 8), minitrain.randint(10, (5,))
    optimizer = make_optimizer(config, model)
    nn.CrossEntropyLoss()(model(X), y).backward()
    optimizer.step()

    def everything() -> list[Any]:
        states = [tensor for state in optimizer.state.values() for tensor in state.values()]
        arrays = [tensor.array.copy() for tensor in (*model.parameters(), *states, X, y)]
        return [*arrays, *(param.grad.array.copy() for param in model.parameters())]

    before, state = everything(), minitrain.default_generator.get_state()
    report = Explainer(config, Backend(), build, model, optimizer).explain(1, 0, X, y, float("nan"), [], 0)
    assert "does not repeat" in report
    assert all(np.array_equal(now, then) for now, then in zip(everything(), before, strict=True))
    assert np.array_equal(minitrain.default_generator.get_state(), state)


def test_a_run_that_goes_well_says_nothing_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, tmp_path) == ""

"""A run on torch is the run on NumPy: the same log and weights, alternating with it, captured or not."""

import copy
import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import minitrain
from minitrain import nn, optim
from minitrain.data import DataLoader, ToTensor
from minitrain.data.datasets import Digits
from minitrain.loops import Observer, train_loop
from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import read_last_good
from minitrain.runs.config import DATASETS, Config, ConfigError
from minitrain.runs.interrupts import Interrupted
from minitrain.runs.model import build_model
from minitrain.runs.nonfinite_loss import Explainer
from minitrain.runs.output_file import check_writable
from minitrain.runs.recorder import NonFiniteLossError
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train
from minitrain.with_torch.backend import OnDevice, TorchBackend, find_device
from minitrain.with_torch.choose_backend import choose_backend
from minitrain.with_torch.convert_state import load_optimizer_state, to_minitrain, to_torch
from minitrain.with_torch.cuda_graph import CapturedLoop
from tests.comparing import assert_same_log

SHORT: dict[str, Any] = {"dataset": "digits", "epochs": 2, "batch_size": 64, "hidden": (16,), "lr": 0.05}
OPTIMIZERS = [
    pytest.param({"optimizer": "sgd"}, id="sgd"),
    pytest.param({"optimizer": "sgd", "momentum": 0.9, "weight_decay": 1e-3}, id="momentum"),
    pytest.param({"optimizer": "rmsprop", "lr": 1e-3, "momentum": 0.5}, id="rmsprop"),
    pytest.param({"optimizer": "adam", "lr": 1e-3}, id="adam"),
]
CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"), id="captured on a GPU"
)


class Heard(Observer):
    """Keeps what the loops report."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.seen: list[tuple[int, int, int]] = []
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        super().after_update(batch, loss, current, size)
        self.losses.append(loss.item())
        self.seen.append((batch, current, size))

    def after_test(self, accuracy: float, loss: float) -> None:
        super().after_test(accuracy, loss)
        self.losses.append(loss)


class Run:
    """The parts of a run on one backend, to be trained epoch by epoch."""

    def __init__(self, config: Config, backend: Backend) -> None:
        self.backend = backend
        dataset: Any = DATASETS[config.dataset]
        training, testing = (dataset(train=part, transform=ToTensor()) for part in (True, False))
        minitrain.manual_seed(config.seed)
        self.model = backend.model(lambda nn: build_model(nn, training[0][0].numel(), config.hidden, 10))
        self.training = backend.dataloader(training, config.batch_size, config.shuffle)
        self.testing = backend.dataloader(testing, config.batch_size)
        self.loss_fn, self.optimizer = backend.loss_fn(), backend.optimizer(config, self.model)

    def epoch(self, observer: Observer) -> None:
        self.backend.train(self.training, self.model, self.loss_fn, self.optimizer, observer)
        self.backend.test(self.testing, self.model, self.loss_fn, observer)

    def arrays(self) -> dict[str, Any]:
        return {name: tensor.array for name, tensor in self.backend.state_dict(self.model).items()}


def on_torch(**changes: Any) -> TorchBackend:
    return TorchBackend(Config(backend="torch", **{"device": "cpu", **changes}))


# --- the same run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_log_on_torch_is_the_log_on_numpy(
    optimizer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**SHORT, **optimizer, "shuffle": True}
    train(Config(**settings), tmp_path / "numpy")
    mine = capsys.readouterr().out
    config = Config(**settings, backend="torch")
    directory = train(config, tmp_path / "torch", choose_backend(config))
    assert_same_log(capsys.readouterr().out, mine)
    assert directory is not None
    names = [{path.name for path in (tmp_path / framework).iterdir()} for framework in ("numpy", "torch")]
    assert names[0] == names[1] > {"config.json", "epochs.csv", "log.txt", "model.safetensors", "steps.csv"}
    weights = [minitrain.load(tmp_path / framework / "model.safetensors") for framework in ("numpy", "torch")]
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name].array, tensor.array, atol=2e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_compiled_it_prints_the_same_log() -> None:
    logs = []
    for backend in (Backend(), on_torch(compile=True)):
        run, observer = Run(Config(**SHORT), backend), Heard()
        run.epoch(observer)
        logs.append("\n".join(observer.lines))
    assert_same_log(*logs)


def test_a_wrong_optimizer_on_one_side_is_seen_in_the_logs(capsys: pytest.CaptureFixture[str]) -> None:
    logs = []
    for backend, lr in ((Backend(), 0.05), (on_torch(), 0.0501)):
        run = Run(Config(**{**SHORT, "lr": lr}), backend)
        observer = Heard()
        run.epoch(observer)
        logs.append("\n".join(observer.lines))
    with pytest.raises(AssertionError):
        assert_same_log(*logs)


def test_bfloat16_products_keep_float32_weights_and_roughly_the_same_losses() -> None:
    config = Config(**SHORT)
    runs = [Run(config, backend) for backend in (on_torch(), on_torch(precision="bf16"))]
    losses = []
    for run in runs:
        observer = Heard()
        run.epoch(observer)
        losses.append(observer.losses)
    assert all(array.dtype == np.float32 for array in runs[1].arrays().values())
    np.testing.assert_allclose(*losses, rtol=0.02)
    assert np.abs(np.subtract(*losses)).max() > 1e-5  # or nothing was narrowed


def test_a_batch_on_the_cpu_is_the_loaders_own_memory() -> None:
    made: list[Any] = []

    class Watched(Digits):
        def collated_batch(self, indices: list[int]) -> Any:
            made.append(super().collated_batch(indices))
            return made[-1]

    loader = DataLoader(OnDevice(Watched(transform=ToTensor()), torch.device("cpu")), batch_size=8)
    X, y = next(iter(loader))
    assert isinstance(X, torch.Tensor)
    assert (X.shape, X.dtype, y.dtype) == ((8, 1, 8, 8), torch.float32, torch.int64)
    assert [X.data_ptr(), y.data_ptr()] == [part.array.ctypes.data for part in made[0]]


@pytest.mark.parametrize("indices", [[0, 1, 2], [5, 3, 3], [7], []], ids=str)
def test_a_data_set_kept_on_a_device_gives_the_batches_of_the_loader(indices: list[int]) -> None:
    digits = Digits(transform=ToTensor())
    kept = OnDevice(digits, torch.device("cpu"))
    kept.tensors = tuple(torch.from_numpy(part.array) for part in digits.collated_batch([*range(len(digits))]) or [])
    assert kept.tensors
    for got, expected in zip(kept.collated_batch(indices), (digits.data, digits.targets), strict=True):
        rows = expected.array[indices] if indices else expected.array[:0]
        np.testing.assert_array_equal(np.rint(got.numpy().squeeze() * (255 if got.ndim > 1 else 1)), rows.squeeze())


# --- converting state -------------------------------------------------------------------------------------------------


ON_FASHION_MNIST = [
    pytest.mark.slow,
    pytest.mark.skipif("MINITRAIN_DATA" not in os.environ, reason="needs the genuine Fashion-MNIST in MINITRAIN_DATA"),
]


@pytest.mark.parametrize(
    "settings",
    [pytest.param({**SHORT, **case.values[0]}, id=case.id) for case in OPTIMIZERS]
    + [pytest.param({}, id="the tutorial's", marks=ON_FASHION_MNIST)],
)
def test_two_epochs_on_numpy_two_on_torch_and_two_on_numpy_are_one_run(settings: dict[str, Any]) -> None:
    config = Config(**{**settings, "shuffle": True})
    straight, crossing = Heard(), Heard()
    run = Run(config, Backend())
    for _ in range(6):
        run.epoch(straight)

    run = Run(config, Backend())
    for epoch in range(6):
        if epoch in (2, 4):
            generator = minitrain.default_generator.get_state()
            other = Run(config, on_torch() if epoch == 2 else Backend())
            to_theirs = to_torch if epoch == 2 else to_minitrain
            other.model.load_state_dict(to_theirs(run.model.state_dict()))
            load_optimizer_state(other.optimizer, run.optimizer.state_dict())
            run = other
            minitrain.default_generator.set_state(generator)
        run.epoch(crossing)
    np.testing.assert_allclose(crossing.losses, straight.losses, atol=2e-5)
    assert crossing.seen == straight.seen


def test_without_the_optimizers_state_it_would_be_another_run() -> None:
    config = Config(**SHORT, momentum=0.9)
    logs: list[list[float]] = []
    for keep in (True, False):
        run, other = Run(config, Backend()), Run(config, on_torch())
        run.epoch(Heard())
        other.model.load_state_dict(to_torch(run.model.state_dict()))
        if keep:
            load_optimizer_state(other.optimizer, run.optimizer.state_dict())
        observer = Heard()
        other.epoch(observer)
        logs.append(observer.losses)
    assert np.abs(np.subtract(*logs)).max() > 1e-3


def test_the_state_of_another_kind_of_optimizer_is_refused() -> None:
    weight = nn.Linear(2, 2).weight
    with pytest.raises(ValueError, match="betas"):
        load_optimizer_state(torch.optim.SGD([torch.zeros(2, 2)], lr=0.1), optim.Adam([weight], lr=0.1).state_dict())


def test_loading_keeps_torchs_choice_of_implementation() -> None:
    theirs = torch.optim.Adam([torch.zeros(2, 2, requires_grad=True)], fused=True)
    load_optimizer_state(theirs, optim.Adam([nn.Linear(2, 2).weight], lr=0.5).state_dict())
    assert (theirs.param_groups[0]["fused"], theirs.param_groups[0]["lr"]) == (True, 0.5)


def test_half_precision_crosses_over_as_float32() -> None:
    crossed = to_minitrain({"a": [torch.ones(2, dtype=torch.bfloat16)], "b": 3})
    assert crossed["a"][0].dtype == np.float32
    assert crossed["b"] == 3


def test_crossing_copies() -> None:
    model = nn.Linear(2, 3)
    crossed = to_torch(model.state_dict())
    assert crossed["weight"].is_contiguous()
    crossed["weight"].zero_()
    assert model.weight.array.all()


# --- the captured loop ------------------------------------------------------------------------------------------------


class Kept(Digits):
    """Digits whose batches are torch's, kept on a device."""

    def __init__(self, size: int, device: str) -> None:
        super().__init__(transform=ToTensor())
        everything = Digits.collated_batch(self, [*range(size)]) or []
        self.tensors = tuple(torch.from_numpy(part.array).to(device) for part in everything)

    def __len__(self) -> int:
        return len(self.tensors[0])

    def collated_batch(self, indices: list[int]) -> Any:
        return [part[indices] for part in self.tensors]


class Pair:
    """A loop captured, or run step by step on the CPU, and train_loop beside it, from the same beginning."""

    def __init__(self, optimizer: dict[str, Any], device: str, size: int) -> None:
        config = Config(**{**SHORT, **optimizer, "shuffle": True}, backend="torch", device=device)
        self.backend = TorchBackend(config)
        minitrain.manual_seed(0)
        self.model = self.backend.model(lambda nn: build_model(nn, 64, (16,), 10))
        self.optimizer = self.backend.optimizer(config, self.model)
        self.data = Kept(size, device)
        self.loader: Any = DataLoader(self.data, batch_size=64, shuffle=True)
        self.loss_fn = torch.nn.CrossEntropyLoss()

    def loop(self, device: str) -> Callable[[Observer], None]:
        captured = CapturedLoop(self.model, self.loss_fn, self.optimizer, capture=device == "cuda")
        return lambda observer: captured.train(self.loader, observer)

    def weights(self) -> list[Any]:
        return [param.detach().cpu().numpy().copy() for param in self.model.parameters()]


@pytest.mark.filterwarnings("ignore:.*capturable=True")  # of train_loop with an optimizer that could be captured
@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("size", [1500, 640, 30], ids=["a short last batch", "no short batch", "only a short batch"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_captured_loop_is_train_loop(optimizer: dict[str, Any], size: int, device: str) -> None:
    heard, weights = [], []
    for captured in (False, True):
        pair, observer = Pair(optimizer, device, size), Heard()
        loop = pair.loop(device)
        for _ in range(3):
            if captured:
                loop(observer)
            else:
                train_loop(pair.loader, pair.model, pair.loss_fn, pair.optimizer, observer)
        heard.append(observer)
        weights.append(pair.weights())
    assert heard[0].seen == heard[1].seen
    assert len(heard[0].seen) == 3 * -(-size // 64)
    np.testing.assert_allclose(heard[1].losses, heard[0].losses, atol=2e-5)
    for mine, theirs in zip(weights[1], weights[0], strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_more_than_a_hundred_steps_are_told_once_each_and_in_order(device: str) -> None:
    pair, observer = Pair({"optimizer": "sgd"}, device, 1500), Heard()
    pair.loader = DataLoader(pair.data, batch_size=7)
    pair.loop(device)(observer)
    assert [batch for batch, _, _ in observer.seen] == [*range(215)]
    assert observer.seen[-1] == (214, 1500, 1500)
    assert [line.split("[")[1] for line in observer.lines] == ["    7/ 1500]", "  707/ 1500]", " 1407/ 1500]"]


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("bad", [np.nan, np.inf], ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_loss_that_is_not_finite_is_told_late_and_never_applied(
    optimizer: dict[str, Any], bad: float, device: str
) -> None:
    before, observer = Pair(optimizer, device, 5 * 64), Heard()
    before.loader = DataLoader(before.data, batch_size=64)
    before.loop(device)(observer)

    pair, late = Pair(optimizer, device, 1500), Heard()
    pair.loader = DataLoader(pair.data, batch_size=64)
    pair.data.tensors[0][5 * 64 + 3] = bad
    with pytest.raises(NonFiniteLossError, match="batch 5"):
        pair.loop(device)(late)
    assert late.seen == [(batch, (batch + 1) * 64, 1500) for batch in range(5)]
    for mine, expected in zip(pair.weights(), before.weights(), strict=True):
        np.testing.assert_array_equal(mine, expected)
    states = [
        {name: value.cpu().numpy() for name, value in state.items() if isinstance(value, torch.Tensor)}
        for pair_ in (pair, before)
        for state in pair_.optimizer.state.values()
    ]
    for mine, expected in zip(states[: len(states) // 2], states[len(states) // 2 :], strict=True):
        assert mine.keys() == expected.keys()
        for name, value in mine.items():
            np.testing.assert_array_equal(value, expected[name])


@pytest.mark.filterwarnings("ignore:.*capturable=True")
@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_between_passes_all_may_change_and_the_next_pass_heeds_it(device: str) -> None:
    heard = []
    for captured in (False, True):
        pair, observer = Pair({"optimizer": "adam", "lr": 1e-3}, device, 640), Heard()
        first, other = pair.loader, DataLoader(pair.data, batch_size=32)
        loop = pair.loop(device)
        saved = copy.deepcopy(pair.optimizer.state_dict())
        for epoch in range(5):
            if epoch == 1:
                saved = copy.deepcopy(pair.optimizer.state_dict())
            if epoch == 2:
                pair.optimizer.param_groups[0]["lr"] = 0.1
            if epoch == 3:
                pair.optimizer.load_state_dict(saved)
            pair.loader = other if epoch == 4 else first
            if captured:
                loop(observer)
            else:
                train_loop(pair.loader, pair.model, pair.loss_fn, pair.optimizer, observer)
        heard.append(observer)
    np.testing.assert_allclose(heard[1].losses, heard[0].losses, atol=2e-5)
    assert heard[1].seen == heard[0].seen


@pytest.mark.parametrize("device", ["cpu", CUDA])
def test_training_goes_on_after_a_loss_that_was_not_finite(device: str) -> None:
    pair = Pair({"optimizer": "sgd"}, device, 640)
    loop = pair.loop(device)
    good = pair.data.tensors[0].clone()
    pair.data.tensors[0][300] = np.nan
    with pytest.raises(NonFiniteLossError):
        loop(Heard())
    pair.data.tensors[0].copy_(good)
    before = pair.weights()
    loop(Heard())
    assert all((mine != old).any() for mine, old in zip(pair.weights(), before, strict=True))


@pytest.mark.parametrize("device", [CUDA])
def test_one_backend_trains_one_model_after_another(device: str) -> None:
    backend = on_torch(device=device)
    for _ in range(2):
        run = Run(Config(**SHORT), backend)
        before = run.arrays()
        run.epoch(Heard())
        assert all((array != before[name]).any() for name, array in run.arrays().items())


def test_train_loop_would_have_applied_it() -> None:
    pair = Pair({"optimizer": "sgd"}, "cpu", 640)
    pair.data.tensors[0][300] = np.nan
    train_loop(pair.loader, pair.model, pair.loss_fn, pair.optimizer, Heard())
    assert all(np.isnan(weight).any() for weight in pair.weights())


# --- what is rejected -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"can use no cuda device here, only: cpu"):
        find_device("cuda")
    assert find_device("auto").type in ("cpu", "mps")
    with pytest.raises(ConfigError, match="tf32 needs an NVIDIA GPU, but the device is cpu"):
        on_torch(precision="tf32")


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("device", "cuda", "--device cuda"),
        ("device", "mps", "--device mps"),
        ("compile", True, "--compile"),
        ("precision", "bf16", "--precision bf16"),
    ],
)
def test_what_is_torchs_is_refused_on_numpy(name: str, value: Any, written: str) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ConfigError, match=f"^{written} needs torch, but the backend is numpy; add --backend torch$"):
        Config(**options)
    Config(**options, backend="torch")


def test_compiling_without_a_compiler_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match="--compile needs a C\\+\\+ compiler"):
        on_torch(compile=True)


def test_several_processes_are_refused_on_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="NumPy trains in one; add --backend torch"):
        choose_backend(Config())


def test_the_old_import_lines_work() -> None:
    from minitrain.accelerated.compare import compare
    from minitrain.accelerated.crossing import load_optimizer_state as load
    from minitrain.accelerated.crossing import to_minitrain as minitrains
    from minitrain.accelerated.crossing import to_torch as torchs
    from minitrain.with_torch import compare as today

    assert compare is today.compare
    assert (load, minitrains, torchs) == (load_optimizer_state, to_minitrain, to_torch)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from minitrain.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_torch_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "train", "--dataset", "digits", "--backend", "torch"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == (
        'minitrain: error: --backend torch needs torch, which is not installed: pip install -e ".[torch]"\n'
    )
    assert not [*tmp_path.iterdir()]


def test_a_torch_whose_import_fails_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libfoo.so is missing')")
    command = [sys.executable, "-m", "minitrain", "train", "--dataset", "digits", "--backend", "torch"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "--backend torch needs torch, but its import fails: libfoo.so is missing" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_place_for_a_file_is_checked_before_it_is_needed(tmp_path: Path) -> None:
    check_writable(str(tmp_path / "new.json"), "--json")
    for path, what in ((str(tmp_path), "must name a file"), ("", "must name a file"), ("no/such/x", "no directory")):
        with pytest.raises(ConfigError, match=what):
            check_writable(path, "--json")
    if os.geteuid() != 0:  # root may write anywhere
        tmp_path.chmod(0o500)
        with pytest.raises(ConfigError, match="no permission to write"):
            check_writable(str(tmp_path / "new.json"), "--json")


# --- a loss that is not finite ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [{"optimizer": "sgd", "lr": 1e25}, {"optimizer": "adam", "lr": 1e30}])
def test_torchs_nan_is_explained_on_numpy(
    optimizer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reports = []
    for backend in (Backend(), on_torch()):
        name = "torch" if isinstance(backend, TorchBackend) else "numpy"
        with pytest.raises(NonFiniteLossError, match=r"the loss of epoch 1, batch 1 is nan\. The run stopped"):
            train(Config(**{**SHORT, **optimizer}, backend=name), tmp_path / name, backend)  # type: ignore[arg-type]
        reports.append(capsys.readouterr().err)
    for report in reports:
        assert report.startswith("minitrain: the loss of epoch 1, batch 1 is nan.")
        assert "The same batch with the same weights, on NumPy, under anomaly detection:" in report
        assert "Function 'Linear' produced" in report
        assert "layer      linear_relu_stack.2 (Linear) of NeuralNetwork" in report
    lines = [[line for line in report.splitlines() if line.startswith(("  layer", "  phase"))] for report in reports]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("precision", "hint"),
    [("float32", "`minitrain compare` shows where torch"), ("bf16", "products in bf16; try --precision float32")],
)
def test_a_nan_of_torchs_own_is_said_not_to_come_back(
    precision: Any, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(TorchBackend):
        def loss_fn(self) -> Any:
            usual, calls = torch.nn.CrossEntropyLoss(), iter(range(10**6))
            return lambda pred, y: usual(pred, y) * (np.nan if next(calls) == 3 else 1.0)

    config = Config(**{**SHORT, "epochs": 1}, backend="torch", device="cpu", precision=precision, on_nan="continue")
    train(config, tmp_path / "run", Failing(config))
    report = capsys.readouterr().err
    assert "the loss of epoch 1, batch 3 is nan." in report
    assert "and no nan or infinity: it does not repeat." in report
    assert hint in report
    assert report.count("minitrain: the loss") == 1


@pytest.mark.parametrize("device", ["cpu", CUDA])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_captured_loop_shows_the_batch_whose_loss_is_not_finite_with_the_weights_from_before(
    optimizer: dict[str, Any], device: str
) -> None:
    pair = Pair(optimizer, device, 330)  # five batches of 64, and ten more
    pair.loader = DataLoader(pair.data, batch_size=64)
    pair.data.tensors[0][325, 0, 2, 3] = np.nan
    shown: list[Any] = []

    class Watching(Heard):
        def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
            assert not shown
            config = Config(**{**SHORT, **optimizer}, backend="torch", device=device)  # type: ignore[arg-type]
            explainer = Explainer(
                config, pair.backend, lambda nn: build_model(nn, 64, (16,), 10), pair.model, pair.optimizer
            )
            shown.extend([batch, X, y, explainer.explain(1, batch, X, y, loss.item(), self.losses, 5), pair.weights()])

    with pytest.raises(NonFiniteLossError, match="batch 5"):
        pair.loop(device)(Watching())
    batch, X, y, report, weights = shown
    assert batch == 5
    np.testing.assert_array_equal(X.cpu(), pair.data.tensors[0][320:].cpu())
    np.testing.assert_array_equal(y.cpu(), pair.data.tensors[1][320:].cpu())
    assert "The nan came in as input 0 (x) of Flatten" in report
    assert "[5, 0, 2, 3]" in report
    assert "step 5" in report
    assert all(np.array_equal(now, then) for now, then in zip(pair.weights(), weights, strict=True))


class Capturing(TorchBackend):
    """Trains as on a GPU, but step by step, on the CPU; the picture number `spoiled` is nan."""

    loop: CapturedLoop | None = None
    spoiled: int | None = None

    def dataloader(self, dataset: Any, batch_size: int, shuffle: bool = False) -> Any:
        kept = OnDevice(dataset, self.device)
        everything = dataset.collated_batch([*range(len(dataset))])
        kept.tensors = tuple(torch.from_numpy(part.array) for part in everything)
        if self.spoiled is not None and len(dataset) > self.spoiled:
            kept.tensors[0][self.spoiled] = np.nan
        return DataLoader(kept, batch_size=batch_size, shuffle=shuffle)

    def train(
        self, dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Any, first_batch: int = 0
    ) -> None:
        self.loop = self.loop or CapturedLoop(model, loss_fn, optimizer, capture=False)
        self.loop.train(dataloader, observer, first_batch)


def test_a_captured_run_is_explained_before_it_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(**{**SHORT, "lr": 1e25, "shuffle": True}, backend="torch", device="cpu")
    with pytest.raises(NonFiniteLossError, match="the loss of epoch 1, batch 1 is nan"):
        train(config, tmp_path / "run", Capturing(config))
    report = capsys.readouterr().err
    assert report.startswith("minitrain: the loss of epoch 1, batch 1 is nan.")
    assert "Function 'Linear' produced" in report
    assert report.count("minitrain: the loss") == 1


# --- broken off, and gone on with -------------------------------------------------------------------------------------


# 125 batches in an epoch: more than the captured loop tells of at once.
LONG: dict[str, Any] = {**SHORT, "batch_size": 12, "shuffle": True, "backend": "torch", "device": "cpu"}


class CrashError(Exception):
    """What no run is prepared for: nothing is saved."""


def crash() -> None:
    raise CrashError


def terminate() -> None:
    signal.raise_signal(signal.SIGTERM)


def doing(backend: Backend, what: Callable[[], None], after: int) -> Any:
    """The backend, which does this instead of, or before, the loss of the training's or a test's batch number after."""
    usual, calls = backend.loss_fn(), itertools.count(1)

    def loss_fn(pred: Any, y: Any) -> Any:
        if next(calls) == after:
            what()
        return usual(pred, y)

    backend.loss_fn = lambda: loss_fn  # type: ignore[method-assign]
    return backend


def go_on(run: Path, choose: Callable[[Config], Backend] = choose_backend, **given: Any) -> Any:
    """The arguments with which train goes on with a run."""
    resumption = plan_resumption(run, given)
    return {"resumption": resumption, "backend": choose(resumption.config)}


def outcome(run: Path) -> dict[str, Any]:
    """All that a run leaves, but the seconds that it took."""
    epochs = [line.rpartition(",")[0] for line in (run / "epochs.csv").read_text().splitlines()]
    files = {name: (run / name).read_bytes() for name in ("steps.csv", "log.txt", "model.safetensors")}
    return {**files, "epochs.csv": epochs}


def losses(run: Path) -> Any:
    return np.genfromtxt(run / "steps.csv", delimiter=",", skip_header=1)


@pytest.mark.parametrize(
    ("every", "crashed"), [(1, 60), (30, 115), (130, 190)], ids=["every step", "every 30", "every 130"]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_captured_run_that_was_broken_off_goes_on_as_if_nothing_had_been(
    optimizer: dict[str, Any], every: int, crashed: int, tmp_path: Path
) -> None:
    config = Config(**{**LONG, **optimizer})
    train(config, tmp_path / "straight", Capturing(config))
    often = dataclasses.replace(config, checkpoint_every=every)
    with pytest.raises(CrashError):
        train(often, tmp_path / "run", doing(Capturing(often), crash, crashed))
    last, _ = read_last_good(tmp_path / "run")
    assert last is not None
    position = last.state["position"]
    assert position["updates"] % every == 0 < position["batch"]
    resume(**go_on(tmp_path / "run", Capturing, checkpoint_every=0))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


# A test pass has 25 batches. The losses of the warm-ups before the first epoch are computed, too.
@pytest.mark.parametrize(
    ("came", "stopped"),
    [
        (3 + 1, "after batch 99 of epoch 1"),
        (3 + 101, "after batch 124 of epoch 1"),
        (3 + 126, "after epoch 1"),
        (3 + 151, "after batch 99 of epoch 2"),
    ],
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_captured_run_that_is_told_to_stop_does_so_where_model_and_loader_agree(
    optimizer: dict[str, Any], came: int, stopped: str, tmp_path: Path
) -> None:
    config = Config(**{**LONG, **optimizer})
    train(config, tmp_path / "straight", Capturing(config))
    with pytest.raises(Interrupted, match=stopped) as caught:
        train(config, tmp_path / "run", doing(Capturing(config), terminate, came))
    assert (caught.value.signal, caught.value.saved) == (signal.SIGTERM, True)
    resume(**go_on(tmp_path / "run", Capturing))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


@pytest.mark.parametrize(
    ("spoiled", "batch"), [(2, 10), (1, 99), (3, 117)], ids=["early", "the hundredth", "of the second hundred"]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_captured_run_that_a_nan_has_stopped_meets_it_again_and_without_it_is_the_run_that_never_had_it(
    optimizer: dict[str, Any], spoiled: int, batch: int, tmp_path: Path
) -> None:
    config = Config(**{**LONG, **optimizer})
    train(config, tmp_path / "straight", Capturing(config))

    def with_a_nan(config: Config) -> TorchBackend:
        backend = Capturing(config)
        backend.spoiled = spoiled
        return backend

    with pytest.raises(NonFiniteLossError, match=f"the loss of epoch 1, batch {batch} is nan"):
        train(config, tmp_path / "run", with_a_nan(config))
    with pytest.raises(NonFiniteLossError, match=f"the loss of epoch 1, batch {batch} is nan"):
        resume(**go_on(tmp_path / "run", with_a_nan))
    resume(**go_on(tmp_path / "run", Capturing))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_on_torch_that_was_broken_off_goes_on_as_if_nothing_had_been(
    optimizer: dict[str, Any], precision: Any, tmp_path: Path
) -> None:
    config = Config(**{**LONG, **optimizer}, precision=precision, checkpoint_every=30)
    train(dataclasses.replace(config, checkpoint_every=0), tmp_path / "straight", TorchBackend(config))
    with pytest.raises(CrashError):
        train(config, tmp_path / "run", doing(TorchBackend(config), crash, 190))
    last, _ = read_last_good(tmp_path / "run")
    assert last is not None
    assert (last.state["position"]["epoch"], last.state["position"]["batch"]) == (2, 25)
    resume(**go_on(tmp_path / "run"))
    assert outcome(tmp_path / "run") == outcome(tmp_path / "straight")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_goes_on_torch_and_comes_back_amid_epochs(
    optimizer: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(**{**LONG, **optimizer, "backend": "numpy"}, checkpoint_every=50)
    train(dataclasses.replace(config, checkpoint_every=0), tmp_path / "straight")
    with pytest.raises(CrashError):
        train(config, tmp_path / "run", doing(Backend(), crash, 60))
    resumed = go_on(tmp_path / "run", backend="torch")
    assert isinstance(resumed["backend"], TorchBackend)
    doing(resumed["backend"], crash, 75 + 25 + 60)
    with pytest.raises(CrashError):
        resume(**resumed)
    resume(**go_on(tmp_path / "run", backend="numpy"))
    said = capsys.readouterr().err
    assert "in epoch 1, batch 50" in said
    assert "in epoch 2, batch 25" in said
    logs = [(tmp_path / name / "log.txt").read_text() for name in ("run", "straight")]
    assert_same_log(*logs)
    np.testing.assert_allclose(losses(tmp_path / "run"), losses(tmp_path / "straight"), rtol=0, atol=2e-5)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_state_comes_back_into_torchs_optimizer_as_it_was(optimizer: dict[str, Any], tmp_path: Path) -> None:
    run = Run(Config(**{**SHORT, **optimizer}), on_torch())
    run.epoch(Heard())
    minitrain.save(run.backend.optimizer_state(run.optimizer), tmp_path / "state")
    other = Run(Config(**{**SHORT, **optimizer}), on_torch())
    other.backend.load_optimizer_state(other.optimizer, minitrain.load(tmp_path / "state"))
    assert other.optimizer.param_groups[0].keys() == run.optimizer.param_groups[0].keys()
    for mine, theirs in zip(other.optimizer.state.values(), run.optimizer.state.values(), strict=True):
        assert mine.keys() == theirs.keys()
        for name, value in theirs.items():
            assert type(mine[name]) is type(value)
            if isinstance(value, torch.Tensor):
                assert (mine[name].dtype, mine[name].device) == (value.dtype, value.device)
                assert mine[name].stride() == value.stride()
                np.testing.assert_array_equal(mine[name].numpy(), value.numpy())


def test_a_run_on_torch_goes_on_where_there_is_no_torch(tmp_path: Path) -> None:
    config = Config(**{**LONG, "optimizer": "adam", "lr": 1e-3}, checkpoint_every=50)
    with pytest.raises(CrashError):
        train(config, tmp_path / "run", doing(TorchBackend(config), crash, 60))
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, "train", "--resume", "run", "--backend", "numpy"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len(losses(tmp_path / "run")) == 250

"""Two processes train as one does: the gradients are those of the whole batch, the log is the same, no one hangs."""

import csv
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain
from minitrain import nn
from minitrain.cli import main
from minitrain.runs.checkpoints import read_last_good
from minitrain.runs.config import Config
from minitrain.runs.config_file import read_sessions
from minitrain.runs.directory import open_run
from minitrain.runs.model import build_model
from minitrain.runs.resume_command import resume_command
from minitrain.runs.run import train
from minitrain.with_torch.torchrun import earlier_attempt
from tests.comparing import assert_same_log

ROOT = Path(__file__).parent.parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ON_TORCH = ["--backend", "torch", "--device", "cpu"]
RUN = ["-m", "minitrain", "train", "--dataset", "digits", "--hidden", "16", "--lr", "0.05"]


# 1500 samples in batches of 77: 20 batches, of which the last has 37, and none can be halved.
OPTIONS = ["--epochs", "3", "--batch-size", "77", "--shuffle", "--momentum", "0.9", "--checkpoint-every", "7"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(command: list[str], folder: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=env or environment(), capture_output=True, text=True, check=False, timeout=120
    )


def run_two(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """The command in two processes that train together, as torchrun starts them, without the launcher."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    with ThreadPoolExecutor(2) as pool:
        environments = [{**environment(), **shared, "RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
        ended = list(pool.map(lambda env: run([sys.executable, *command], folder, env), environments))
    status = next((process.returncode for process in ended if process.returncode), 0)
    return subprocess.CompletedProcess(
        command, status, "".join(process.stdout for process in ended), "".join(process.stderr for process in ended)
    )


def outcome(run: Path) -> dict[str, Any]:
    """All that a run leaves, but the seconds that it took."""
    with (run / "epochs.csv").open(newline="", encoding="utf-8") as file:
        epochs = [row[:-1] for row in csv.reader(file)]
    return {
        "epochs.csv": epochs,
        **{name: (run / name).read_bytes() for name in ("steps.csv", "log.txt", "model.safetensors")},
    }


def assert_nearly_the_same(run: Path, other: Path) -> None:
    """The same log, and losses within 2e-5."""
    assert_same_log((run / "log.txt").read_text(), (other / "log.txt").read_text())
    tables = [np.genfromtxt(folder / "steps.csv", delimiter=",", skip_header=1) for folder in (run, other)]
    np.testing.assert_allclose(*tables, rtol=0, atol=2e-5)
    weights = [minitrain.load(folder / "model.safetensors") for folder in (run, other)]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(tensor.array, weights[1][name].array, rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that two processes have made and nothing has happened to; its output is beside it."""
    folder = tmp_path_factory.mktemp("straight")
    result = run_two([*RUN, *OPTIONS, *ON_TORCH, "--out", "run"], folder)
    assert result.returncode == 0, result.stderr
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    return folder / "run"


@pytest.fixture(scope="module")
def first_epoch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a complete run of one epoch that one process has made with torch; to be copied."""
    directory = tmp_path_factory.mktemp("one") / "run"
    assert main([*RUN[2:], *OPTIONS, "--epochs", "1", *ON_TORCH, "--out", str(directory)]) == 0
    return directory


def test_the_log_of_two_processes_is_the_log_of_one(straight: Path, tmp_path: Path) -> None:
    one = run([sys.executable, *RUN, *OPTIONS, "--out", "run"], tmp_path)
    assert one.returncode == 0, one.stderr
    assert_same_log((straight.parent / "stdout").read_text(), one.stdout)
    assert (straight.parent / "stderr").read_text().count("The run is in") == 1
    assert_nearly_the_same(straight, tmp_path / "run")
    two, of_one = ((folder / "layers.csv").read_text().splitlines() for folder in (straight, tmp_path / "run"))
    expected = [row for row in of_one if row[-1] == "," or row.endswith("zeros")]  # none of a ReLU: each has a slice
    assert [row.split(",")[:3] for row in two] == [row.split(",")[:3] for row in expected]
    norms = [np.array([row.split(",")[3:6] for row in rows[1:]], float) for rows in (two, expected)]
    np.testing.assert_allclose(*norms, rtol=1e-3)


GRADIENTS = """
import sys
import numpy as np
import minitrain
from minitrain.with_torch.backend import TorchBackend
from minitrain.data import ToTensor
from minitrain.data.datasets import Digits
from minitrain.runs.config import Config
from minitrain.runs.model import build_model

with TorchBackend(Config(dataset="digits", backend="torch", device="cpu")) as backend:
    minitrain.manual_seed(0)
    model = backend.model(lambda nn: build_model(nn, 64, (16,), 10))
    loss_fn = backend.loss_fn()
    for batch_size in sys.argv[1:]:
        model.zero_grad()
        X, y = next(iter(backend.dataloader(Digits(transform=ToTensor()), int(batch_size))))
        loss_fn(model(X), y).backward()
        if backend.writes:
            np.savez(batch_size, *[param.grad.numpy() for param in model.parameters()], rows=len(X))
"""
BATCH_SIZES = [64, 7, 1]


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which two processes have left the gradients of each of the batch sizes."""
    folder = tmp_path_factory.mktemp("gradients")
    (folder / "program.py").write_text(GRADIENTS)
    result = run_two(["program.py", *map(str, BATCH_SIZES)], folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("batch_size", BATCH_SIZES)
def test_the_gradients_of_two_processes_are_those_of_the_whole_batch(batch_size: int, gradients: Path) -> None:
    theirs = np.load(gradients / f"{batch_size}.npz")
    assert theirs["rows"] == batch_size // 2  # of 7 rows 3 and 4, of 1 row none and 1

    minitrain.manual_seed(0)
    model = build_model(nn, 64, (16,), 10)
    digits = minitrain.data.datasets.Digits(transform=minitrain.data.ToTensor())
    X, y = next(iter(minitrain.data.DataLoader(digits, batch_size=batch_size)))
    nn.CrossEntropyLoss()(model(X), y).backward()
    for i, param in enumerate(model.parameters()):
        assert param.grad is not None
        np.testing.assert_allclose(theirs[f"arr_{i}"], param.grad.array, atol=1e-6)


def test_a_killed_worker_ends_the_run_with_a_clear_message(tmp_path: Path) -> None:
    command = [*TORCHRUN, *RUN, "--epochs", "100000", *ON_TORCH, "--out", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as launcher:
        try:
            assert launcher.stdout is not None
            while "Epoch 2" not in launcher.stdout.readline():
                assert launcher.poll() is None
            listed = subprocess.run(
                ["ps", "-o", "pid=", "--ppid", str(launcher.pid)], capture_output=True, text=True, check=True
            )
            os.kill(int(listed.stdout.split()[-1]), signal.SIGKILL)
            began = time.monotonic()
            _, errors = launcher.communicate(timeout=60)
        finally:
            launcher.kill()
    assert launcher.returncode == 1
    assert time.monotonic() - began < 60
    assert re.search(r"minitrain: error: process \d of 2 stops: another process of this run ended", errors)
    assert "SIGKILL" in errors  # torchrun's own report


def test_a_loss_that_is_not_finite_is_explained_by_the_process_that_writes(tmp_path: Path) -> None:
    result = run_two([*RUN, *ON_TORCH, "--lr", "1e25", "--epochs", "1", "--out", "run"], tmp_path)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("minitrain: the loss of epoch 1, batch 1 (the slice of process 0 of 2) is nan.") == 1
    assert result.stderr.count("minitrain: the loss") == 1
    assert result.stderr.count("minitrain: error: the loss of epoch 1, batch 1 is nan. The run stopped before") == 1
    assert "Function 'Linear' produced" in result.stderr
    assert "[8, 10] float32" in result.stderr  # of 16 rows


SPOILED_FOR_THE_OTHER = """
import sys
import numpy as np
from minitrain.data.datasets import Digits

genuine = Digits.collated_batch


def spoiled(self, indices):
    X, y = genuine(self, indices)
    if 15 in indices:
        X.array[indices.index(15)] = np.nan
    return X, y


Digits.collated_batch = spoiled
from minitrain.cli import main

sys.exit(main(sys.argv[1:]))
"""


def test_a_loss_that_is_not_finite_in_another_process_alone_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SPOILED_FOR_THE_OTHER)
    options = [*RUN[2:], *ON_TORCH, "--epochs", "1", "--no-shuffle", "--out", "run"]
    result = run_two(["program.py", *options], tmp_path)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("minitrain: the loss") == 1
    assert "minitrain: the loss of epoch 1, batch 0 is nan. It comes from another process's slice" in result.stderr
    assert "train in one process to get an explanation" in result.stderr


def test_a_wrong_configuration_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run_two([*RUN, *ON_TORCH, "--out", "file"], tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("file is a file; choose another --out") == 1


# --- broken off, and gone on with -------------------------------------------------------------------------------------


# With a batch at which something is done, in the process of a rank, in torchrun's first attempt alone.
EVENTFUL = """
import os, signal, sys, time
from minitrain.with_torch import distributed
from minitrain.cli import main

rank, batch, what = sys.argv[1:4]
usual, computed = distributed.WholeMean.__call__, 0
here = (rank, "0") == (os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"])


def eventful(self, pred, y):
    global computed
    computed += 1
    if here and computed == int(batch):
        name, _, launcher = what.partition(" to ")
        os.kill(os.getppid() if launcher else os.getpid(), signal.Signals[name])
    return usual(self, pred, y)


distributed.WholeMean.__call__ = eventful
if os.environ["TORCHELASTIC_RESTART_COUNT"] != "0" and os.environ["RANK"] == rank:
    time.sleep(1)  # in which the other one could connect to the process that has ended
sys.exit(main(sys.argv[4:]))
"""
EPOCH = 20 + 4  # losses that are computed in an epoch: of the batches, and of the test's


def eventful(rank: int, batch: int, what: str, folder: Path, *arguments: str, launch: list[str] = TORCHRUN) -> Any:
    """Two processes that train; when the process of a rank computes the loss of this number, from 1, what happens."""
    (folder / "program.py").write_text(EVENTFUL)
    return run([*launch, "program.py", str(rank), str(batch), what, *RUN[2:], *ON_TORCH, *arguments], folder)


def where(run: Path) -> tuple[int, int]:
    """The epoch and the batch at which a run goes on."""
    last, faults = read_last_good(run)
    assert last is not None
    assert not faults
    return last.state["position"]["epoch"], last.state["position"]["batch"]


def wait_until_free(run: Path) -> None:
    """Wait until no process runs it any more."""
    for _ in range(600):
        try:
            open_run(run).close()
        except RuntimeError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"{run} is in use still")


def test_a_signal_to_torchrun_stops_all_after_the_same_batch_and_what_is_printed_goes_on(
    straight: Path, tmp_path: Path
) -> None:
    result = eventful(1, EPOCH + 11, "SIGTERM to launcher", tmp_path, *OPTIONS, "--out", "run")
    assert result.returncode == 1, result.stderr  # torchrun's
    epoch, batch = where(tmp_path / "run")
    assert f"minitrain: interrupted after batch {batch - 1} of epoch {epoch}, and saved. Resume with:" in result.stderr
    assert result.stderr.count("minitrain:") == 2  # stopping, interrupted
    assert "exitcode" not in result.stderr  # of a process that was killed
    printed = shlex.split(next(line for line in result.stderr.splitlines() if "--resume" in line))
    assert Path(printed[0]).name == "torchrun"
    result = run([*TORCHRUN[:3], *printed[1:]], tmp_path)
    assert result.returncode == 0, result.stderr
    assert outcome(tmp_path / "run") == outcome(straight)


def test_torchrun_starts_a_run_again_that_has_lost_a_process_and_it_goes_on_by_itself(
    straight: Path, tmp_path: Path
) -> None:
    again = [*TORCHRUN, "--max-restarts", "2"]
    result = eventful(1, EPOCH + 11, "SIGKILL", tmp_path, *OPTIONS, launch=again)
    assert result.returncode == 0, result.stderr
    assert "minitrain: resuming runs/digits-0 in epoch 2, batch 8" in result.stderr
    assert len(read_sessions(tmp_path / "runs" / "digits-0")) == 2
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["digits-0"]
    assert outcome(tmp_path / "runs" / "digits-0") == outcome(straight)


def test_a_run_of_one_process_goes_on_in_two(first_epoch: Path, straight: Path, tmp_path: Path) -> None:
    shutil.copytree(first_epoch, tmp_path / "run")
    two = run_two([*RUN[:3], "--resume", "run", "--epochs", "3"], tmp_path)
    assert two.returncode == 0, two.stderr
    assert "changed since the last session: processes: 1 then, 2 now" in two.stderr
    assert_nearly_the_same(tmp_path / "run", straight)


def test_a_run_that_is_in_use_is_refused_and_left_alone(first_epoch: Path, tmp_path: Path) -> None:
    shutil.copytree(first_epoch, tmp_path / "run")
    before = outcome(tmp_path / "run")
    with open_run(tmp_path / "run"):
        two = run_two([*RUN[:3], "--resume", "run", "--epochs", "3"], tmp_path)
    assert two.returncode == 1
    assert two.stderr.count("minitrain: error: run is in use by another process") == 1
    assert outcome(tmp_path / "run") == before
    assert len(read_sessions(tmp_path / "run")) == 1


FORGETFUL = """
import os, sys
from minitrain.with_torch.backend import TorchBackend
from minitrain.cli import main

if os.environ["RANK"] == "1":
    TorchBackend.load_state_dict = lambda self, model, state: None
sys.exit(main(sys.argv[1:]))
"""


def test_processes_that_go_on_from_different_states_are_stopped(first_epoch: Path, tmp_path: Path) -> None:
    shutil.copytree(first_epoch, tmp_path / "run")
    lines = (tmp_path / "run" / "log.txt").read_text().removesuffix("Done!\n")
    (tmp_path / "program.py").write_text(FORGETFUL)
    two = run_two(["program.py", "train", "--resume", "run", "--epochs", "3"], tmp_path)
    assert two.returncode == 1
    assert two.stderr.count("minitrain: error: the 2 processes of this run do not have the same weights") == 1
    assert where(tmp_path / "run") == (2, 0)
    assert (tmp_path / "run" / "log.txt").read_text().startswith(lines)


def launched_by(launcher: str, attempt: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchrun tells each process; its id is the same for all launchers, as where a user has chosen it."""
    names = {
        "RUN_ID": "job",
        "RESTART_COUNT": str(attempt),
        "ERROR_FILE": f"/tmp/torchelastic_{launcher}/job_{launcher}/attempt_{attempt}/0/error.json",
    }
    for name, value in names.items():
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)


@pytest.mark.parametrize("out", [None, "run"])
def test_an_attempt_goes_on_with_the_run_of_its_own_launch_alone(
    out: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert earlier_attempt(out, "digits") is None
    launched_by("one", 0, monkeypatch)
    assert earlier_attempt(out, "digits") is None
    directory = train(Config(dataset="digits", epochs=1, hidden=()), out)
    assert earlier_attempt(out, "digits") is None
    launched_by("one", 1, monkeypatch)
    assert earlier_attempt(out, "digits") == directory
    launched_by("another", 1, monkeypatch)
    assert earlier_attempt(out, "digits") is None


@pytest.mark.parametrize(
    ("everywhere", "options"), [("2", "--standalone --nproc-per-node 2"), ("4", "(on each machine, as before)")]
)
def test_the_command_that_goes_on_starts_as_many_processes(
    everywhere: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "torch" not in resume_command(Path("a run"))
    launched_by("one", 0, monkeypatch)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", everywhere)
    assert resume_command(Path("a run")).endswith(f" {options} -m minitrain train --resume 'a run'")


@pytest.mark.slow
def test_a_run_of_a_given_name_is_started_again_as_often_as_it_takes(straight: Path, tmp_path: Path) -> None:
    again = [*TORCHRUN, "--max-restarts", "2"]
    result = eventful(0, 3, "SIGKILL", tmp_path, *OPTIONS, "--out", "run", launch=again)
    assert result.returncode == 0, result.stderr
    assert "minitrain: resuming run in epoch 1, batch 0" in result.stderr
    assert outcome(tmp_path / "run") == outcome(straight)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 1])
@pytest.mark.parametrize("rank", [0, 1])
def test_a_run_that_has_lost_a_process_goes_on_in_two_and_in_one(
    rank: int, processes: int, straight: Path, tmp_path: Path
) -> None:
    result = eventful(rank, EPOCH + 11, "SIGKILL", tmp_path, *OPTIONS, "--out", "run")
    assert result.returncode == 1
    assert f"minitrain: error: process {1 - rank} of 2 stops" in result.stderr
    assert where(tmp_path / "run") == (2, 8)
    launch = TORCHRUN if processes == 2 else [sys.executable]
    result = run([*launch, *RUN[:3], "--resume", "run"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert_nearly_the_same(tmp_path / "run", straight)
    if processes == 2:
        assert outcome(tmp_path / "run") == outcome(straight)


@pytest.mark.slow
def test_processes_whose_torchrun_was_killed_stop_and_save(straight: Path, tmp_path: Path) -> None:
    result = eventful(1, EPOCH + 11, "SIGKILL to launcher", tmp_path, *OPTIONS, "--out", "run")
    assert result.returncode == -signal.SIGKILL
    wait_until_free(tmp_path / "run")
    assert "minitrain: torchrun has ended; stopping after this batch, and saving" in result.stderr
    assert (2, 11) <= where(tmp_path / "run") < (4, 0)
    result = run([*TORCHRUN, *RUN[:3], "--resume", "run"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert outcome(tmp_path / "run") == outcome(straight)

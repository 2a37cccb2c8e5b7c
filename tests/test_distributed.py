"""Two processes train as one does: the gradients are those of the whole batch, the log is the same, no one hangs."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minitrain
from minitrain import nn
from minitrain.training.model import build_model
from tests.comparing import assert_same_log

ROOT = Path(__file__).parent.parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
ON_TORCH = ["--backend", "torch", "--device", "cpu"]
RUN = ["-m", "minitrain", "train", "--dataset", "digits", "--hidden", "16", "--lr", "0.05"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )


def test_the_log_of_two_processes_is_the_log_of_one(tmp_path: Path) -> None:
    # 1500 samples in batches of 77: the last batch has 37, and no batch can be halved.
    options = ["--epochs", "2", "--batch-size", "77", "--shuffle", "--momentum", "0.9"]
    one = run([sys.executable, *RUN, *options, "--out", "one"], tmp_path)
    two = run([*TORCHRUN, *RUN, *options, *ON_TORCH, "--out", "two"], tmp_path)
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert_same_log(two.stdout, one.stdout)
    assert two.stderr.count("The run is in") == 1
    tables = [np.genfromtxt(tmp_path / name / "steps.csv", delimiter=",", skip_header=1) for name in ("one", "two")]
    np.testing.assert_allclose(tables[1], tables[0], atol=2e-5)
    weights = [minitrain.load(tmp_path / name / "model.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for name, tensor in weights[0].items():
        np.testing.assert_allclose(weights[1][name].array, tensor.array, atol=2e-5)


GRADIENTS = """
import sys
import numpy as np
import minitrain
from minitrain.accelerated.backend import TorchBackend
from minitrain.data import ToTensor
from minitrain.data.datasets import Digits
from minitrain.training.config import Config
from minitrain.training.model import build_model

with TorchBackend(Config(dataset="digits", backend="torch", device="cpu")) as backend:
    minitrain.manual_seed(0)
    model = backend.model(lambda nn: build_model(nn, 64, (16,), 10))
    loader = backend.dataloader(Digits(transform=ToTensor()), int(sys.argv[1]))
    loss_fn = backend.loss_fn()
    X, y = next(iter(loader))
    loss_fn(model(X), y).backward()
    if backend.writes:
        np.savez("gradients", *[param.grad.numpy() for param in model.parameters()], rows=len(X))
"""


@pytest.mark.parametrize("batch_size", [64, 7, 1])
def test_the_gradients_of_two_processes_are_those_of_the_whole_batch(batch_size: int, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(GRADIENTS)
    result = run([*TORCHRUN, "program.py", str(batch_size)], tmp_path)
    assert result.returncode == 0, result.stderr
    theirs = np.load(tmp_path / "gradients.npz")
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
    assert re.search(r"minitrain: error: process \d of 2 stops: another process of this run has ended", errors)
    assert "SIGKILL" in errors  # torchrun's own report


def test_a_loss_that_is_not_finite_is_explained_by_the_process_that_writes(tmp_path: Path) -> None:
    result = run([*TORCHRUN, *RUN, *ON_TORCH, "--lr", "1e25", "--epochs", "1", "--out", "run"], tmp_path)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("minitrain: the loss of epoch 1, batch 1 (the slice of process 0 of 2) is nan.") == 1
    assert result.stderr.count("minitrain: the loss") == 1
    assert result.stderr.count("minitrain: error: the loss of epoch 1, batch 1 is nan. The run has stopped before") == 1
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
    result = run([*TORCHRUN, "program.py", *options], tmp_path)
    assert result.returncode == 1, result.stderr
    assert result.stderr.count("minitrain: the loss") == 1
    assert "minitrain: the loss of epoch 1, batch 0 is nan. It comes from another process's slice" in result.stderr
    assert "run it in one process" in result.stderr


def test_a_wrong_configuration_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run([*TORCHRUN, *RUN, *ON_TORCH, "--out", "file"], tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("file is a file; choose another --out") == 1

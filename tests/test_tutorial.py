"""The tutorial's program prints the same log on torch and, with its import lines changed, on minitrain."""

import contextlib
import functools
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measuring import PEAK_MEMORY
from benchmarks.programs import MINITRAIN_IMPORTS, TORCH_IMPORTS, tutorial
from tests.comparing import assert_same_log

ROOT = Path(__file__).parent.parent

# The digits in place of Fashion-MNIST. To torch they come as tensors: torchvision does not have this data set.
DIGITS_ON_MINITRAIN = {
    "FashionMNIST": "Digits",
    "28 * 28, 512": "8 * 8, 512",
    "learning_rate = 1e-3": "learning_rate = 5e-2",
}
DIGITS_ON_TORCH = {
    **DIGITS_ON_MINITRAIN,
    "from torchvision.transforms import ToTensor\n": """
import numpy as np
import minitrain.data
class datasets:
    @staticmethod
    def FashionMNIST(root, train, download, transform):
        digits = minitrain.data.datasets.Digits(train=train)
        return torch.utils.data.TensorDataset(
            torch.from_numpy(digits.data.numpy().astype(np.float32) / 255), torch.from_numpy(digits.targets.numpy())
        )
ToTensor = str
""",
}


@functools.cache
def log_of(program: str) -> str:
    """What the program prints, run in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(program, "the program", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def logs_of(programs: list[str], folder: Path) -> list[str]:
    """What the programs print, run side by side in this folder, each in a process of its own with one thread."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = [
        subprocess.Popen([sys.executable, "-c", program], cwd=folder, env=env, text=True, **pipes)
        for program in programs
    ]
    ended = [(process, *process.communicate()) for process in running]
    for process, _, errors in ended:
        assert process.returncode == 0, errors
    return [log for _, log, _ in ended]


def test_nothing_but_the_import_lines_differs() -> None:
    mine, torchs = tutorial("minitrain").splitlines(), tutorial("torch").splitlines()
    assert [line for line in mine if line not in torchs] == MINITRAIN_IMPORTS.splitlines()
    assert [line for line in torchs if line not in mine and "torchvision" not in line] == [
        line for line in TORCH_IMPORTS.splitlines() if "torchvision" not in line
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_digits_log_is_torchs(seed: int) -> None:
    mine = log_of(tutorial("minitrain", seed=seed, epochs=3, changes=DIGITS_ON_MINITRAIN))
    torchs = log_of(tutorial("torch", seed=seed, epochs=3, changes=_without_name(DIGITS_ON_TORCH)))
    assert mine.count("Test Error") == 3
    assert_same_log(mine, torchs)


def _without_name(changes: dict[str, str]) -> dict[str, str]:
    return {old: new for old, new in changes.items() if old != "FashionMNIST"}


def test_the_shuffled_digits_log_is_torchs() -> None:
    shuffled = {"DataLoader(training_data, batch_size=64)": "DataLoader(training_data, batch_size=64, shuffle=True)"}
    seed = 1  # with which no two outputs of a test image are so close (0.0002) that rounding decides
    mine = log_of(tutorial("minitrain", seed=seed, epochs=3, changes={**DIGITS_ON_MINITRAIN, **shuffled}))
    torchs = log_of(tutorial("torch", seed=seed, epochs=3, changes={**_without_name(DIGITS_ON_TORCH), **shuffled}))
    assert_same_log(mine, torchs)


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("another seed", {"torch.manual_seed(0)": "torch.manual_seed(1)"}),
        ("another rate", {"lr=learning_rate": "lr=learning_rate * 1.001"}),
        ("gradients not zeroed", {"optimizer.zero_grad()": "pass"}),
        ("another order", {"shuffle=False": "shuffle=True"}),
    ],
)
def test_the_comparison_of_logs_sees_a_difference(what: str, fault: dict[str, str]) -> None:
    plain = {**DIGITS_ON_MINITRAIN, "training_data, batch_size=64)": "training_data, batch_size=64, shuffle=False)"}
    right = log_of(tutorial("minitrain", epochs=1, changes=plain))
    wrong = log_of(tutorial("minitrain", epochs=1, changes={**plain, **fault}))
    assert_same_log(right, right)
    with pytest.raises(AssertionError):
        assert_same_log(wrong, right)


@pytest.fixture
def fashion_mnist_folder(tmp_path: Path) -> Path:
    """A folder with the genuine files as the program looks for them, copied: torchvision unpacks them there."""
    if "MINITRAIN_DATA" not in os.environ:
        pytest.skip("the genuine Fashion-MNIST is needed: set MINITRAIN_DATA to the folder that holds it")
    raw = Path("FashionMNIST", "raw")
    (tmp_path / "data" / raw).mkdir(parents=True)
    for file in (Path(os.environ["MINITRAIN_DATA"]) / raw).glob("*.gz"):
        shutil.copy(file, tmp_path / "data" / raw)
    return tmp_path


def test_one_epoch_on_fashion_mnist_is_torchs_and_takes_under_250_mb(fashion_mnist_folder: Path) -> None:
    program = tutorial("minitrain", epochs=1) + PEAK_MEMORY + "print(peak_memory())\n"
    log, torchs = logs_of([program, tutorial("torch", epochs=1)], fashion_mnist_folder)
    mine, done, peak = log.partition("Done!\n")
    assert float(peak) < 250
    mine += done
    assert mine.startswith("Epoch 1\n-------------------------------\nloss: 2.3053")  # the next digits are the BLAS's
    assert_same_log(mine, torchs)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_ten_epochs_on_fashion_mnist_are_torchs(seed: int, fashion_mnist_folder: Path) -> None:
    programs = [tutorial("minitrain", seed=seed), tutorial("torch", seed=seed)]
    mine, torchs = logs_of(programs, fashion_mnist_folder)
    assert mine.count("Test Error") == 10
    assert_same_log(mine, torchs, ties=1)

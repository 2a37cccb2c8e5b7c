"""Thousands of runs, and one long run, in memory that does not grow; slow, and with figures printed."""

import gc
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minitrain.runs.config import Config
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train

pytestmark = pytest.mark.slow
MB = 2**20


def resident(pid: int | str = "self") -> int:
    """The memory that a process has, in bytes."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


@needs_proc
def test_thousands_of_runs_one_after_another_leave_no_memory_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(dataset="digits", epochs=1, batch_size=500, hidden=(4,), shuffle=True, checkpoint_every=2)
    sizes, files = [], []
    for number in range(2001):
        run = train(config, tmp_path / "run")
        assert run is not None
        resumption = plan_resumption(run, {"epochs": 2})
        resume(resumption)
        shutil.rmtree(run)
        if number % 500 == 0:
            capsys.readouterr()  # which keeps all that was printed
            gc.collect()
            sizes.append(resident())
            files.append(len(os.listdir("/proc/self/fd")))
    with capsys.disabled():
        print(f"\n2 x 2,000 runs: {', '.join(f'{size / MB:.1f}' for size in sizes)} MB, every 500 of them")
    assert sizes[-1] - sizes[1] < 2 * MB
    assert files[-1] == files[0]


@needs_proc
def test_a_long_run_does_not_grow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "minitrain", "train", "--dataset", "digits", "--hidden", "16", "--epochs", "3000"]
    command += ["--checkpoint-every", "50", "--optimizer", "adam", "--lr", "1e-3", "--out", "run"]
    sizes = []
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(5)
            if process.poll() is None:
                sizes.append(resident(process.pid))
    assert process.returncode == 0
    with capsys.disabled():
        shown = sizes[:: max(1, len(sizes) // 8)]
        print(f"\na run of 282,000 updates: {', '.join(f'{size / MB:.1f}' for size in shown)} MB, evenly in time")
    assert max(sizes[2:]) - sizes[1] < 4 * MB
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 2

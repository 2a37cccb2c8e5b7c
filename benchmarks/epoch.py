"""The tutorial's whole program on torch and on minitrain: seconds per epoch, peak memory, and the same losses."""

import itertools
import re
import shutil
import tempfile
from pathlib import Path

from benchmarks.measuring import PEAK_MEMORY, run_python, spread
from benchmarks.programs import tutorial
from minitrain.data import datasets

_EPOCHS_BEGIN = "for t in range(epochs):\n"
_EPOCH_ENDS = "    test_loop(test_dataloader, model, loss_fn)\n"
_STAMP = 'print("stamp", time.perf_counter(), file=sys.stderr)\n'
_TIMED = {
    _EPOCHS_BEGIN: f"{PEAK_MEMORY}\nimport sys, time\n{_STAMP}{_EPOCHS_BEGIN}",
    _EPOCH_ENDS: f"{_EPOCH_ENDS}    {_STAMP}",
    'print("Done!")': 'print("Done!"); print("peak", peak_memory(), file=sys.stderr)',
}


def _one_run(framework: str, epochs: int, threads: int, folder: Path) -> tuple[list[float], float, list[float]]:
    """Seconds of each epoch, peak memory in MB, and the printed losses, of one process."""
    log, stamps = run_python(tutorial(framework, epochs=epochs, changes=_TIMED), threads=threads, folder=folder)
    times = [float(line.split()[1]) for line in stamps.splitlines() if line.startswith("stamp")]
    peak = next(float(line.split()[1]) for line in stamps.splitlines() if line.startswith("peak"))
    losses = [float(text) for text in re.findall(r"loss: +([\d.]+)", log)]
    return [end - begin for begin, end in itertools.pairwise(times)], peak, losses


def main(rounds: int, epochs: int, threads: int) -> None:
    """Run both in turn, compare their losses, then print times, memory and the ratio round by round."""
    datasets.verify()
    seconds: dict[str, list[float]] = {"torch": [], "minitrain": []}
    peaks: dict[str, list[float]] = {"torch": [], "minitrain": []}
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "data", "FashionMNIST", "raw")  # a copy: torchvision unpacks the files where they are
        shutil.copytree(datasets.raw_folder(), raw)
        for number in range(1, rounds + 1):
            round_seconds, losses = {}, {}
            for framework in ("torch", "minitrain") if number % 2 else ("minitrain", "torch"):
                epoch_seconds, peak, losses[framework] = _one_run(framework, epochs, threads, Path(folder))
                round_seconds[framework] = sum(epoch_seconds) / len(epoch_seconds)
                seconds[framework].append(round_seconds[framework])
                peaks[framework].append(peak)
            difference = max(abs(a - b) for a, b in zip(losses["torch"], losses["minitrain"], strict=True))
            if difference > 2e-5 + 1e-6:
                raise RuntimeError(f"not comparable: the printed losses differ by up to {difference}")
            ratios.append(round_seconds["torch"] / round_seconds["minitrain"])
    print(f"The tutorial's program, {epochs} epochs in a process, all printed losses equal within 2e-5")
    for framework, values in seconds.items():
        print(f"  {framework:<10} seconds per epoch {spread(values)}, peak memory {max(peaks[framework]):.0f} MB")
    print(f"  minitrain is {spread(ratios)} times as fast")

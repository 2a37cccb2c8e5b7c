"""The cost of looking: a training step with and without the table of its layers, and the pages of a step and a run.

Argument: a folder for a run and its pages.
"""

import contextlib
import dataclasses
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.programs.serving import serve, time_calls
from minitrain import nn, optim
from minitrain.runs.config import DIGITS, Config
from minitrain.runs.layer_table import LayerTable
from minitrain.runs.model import configured_model
from minitrain.runs.run import train
from minitrain.study.recording import recording
from minitrain.study.report_page import report_page
from minitrain.study.run_record import read_run
from minitrain.study.step_page import write_page
from minitrain.tensor import wrap
from minitrain.torchlike.random import manual_seed

CONFIGS = {"digits, batch 16": DIGITS, "the tutorial's model, batch 64": Config()}


class Training:
    """The configured model, optimizer and loss, and one random batch in the images' range."""

    def __init__(self, config: Config) -> None:
        manual_seed(0)
        random = np.random.RandomState(0)
        size, side = config.batch_size, round(config.sizes[0] ** 0.5)
        self.model = configured_model(config, nn)
        self.optimizer = optim.SGD(self.model.parameters(), lr=config.lr)
        self.loss_fn = nn.CrossEntropyLoss()
        self.X = wrap(random.random_sample((size, 1, side, side)).astype(np.float32))
        self.y = wrap(random.randint(config.sizes[-1], size=size))

    def step(self) -> float:
        """Train on the batch once."""
        loss = self.loss_fn(self.model(self.X), self.y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()


def layers(config: Config, seconds: float) -> dict[str, Any]:
    """Steps that are watched and steps that are not, one after the other; the CPU time of each."""
    training = Training(config)
    table = LayerTable(training.model, training.optimizer, 2, lambda tensor: tensor.array)
    times: tuple[list[float], list[float]] = ([], [])
    end, number = time.perf_counter() + seconds, 0
    while number < 20 or number % 2 or time.perf_counter() < end:
        began = time.process_time()
        training.step()
        "".join(table.rows(1, number))
        times[number % 2].append(time.process_time() - began)
        number += 1
    watched, other = (float(np.median(values[1:])) for values in times)
    return {"step": other, "watched": watched, "every": config.layers_every}


def epoch(config: Config, epochs: int, every: int, folder: Path) -> float:
    """The seconds of an epoch of a run that writes the table of the layers at every so many updates; 0 for never.

    By the clock, and as the run has them: with its data, its tests and its files. The median of its epochs.
    """
    with tempfile.TemporaryDirectory(dir=folder) as name, contextlib.redirect_stdout(None):
        run = train(dataclasses.replace(config, layers_every=every, epochs=epochs), Path(name) / "run")
        rows = (run / "epochs.csv").read_text().splitlines()[1:]
    return float(np.median([float(row.rpartition(",")[2]) for row in rows]))


def step_page(config: Config, path: Path) -> float:
    """The seconds of recording a step and writing its page."""
    training = Training(config)
    began = time.perf_counter()
    with recording(training.model, training.optimizer) as step:
        training.step()
    write_page(step, path)
    return time.perf_counter() - began


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Do what the request says; see the functions."""
    folder = Path(sys.argv[1])
    if request["do"] == "layers":
        return layers(CONFIGS[request["case"]], request["seconds"])
    if request["do"] == "epoch":
        config = CONFIGS[request["case"]]
        every = config.layers_every if request["watched"] else 0
        return {"seconds": epoch(config, request["epochs"], every, folder)}
    if request["do"] == "step":
        path = folder / "step.html"
        return {"seconds": step_page(CONFIGS[request["case"]], path), "bytes": path.stat().st_size}
    run = folder / "digits"
    page = report_page([read_run(run)])
    return {"seconds": time_calls(lambda: report_page([read_run(run)]), request["seconds"]), "bytes": len(page)}


if __name__ == "__main__":
    serve(answer)

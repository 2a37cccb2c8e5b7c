"""Training steps on torch or on minitrain: the same code for both, through the public API.

Arguments: the framework's name, and options for its optimizer as JSON, such as {"fused": true}.
"""

import importlib
import json
import statistics
import sys
import time
from typing import Any

import numpy as np

from benchmarks.programs.serving import own_memory, serve, threads, time_calls
from minitrain.runs.model import build_model


class Steps:
    """A model that trains on the batches of a case, written by step.py; each step uses the next batch."""

    def __init__(self, framework: str, case: str, optimizer: str, options: dict[str, Any]) -> None:
        torch = self.torch = importlib.import_module(framework)
        with np.load(case) as arrays:
            parameters = [arrays[f"parameter_{i}"] for i in range(len(arrays.files) - 2)]
            batches = list(zip(arrays["X"], arrays["y"], strict=True))
        sizes = [weight.shape[1] for weight in parameters[::2]]
        self.model = build_model(torch.nn, sizes[0], sizes[1:], len(parameters[-1]))
        self.model.to(getattr(torch, str(parameters[0].dtype)))
        names = list(self.model.state_dict())
        self.model.load_state_dict({n: torch.from_numpy(p) for n, p in zip(names, parameters, strict=True)})
        self.loss_fn = torch.nn.CrossEntropyLoss()
        self.optimizer = getattr(torch.optim, optimizer)(self.model.parameters(), **options)
        self.batches = [(torch.from_numpy(X), torch.from_numpy(y)) for X, y in batches]
        self.number = 0

    def next_batch(self) -> Any:
        """The next batch; after the last one, the first."""
        self.number += 1
        return self.batches[self.number % len(self.batches)]

    def step(self) -> Any:
        """One training step as in the tutorial. Returns the loss."""
        X, y = self.next_batch()
        loss = self.loss_fn(self.model(X), y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def whole(self, seconds: float) -> float:
        """The median seconds of a step in the tutorial's loop, where pred and loss live until they are replaced."""
        clock = time.perf_counter
        times = []
        end = clock() + seconds
        while len(times) < 5 or clock() < end:
            X, y = self.next_batch()
            began = clock()
            pred = self.model(X)
            loss = self.loss_fn(pred, y)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            times.append(clock() - began)
        return statistics.median(times)

    def phases(self, seconds: float) -> dict[str, float]:
        """The median seconds of each phase of a step; the clock is read between phases."""
        clock = time.perf_counter
        times = []
        end = clock() + seconds
        while len(times) < 5 or clock() < end:
            X, y = self.next_batch()
            began = clock()
            pred = self.model(X)
            after_forward = clock()
            loss = self.loss_fn(pred, y)
            after_loss = clock()
            loss.backward()
            after_backward = clock()
            self.optimizer.step()
            self.optimizer.zero_grad()
            ended = clock()
            times.append(
                (after_forward - began, after_loss - after_forward, after_backward - after_loss, ended - after_backward)
            )
        names = ("forward", "loss", "backward", "optimizer")
        return dict(zip(names, map(statistics.median, zip(*times, strict=True)), strict=True))

    def many(self, count: int) -> dict[str, float]:
        """The CPU seconds of a step, averaged over this many, and the process's own memory after them in MB."""
        began = time.process_time()
        for _ in range(count):
            self.step()
        return {"seconds": (time.process_time() - began) / count, "memory": own_memory()}

    def give_gradients(self, seed: int) -> None:
        """Set the same gradients in each framework, in the memory order of its own backward."""
        self.optimizer.zero_grad()
        X, y = self.next_batch()
        self.loss_fn(self.model(X), y).backward()
        random = np.random.RandomState(seed)
        with self.torch.no_grad():
            for parameter in self.model.parameters():
                values = random.standard_normal(tuple(parameter.shape)).astype(np.float32)
                parameter.grad.copy_(self.torch.from_numpy(values))


def main() -> None:
    """Answer the requests begin, whole, phases, many, updated and update; see step.py, scale.py, optimizers.py."""
    framework, *more = sys.argv[1:]
    extra = json.loads(more[0]) if more else {}
    if framework == "torch":
        import torch

        torch.set_num_threads(threads())
    steps: Any = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal steps
        match request["do"]:
            case "begin":  # returns the losses of the first steps, which are also a warm-up
                options = {**request["options"], **extra}
                steps = Steps(framework, request["case"], request["optimizer"], options)
                losses = [steps.step().item() for _ in range(request["losses"])]
                dtype = str(next(steps.model.parameters()).dtype).removeprefix("torch.")
                return {"dtype": dtype, "losses": losses}
            case "whole":
                return {"seconds": steps.whole(request["seconds"])}
            case "phases":
                return steps.phases(request["seconds"])
            case "many":
                return steps.many(request["count"])
            case "updated":  # saves the parameters after some updates with given gradients
                for seed in range(request["updates"]):
                    steps.give_gradients(seed)
                    steps.optimizer.step()
                np.savez(request["file"], *(p.detach().numpy() for p in steps.model.parameters()))
                return {}
            case "update":
                steps.give_gradients(seed=0)
                return {"seconds": time_calls(steps.optimizer.step, request["seconds"])}
        raise ValueError(f"unknown request {request['do']!r}")

    serve(answer)


if __name__ == "__main__":
    main()

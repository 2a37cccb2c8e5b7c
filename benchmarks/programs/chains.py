"""Long graphs and deep models on torch or minitrain: the CPU time and memory of their operations and layers.

Argument: the framework's name.
"""

import copy
import gc
import importlib
import sys
import time
from typing import Any

from benchmarks.programs.serving import own_memory, serve, threads

FACTOR = 1.00001  # after 100,000 products still a small number
REPEATS = 5  # of each measurement; the fastest counts, because the others were disturbed
WIDTH = 8


class Chains:
    """What answers the requests graph and layers."""

    def __init__(self, framework: str) -> None:
        self.torch = importlib.import_module(framework)
        if framework == "torch":
            self.torch.set_num_threads(threads())

    def graph(self, operations: int) -> dict[str, float]:
        """Seconds of a chain of multiplications: forward, backward, and freeing one that backward has not used.

        memory: MB of the first graph. left: MB that are not free after all graphs.
        """
        fastest: dict[str, float] = {}
        before = own_memory()
        for number in range(REPEATS):
            x = self.torch.ones(4, requires_grad=True)
            clocks = [time.process_time()]
            y = x
            for _ in range(operations):
                y = y * FACTOR
            clocks.append(time.process_time())
            if number == 0:
                memory = own_memory() - before
            y.sum().backward()
            clocks.append(time.process_time())
            y = x
            for _ in range(operations):
                y = y * FACTOR
            began = time.process_time()
            del y
            freeing = time.process_time() - began
            if number == 0:
                after = own_memory()
            for what, seconds in (
                ("forward", clocks[1] - clocks[0]),
                ("backward", clocks[2] - clocks[1]),
                ("freeing", freeing),
            ):
                fastest[what] = min(seconds, fastest.get(what, seconds))
        left = own_memory() - after
        return {**fastest, "memory": memory, "left": left, "gradient": x.grad[0].item()}

    def layers(self, count: int) -> dict[str, float]:
        """Seconds of what a program does with a model of this many layers."""
        nn, optim = self.torch.nn, self.torch.optim
        self.torch.manual_seed(0)
        model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(count)))
        optimizer = optim.SGD(model.parameters(), lr=0.01)
        X = self.torch.ones(2, WIDTH)

        def step() -> None:
            model(X).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

        def modes() -> None:
            model.train()
            model.eval()

        return {
            "step": fastest_of(step),
            "parameters": fastest_of(lambda: list(model.parameters())),
            "zero_grad": fastest_of(model.zero_grad),
            "train and eval": fastest_of(modes),
            "state_dict": fastest_of(model.state_dict),
            "load_state_dict": fastest_of(lambda: model.load_state_dict(model.state_dict())),
            "repr": fastest_of(lambda: repr(model)),
            "deepcopy": fastest_of(lambda: copy.deepcopy(model)),
        }


def fastest_of(call: Any) -> float:
    """The CPU seconds of the fastest call."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        call()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Answer the requests graph and layers, each with a count."""
    gc.disable()  # what is freed must need no collector; a collection now and then would count as growth
    chains = Chains(sys.argv[1])
    serve(lambda request: getattr(chains, request["do"])(request["count"]))


if __name__ == "__main__":
    main()

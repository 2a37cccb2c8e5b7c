"""Prints the median seconds of an all-reduce of one number and of a whole gradient, as JSON. Run it with torchrun.

Argument: the number of float32 values in the gradient.
"""

import json
import sys
import time

import torch
import torch.distributed

from benchmarks.programs.serving import threads


def seconds(count: int, repetitions: int = 100) -> float:
    """The median time of an all-reduce of this many numbers; all processes begin together."""
    values = torch.zeros(count)
    times = []
    for _ in range(repetitions):
        torch.distributed.barrier()
        began = time.perf_counter()
        torch.distributed.all_reduce(values)
        times.append(time.perf_counter() - began)
    return float(torch.tensor(times[repetitions // 10 :]).median())


def main() -> None:
    """Measure in all processes and print in the first."""
    torch.set_num_threads(threads())
    torch.distributed.init_process_group("gloo")
    measured = {"one": seconds(1), "gradient": seconds(int(sys.argv[1]))}
    if torch.distributed.get_rank() == 0:
        print(json.dumps(measured))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()

"""Prints the seconds of an epoch's matrix products alone on the GPU, replayed from CUDA graphs, as JSON."""

import json
import statistics
import time
from itertools import pairwise
from typing import Any

import torch

SIZES = (784, 512, 512, 10)
BATCH_SIZE = 64
TRAIN_BATCHES, TEST_BATCHES = 938, 157
EPOCHS = 10


def products(forward_only: bool) -> list[tuple[Any, Any, Any]]:
    """Operands and result of each product: forward, then the gradients of weight and input (not for the images)."""
    found = []
    for i, (size_in, size_out) in enumerate(pairwise(SIZES)):
        shapes = [(BATCH_SIZE, size_in, size_out)]
        if not forward_only:
            shapes.append((size_in, BATCH_SIZE, size_out))
        if i > 0 and not forward_only:
            shapes.append((BATCH_SIZE, size_out, size_in))
        for n, k, m in shapes:
            found.append(tuple(torch.rand(shape, device="cuda") for shape in ((n, k), (k, m), (n, m))))
    return found


def captured(work: list[tuple[Any, Any, Any]]) -> Any:
    """A CUDA graph of all these products. Capturing requires that they run on a separate stream first."""

    def multiply() -> None:
        for a, b, out in work:
            torch.mm(a, b, out=out)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            multiply()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        multiply()
    return graph


def main() -> None:
    """Time epochs, after a warm-up that does not count."""
    train_work, test_work = products(forward_only=False), products(forward_only=True)
    train, test = captured(train_work), captured(test_work)
    seconds = []
    for _ in range(EPOCHS + 1):
        torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(TRAIN_BATCHES):
            train.replay()
        for _ in range(TEST_BATCHES):
            test.replay()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    print(json.dumps({"seconds": statistics.median(seconds[1:])}))


if __name__ == "__main__":
    main()

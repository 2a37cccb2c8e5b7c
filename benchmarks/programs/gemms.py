"""The matrix products of a training step alone, with every operand in C order: a lower bound for its time."""

from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.programs.serving import serve, time_calls

Product = tuple[np.ndarray, np.ndarray, np.ndarray]  # a, b, out


def products(batch_size: int, sizes: list[int], dtype: str) -> list[Product]:
    """The products of each Linear: forward, the weight's gradient and, except in the first layer, the input's."""
    random = np.random.RandomState(0)

    def matrix(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(dtype)

    found = []
    for i, (size_in, size_out) in enumerate(pairwise(sizes)):
        shapes = [(batch_size, size_in, size_out), (size_in, batch_size, size_out)]
        if i > 0:
            shapes.append((batch_size, size_out, size_in))
        found += [(matrix(n, k), matrix(k, m), matrix(n, m)) for n, k, m in shapes]
    return found


def floating_point_operations(batch_size: int, sizes: list[int]) -> int:
    """The number of floating-point operations of these products: a multiplication and an addition per term."""
    weights = [size_in * size_out for size_in, size_out in pairwise(sizes)]
    return 2 * batch_size * (3 * sum(weights) - weights[0])


def main() -> None:
    """Answer the requests begin and whole."""
    work: list[Product] = []

    def step() -> None:
        for a, b, out in work:
            np.matmul(a, b, out=out)

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "begin":
            work[:] = products(request["batch_size"], request["sizes"], request["dtype"])
            step()
            return {}
        return {"seconds": time_calls(step, request["seconds"])}

    serve(answer)


if __name__ == "__main__":
    main()

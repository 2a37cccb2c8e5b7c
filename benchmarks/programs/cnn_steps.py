"""Training steps of a LeNet-like network on torch or on minitrain, or its matrix products alone.

Argument: torch, minitrain or products.
"""

import importlib
import sys
from typing import Any

import numpy as np

from benchmarks.programs.gemms import products as linear_products
from benchmarks.programs.serving import serve, threads, time_calls

# (channels in, channels out, kernel, output rows and columns) of each convolution, then the sizes of the Linear layers.
CONVOLUTIONS = ((1, 6, 5, 28), (6, 16, 5, 10))
SIZES = [400, 120, 84, 10]
LR = 0.01


def lenet(nn: Any) -> Any:
    """The network: two convolutions with max pooling, then three Linear layers. Input (N, 1, 28, 28)."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class Steps:
    """The network on random images; each step uses the same batch."""

    def __init__(self, framework: str, batch_size: int) -> None:
        torch = importlib.import_module(framework)
        random = np.random.RandomState(0)
        X = random.random_sample((batch_size, 1, 28, 28)).astype(np.float32)
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(random.randint(10, size=batch_size))
        torch.manual_seed(0)  # the same first weights in both, bit for bit
        self.model = lenet(torch.nn)
        self.loss_fn = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)

    def step(self) -> Any:
        """One training step. Returns the loss."""
        loss = self.loss_fn(self.model(self.X), self.y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss


class Products:
    """The matrix products of a step, with operands in C order."""

    def __init__(self, batch_size: int) -> None:
        self.work = linear_products(batch_size, SIZES, "float32")
        random = np.random.RandomState(0)
        for i, (channels, out, kernel, side) in enumerate(CONVOLUTIONS):
            columns, terms = batch_size * side * side, channels * kernel * kernel
            shapes = [(out, terms, columns), (out, columns, terms)] + ([(terms, out, columns)] if i else [])
            for n, k, m in shapes:
                a, b, y = (random.standard_normal(shape).astype(np.float32) for shape in ((n, k), (k, m), (n, m)))
                self.work.append((a, b, y))

    def step(self) -> None:
        """All of them."""
        for a, b, out in self.work:
            np.matmul(a, b, out=out)


def main() -> None:
    """Answer the requests begin and whole."""
    (framework,) = sys.argv[1:]
    if framework == "torch":
        import torch

        torch.set_num_threads(threads())
    steps: Any = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal steps
        if request["do"] == "whole":
            return {"seconds": time_calls(steps.step, request["seconds"])}
        if framework == "products":
            steps = Products(request["batch_size"])
            return {}
        steps = Steps(framework, request["batch_size"])
        return {"dtype": "float32", "losses": [steps.step().item() for _ in range(request["losses"])]}

    serve(answer)


if __name__ == "__main__":
    main()

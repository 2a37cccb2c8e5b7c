"""Evaluation and prediction with the tutorial's model on torch or minitrain, on Fashion-MNIST's test images.

Arguments: the framework's name, the folder with the data, and loader, or memory for batches that are scaled once.
"""

import importlib
import sys
import time
from typing import Any

from benchmarks.programs.in_memory import DataLoader as InMemory
from benchmarks.programs.serving import serve, threads, time_calls
from minitrain.runs.model import build_model


class Predictions:
    """A model with its initial weights of seed 0, equal in both frameworks, and the test images."""

    def __init__(self, framework: str, root: str, source: str) -> None:
        torch = self.torch = importlib.import_module(framework)
        if framework == "minitrain":
            from minitrain.vision import datasets
            from minitrain.vision.transforms import ToTensor
        else:
            from minitrain.with_torch.import_torchvision import import_torchvision

            import_torchvision()
            from torchvision import datasets
            from torchvision.transforms import ToTensor

            torch.set_num_threads(threads())
        self.test_data = datasets.FashionMNIST(root=root, train=False, download=True, transform=ToTensor())
        self.make_loader = InMemory if source == "memory" else torch.utils.data.DataLoader
        torch.manual_seed(0)
        self.model = build_model(torch.nn, 784, (512, 512), 10).eval()
        self.loss_fn = torch.nn.CrossEntropyLoss()
        self.X = next(iter(torch.utils.data.DataLoader(self.test_data, batch_size=len(self.test_data))))[0]

    def evaluate(self, batch_size: int) -> dict[str, float]:
        """The tutorial's test_loop over all images: its seconds, and its results."""
        dataloader = self.make_loader(self.test_data, batch_size=batch_size)
        test_loss, correct = 0.0, 0.0
        began = time.perf_counter()
        with self.torch.no_grad():
            for X, y in dataloader:
                pred = self.model(X)
                test_loss += self.loss_fn(pred, y).item()
                correct += (pred.argmax(1) == y).type(self.torch.float).sum().item()
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "loss": test_loss / len(dataloader), "accuracy": correct / len(self.test_data)}

    def predict(self, count: int, seconds: float) -> dict[str, float]:
        """The median seconds of predicting the classes of the first images in one call."""
        X = self.X[:count]
        with self.torch.no_grad():
            return {"seconds": time_calls(lambda: self.model(X).argmax(1), seconds)}


def main() -> None:
    """Answer the requests evaluate and predict."""
    predictions = Predictions(*sys.argv[1:])

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        return getattr(predictions, request.pop("do"))(**request)  # type: ignore[no-any-return]

    serve(answer)


if __name__ == "__main__":
    main()

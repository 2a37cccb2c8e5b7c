"""The built-in model: the tutorial's network, with layers of any size, written once for both frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def build_model(nn: Any, in_features: int, hidden: Sequence[int], out_features: int) -> Any:
    """Flatten, then Linear and ReLU for each hidden size, then a last Linear; parameters are named as in the tutorial.

    nn: minitrain.nn or torch.nn. in_features: the values of one sample. out_features: the number of classes.
    Returns an nn.Module: (N, ...) -> logits (N, out_features).
    """

    class NeuralNetwork(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.flatten = nn.Flatten()
            layers = []
            sizes = [in_features, *hidden]
            for size_in, size_out in zip(sizes, hidden, strict=False):
                layers += [nn.Linear(size_in, size_out), nn.ReLU()]
            self.linear_relu_stack = nn.Sequential(*layers, nn.Linear(sizes[-1], out_features))

        def forward(self, x: Any) -> Any:
            return self.linear_relu_stack(self.flatten(x))

    return NeuralNetwork()

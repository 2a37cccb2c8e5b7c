"""The built-in model, the tutorial's network with layers of any size for either framework, and what it trains with."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minitrain import nn as minitrain_nn
from minitrain.data.datasets import DataError, data_root, status
from minitrain.data.loader import DataLoader
from minitrain.data.transforms import ToTensor
from minitrain.files import shown
from minitrain.runs.backend import make_optimizer
from minitrain.runs.config import DATASETS, Config
from minitrain.tensor import Tensor
from minitrain.torchlike.random import manual_seed


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


def configured_model(config: Config, nn: Any) -> Any:
    """The model of this configuration, from minitrain.nn or torch.nn."""
    return build_model(nn, config.sizes[0], config.hidden, config.sizes[-1])


def load_data(config: Config, *, train: bool = True) -> Any:
    """The data set of a configuration that the user gave, downloaded if missing. Raises DataError without it."""
    dataset: Any = DATASETS[config.dataset]
    return dataset(root=config.data_dir, train=train, download=True, transform=ToTensor())


def load_run_data(config: Config, data_dir: str | os.PathLike[str] | None = None, *, train: bool = True) -> Any:
    """The data set of an existing run, whose configuration may be a stranger's: nothing is made or downloaded.

    data_dir: where the data set is; None for where the run had it.
    Raises DataError that says where the data set was expected.
    """
    dataset: Any = DATASETS[config.dataset]
    root = data_root(config.data_dir if data_dir is None else data_dir)
    try:
        return dataset(root=root, train=train, transform=ToTensor())
    except DataError:
        faults = [] if dataset.collection is None else status(root, dataset.collection)
        found = next((f"{each.file.name}: {each.fault}" for each in faults if each.fault is not None), None)
        if found is None:
            raise
        raise DataError(
            f"the run's data set, {config.dataset}, is not in its folder, {shown(root)} ({found}). Name the folder "
            "that has it with --data-dir, or download it with `minitrain data fetch --data-dir DIR`"
        ) from None


def numpy_side(config: Config, data: Any, dtype: str) -> tuple[tuple[Any, Any, Any], Iterator[tuple[Tensor, Tensor]]]:
    """The model, loss and optimizer that `minitrain train` would train, in dtype, and its batches without end."""
    manual_seed(config.seed)
    model = configured_model(config, minitrain_nn).to(np.dtype(dtype))
    loader = DataLoader(data, batch_size=config.batch_size, shuffle=config.shuffle)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    return (model, minitrain_nn.CrossEntropyLoss(), make_optimizer(config, model)), batches

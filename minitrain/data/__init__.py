"""Data sets, and the DataLoader that gives their batches: the beginner's part of torch.utils.data and torchvision."""

from typing import TYPE_CHECKING

from minitrain.data.collate import default_collate, default_convert
from minitrain.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, random_split
from minitrain.data.loader import DataLoader
from minitrain.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from minitrain.torchlike.not_offered import torch_names

if TYPE_CHECKING:
    from minitrain.data import datasets, io, transforms, utils, workers  # noqa: F401
    from minitrain.data.datasets import DataError
    from minitrain.data.joined import ChainDataset, ConcatDataset, StackDataset
    from minitrain.data.transforms import Compose, Lambda, Normalize, ToTensor
    from minitrain.data.workers import get_worker_info

__getattr__, __dir__ = torch_names(
    __name__,
    {
        "minitrain.data": "datasets io transforms utils workers",
        "minitrain.data.datasets": "DataError",
        "minitrain.data.joined": "ChainDataset ConcatDataset StackDataset",
        "minitrain.data.transforms": "Compose Lambda Normalize ToTensor",
        "minitrain.data.workers": "get_worker_info",
    },
)

__version__ = "0.28.0"  # the torchvision whose behaviour this follows

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "Compose",
    "ConcatDataset",
    "DataError",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "Lambda",
    "Normalize",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "ToTensor",
    "WeightedRandomSampler",
    "datasets",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "io",
    "random_split",
    "transforms",
    "utils",
]

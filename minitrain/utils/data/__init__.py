"""torch.utils.data: the data sets, samplers and the DataLoader of minitrain.data."""

from minitrain.data.collate import default_collate, default_convert
from minitrain.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, random_split
from minitrain.data.joined import ChainDataset, ConcatDataset, StackDataset
from minitrain.data.loader import DataLoader
from minitrain.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from minitrain.data.workers import get_worker_info
from minitrain.torchlike.not_offered import torch_names
from minitrain.utils.data import dataloader, dataset, sampler

__getattr__, __dir__ = torch_names(__name__)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "dataloader",
    "dataset",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
    "sampler",
]

"""Data sets, and the DataLoader that gives their batches: the beginner's part of torch.utils.data and torchvision."""

from minitrain.data import datasets, transforms
from minitrain.data.collate import default_collate, default_convert
from minitrain.data.dataset import Dataset, Subset, TensorDataset, random_split
from minitrain.data.datasets import DataError
from minitrain.data.loader import DataLoader
from minitrain.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, SubsetRandomSampler
from minitrain.data.transforms import Compose, Lambda, Normalize, ToTensor

__all__ = [
    "BatchSampler",
    "Compose",
    "DataError",
    "DataLoader",
    "Dataset",
    "Lambda",
    "Normalize",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "ToTensor",
    "datasets",
    "default_collate",
    "default_convert",
    "random_split",
    "transforms",
]

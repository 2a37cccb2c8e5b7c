"""Data sets, and the loader that makes batches of them: what torch.utils.data and torchvision offer a beginner."""

from minitrain.data import datasets, transforms
from minitrain.data.datasets import DataError
from minitrain.data.loader import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    default_collate,
    default_convert,
    random_split,
)
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

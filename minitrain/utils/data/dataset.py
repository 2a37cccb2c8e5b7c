"""torch.utils.data.dataset."""

from minitrain.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, random_split
from minitrain.data.joined import ChainDataset, ConcatDataset, StackDataset
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "random_split",
]

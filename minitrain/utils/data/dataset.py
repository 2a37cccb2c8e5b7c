"""torch.utils.data.dataset."""

from minitrain.data.dataset import Dataset, IterableDataset, Subset, TensorDataset, random_split
from minitrain.data.joined import ChainDataset, ConcatDataset, StackDataset
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

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

"""torch.utils.data.dataloader."""

from minitrain.data.collate import default_collate, default_convert
from minitrain.data.loader import DataLoader
from minitrain.data.workers import get_worker_info
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

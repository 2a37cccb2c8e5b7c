"""torch.utils.data.dataloader."""

from minitrain.data.collate import default_collate, default_convert
from minitrain.data.loader import DataLoader
from minitrain.data.workers import get_worker_info

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

"""torch.utils: what programs use of it."""

from minitrain.torchlike.not_offered import torch_names
from minitrain.utils import data

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["data"]

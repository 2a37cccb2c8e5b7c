"""torchvision.utils: the functions of minitrain.data.utils."""

from minitrain.data.utils import make_grid, save_image
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["make_grid", "save_image"]

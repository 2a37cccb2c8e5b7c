"""torchvision's names: data sets, transforms, and helpers for images. `import minitrain.vision as torchvision`."""

from minitrain.data import __version__
from minitrain.torchlike.not_offered import torch_names
from minitrain.vision import datasets, io, transforms, utils

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["__version__", "datasets", "io", "transforms", "utils"]

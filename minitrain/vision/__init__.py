"""torchvision's names: data sets, transforms, and helpers for images. `import minitrain.vision as torchvision`."""

from minitrain.data import __version__
from minitrain.torchlike.not_offered import module_getattr
from minitrain.vision import datasets, io, transforms, utils

__getattr__ = module_getattr(__name__)

__all__ = ["__version__", "datasets", "io", "transforms", "utils"]

"""torchvision's names: data sets, transforms, and helpers for images. `import minitrain.vision as torchvision`."""

from minitrain.vision import datasets, io, transforms, utils

__version__ = "0.28.0"  # the torchvision whose behaviour this follows

__all__ = ["__version__", "datasets", "io", "transforms", "utils"]

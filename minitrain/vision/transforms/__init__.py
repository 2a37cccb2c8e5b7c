"""torchvision.transforms: the transforms of minitrain.data.transforms."""

from minitrain.data.transforms import *  # noqa: F403
from minitrain.data.transforms import __all__ as __all__
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

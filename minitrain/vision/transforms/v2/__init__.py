"""torchvision.transforms.v2: the transforms of minitrain.data.transforms.v2."""

from minitrain.data.transforms.v2 import *  # noqa: F403
from minitrain.data.transforms.v2 import __all__ as __all__
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

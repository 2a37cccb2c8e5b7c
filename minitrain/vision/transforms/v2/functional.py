"""torchvision.transforms.v2.functional: the functions of minitrain.data.transforms.functional."""

from minitrain.data.transforms.functional import *  # noqa: F403
from minitrain.data.transforms.functional import __all__ as __all__
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

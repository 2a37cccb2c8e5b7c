"""torchvision.transforms.v2: the transforms of minitrain.data.transforms.v2."""

from minitrain.data.transforms.v2 import *  # noqa: F403
from minitrain.data.transforms.v2 import __all__ as __all__

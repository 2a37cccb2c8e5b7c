"""torchvision.transforms: the transforms of minitrain.data.transforms."""

from minitrain.data.transforms import *  # noqa: F403
from minitrain.data.transforms import __all__ as __all__

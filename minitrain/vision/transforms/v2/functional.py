"""torchvision.transforms.v2.functional: the functions of minitrain.data.transforms.functional."""

from minitrain.data.transforms.functional import *  # noqa: F403
from minitrain.data.transforms.functional import __all__ as __all__

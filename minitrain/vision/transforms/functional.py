"""torchvision.transforms.functional: the functions of minitrain.data.transforms.functional."""

from minitrain.data.transforms.functional import *  # noqa: F403
from minitrain.data.transforms.functional import __all__ as __all__
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

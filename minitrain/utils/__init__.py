"""torch.utils: what programs use of it."""

from minitrain.torchlike.not_offered import module_getattr
from minitrain.utils import data

__getattr__ = module_getattr(__name__)

__all__ = ["data"]

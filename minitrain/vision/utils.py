"""torchvision.utils: the functions of minitrain.data.utils."""

from minitrain.data.utils import make_grid, save_image
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

__all__ = ["make_grid", "save_image"]

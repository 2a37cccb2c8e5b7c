"""torchvision.io: the functions of minitrain.data.io."""

from minitrain.data.io import ImageReadMode, decode_image, read_image, write_jpeg, write_png
from minitrain.torchlike.not_offered import module_getattr

__getattr__ = module_getattr(__name__)

__all__ = ["ImageReadMode", "decode_image", "read_image", "write_jpeg", "write_png"]

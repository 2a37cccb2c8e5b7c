"""torchvision.io: the functions of minitrain.data.io."""

from minitrain.data.io import ImageReadMode, decode_image, read_image, write_jpeg, write_png
from minitrain.torchlike.not_offered import torch_names

__getattr__, __dir__ = torch_names(__name__)

__all__ = ["ImageReadMode", "decode_image", "read_image", "write_jpeg", "write_png"]

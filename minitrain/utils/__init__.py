"""torch.utils: what programs use of it."""

from minitrain.utils import data

__all__ = ["data"]

"""torch.version: minitrain's own version, and that there is no CUDA and the like."""

from minitrain import __version__ as __version__

cuda = hip = xpu = None

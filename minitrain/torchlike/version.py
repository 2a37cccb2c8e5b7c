"""torch.version: minitrain's own version, and that there is no CUDA and the like."""

import sys

from minitrain import __version__ as __version__

cuda = hip = xpu = None
version = sys.modules[__name__]  # this module, which is minitrain.version

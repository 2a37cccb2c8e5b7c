"""torch.version: minitrain's own version, and that there is no CUDA and the like."""

import sys

__version__: str = sys.modules["minitrain"].__version__  # which this room may not import
cuda = hip = xpu = None
version = sys.modules[__name__]  # this module, which is minitrain.version

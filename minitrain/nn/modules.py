"""torch.nn.modules, where torch keeps its layers: the names of minitrain.nn, also as nn.modules.linear.Linear."""

import sys
from typing import Any

from minitrain import nn

FILES = (
    "activation batchnorm container conv distance dropout flatten fold instancenorm linear loss module normalization "
    "padding pixelshuffle pooling sparse upsampling"
)
__path__: list[str] = []  # so that its parts can be imported
__all__ = nn.__all__

for _file in FILES.split():
    globals()[_file] = sys.modules[f"{__name__}.{_file}"] = nn


def __getattr__(name: str) -> Any:
    return getattr(nn, name)

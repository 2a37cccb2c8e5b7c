"""Programs that run in measured processes, and the tutorial's program for torch and, with other imports, minitrain."""

from collections.abc import Mapping
from pathlib import Path

TORCH_IMPORTS = """\
import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets
from torchvision.transforms import ToTensor
"""

MINITRAIN_IMPORTS = """\
import minitrain as torch
from minitrain import nn
from minitrain.data import DataLoader
from minitrain.data import datasets
from minitrain.data import ToTensor
"""

# With a CPU-only torch, importing torchvision may need help. The program itself does not change.
_TORCHVISION_FIRST = """\
from minitrain.with_torch.import_torchvision import import_torchvision
import_torchvision()
"""


def tutorial(framework: str, *, seed: int = 0, epochs: int = 10, changes: Mapping[str, str] | None = None) -> str:
    """The tutorial's program for "torch" or "minitrain", seeded right after its imports.

    changes: more text to replace, old -> new; the program must contain each old text.
    """
    text = Path(__file__).with_name("tutorial.py").read_text(encoding="utf-8")
    imports = TORCH_IMPORTS if framework == "torch" else MINITRAIN_IMPORTS
    replacements = {
        TORCH_IMPORTS: f"{imports}\ntorch.manual_seed({seed})\n",
        "epochs = 10\n": f"epochs = {epochs}\n",
        **(changes or {}),
    }
    for old, new in replacements.items():
        if old not in text:
            raise ValueError(f"the tutorial's program does not contain {old!r}")
        text = text.replace(old, new)
    return _TORCHVISION_FIRST + text if framework == "torch" else text

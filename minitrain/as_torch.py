"""`import minitrain.as_torch`: from here on, `import torch` and `import torchvision` find minitrain in this process."""

from minitrain.programs.finder import install

install()
print("torch and torchvision are minitrain in this process, from here on.")

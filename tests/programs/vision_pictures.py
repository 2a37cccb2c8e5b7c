"""Pictures: transforms one after the other, grids of pictures, and a file written and read again."""

import os
import tempfile

import numpy as np
import torch
from PIL import Image
from torchvision import transforms, utils

torch.manual_seed(0)
pixels = (np.arange(12 * 10 * 3) * 7 % 256).astype(np.uint8).reshape(12, 10, 3)
image = Image.fromarray(pixels)
tensor = transforms.ToTensor()(image)
print(tensor.shape, tensor.dtype, tensor.min(), tensor.max(), tensor[:, 3, 4])
gray = transforms.Grayscale()(image)
print(gray.size, transforms.ToTensor()(gray)[0, 2, :4])
normalize = transforms.Normalize(mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.2])
pipeline = transforms.Compose([transforms.ToTensor(), normalize, transforms.Lambda(lambda t: t.clamp(-2, 2))])
print(pipeline(image).mean(dim=(1, 2)))
print(transforms.ToTensor()(transforms.Resize((6, 5))(image)).shape)

flip, crop = transforms.RandomHorizontalFlip(p=0.5), transforms.RandomCrop(8, padding=2)
flipped = [bool(torch.equal(flip(tensor), tensor)) for _ in range(6)]
print(flipped, [round(crop(tensor).sum().item(), 3) for _ in range(3)])
as_float = transforms.ConvertImageDtype(torch.float)(torch.tensor([[[0, 51, 255]]], dtype=torch.uint8))
print(as_float)

batch = torch.rand(5, 1, 4, 4)
grid = utils.make_grid(batch, nrow=3, padding=1)
print(grid.shape, grid[:, 1, 1:5], grid.sum())
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "grid.png")
    utils.save_image(batch, path, nrow=5, normalize=True)
    again = np.array(Image.open(path))
print(again.shape, again.dtype, again.sum(), again[3, 3:8, 0])

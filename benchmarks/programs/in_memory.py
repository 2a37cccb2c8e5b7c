"""A replacement for torch's DataLoader that takes batches from memory."""

from collections.abc import Iterator
from typing import Any


class DataLoader:
    """Batches of a torchvision data set of images, scaled to [0, 1] once. Batches are views, not copies."""

    def __init__(self, dataset: Any, batch_size: int) -> None:
        self.dataset, self.batch_size = dataset, batch_size
        self._images = dataset.data.float().div_(255).unsqueeze(1)
        self._labels = dataset.targets

    def __len__(self) -> int:
        return -(-len(self._images) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        return zip(self._images.split(self.batch_size), self._labels.split(self.batch_size), strict=True)

"""Trains on a memory-mapped file of images that is larger than the memory limit; prints time and memory as JSON.

Arguments: the file of images (N, 784) uint8, the limit of this process's own memory in MB, and the numbers of images to
train on, one run for each.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import minitrain as torch
from benchmarks.programs.serving import own_memory
from minitrain import nn
from minitrain.data import DataLoader, Dataset

FEATURES, CLASSES, BATCH_SIZE = 784, 10, 512


class MappedImages(Dataset[Any]):
    """The first images of a file that the system reads on demand. Labels come from each image's last pixel."""

    def __init__(self, path: str, count: int) -> None:
        self.images = np.memmap(path, np.uint8, "r").reshape(-1, FEATURES)[:count]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        X, y = self.collated_batch([index])
        return X[0], y[0]

    def collated_batch(self, indices: list[int]) -> Any:
        """(N, 784) float32 in [0, 1] and (N,) int64."""
        images = self.images[indices]
        X = images.astype(np.float32)
        X /= 255
        return torch.from_numpy(X), torch.from_numpy((images[:, -1] % CLASSES).astype(np.int64))


def train(path: str, count: int) -> dict[str, float]:
    """Train for one pass. Returns the seconds and the peak of the process's own memory."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 32), nn.ReLU(), nn.Linear(32, CLASSES))
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    most = 0.0
    began = time.perf_counter()
    for batch, (X, y) in enumerate(DataLoader(MappedImages(path, count), batch_size=BATCH_SIZE)):
        loss_fn(model(X), y).backward()
        optimizer.step()
        optimizer.zero_grad()
        if batch % 20 == 0:
            most = max(most, own_memory())
    return {"seconds": time.perf_counter() - began, "memory": max(most, own_memory())}


def main() -> None:
    """Set the limit, check that it has an effect, and train."""
    import resource

    path, limit, *counts = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_DATA, (int(limit) * 2**20, int(limit) * 2**20))
    try:
        Path(path).read_bytes()
    except MemoryError:
        whole = False
    else:
        whole = True
    print(json.dumps({"fits": whole, "runs": [train(path, int(count)) for count in counts]}))


if __name__ == "__main__":
    main()

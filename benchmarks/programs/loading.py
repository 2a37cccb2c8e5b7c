"""Passes over Fashion-MNIST without training. Arguments: torch or minitrain, the folder with the data, num_workers."""

import sys
import time
import zlib
from typing import Any

import numpy as np

from benchmarks.programs.serving import serve, threads


def make_loader(framework: str, root: str, workers: int, shuffle: bool) -> Any:
    """A seeded loader of the training images in batches of 64, as in the tutorial."""
    if framework == "minitrain":
        import minitrain as torch
        from minitrain.data import DataLoader, ToTensor
        from minitrain.data.datasets import FashionMNIST
    else:
        import torch
        from torch.utils.data import DataLoader

        from minitrain.with_torch.import_torchvision import import_torchvision

        import_torchvision()
        from torchvision.datasets import FashionMNIST
        from torchvision.transforms import ToTensor

        torch.set_num_threads(threads())
    torch.manual_seed(0)
    training_data = FashionMNIST(root=root, train=True, download=True, transform=ToTensor())
    return DataLoader(training_data, batch_size=64, shuffle=shuffle, num_workers=workers)


def checksum(loader: Any) -> str:
    """A checksum of all batches in order: dtypes, shapes and values."""
    crc = 0
    for batch in loader:
        for part in batch:
            array = np.ascontiguousarray(part.numpy())
            crc = zlib.crc32(array.tobytes(), zlib.crc32(f"{array.dtype} {array.shape}".encode(), crc))
    return f"{crc:08x}"


def main() -> None:
    """Answer the requests begin, checksum and whole."""
    framework, root, workers = sys.argv[1:]
    loader: Any = None

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal loader
        match request["do"]:
            case "begin":
                loader = make_loader(framework, root, int(workers), request["shuffle"])
                next(iter(loader))  # a warm-up
                return {}
            case "checksum":
                loader = make_loader(framework, root, int(workers), request["shuffle"])
                return {"checksum": checksum(loader)}
            case "whole":
                began = time.perf_counter()
                for _X, _y in loader:
                    pass
                return {"seconds": time.perf_counter() - began}
        raise ValueError(f"unknown request {request['do']!r}")

    serve(answer)


if __name__ == "__main__":
    main()

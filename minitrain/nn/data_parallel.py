"""DataParallel: on a machine without GPUs a wrapper that runs the module it holds."""

from __future__ import annotations

from typing import Any

from minitrain.nn.module import Module


class DataParallel(Module):
    """Holds a module as `module` and runs it. torch, too, does no more than that without GPUs.

    module: any Module; the names of its parameters get the prefix "module.". device_ids, output_device, dim: which
    GPUs would share a batch; without meaning here, as in torch without GPUs.
    """

    def __init__(self, module: Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module
        self.device_ids: list[int] = []

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """What the module gives."""
        return self.module(*inputs, **options)

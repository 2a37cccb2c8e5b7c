"""Devices, as far as NumPy has them: the CPU, and a clear no to the rest."""

from __future__ import annotations

import sys
from collections.abc import MutableSequence
from types import ModuleType
from typing import Any, Self

from minitrain.torchlike.not_offered import explanation


class device:  # noqa: N801, torch's name
    """The device of a Tensor: always the CPU. Any other raises RuntimeError."""

    type = "cpu"
    index = None

    def __init__(self, type: str | device) -> None:
        if str(type).partition(":")[0] != "cpu":
            raise RuntimeError(
                f"minitrain computes on the CPU with NumPy; device {str(type)!r} is not offered. Use 'cpu' here, "
                "or torch for the same program on an accelerator."
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """New Tensors were on the CPU before, too."""

    def __str__(self) -> str:
        return "cpu"

    def __repr__(self) -> str:
        return "device(type='cpu')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash("cpu")


class _Absent(ModuleType):
    """An accelerator's module, for programs that ask whether it is there, or seed it in any case."""

    __path__: MutableSequence[str] = []  # noqa: RUF012 # `import torch.backends.cudnn` finds it below torch.backends

    def __init__(self, name: str) -> None:
        super().__init__(f"minitrain.{name}", type(self).__doc__)
        sys.modules[self.__name__] = self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(explanation(f"{self.__name__.removeprefix('minitrain.')}.{name}"))

    @staticmethod
    def is_available() -> bool:
        """False: minitrain has no accelerator."""
        return False

    @staticmethod
    def is_built() -> bool:
        """False: minitrain has no accelerator."""
        return False

    @staticmethod
    def device_count() -> int:
        """0: minitrain has no accelerator."""
        return 0

    @staticmethod
    def manual_seed(seed: int) -> None:
        """Nothing, as in torch without an accelerator."""

    manual_seed_all = manual_seed

    @staticmethod
    def empty_cache() -> None:
        """Nothing, as in torch without an accelerator."""


class _Cudnn(_Absent):
    """torch.backends.cudnn: settings that change nothing without a GPU, in torch too."""

    enabled, benchmark, deterministic = True, False, False


backends = _Absent("backends")
vars(backends).update(cuda=_Absent("backends.cuda"), cudnn=_Cudnn("backends.cudnn"), mps=_Absent("backends.mps"))
accelerator, cuda, mps, xpu = _Absent("accelerator"), _Absent("cuda"), _Absent("mps"), _Absent("xpu")
CPU = device("cpu")
Device = device  # where an argument has the name of the class


def set_default_device(device: Device | str | None) -> None:
    """Accept the CPU, which every new Tensor is on. Raises RuntimeError for another device."""
    if device is not None:
        Device(device)


def get_default_device() -> Device:
    """The CPU."""
    return CPU

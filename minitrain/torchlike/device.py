"""Devices, as far as NumPy has them: the CPU, and a clear no to the rest."""

from __future__ import annotations


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

    def __str__(self) -> str:
        return "cpu"

    def __repr__(self) -> str:
        return "device(type='cpu')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device)

    def __hash__(self) -> int:
        return hash("cpu")


class _Absent:
    """An accelerator's namespace, for programs that ask whether it is there."""

    @staticmethod
    def is_available() -> bool:
        """False: minitrain has no accelerator."""
        return False

    @staticmethod
    def device_count() -> int:
        """0: minitrain has no accelerator."""
        return 0


class backends:  # noqa: N801, torch's name
    """torch.backends, as far as programs ask it which accelerators are there."""

    mps = _Absent()


accelerator = cuda = _Absent()
CPU = device("cpu")

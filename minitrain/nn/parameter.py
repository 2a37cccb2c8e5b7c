"""Parameter: a Tensor that a Module learns."""

from __future__ import annotations

from minitrain.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module learns: a leaf that asks for a gradient, on data's own memory."""

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        data = Tensor() if data is None else data
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter expects a Tensor, but got {type(data).__name__}; wrap it in minitrain.tensor()."
            )
        self.array, self._version = data.array, data._version
        self.requires_grad = requires_grad

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

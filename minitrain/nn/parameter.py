"""Parameter: a Tensor that a Module learns."""

from __future__ import annotations

from minitrain.tensor import Tensor


class Parameter(Tensor):
    """A Tensor that a Module learns: a leaf that asks for a gradient, on data's own memory."""

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(
                f"Parameter expects a Tensor, but got {type(data).__name__}; wrap it in minitrain.tensor()."
            )
        super().__init__(data.array, requires_grad)
        self._version = data._version

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

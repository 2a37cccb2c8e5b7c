"""torch.autograd.Variable: from before Tensors could require gradients; Variable(x) is a Tensor on x's memory."""

from __future__ import annotations

from typing import Any

from minitrain.tensor import Tensor


class _AnyTensor(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_AnyTensor):
    """Variable(data, requires_grad=False): a leaf on the same memory. Every Tensor is an instance."""

    def __new__(cls, data: Tensor, requires_grad: bool = False, volatile: Any = None) -> Tensor:  # type: ignore[misc]
        """volatile has no meaning any more; use no_grad."""
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)

"""One side of a comparison: a model, a loss and an optimizer of either framework, run phase by phase."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minitrain import nn
from minitrain.ops import Array
from minitrain.tensor import Tensor
from minitrain.with_torch.installed import require_torch

Triple = tuple[Any, Any, Any]  # model, loss_fn, optimizer


class Side:
    """A model with its loss and its optimizer. This one is minitrain's; TorchSide is torch's.

    outputs: after forward, the output of each layer, in the order of computation: (layer, Tensor) pairs.
    loss: after compute_loss, the loss. parameters: by name.
    """

    framework = "NumPy"

    def __init__(self, model: Any, loss_fn: Any, optimizer: Any) -> None:
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.parameters: dict[str, Any] = dict(model.named_parameters())
        self.kinds = {layer_name(path): type(module).__name__ for path, module in model.named_modules()}
        self.outputs: list[tuple[str, Any]] = []
        self.loss: Any = None
        self._prediction: Any = None
        self._last_passed_on: Any = None
        dtypes = {str(param.dtype).removeprefix("torch.") for param in self.parameters.values()}
        if len(dtypes) != 1 or not dtypes <= {"float32", "float64"}:
            raise ValueError(
                "compare needs a model whose parameters are all float32 or all float64, but got "
                f"{', '.join(sorted(dtypes)) or 'none'} in {self.framework}'s {type(model).__name__}; convert it with "
                ".float() or .double()"
            )
        self.dtype = np.dtype(dtypes.pop())

    @property
    def label(self) -> str:
        """The framework and the dtype: 'NumPy float32'."""
        return f"{self.framework} {self.dtype}"

    def own(self, batch: Tensor) -> Any:
        """A batch's Tensor as this side takes it: floats in the model's dtype, labels as they are."""
        return batch.to(self.dtype) if batch.is_floating_point() else batch

    def array(self, tensor: Any) -> Array:
        """The numbers of one of this side's tensors, or of a plain number; shares memory where possible."""
        return tensor.detach().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)

    def weights(self, name: str) -> Array:
        """The numbers of a parameter."""
        return self.array(self.parameters[name])

    def forward(self, X: Tensor) -> None:
        """Run the model, and keep the output of each layer that contains no other layers."""
        self.outputs = []
        handles = [
            module.register_forward_hook(functools.partial(self._keep, path))
            for path, module in self.model.named_modules()
            if next(module.children(), None) is None
        ]
        try:
            self._prediction = self.model(self.own(X))
        finally:
            for handle in handles:
                handle.remove()
        if not self.outputs or self._prediction is not self._last_passed_on:
            self._prediction = self._keep("(result)", None, (), self._prediction)

    def _keep(self, path: str, _module: Any, _args: Any, output: Any) -> Any:
        name = layer_name(path)
        if not hasattr(output, "retain_grad"):
            raise ValueError(
                f"compare needs layers that return one Tensor, but {name} of {self.framework}'s model returned "
                f"{type(output).__name__}"
            )
        calls = 1 + sum(layer.partition(" ")[0] == name for layer, _ in self.outputs)
        if output.requires_grad:
            output.retain_grad()
        self.outputs.append((name if calls == 1 else f"{name} (call {calls})", output))
        self._last_passed_on = output.clone()  # the next layer may work in place; what is kept must not change
        return self._last_passed_on

    def compute_loss(self, y: Tensor) -> None:
        """Run the loss function on the model's result."""
        self.loss = self.loss_fn(self._prediction, self.own(y))
        if self.loss.numel() != 1:
            raise ValueError(
                f"compare needs a loss of one number, but {self.framework}'s has the shape {list(self.loss.shape)}; "
                "reduce it with mean or sum"
            )

    def gradient(self, tensor: Any) -> Array | None:
        """The gradient that backward left in a tensor."""
        return None if not tensor.requires_grad or tensor.grad is None else self.array(tensor.grad)

    def state(self, param: Any) -> dict[str, Any]:
        """The optimizer's state of a parameter, by name."""
        return {name: value for name, value in self.optimizer.state.get(param, {}).items() if value is not None}

    def forget(self) -> None:
        """Zero the gradients and free the step's graph."""
        self.optimizer.zero_grad()
        self.outputs, self.loss, self._prediction, self._last_passed_on = [], None, None, None


class TorchSide(Side):
    """A torch model with its loss and its optimizer, on any device."""

    framework = "torch"

    def __init__(self, model: Any, loss_fn: Any, optimizer: Any) -> None:
        super().__init__(model, loss_fn, optimizer)
        self.device = next(iter(self.parameters.values())).device

    @property
    def label(self) -> str:
        """The framework, the dtype, and the device if it is not the CPU: 'torch float32 on cuda:0'."""
        return super().label if self.device.type == "cpu" else f"{super().label} on {self.device}"

    def own(self, batch: Tensor) -> Any:
        """The same memory as a torch tensor, where dtype and device allow it."""
        import torch

        tensor = torch.from_numpy(np.require(batch.array, requirements=["C", "W"]))
        return tensor.to(self.device, getattr(torch, self.dtype.name) if tensor.is_floating_point() else tensor.dtype)

    def array(self, tensor: Any) -> Array:
        """As Side's; a copy if it is on another device."""
        return tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else np.asarray(tensor)


def make_side(triple: Triple) -> Side:
    """(model, loss_fn, optimizer) of either framework as a Side. Raises TypeError for anything else."""
    if not isinstance(triple, Sequence) or len(triple) != 3:
        raise TypeError(f"a side of compare is (model, loss_fn, optimizer), but got {triple!r}")
    model = triple[0]
    if isinstance(model, nn.Module):
        return Side(*triple)
    require_torch("comparing with it")
    import torch

    if isinstance(model, torch.nn.Module):
        return TorchSide(*triple)
    raise TypeError(f"compare needs models of minitrain.nn or torch.nn, but got {type(model).__name__}")


def layer_name(path: str) -> str:
    """A module's path, or "(model)" for the model itself, whose path is empty."""
    return path or "(model)"


def layer_and_name(parameter: str) -> tuple[str, str]:
    """'fc1.weight' as ('fc1', 'weight')."""
    layer, _, name = parameter.rpartition(".")
    return layer_name(layer), name

"""An operation of one's own is recorded as minitrain's are, and has the gradients that torch gives it."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given

import minitrain
from minitrain import ops
from minitrain.autograd import Function
from minitrain.tensor import Tensor
from tests import strategies


class Cube(Function):
    """y = x³;  dL/dx = dL/dy · 3x²."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        (x,) = ctx.saved_arrays
        return grad_y * 3 * x * x


class Scaled(Function):
    """y = a · b · scale, of which only a and b get gradients."""

    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, scale: float, *, shift: float = 0.0) -> Any:
        ctx.save_for_backward(a, b)
        ctx.scale = scale
        return a * b * scale + shift

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        a, b = ctx.saved_arrays
        needs_a, needs_b, needs_scale = ctx.needs_input_grad
        assert not needs_scale
        return grad_y * b * ctx.scale if needs_a else None, grad_y * a * ctx.scale if needs_b else None, None


class TorchCube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grad_y * 3 * x * x


class TorchScaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Any, b: Any, scale: float) -> Any:
        ctx.save_for_backward(a, b)
        ctx.scale = scale
        return a * b * scale

    @staticmethod
    def backward(ctx: Any, grad_y: Any) -> Any:
        a, b = ctx.saved_tensors
        return grad_y * b * ctx.scale, grad_y * a * ctx.scale, None


def leaves(*arrays: Any) -> tuple[list[Any], list[Any]]:
    """The same leaves in both frameworks."""
    mine = [minitrain.tensor(array, requires_grad=True) for array in arrays]
    return mine, [torch.tensor(np.ascontiguousarray(array), requires_grad=True) for array in arrays]


@given(arrays=strategies.operands(1, finite=True))
def test_the_gradient_of_one_input_is_torchs(arrays: Any) -> None:
    (x,), (theirs,) = leaves(arrays[0])
    (Cube.apply(x) * 2 + Cube.apply(x * x)).sum().backward()
    (TorchCube.apply(theirs) * 2 + TorchCube.apply(theirs * theirs)).sum().backward()
    np.testing.assert_allclose(x.grad.array, theirs.grad.numpy(), rtol=1e-5, atol=1e-30)


@given(data=strategies.arrays((2, 3), "float64", finite=True), other=strategies.arrays((2, 3), "float64", finite=True))
def test_the_gradients_of_several_inputs_are_torchs(data: Any, other: Any) -> None:
    mine, theirs = leaves(data, other)
    Scaled.apply(*mine, 0.5).sum().backward()
    TorchScaled.apply(*theirs, 0.5).sum().backward()
    for x, expected in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(x.grad.array, expected.grad.numpy())


def test_it_is_recorded_under_its_name_and_only_where_a_gradient_is_asked_for() -> None:
    x = minitrain.tensor([2.0], requires_grad=True)
    y = Cube.apply(x)
    assert isinstance(y, Tensor)
    assert y.grad_fn is not None
    assert y.grad_fn.name() == "CubeBackward0"
    assert Cube.apply(x.detach()).grad_fn is None
    with minitrain.no_grad():
        assert Cube.apply(x).grad_fn is None


def test_options_are_forwards_keyword_arguments() -> None:
    x = minitrain.tensor([2.0], requires_grad=True)
    assert Scaled.apply(x, 3.0, 0.5, shift=1.0).item() == 4.0
    with pytest.raises(TypeError, match="unexpected keyword argument 'shfit'"):
        Scaled.apply(x, 3.0, 0.5, shfit=1.0)


def test_an_operation_of_ops_can_be_its_base_too() -> None:
    class Twice(Function, ops.Neg):
        """y = -x, with apply."""

    assert Twice.apply(minitrain.tensor([1.0])).tolist() == [-1.0]


def test_a_forward_of_several_results_is_refused() -> None:
    class Two(Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x, x

    with pytest.raises(RuntimeError, match=r"Two\.forward returned 2 values; an operation has one result"):
        Two.apply(minitrain.tensor([1.0]))


def test_a_setup_context_is_refused() -> None:
    class New(Cube):
        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            pass

    with pytest.raises(NotImplementedError, match=r"New\.setup_context is not offered"):
        New.apply(minitrain.tensor([1.0]))


@pytest.mark.parametrize("gradients", [1, 3])
def test_another_number_of_gradients_than_inputs_is_refused_as_by_torch(gradients: int) -> None:
    class Wrong(Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a + b

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            return (grad_y,) * gradients

    x = minitrain.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=rf"incorrect number of gradients \(expected 2, got {gradients}\)"):
        Wrong.apply(x, x).backward()
    assert x.grad is None


def test_the_example_in_the_docstring_runs() -> None:
    example = (Function.__doc__ or "").partition("class Cube")[2].rpartition("y = Cube.apply(x)")[0]
    names: dict[str, Any] = {"autograd": minitrain.autograd}
    exec("class Cube" + example.replace("\n        ", "\n"), names)  # it stands eight columns in
    x = minitrain.tensor([2.0], requires_grad=True)
    names["Cube"].apply(x).backward()
    assert x.grad is not None
    assert x.grad.item() == 12.0

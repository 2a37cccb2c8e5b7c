"""autograd.grad, backward, jacobian, vjp, hooks, Variable, and Functions on Tensors do what torch's do."""

from typing import Any

import pytest
import torch

import minitrain
from minitrain.autograd import function
from tests.comparing import refused, refused_as_in_torch, same_as_in_torch


def leaf(t: Any, *values: float) -> Any:
    return t.tensor([float(value) for value in values], requires_grad=True)


def lists(gradients: Any) -> Any:
    return [None if g is None else g.tolist() for g in gradients]


# --- grad and backward ------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_grad_of_leaves_and_results_leaves_grad_alone(t: Any) -> Any:
    x, y = leaf(t, 1, 2), leaf(t, 3, -1)
    h = x * y
    loss = (h * h + x).sum()
    found = lists(t.autograd.grad(loss, [x, h, y]))
    return found, x.grad, y.grad


@same_as_in_torch
def test_grad_of_several_outputs_with_first_gradients(t: Any) -> Any:
    x = leaf(t, 1, 2)
    a, b = x * x, x.sum()
    return lists(t.autograd.grad([a, b, a], x, [t.tensor([1.0, 10.0]), None, t.tensor([2.0, 0.0])]))


@same_as_in_torch
def test_what_lies_below_the_inputs_is_kept_for_another_walk(t: Any) -> Any:
    x = leaf(t, 1, 2)
    h = x * x
    k = (h * h).sum()
    first = lists(t.autograd.grad(k, h))
    h.sum().backward()
    return first, x.grad.tolist()


@same_as_in_torch
def test_an_input_above_another_gets_its_gradient_too(t: Any) -> Any:
    x = leaf(t, 1, 2)
    h = x * 3
    k = h * h
    loss = k.sum() + h.sum()
    return lists(t.autograd.grad(loss, [k, h, x, h], retain_graph=True)), lists(t.autograd.grad(loss, x))


@same_as_in_torch
def test_unused_inputs(t: Any) -> Any:
    x, y = leaf(t, 1), leaf(t, 2)
    found = lists(t.autograd.grad(x * 2, [x, y], allow_unused=True))
    return found, lists(t.autograd.grad(x * 2, [x, y], materialize_grads=True)), lists(t.autograd.grad(x, x))


@refused_as_in_torch(RuntimeError, "appears to not have been used in the graph")
def test_an_unused_input_is_refused(t: Any) -> Any:
    t.autograd.grad(leaf(t, 1) * 2, leaf(t, 2))


@refused_as_in_torch(RuntimeError, "One of the differentiated Tensors does not require grad")
def test_an_input_without_gradient_is_refused(t: Any) -> Any:
    t.autograd.grad(leaf(t, 1) * 2, t.ones(1))


@refused_as_in_torch(RuntimeError, "grad can be implicitly created only for scalar outputs")
def test_a_missing_first_gradient_is_refused(t: Any) -> Any:
    x = leaf(t, 1, 2)
    t.autograd.grad(x * 2, x)


@refused_as_in_torch(RuntimeError, "backward through the graph a second time")
def test_a_second_walk_needs_retain_graph(t: Any) -> Any:
    x = leaf(t, 1)
    y = x * x
    t.autograd.grad(y, x)
    t.autograd.grad(y, x)


@refused(NotImplementedError, "create_graph=True")
def test_gradients_of_gradients_are_refused(t: Any) -> Any:
    x = leaf(t, 1)
    t.autograd.grad(x * x, x, create_graph=True)


def test_the_graph_is_whole_again_after_an_error() -> None:
    class Broken(minitrain.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            raise ValueError("broken")

    x = leaf(minitrain, 1.0)
    h = x * 2
    y = Broken.apply(h)
    before = y.grad_fn.next_functions
    with pytest.raises(ValueError, match="broken"):
        minitrain.autograd.grad(y, h)
    assert y.grad_fn.next_functions == before


@same_as_in_torch
def test_backward_of_several(t: Any) -> Any:
    x, y = leaf(t, 1, 2), leaf(t, 3, 4)
    a = x * y
    t.autograd.backward([a.sum(), a], [None, t.tensor([1.0, 2.0])], retain_graph=True)
    first = lists([x.grad, y.grad])
    t.autograd.backward(a.sum(), inputs=[x])
    return first, lists([x.grad, y.grad])


# --- jacobian and vjp -------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_jacobians(t: Any) -> Any:
    x, y = t.tensor([[1.0, 2.0], [3.0, 4.0]]), t.tensor([1.0, 5.0])
    jacobian = t.autograd.functional.jacobian
    one = jacobian(lambda x: (x * x).sum(1), x)
    two = jacobian(lambda x, y: (x @ y, y * 2), (x, y))
    return one.tolist(), [lists(row) for row in two], jacobian(lambda x: t.ones(2), x).shape == (2, 2, 2)


@same_as_in_torch
def test_vector_jacobian_products(t: Any) -> Any:
    x, y, v = t.tensor([1.0, 2.0]), t.tensor([1.0, -1.0]), t.tensor([1.0, 10.0])
    vjp = t.autograd.functional.vjp
    out, g = vjp(lambda x: x * x, x, v)
    outs, gs = vjp(lambda x, y: (x * y, x.sum()), (x, y), (v, t.tensor(2.0)))
    return out.tolist(), out.requires_grad, g.tolist(), lists(outs), lists(gs), vjp(lambda x: x.sum(), x)[1].tolist()


@refused_as_in_torch(RuntimeError, "vector v can only be None")
def test_a_product_needs_its_vector(t: Any) -> Any:
    t.autograd.functional.vjp(lambda x: x * x, t.ones(2))


@refused(AttributeError, "torch.autograd.functional.hessian: gradients of gradients")
def test_the_hessian_is_not_offered(t: Any) -> Any:
    t.autograd.functional.hessian(lambda x: x.sum(), t.ones(2))


# --- hooks ------------------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_hooks_see_and_replace_gradients_in_order(t: Any) -> Any:
    seen: list[Any] = []

    def note(name: str, factor: float | None = None) -> Any:
        def hook(grad: Any) -> Any:
            seen.append((name, grad.tolist(), grad.requires_grad))
            return None if factor is None else grad * factor

        return hook

    x = leaf(t, 1, 2)
    x.register_hook(note("x", 10.0))
    h = x * 3
    h.register_hook(note("first", 2.0))
    second = h.register_hook(note("second"))
    h.retain_grad()
    (h * h).sum().backward(retain_graph=True)
    second.remove()
    (h * h).sum().backward()
    return seen, x.grad.tolist(), h.grad.tolist()


@same_as_in_torch
def test_a_hook_may_write_into_the_gradient(t: Any) -> Any:
    x = leaf(t, 1, 2)
    y = x * 2
    y.register_hook(lambda grad: grad.clamp_(max=1.0) and None if grad.numel() == 1 else None)
    with y.register_hook(lambda grad: grad.zero_()):
        y.sum().backward(retain_graph=True)
    y.sum().backward()
    return x.grad.tolist()


@same_as_in_torch
def test_grad_runs_the_hooks_of_its_inputs_once(t: Any) -> Any:
    x = leaf(t, 1, 2)
    h = x * x
    h.register_hook(lambda grad: grad + 1)
    x.register_hook(lambda grad: grad * 2)
    loss = (h * 5).sum()
    return lists(t.autograd.grad(loss, [h, x], retain_graph=True)), lists(t.autograd.grad(loss, h))


@same_as_in_torch
def test_post_accumulate_hooks(t: Any) -> Any:
    x, seen = leaf(t, 1, 2), []
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    handle.remove()
    (x * 2).sum().backward()
    return seen


@refused_as_in_torch(RuntimeError, "doesn't require gradient")
def test_a_hook_needs_a_gradient(t: Any) -> Any:
    t.ones(2).register_hook(print)


@refused_as_in_torch(RuntimeError, "cannot be registered on non-leaf")
def test_a_post_accumulate_hook_needs_a_leaf(t: Any) -> Any:
    (leaf(t, 1) * 2).register_post_accumulate_grad_hook(print)


@refused_as_in_torch(RuntimeError, "has changed the size of value")
def test_a_hook_must_keep_the_shape(t: Any) -> Any:
    x = leaf(t, 1, 2)
    x.register_hook(lambda grad: grad.sum())
    x.sum().backward()


@refused_as_in_torch(TypeError, "returned 'int'")
def test_a_hook_must_return_a_tensor(t: Any) -> Any:
    x = leaf(t, 1, 2)
    x.register_hook(lambda grad: 3)
    x.sum().backward()


# --- Variable ---------------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_variables_are_tensors_on_the_same_memory(t: Any) -> Any:
    x = t.ones(2)
    v = t.autograd.Variable(x, requires_grad=True)
    w = t.autograd.Variable(v * 2)
    x[0] = 5
    kinds = isinstance(x, t.autograd.Variable), type(v) is t.Tensor
    return v.tolist(), v.requires_grad, v.is_leaf, w.requires_grad, kinds


# --- Functions on Tensors ---------------------------------------------------------------------------------------------


def relu(t: Any) -> Any:
    class MyReLU(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, input: Any, slope: float = 0.0) -> Any:
            ctx.save_for_backward(input)
            ctx.slope = slope
            return t.where(input > 0, input, input * slope)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            (input,) = ctx.saved_tensors
            grad_input = grad_output.clone()
            grad_input[input < 0] *= ctx.slope
            return grad_input, None

    return MyReLU


@same_as_in_torch
def test_a_function_on_tensors(t: Any) -> Any:
    x = leaf(t, -1, 2, -3)
    y = relu(t).apply(x * 2, 0.5)
    (y * y).sum().backward()
    return y.tolist(), x.grad.tolist(), y.requires_grad, relu(t).apply(x.detach()).requires_grad


@same_as_in_torch
def test_a_function_that_sums_and_broadcasts(t: Any) -> Any:
    class Scale(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, None, w)
            return (x * w).sum()

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            x, _, w = ctx.saved_tensors
            gx = grad_y * w if ctx.needs_input_grad[0] else None
            gw = (grad_y * x) if ctx.needs_input_grad[1] else None
            return gx, gw

    x, w = leaf(t, 1, 2), leaf(t, 3, 4)
    Scale.apply(x, w).backward()
    Scale.apply(x.detach(), w).backward()
    return x.grad.tolist(), w.grad.tolist()


@same_as_in_torch
def test_setup_context_non_differentiable_and_once_differentiable(t: Any) -> Any:
    once = function.once_differentiable if t is minitrain else torch.autograd.function.once_differentiable

    class Square(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(x: Any) -> Any:
            return x * x

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(*inputs)

        @staticmethod
        @once
        def backward(ctx: Any, grad_y: Any) -> Any:
            (x,) = ctx.saved_tensors
            return grad_y * x * 2

    class Sign(t.autograd.Function):  # type: ignore[misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = (x > 0).float()
            ctx.mark_non_differentiable(y)
            return y

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            return None

    x = leaf(t, 1, -2)
    Square.apply(x).sum().backward()
    return x.grad.tolist(), Sign.apply(x).requires_grad


@refused_as_in_torch(RuntimeError, "modified by an inplace operation")
def test_a_saved_tensor_that_was_written_since_is_refused(t: Any) -> Any:
    x = leaf(t, 1, 2) * 1
    y = relu(t).apply(x)
    x.add_(1)
    y.sum().backward()


def test_the_rule_by_which_a_function_gets_arrays_or_tensors() -> None:
    kinds: list[Any] = []

    class Seen(minitrain.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            kinds.append(type(x).__name__)
            return x + 0

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            kinds.append(type(grad_y).__name__)
            return grad_y

    class Arrays(Seen):
        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            kinds.append(type(grad_y).__name__)
            return grad_y + sum(ctx.saved_arrays)

    class Said(Seen):
        on_arrays = True

    for operation in (Seen, Arrays, Said):
        operation.apply(leaf(minitrain, 1.0)).sum().backward()
    assert kinds == ["Tensor"] * 2 + ["ndarray"] * 4

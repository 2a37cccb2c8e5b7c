"""autograd.grad, backward, functional, hooks and Functions written for Tensors: torch's values, errors and calls."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch

import minitrain


def same(program: Any) -> None:
    """What the program returns for minitrain is what it returns for torch; errors count by their class."""
    results = []
    for lib in (minitrain, torch):
        try:
            results.append(plain(program(lib)))
        except (RuntimeError, TypeError, ValueError) as error:
            results.append([type(error).__name__])
    ours, theirs = results
    assert len(ours) == len(theirs), results
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(b, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-30)
        else:
            assert a == b


def plain(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [type(value).__name__, *[part for each in value for part in plain(each)]]
    return [value.detach().numpy() if isinstance(value, minitrain.Tensor | torch.Tensor) else value]


def leaf(lib: Any, *values: float) -> Any:
    return lib.tensor(values, requires_grad=True)


def one_input(lib: Any) -> Any:
    x = leaf(lib, 1.0, 2.0, 3.0)
    return lib.autograd.grad((x**3).sum(), x), x.grad


def several(lib: Any) -> Any:
    a, b, unrelated = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0), leaf(lib, 5.0)
    y, z = a * b, (a * unrelated).sum()
    return lib.autograd.grad([y, z], [a, b], grad_outputs=[lib.tensor([1.0, 10.0]), None]), unrelated.grad


def of_an_intermediate(lib: Any) -> Any:
    x = leaf(lib, 1.0, 2.0)
    y = x.exp()
    (dy,) = lib.autograd.grad((y * y).sum(), y)
    y.backward(dy)  # what lies below y was not freed
    return dy, x.grad


def of_itself(lib: Any) -> Any:
    x = leaf(lib, 2.0)
    y = x * 3
    return lib.autograd.grad(y, [y, x])


def unused(lib: Any) -> Any:
    return lib.autograd.grad(leaf(lib, 1.0) * 2, leaf(lib, 1.0))


def unused_allowed(lib: Any) -> Any:
    x, y = leaf(lib, 1.0), leaf(lib, 1.0, 2.0)
    first = lib.autograd.grad(x * 2, (x, y), allow_unused=True)
    return first, lib.autograd.grad(x * 2, (x, y), materialize_grads=True)


def twice(lib: Any) -> Any:
    x = leaf(lib, 1.0)
    y = x.exp()
    lib.autograd.grad(y, x)
    return lib.autograd.grad(y, x)


def twice_retained(lib: Any) -> Any:
    x = leaf(lib, 1.0)
    y = x.exp()
    return lib.autograd.grad(y, x, retain_graph=True), lib.autograd.grad(y, x)


def no_gradient_required(lib: Any) -> Any:
    return lib.autograd.grad(leaf(lib, 1.0) * 2, lib.tensor([1.0]))


def several_elements(lib: Any) -> Any:
    x = leaf(lib, 1.0, 2.0)
    return lib.autograd.grad(x * 2, x)


def too_few_gradients(lib: Any) -> Any:
    x = leaf(lib, 1.0)
    return lib.autograd.grad([x * 2, x * 3], x, grad_outputs=[lib.ones(1)])


def backward_of_several(lib: Any) -> Any:
    x = leaf(lib, 1.0, 2.0)
    y = x.exp()
    lib.autograd.backward([y.sum(), y * 2], [None, lib.tensor([1.0, 3.0])])
    return x.grad


def jacobian(lib: Any) -> Any:
    x, y = lib.tensor([[1.0, 2.0], [3.0, 4.0]]), lib.tensor([5.0, 6.0])
    of_one = lib.autograd.functional.jacobian(lambda x: x.exp().sum(0), x)
    of_two = lib.autograd.functional.jacobian(lambda x, y: (x @ y, y * 2), (x, y))
    return of_one, of_two, lib.autograd.functional.jacobian(lambda x: lib.ones(2), y)


def jacobian_strict(lib: Any) -> Any:
    return lib.autograd.functional.jacobian(lambda x: lib.ones(2), lib.ones(2), strict=True)


def vjp(lib: Any) -> Any:
    x, v = lib.tensor([[1.0, 2.0], [3.0, 4.0]]), lib.tensor([1.0, -1.0])
    scalar = lib.autograd.functional.vjp(lambda x: x.exp().sum(), x)
    return scalar, lib.autograd.functional.vjp(lambda x, y: (x @ y, y), (x, v), (v, v * 2))


def vjp_without_v(lib: Any) -> Any:
    return lib.autograd.functional.vjp(lambda x: x * 2, lib.ones(2))


def hooks_of_a_leaf(lib: Any) -> Any:
    seen: list[Any] = []
    x = leaf(lib, 1.0, 2.0)
    x.register_hook(lambda grad: seen.append(grad.tolist()))
    second = x.register_hook(lambda grad: grad * 10)
    (x * x + x).sum().backward()
    second.remove()
    (x * 2).sum().backward()
    return seen, x.grad


def hooks_of_a_result(lib: Any) -> Any:
    seen: list[Any] = []
    x = leaf(lib, 1.0, 2.0)
    y = x * 3
    out = (y * y).sum() + y.sum()
    y.register_hook(lambda grad: seen.append(grad.tolist()))  # after it was used
    y.register_hook(lambda grad: grad.clamp(max=10))
    y.retain_grad()
    out.backward(retain_graph=True)
    return seen, x.grad, y.grad.clone(), lib.autograd.grad(out, [x]), seen


def hook_that_writes(lib: Any) -> Any:
    x = leaf(lib, 1.0, 2.0)
    y = x + 1

    def double(grad: Any) -> None:
        grad.mul_(2)

    y.register_hook(double)
    (y + y).sum().backward()
    return x.grad


def hook_without_a_gradient(lib: Any) -> Any:
    return lib.ones(2).register_hook(print)


def variable(lib: Any) -> Any:
    x = lib.autograd.Variable(lib.ones(2), requires_grad=True)
    (x * 3).sum().backward()
    return x.grad, x.is_leaf, lib.autograd.Variable(lib.ones(1)).requires_grad


def function(lib: Any) -> Any:
    class Scaled(lib.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any, scale: float) -> Any:
            ctx.save_for_backward(a, b)
            ctx.scale = scale
            return a.mul(b).mul(scale)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            a, b = ctx.saved_tensors
            grad_a = grad_output.mul(b) * ctx.scale if ctx.needs_input_grad[0] else None
            grad_b = grad_output.mul(a) * ctx.scale if ctx.needs_input_grad[1] else None
            return grad_a, grad_b, None

    a, b = leaf(lib, 1.0, 2.0), leaf(lib, 3.0, 4.0)
    Scaled.apply(a, b, 0.5).sum().backward()
    alone = Scaled.apply(a.detach(), b, 2.0)
    alone.sum().backward()
    return a.grad, b.grad, alone, Scaled.apply(a.detach(), b.detach(), 1.0).requires_grad


def function_without_saving(lib: Any) -> Any:
    class Sign(lib.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x.sign()

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            return grad_output

    x = leaf(lib, -1.5, 2.0)
    (Sign.apply(x) * lib.tensor([3.0, 4.0])).sum().backward()
    return x.grad


def function_with_setup_context(lib: Any) -> Any:
    class Exp(lib.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(x: Any) -> Any:
            return x.exp()

        @staticmethod
        def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.save_for_backward(output)

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            (y,) = ctx.saved_tensors
            return grad_output * y

    x = leaf(lib, -1.5, 2.0)
    Exp.apply(x).sum().backward()
    return x.grad


def function_whose_input_changes(lib: Any) -> Any:
    class Square(lib.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            return grad_output * 2 * ctx.saved_tensors[0]

    x = leaf(lib, 1.0)
    y = x * 1
    z = Square.apply(y)
    y.add_(1)
    return z.backward()


def backward_hooks_of_modules(lib: Any) -> Any:
    seen: list[Any] = []

    def see(module: Any, grad_input: Any, grad_output: Any) -> Any:
        seen.append((type(module).__name__, [None if g is None else g.tolist() for g in (*grad_input, *grad_output)]))
        return (grad_input[0] * 2,) if type(module).__name__ == "Tanh" else None

    model = lib.nn.Sequential(lib.nn.Linear(2, 2), lib.nn.Tanh())
    with lib.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    handles = [module.register_full_backward_hook(see) for module in model]
    x = leaf(lib, 1.0, 2.0)
    h = model[1](x) + x  # another use of x
    h.sum().backward()
    model[1](model[0](x)).sum().backward()
    handles[0].remove()
    model[0](x).sum().backward()
    return [part for name, grads in seen for part in (name, *map(lib.tensor, grads))], x.grad, model[0].weight.grad


PROGRAMS = [
    backward_hooks_of_modules,
    one_input,
    several,
    of_an_intermediate,
    of_itself,
    unused,
    unused_allowed,
    twice,
    twice_retained,
    no_gradient_required,
    several_elements,
    too_few_gradients,
    backward_of_several,
    jacobian,
    jacobian_strict,
    vjp,
    vjp_without_v,
    hooks_of_a_leaf,
    hooks_of_a_result,
    hook_that_writes,
    hook_without_a_gradient,
    variable,
    function,
    function_without_saving,
    function_with_setup_context,
    function_whose_input_changes,
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_it_does_what_torch_does(program: Any) -> None:
    same(program)


def test_the_comparison_can_fail() -> None:
    with pytest.raises(AssertionError):
        same(lambda lib: lib.ones(2) * (1 if lib is torch else 1.001))
    with pytest.raises(AssertionError):
        same(lambda lib: lib.ones(2) if lib is torch else lib.ones(3))


def test_a_functions_graph_is_freed_with_its_last_tensor() -> None:
    class Same(minitrain.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            ctx.note = 1
            return x * 1

        @staticmethod
        def backward(ctx: Any, grad_output: Any) -> Any:
            return grad_output * ctx.note

    gc.disable()
    try:
        y = Same.apply(leaf(minitrain, 1.0))
        node = weakref.ref(y.grad_fn)
        del y
        assert node() is None
    finally:
        gc.enable()

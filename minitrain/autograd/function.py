"""Function, the base class for an operation of your own, and print_tape, which prints the recorded graph."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TextIO

from minitrain import ops
from minitrain.autograd.on_tensors import on_tensors, once_differentiable
from minitrain.files import NO_FORMULAS
from minitrain.nn import Module
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, apply

__all__ = ["Function", "once_differentiable", "print_tape"]


class Function(ops.Function):
    """The base class for an operation of your own: define forward and backward as static methods, then call apply.

    forward(ctx, *inputs, **options) returns the result. inputs are apply's arguments, in order. Save what backward
    needs on ctx, with ctx.save_for_backward(...) or as attributes. backward(ctx, grad_y) gets dL/dy, of the result's
    shape. It returns dL/d(input) for each input, in order, and None for an input without a gradient; for a single
    input, just its gradient. ctx.needs_input_grad[i] says whether input i requires a gradient.

    Both get Tensors, as torch's do, and ctx.saved_tensors holds what was saved:

        class Exp(autograd.Function):
            @staticmethod
            def forward(ctx, x):
                y = x.exp()
                ctx.save_for_backward(y)
                return y

            @staticmethod
            def backward(ctx, grad_y):
                (y,) = ctx.saved_tensors
                return grad_y * y

    If backward or forward names ctx.saved_arrays instead, or the class inherits either from minitrain.ops, both get and
    return ndarrays, as minitrain's own operations do; backward must not write into grad_y then:

        class Cube(autograd.Function):
            \"\"\"y = x³;  dL/dx = dL/dy · 3x².\"\"\"

            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x * x

            @staticmethod
            def backward(ctx, grad_y):
                (x,) = ctx.saved_arrays
                return grad_y * 3 * x * x

        y = Cube.apply(x)

    A class can also say which it is: on_arrays = True or False.

    Source: torch.autograd.Function. The differences: there is only one result, and options are passed by keyword.
    """

    on_arrays: bool | None = None

    @classmethod
    def apply(cls, *inputs: Any, **options: Any) -> Tensor:
        """Run forward, and record it if any input requires a gradient.

        inputs: Tensors, or anything else that forward takes; only Tensors get gradients. options: forward's keyword
        arguments. Returns the result as a Tensor.
        Raises RuntimeError if forward returns several values, NotImplementedError if a Function on arrays has a
        setup_context.
        """
        if not _works_on_arrays(cls):
            return on_tensors(cls, inputs, options)
        if hasattr(cls, "setup_context"):
            raise NotImplementedError(
                f"{cls.__name__}.setup_context is not offered: save what backward needs in forward(ctx, ...)."
            )
        return apply(cls, *inputs, **options)


def _works_on_arrays(cls: type[Function]) -> bool:
    """Whether forward and backward get ndarrays, by the rule of Function's docstring."""
    if cls.on_arrays is not None:
        return cls.on_arrays
    methods: list[Callable[..., Any]] = [
        method for name in ("forward", "backward") if (method := getattr(cls, name, None)) is not None
    ]
    return any(
        "saved_arrays" in getattr(getattr(method, "__code__", None), "co_names", ())
        or str(getattr(method, "__module__", "")).startswith("minitrain.ops")
        for method in methods
    )


def print_tape(loss: Tensor, model: Module | None = None, file: TextIO | None = None) -> None:
    """Print what loss.backward() will visit: each operation with its formula and shapes, and the leaves.

    model: names the leaves after its parameters.
    file: where to print; None means stdout.
    Raises RuntimeError if the Tensor has no graph.
    """
    if not loss.requires_grad:
        raise RuntimeError(
            "there is no tape: this Tensor does not require grad. Either none of its inputs requires a gradient, or it "
            "was computed under no_grad()."
        )
    out = sys.stdout if file is None else file
    nodes, leaves = walked(loss._edge())
    names = {id(param): name for name, param in model.named_parameters()} if model is not None else {}
    labels: dict[Node | AccumulateGrad, str] = {node: f"#{i}" for i, node in enumerate(nodes, start=1)}
    for i, leaf in enumerate(leaves, start=1):
        labels[leaf] = names.get(id(leaf.variable), f"leaf {i}")

    for node in nodes:
        formula = " ".join((node.function.__doc__ or "").strip().partition("\n")[0].split())
        print(f"{labels[node]}  {node.name()}  result {list(node.result_shape)}", file=out)
        if formula:
            print(f"      {formula}", file=out)
        for i, (edge, _) in enumerate(node.next_functions):
            if edge is None:
                print(f"      input {i}: requires no gradient", file=out)
            else:
                print(f"      input {i}: {list(edge.result_shape)} sends its gradient to {labels[edge]}", file=out)
    if NO_FORMULAS:
        print(f"({NO_FORMULAS})", file=out)
    for leaf in leaves:
        shape = list(leaf.result_shape)
        print(f"{labels[leaf]}  AccumulateGrad  {shape}: .grad += the gradients sent here", file=out)


def walked(root: Node | AccumulateGrad) -> tuple[list[Node], list[AccumulateGrad]]:
    """The Nodes below root, newest first, as the walk visits them; and the leaves, in the order of their first use."""
    nodes: set[Node] = set()
    waiting = [root]
    while waiting:
        edge = waiting.pop()
        if isinstance(edge, Node) and edge not in nodes:
            nodes.add(edge)
            waiting += [edge for edge, _ in edge.next_functions if edge is not None]
    in_order = sorted(nodes, key=lambda node: -node.sequence_nr)
    edges = [edge for node in in_order for edge, _ in node.next_functions] if in_order else [root]
    return in_order, list(dict.fromkeys(edge for edge in edges if isinstance(edge, AccumulateGrad)))

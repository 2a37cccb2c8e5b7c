"""print_tape shows what backward will do: every operation in the order of the walk, and every leaf by its name."""

import io
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain import nn
from minitrain.ops import Array, Context, Function
from minitrain.tape import Node
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.grad_mode import no_grad


def printed(loss: Tensor, model: nn.Module | None = None) -> str:
    out = io.StringIO()
    minitrain.print_tape(loss, model, out)
    return out.getvalue()


def test_the_tape_of_a_small_network() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    loss = nn.MSELoss()(model(minitrain.ones(4, 3)), minitrain.zeros(4, 1))
    assert printed(loss, model) == (
        "#1  MSELossBackward0  result []\n"
        "      y_i = (x_i - t_i)², their sum, or their mean over all n elements; dL/dx = 2 (x - t) · dL/dy (/ n).\n"
        "      input 0: [4, 1] sends its gradient to #2\n"
        "      input 1: requires no gradient\n"
        "#2  LinearBackward0  result [4, 1]\n"
        "      y = x Wᵀ + b; dL/dx = dL/dy W, dL/dW = dL/dyᵀ x, dL/db = Σ dL/dy over the batch.\n"
        "      input 0: [4, 2] sends its gradient to #3\n"
        "      input 1: [1, 2] sends its gradient to 2.weight\n"
        "      input 2: requires no gradient\n"
        "#3  ReLUBackward0  result [4, 2]\n"
        "      y = max(x, 0); dL/dx = dL/dy where x > 0, else 0 (0 at 0, as torch).\n"
        "      input 0: [4, 2] sends its gradient to #4\n"
        "#4  LinearBackward0  result [4, 2]\n"
        "      y = x Wᵀ + b; dL/dx = dL/dy W, dL/dW = dL/dyᵀ x, dL/db = Σ dL/dy over the batch.\n"
        "      input 0: requires no gradient\n"
        "      input 1: [2, 3] sends its gradient to 0.weight\n"
        "      input 2: [2] sends its gradient to 0.bias\n"
        "2.weight  AccumulateGrad  [1, 2]: .grad += the gradients sent here\n"
        "0.weight  AccumulateGrad  [2, 3]: .grad += the gradients sent here\n"
        "0.bias  AccumulateGrad  [2]: .grad += the gradients sent here\n"
    )


def test_it_goes_to_stdout_unless_told_otherwise(capsys: pytest.CaptureFixture[str]) -> None:
    loss = minitrain.ones(2, requires_grad=True).sum()
    minitrain.print_tape(loss)
    assert capsys.readouterr().out == printed(loss)


def test_a_leaf_without_a_model_is_numbered() -> None:
    a, b = (minitrain.ones(2, requires_grad=True) for _ in range(2))
    lines = printed((a * b + a).sum()).splitlines()
    assert [line for line in lines if "AccumulateGrad" in line] == [
        "leaf 1  AccumulateGrad  [2]: .grad += the gradients sent here",
        "leaf 2  AccumulateGrad  [2]: .grad += the gradients sent here",
    ]


def test_a_leaf_by_itself_is_its_own_tape() -> None:
    leaf = minitrain.ones(2, requires_grad=True)
    assert printed(leaf) == "leaf 1  AccumulateGrad  [2]: .grad += the gradients sent here\n"


def test_a_parameter_that_stands_twice_is_named_once() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    text = printed(model(minitrain.ones(1, 2)).sum(), model)
    assert text.count("sends its gradient to 0.weight") == 2
    assert text.count("AccumulateGrad") == 1


def test_what_is_not_the_models_is_a_leaf_with_a_number() -> None:
    model, x = nn.Linear(2, 1, bias=False), minitrain.ones(1, 2, requires_grad=True)
    text = printed(model(x), model)
    assert "input 0: [1, 2] sends its gradient to leaf 1" in text
    assert "input 1: [1, 2] sends its gradient to weight" in text


def test_an_operation_of_ones_own_is_shown_with_its_formula_or_without() -> None:
    class Twice(Function):
        """
        y = 2x;  dL/dx = 2 dL/dy.
        """

        @staticmethod
        def forward(ctx: Context, x: Array) -> Array:
            return 2 * x

        @staticmethod
        def backward(ctx: Context, grad_y: Array) -> Array:
            return 2 * grad_y

    class Bare(Twice):
        __doc__ = None

    x = minitrain.ones(1, requires_grad=True)
    assert printed(apply(Twice, x)).splitlines()[:2] == [
        "#1  TwiceBackward0  result [1]",
        "      y = 2x; dL/dx = 2 dL/dy.",
    ]
    assert printed(apply(Bare, x)).splitlines()[1] == "      input 0: [1] sends its gradient to leaf 1"


@given(st.lists(st.tuples(st.sampled_from("+*-m"), st.integers(0, 20), st.integers(0, 20)), max_size=12))
def test_operations_come_in_the_order_of_the_walk(program: list[tuple[str, int, int]]) -> None:
    values = [minitrain.ones(2, requires_grad=True), minitrain.zeros(2), minitrain.ones(2, requires_grad=True)]
    for operation, i, j in program:
        a, b = values[i % len(values)], values[j % len(values)]
        values.append({"+": a + b, "*": a * b, "-": a - b, "m": a.maximum(b)}[operation])
    loss = (values[0] * values[-1]).sum()
    text = printed(loss)

    walked: list[str] = []
    input_gradients = Node.input_gradients

    def noted(node: Node, grad: Any) -> Any:
        walked.append(node.name())
        return input_gradients(node, grad)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Node, "input_gradients", noted)
        loss.backward()
    assert re.findall(r"^#\d+  (\w+)", text, re.MULTILINE) == walked
    arrows = [int(number) for number in re.findall(r"sends its gradient to #(\d+)$", text, re.MULTILINE)]
    assert set(arrows) == set(range(2, len(walked) + 1))


def test_a_long_tape_is_no_trouble() -> None:
    x = minitrain.ones(1, requires_grad=True)
    for _ in range(3000):
        x = x + x
    assert printed(x).count("AddBackward0") == 3000


def test_printing_changes_nothing() -> None:
    x = minitrain.tensor([3.0], requires_grad=True)
    y = (x * x).sum()
    first = printed(y)
    assert printed(y) == first
    y.backward()
    assert x.grad.tolist() == [6.0]
    assert printed(y) == first


def test_a_tensor_without_a_tape_is_refused() -> None:
    x = minitrain.ones(2, requires_grad=True)
    with no_grad():
        unrecorded = x * 2
    for tensor in (minitrain.ones(2), x.detach(), unrecorded, wrap(np.ones(2))):
        with pytest.raises(RuntimeError, match=r"there is no tape: .*does not require grad.*no_grad\(\)"):
            minitrain.print_tape(tensor)

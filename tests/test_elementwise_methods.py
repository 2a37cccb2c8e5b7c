"""Methods and functions on each element, and their in-place forms: dtypes, values and errors are torch's."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import minitrain
from minitrain.functions import FUNCTIONS
from minitrain.tensor import Tensor
from tests import strategies as own
from tests.comparing import assert_ends_alike, refused_as_in_torch, same_as_in_torch

few = settings(max_examples=15)

UNARY = """
sin cos tan asin acos atan sinh cosh asinh acosh atanh arcsin arccos arctan arcsinh arccosh arctanh sinc deg2rad
rad2deg exp2 expm1 log2 log10 log1p erf erfc reciprocal rsqrt square ceil floor round trunc fix frac sign sgn positive
nan_to_num isinf isposinf isneginf isreal signbit logical_not bitwise_not absolute negative exp log sqrt tanh sigmoid
abs neg
"""
OF_TENSORS = """
atan2 arctan2 hypot logaddexp logaddexp2 heaviside fmax fmin isclose logical_and logical_or logical_xor
"""
OF_NUMBERS_TOO = """
div divide true_divide floor_divide remainder fmod xlogy copysign float_power multiply subtract eq ne lt le gt ge
not_equal less less_equal greater greater_equal bitwise_and bitwise_or bitwise_xor clamp_min clamp_max
"""
NO_IN_PLACE = {"positive", "isinf", "isposinf", "isneginf", "isreal", "signbit", "isclose", "fmax", "fmin", "logaddexp"}
NO_IN_PLACE |= {"logaddexp2"}


def form_of(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name] if name in NO_IN_PLACE else [name, f"{name}_"])


def called(name: str, operands: list[Any], *, as_function: bool, **options: Any) -> None:
    """Raise AssertionError unless x.name(...), or torch.name(x, ...), ends alike in both; the value of x as well."""

    def compute(lib: Any, *given: Any) -> Any:
        if as_function and hasattr(torch, name):
            return getattr(lib, name)(*given, **options)
        result = getattr(given[0], name)(*given[1:], **options)
        return result, given[0]

    assert_ends_alike(compute, operands, scale=1.0 if len(operands) == 1 else 100.0)


@pytest.mark.parametrize("name", UNARY.split())
@few
@given(data=st.data(), x=own.arrays(dtype=own.dtypes), as_function=st.booleans())
def test_functions_of_one(name: str, data: st.DataObject, x: np.ndarray, as_function: bool) -> None:
    called(data.draw(form_of(name)), [x], as_function=as_function)


numbers = st.sampled_from([True, False]) | st.integers(-3, 3) | own.quarters


@pytest.mark.parametrize("name", (OF_TENSORS + OF_NUMBERS_TOO).split())
@few
@given(data=st.data(), as_function=st.booleans())
def test_functions_of_two(name: str, data: st.DataObject, as_function: bool) -> None:
    shapes = data.draw(own.shapes_that_broadcast(2))
    operands: list[Any] = [data.draw(own.arrays(shape, own.dtypes)) for shape in shapes]
    if name in OF_NUMBERS_TOO.split() and data.draw(st.booleans()):
        operands[1] = data.draw(numbers)
    called(data.draw(form_of(name)), operands, as_function=as_function)


@few
@given(data=st.data(), mode=st.sampled_from([None, "floor", "trunc", "up"]), name=st.sampled_from(["div", "div_"]))
def test_div_that_rounds(data: st.DataObject, mode: str | None, name: str) -> None:
    operands = [data.draw(own.arrays(shape, own.dtypes)) for shape in data.draw(own.shapes_that_broadcast(2))]
    called(name, operands, as_function=False, rounding_mode=mode)


@few
@given(data=st.data(), decimals=st.integers(-2, 3), name=st.sampled_from(["round", "round_"]))
def test_round_to_decimals(data: st.DataObject, decimals: int, name: str) -> None:
    called(name, [data.draw(own.arrays(dtype=own.dtypes))], as_function=False, decimals=decimals)


@pytest.mark.parametrize("name", ["lerp", "addcmul", "addcdiv"])
@few
@given(data=st.data())
def test_functions_of_three(name: str, data: st.DataObject) -> None:
    dtypes = own.dtypes if data.draw(st.booleans()) else st.just(data.draw(own.float_dtypes))
    operands = [data.draw(own.arrays(shape, dtypes)) for shape in data.draw(own.shapes_that_broadcast(3))]
    if name == "lerp" and data.draw(st.booleans()):
        operands[2] = data.draw(own.quarters)
    options = {} if name == "lerp" else {"value": data.draw(numbers)}
    called(data.draw(form_of(name)), operands, as_function=False, **options)


@pytest.mark.parametrize("name", ["addcmul", "addcdiv"])
@pytest.mark.parametrize("value", [True, 0.0, 2])
def test_functions_of_three_have_one_dtype_for_all_three(name: str, value: Any) -> None:
    kinds = [np.array(3, np.float64), np.array([2], np.uint8), np.ones((2, 1), np.float32), np.array(1, np.float32)]
    for operands in itertools.permutations(kinds, 3):
        called(name, [*operands], as_function=False, value=value)


OPERATORS = ["x % y", "x // y", "x + y", "x * y", "x - y", "x / y", "x & y", "x | y", "x ^ y", "~x", "+x"]


@pytest.mark.parametrize("expression", [*OPERATORS, *(text.replace("x", "n", 1) for text in OPERATORS[:9])])
@few
@given(data=st.data(), n=numbers)
def test_operators(expression: str, data: st.DataObject, n: Any) -> None:
    x, y = (data.draw(own.arrays(shape, own.dtypes)) for shape in data.draw(own.shapes_that_broadcast(2)))
    code = compile(expression, "", "eval")
    assert_ends_alike(lambda lib, x, y: eval(code, {"x": x, "y": y, "n": n}), [x, y], scale=100.0)


@pytest.mark.parametrize("operator", ["**=", "%=", "//=", "&=", "|=", "^="])
@few
@given(data=st.data(), n=numbers)
def test_operators_write_in_place(operator: str, data: st.DataObject, n: Any) -> None:
    x, y = (data.draw(own.arrays(shape, own.dtypes)) for shape in data.draw(own.shapes_that_broadcast(2)))
    code = compile(f"x {operator} {data.draw(st.sampled_from('ny'))}", "", "exec")

    def compute(lib: Any, x: Any, y: Any) -> Any:
        names = {"x": x, "y": y, "n": n}
        exec(code, names)
        return names["x"], names["x"] is x

    assert_ends_alike(compute, [x, y], scale=100.0)


# --- gradients of in-place forms and of what has none -----------------------------------------------------------------


def every_in_place_form(torch: Any) -> Any:
    """Each on a result, with the gradient that comes back."""
    found = []
    for name in UNARY.split():
        if name in NO_IN_PLACE or name in ("bitwise_not", "logical_not", "sgn"):
            continue
        if name.removeprefix("arc").removeprefix("a") in ("sinh", "cosh", "tanh") and name[0] == "a":
            continue  # torch has no derivative for them in place
        x = torch.tensor([0.25, 0.5, 0.75], requires_grad=True)
        y = x * 2 - 0.1
        getattr(y, f"{name}_")()
        (y * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
        found.append((name, [float(f"{value:.4g}") for value in x.grad.tolist()]))
    return found


test_every_in_place_form = same_as_in_torch(every_in_place_form)


@refused_as_in_torch(RuntimeError, "derivative for floor_divide is not implemented; use div")
def test_floor_divide_has_no_gradient(torch: Any) -> None:
    (torch.ones(2, requires_grad=True) // 2).sum().backward()


@refused_as_in_torch(RuntimeError, "derivative for")
def test_heaviside_has_no_gradient(torch: Any) -> None:
    x = torch.ones(2, requires_grad=True)
    torch.heaviside(x, x).sum().backward()


@refused_as_in_torch(RuntimeError, "leaf Variable that requires grad")
def test_an_in_place_form_of_a_leaf(torch: Any) -> None:
    torch.ones(2, requires_grad=True).sqrt_()


@refused_as_in_torch(RuntimeError, "can't be cast")
def test_an_in_place_form_of_integers(torch: Any) -> None:
    torch.ones(2, dtype=torch.int64).sqrt_()


@refused_as_in_torch(RuntimeError, "ZeroDivisionError")
def test_an_integer_divided_by_0(torch: Any) -> None:
    torch.ones(2, dtype=torch.int64) % 0


@same_as_in_torch
def test_the_tensor_comes_first_in_the_graph(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    return [[node is not None for node, _ in y.grad_fn.next_functions] for y in (2 * x, 2 + x, x * 2, x + 2)]


def test_every_name_is_torchs() -> None:
    assert [name for name in FUNCTIONS if not hasattr(torch, name)] == []
    assert [name for name in vars(minitrain.special).get("__all__", ()) if not hasattr(torch.special, name)] == []


def test_these_tests_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tensor, "expm1", lambda x: x.exp() - 1.001)
    with pytest.raises(AssertionError):
        called("expm1", [np.ones(2, "float32")], as_function=False)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_is_exact_to_the_last_digit_or_two(dtype: str) -> None:
    x = np.concatenate([np.linspace(-7, 7, 20001), np.logspace(-30, 0, 1000)]).astype(dtype)
    exact = np.array([math.erf(value) for value in x.tolist()])
    error = np.abs(minitrain.from_numpy(x).erf().array - exact)
    assert (error <= 2 * np.finfo(dtype).eps * np.abs(exact)).all()

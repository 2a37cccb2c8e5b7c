"""A Tensor's kind, size and likeness to another, new Tensors like it, and shapes changed in place: as torch's."""

import copy
import pickle
from typing import Any

import pytest

import minitrain
from tests.comparing import refused_as_in_torch, same_as_in_torch


@same_as_in_torch
def test_kinds_and_sizes(torch: Any) -> Any:
    found = []
    for dtype in (torch.float32, torch.float64, torch.int64, torch.uint8, torch.bool):
        x = torch.ones(2, 3, dtype=dtype)
        found += [x.nelement(), x.ndimension(), x.element_size(), x.itemsize, x.nbytes, x.is_complex(), x.is_signed()]
        found += [x.stride(), x.t().stride(), x.stride(0), x.is_same_size(x.t()), x[0, 0].is_nonzero()]
        found += [str(y.dtype).removeprefix("torch.") for y in (x.byte(), x.char(), x.short(), x.type_as(x.long()))]
    return found


@same_as_in_torch
def test_shapes_of_another(torch: Any) -> Any:
    x, other = torch.arange(6.0), torch.zeros(2, 3)
    return [y.tolist() for y in (x.view_as(other), x.reshape_as(other), x[:3].expand_as(other))]


@same_as_in_torch
def test_new_tensors_in_its_dtype(torch: Any) -> Any:
    x = torch.ones(2, dtype=torch.float64)
    made = [x.new_zeros(2, 3), x.new_ones((2,)), x.new_full((2,), 7), x.new_tensor([1, 2]), x.new_empty(0)]
    made += [x.new_zeros(2, dtype=torch.int32), x.new_ones(1, requires_grad=True)]
    return [(str(y.dtype).removeprefix("torch."), y.tolist(), y.requires_grad) for y in made]


@same_as_in_torch
def test_types_by_name(torch: Any) -> Any:
    names = ["Float", "Double", "Long", "Int", "Byte"]
    return [str(torch.ones(1).type(f"torch.{name}Tensor").dtype).removeprefix("torch.") for name in names]


@refused_as_in_torch(ValueError, "invalid type: 'float'")
def test_an_unknown_type(torch: Any) -> None:
    torch.ones(1).type("float")


# --- shapes changed in place ------------------------------------------------------------------------------------------


@same_as_in_torch
def test_a_result_changes_its_shape_in_place(torch: Any) -> Any:
    found: list[Any] = []
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    for change in ("unsqueeze_(0)", "squeeze_(0)", "t_()", "transpose_(0, 1)", "squeeze_()"):
        same = eval(f"y.{change}", {"y": y})
        found += [same is y, tuple(y.shape), y.tolist()]
    y.t_().mul_(3)
    row = y[1]
    row += 1
    (y * torch.arange(6.0).reshape(3, 2)).sum().backward()
    return [*found, row.tolist(), x.grad.tolist()]


@same_as_in_torch
def test_a_view_changes_its_shape_in_place(torch: Any) -> Any:
    x = torch.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    view = y[0]
    view.unsqueeze_(1)
    view.mul_(torch.tensor([[1.0], [2.0], [3.0]]))
    (y * y).sum().backward()
    return [tuple(view.shape), y.tolist(), x.grad.tolist()]


def test_a_view_from_before_is_refused() -> None:
    y = minitrain.ones(2, 2, requires_grad=True) * 2
    view = y[0]
    y.t_().mul_(3)
    with pytest.raises(RuntimeError, match="shape was changed in place"):
        view.sum().backward()
    with pytest.raises(RuntimeError, match="shape was changed in place"):
        view.mul_(2)


@refused_as_in_torch(RuntimeError, "a leaf Variable that requires grad")
def test_a_leaf_changes_no_shape_in_place(torch: Any) -> None:
    torch.ones(2, requires_grad=True).unsqueeze_(0)


@refused_as_in_torch(RuntimeError, "cannot resize variables that require grad")
def test_a_leaf_is_not_resized(torch: Any) -> None:
    torch.ones(2, requires_grad=True).resize_(1)


@same_as_in_torch
def test_resize(torch: Any) -> Any:
    x = torch.arange(6.0)
    return [x.resize_(2, 3).tolist(), x.resize_((2, 2)).tolist(), x.resize_(5)[:4].tolist()]


@same_as_in_torch
def test_detach_in_place(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    return [y.detach_() is y, y.requires_grad, y.is_leaf]


@refused_as_in_torch(RuntimeError, "Can't detach views in-place")
def test_a_view_is_not_detached_in_place(torch: Any) -> None:
    (torch.ones(2, requires_grad=True) * 2)[0].detach_()


@same_as_in_torch
def test_random_integers_in_place(torch: Any) -> Any:
    torch.manual_seed(0)
    x = torch.zeros(3, 4)
    return [x.random_(0, 10).tolist(), x.t().random_(5).tolist(), torch.zeros(2, dtype=torch.int64).random_(7).tolist()]


# --- names ------------------------------------------------------------------------------------------------------------


@same_as_in_torch
def test_names_as_printed(torch: Any) -> Any:
    x = torch.ones(2, requires_grad=True)
    leaf = (x * 2).grad_fn.next_functions[0][0]
    return [str(type(x)).replace("minitrain", "torch"), repr(leaf).split(" at ")[0]]


def test_a_tensor_is_copied_and_pickled_under_its_public_name() -> None:
    x = minitrain.ones(2)
    assert b"minitrain.tensor" not in pickle.dumps(x)
    assert pickle.loads(pickle.dumps(x)).tolist() == copy.deepcopy(x).tolist() == [1.0, 1.0]

"""Names and keywords of older programs, or of torch's own source, that are still torch's."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import minitrain

BOTH = pytest.mark.parametrize("lib", [minitrain, torch], ids=["minitrain", "torch"])


@BOTH
def test_max_and_min_take_the_other_tensor_by_name(lib: Any) -> None:
    x, y = lib.tensor([1.0, 5.0], requires_grad=True), lib.tensor([3.0, 2.0])
    assert lib.max(input=x, other=y).tolist() == x.max(other=y).tolist() == [3, 5]
    assert lib.min(x, other=y).tolist() == x.min(other=y).tolist() == [1, 2]
    lib.max(x, other=y).sum().backward()
    assert x.grad.tolist() == [0, 1]


@BOTH
def test_split_takes_torchs_keywords(lib: Any) -> None:
    x = lib.arange(6).reshape(2, 3)
    parts = lib.split(x, split_size_or_sections=[1, 2], dim=1)
    assert [part.tolist() for part in parts] == [[[0], [3]], [[1, 2], [4, 5]]]
    assert [part.tolist() for part in lib.split(x, 1)] == [[[0, 1, 2]], [[3, 4, 5]]]
    with pytest.raises(TypeError):
        lib.split(x, split_size=1)


@BOTH
def test_grad_takes_only_inputs(lib: Any) -> None:
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    (found,) = lib.autograd.grad(y, x, None, True, False, True)
    assert found.tolist() == [2, 4]
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated and is ignored now"):
        lib.autograd.grad(outputs=y, inputs=x, only_inputs=False)


def test_a_gradient_penalty_is_refused_for_its_second_gradient() -> None:
    x = minitrain.ones(2, requires_grad=True)
    with pytest.raises(NotImplementedError, match="create_graph"):
        minitrain.autograd.grad(outputs=(x * x).sum(), inputs=x, create_graph=True, retain_graph=True, only_inputs=True)


@BOTH
def test_data_parallel_without_gpus_runs_the_module(lib: Any) -> None:
    lib.manual_seed(0)
    model = lib.nn.DataParallel(lib.nn.Sequential(lib.nn.Linear(2, 1)), device_ids=None, dim=0)
    assert repr(model) == (
        "DataParallel(\n  (module): Sequential(\n    (0): Linear(in_features=2, out_features=1, bias=True)\n  )\n)"
    )
    assert list(model.state_dict()) == ["module.0.weight", "module.0.bias"]
    x = lib.ones(3, 2)
    assert lib.equal(model(x), model.module(x))
    assert not model.eval().module.training
    assert model.device_ids == []


@BOTH
def test_layers_are_found_where_torch_defines_them(lib: Any) -> None:
    assert lib.nn.modules.linear.Linear is lib.nn.modules.Linear is lib.nn.Linear
    assert lib.nn.modules.loss.MSELoss is lib.nn.MSELoss
    with pytest.raises(AttributeError):
        lib.nn.modules.conv.Conv9d  # noqa: B018


def test_layers_are_imported_from_where_torch_defines_them(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import torch.nn.modules.conv\n"
        "from torch.nn.modules import Module\n"
        "from torch.nn.modules.batchnorm import BatchNorm1d\n"
        "print(torch.nn.modules.conv.Conv2d(1, 2, 3), issubclass(BatchNorm1d, Module))\n"
    )
    ran = subprocess.run([sys.executable, "-m", "minitrain", "run", program], capture_output=True, text=True)
    assert ran.stderr == ""
    assert ran.stdout == "Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1)) True\n"


@BOTH
def test_fans_for_a_layer_written_after_torchs(lib: Any) -> None:
    fans = lib.nn.init._calculate_fan_in_and_fan_out
    assert fans(lib.ones(5, 3)) == (3, 5)
    assert fans(lib.ones(4, 2, 3, 3)) == (18, 36)


@BOTH
def test_saved_variables_is_the_old_name_of_saved_tensors(lib: Any) -> None:
    class Square(lib.autograd.Function):  # type: ignore[misc, name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, grad_y: Any) -> Any:
            with pytest.warns(DeprecationWarning, match="'saved_variables' is deprecated; use 'saved_tensors'"):
                (x,) = ctx.saved_variables
            return 2 * x * grad_y

    x = lib.tensor([3.0], requires_grad=True)
    Square.apply(x).backward()
    assert x.grad.tolist() == [6]


@BOTH
def test_volatile_is_false(lib: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert lib.autograd.Variable(lib.ones(2)).volatile is False
    assert str(caught[0].message).startswith("volatile was removed (Variable.volatile is always False)")


def test_version_says_that_there_is_no_cuda() -> None:
    for lib in (minitrain, torch):
        assert lib.version.cuda is lib.version.hip is None
        assert lib.version.__version__ == lib.__version__


@BOTH
def test_a_list_and_a_dict_of_parameters_print_their_shapes(lib: Any) -> None:
    parameters = [lib.nn.Parameter(lib.ones(2, 3)), lib.nn.Parameter(lib.ones(2, dtype=lib.float64))]
    listed, named = lib.nn.ParameterList(parameters), lib.nn.ParameterDict(zip("ab", parameters, strict=True))
    assert repr(listed).replace("torch.", "") == (
        "ParameterList(\n    (0): Parameter containing: [float32 of size 2x3]\n"
        "    (1): Parameter containing: [float64 of size 2]\n)"
    )
    assert repr(lib.nn.Sequential(named)).replace("torch.", "") == (
        "Sequential(\n  (0): ParameterDict(\n      (a): Parameter containing: [FloatTensor of size 2x3]\n"
        "      (b): Parameter containing: [DoubleTensor of size 2]\n  )\n)"
    )


@BOTH
def test_functions_that_copy_what_they_would_give_a_view_of(lib: Any) -> None:
    x = lib.arange(6.0).reshape(2, 3).requires_grad_()
    copies = {
        "permute_copy": (1, 0),
        "transpose_copy": (0, 1),
        "unsqueeze_copy": (0,),
        "squeeze_copy": (),
        "t_copy": (),
        "view_copy": (3, 2),
        "select_copy": (1, 2),
        "narrow_copy": (1, 1, 2),
        "diagonal_copy": (),
        "detach_copy": (),
        "expand_copy": (4, 2, 3),
    }
    for name, arguments in copies.items():
        given = [arguments] if name in ("permute_copy", "view_copy", "expand_copy") else arguments
        y, view = getattr(lib, name)(x, *given), getattr(x, name.removesuffix("_copy"))(*arguments)
        assert (lib.equal(y, view), y.is_contiguous()) == (True, True)
        assert y.data_ptr() not in (x.data_ptr(), view.data_ptr())
    lib.select_copy(x, 1, 2).sum().backward()
    assert x.grad.tolist() == [[0, 0, 1], [0, 0, 1]]


@BOTH
def test_saving_into_a_folder_that_does_not_exist(lib: Any, tmp_path: Path) -> None:
    with pytest.raises((RuntimeError, FileNotFoundError), match=r"^Parent directory .*models does not exist\."):
        lib.save({"w": lib.ones(2)}, tmp_path / "models" / "w.pt")
    assert list(tmp_path.iterdir()) == []

"""`import minitrain` loads what nearly every training program needs; other names are imported with their first use."""

import ast
import importlib
import inspect
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minitrain
from minitrain import nn, ops

ROOT = Path(minitrain.__file__).parent
LAZY = sorted(
    ".".join(("minitrain", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if "if TYPE_CHECKING:" in path.read_text("utf-8") and "__getattr__, __dir__ =" in path.read_text("utf-8")
)
# What the shortest training program does not need: files, pictures, hints in errors, transforms, rarer layers.
NOT_NEEDED = {
    *("PIL", "bz2", "difflib", "importlib.resources", "lzma", "random", "shutil", "tempfile", "zipfile"),
    *("safetensors", "torch", "torchvision", "pooch"),
    *(
        f"minitrain.{name}"
        for name in ("autograd", "data.datasets", "data.transforms", "diagnosis", "joining", "linalg")
    ),
    *(f"minitrain.{name}" for name in ("nn.activation", "nn.convolution", "nn.normalization", "nn.embedding")),
    *(f"minitrain.{name}" for name in ("ops.convolution", "optim.lr_scheduler", "sampling", "serialization", "vision")),
}


def run(program: str) -> Any:
    """What a fresh process that runs this program prints, as JSON."""
    return json.loads(subprocess.check_output([sys.executable, "-c", program], text=True))


def test_import_minitrain_loads_nothing_that_few_programs_need() -> None:
    program = "import numpy, sys; before = set(sys.modules); import minitrain, json; "
    loaded = set(run(program + "print(json.dumps([*set(sys.modules) - before]))"))
    assert loaded & NOT_NEEDED == set()
    assert sum(name.startswith("minitrain") for name in loaded) < 90
    assert {"minitrain.nn.layers", "minitrain.nn.loss", "minitrain.optim.sgd", "minitrain.data.loader"} <= loaded


def test_the_modules_that_need_not_be_loaded_exist() -> None:
    ours = {name for name in NOT_NEEDED if name.startswith("minitrain")}
    assert [name for name in ours if importlib.import_module(name).__name__ != name] == []


@pytest.mark.parametrize("module", LAZY)
def test_type_checkers_see_the_names_that_are_imported_on_first_use(module: str) -> None:
    found = importlib.import_module(module)
    tree = ast.parse(Path(str(found.__file__)).read_text("utf-8"))
    imports = [
        (alias.asname or alias.name, f"{statement.module}.{alias.name}")
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    ]
    assert imports
    for name, place in imports:
        home, _, source = place.rpartition(".")
        assert getattr(found, name) is (sys.modules.get(place) or getattr(importlib.import_module(home), source)), name
    on_first_use = set(inspect.getclosurevars(found.__getattr__).nonlocals["places"])
    functions = {*minitrain.functions.FUNCTIONS} if module == "minitrain" else set()  # made, not imported
    assert on_first_use - functions == {name for name, _ in imports}


def test_star_imports_give_every_name() -> None:
    modules = ["minitrain", "minitrain.nn", "minitrain.ops", "minitrain.data.transforms"]
    program = "import json, sys\n" + "".join(f"from {module} import *\n" for module in modules)
    program += f"print(json.dumps([n for m in {modules} for n in sys.modules[m].__all__ if n not in globals()]))"
    assert run(program) == []


def test_a_name_is_imported_once_and_then_an_attribute_like_any_other() -> None:
    program = "import minitrain.nn as nn, json; before = 'Conv2d' in vars(nn); same = nn.Conv2d is nn.Conv2d; "
    assert run(program + "print(json.dumps([before, same, 'Conv2d' in vars(nn)]))") == [False, True, True]


def test_pickles_and_isinstance_find_classes_in_a_process_that_has_not_used_them() -> None:
    stored = pickle.dumps([nn.Conv2d, minitrain.optim.Adagrad, minitrain.Generator, ops.Cos])
    program = f"import pickle, minitrain, json; conv, rule, *_ = pickle.loads({stored!r}); "
    program += "layer = minitrain.nn.Conv2d(1, 1, 1); print(json.dumps([isinstance(layer, conv), rule.__name__]))"
    assert run(program) == [True, "Adagrad"]


def test_what_no_module_has_is_still_explained() -> None:
    with pytest.raises(AttributeError, match=r"minitrain does not offer torch.nn.LSTM: recurrent layers are out"):
        _ = nn.LSTM
    with pytest.raises(ImportError, match=r"minitrain does not offer torch.nn.Lineer: did you mean Linear"):
        exec("from minitrain.nn import Lineer")
    with pytest.raises(AttributeError, match=r"module 'minitrain.ops' has no attribute 'Cosine'"):
        _ = ops.Cosine


def test_methods_that_are_imported_with_their_first_use_are_the_functions() -> None:
    program = (
        "import minitrain as t, sys, json; x = t.eye(2); 'svd' in dir(x); before = 'minitrain.linalg' in sys.modules"
    )
    program += "; u, s, v = x.svd(); print(json.dumps([before, s.tolist(), t.Tensor.svd is t.linalg.old_svd]))"
    assert run(program) == [False, [1.0, 1.0], True]
    x = minitrain.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert x.multinomial(1).tolist() == [[1], [0]]
    assert x.bernoulli().equal(x)
    assert x.pinverse().allclose(x)
    assert [part.shape for part in x.qr()] == [(2, 2), (2, 2)]
    assert x.slogdet().logabsdet.item() == pytest.approx(0)
    assert minitrain.eye(2).cholesky().equal(minitrain.eye(2))

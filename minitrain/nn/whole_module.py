"""A Module as plain data and Tensors, and back: what save writes of a whole model. No code is stored, and none is run.

Only the class's name is stored. So a file can be loaded only by a program that defines the class, and it can only set
attributes of Modules: numbers, strings, Tensors, and lists and dicts of them.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Mapping
from typing import Any

from minitrain.nn.module import Module
from minitrain.nn.module_tree import ModuleTree
from minitrain.nn.parameter import Parameter
from minitrain.tensor import Tensor

HOOKS = ("_forward_hooks", "_forward_pre_hooks")


def parts_of(module: Module) -> dict[str, Any]:
    """The attributes of a Module. Raises TypeError for what a file cannot hold: hooks."""
    parts = dict(vars(module))
    if any(parts.pop(name) for name in HOOKS):
        raise TypeError(
            "cannot save a whole model that has hooks: they are code. Remove them, or save its state_dict()."
        )
    parts["_not_saved"] = sorted(parts["_not_saved"])
    return parts


def built_from(module: str, name: str, parts: Any) -> Module:
    """The Module of the class with this name, with these attributes; its __init__ is not called.

    Raises ValueError if the program has no such class, or the attributes are not what parts_of returns.
    """
    cls = _found(module, name)
    made: Module = cls.__new__(cls)
    ModuleTree.__init__(made)
    kinds = {"_parameters": Parameter | None, "_buffers": Tensor | None, "_modules": Module | None}
    if not isinstance(parts, dict) or not {*kinds, "_not_saved"} <= parts.keys() or parts.keys() & {*HOOKS}:
        raise ValueError(f"it has a {name} without its attributes")
    for kind, values in kinds.items():
        if not isinstance(parts[kind], Mapping) or not all(isinstance(value, values) for value in parts[kind].values()):
            raise ValueError(f"it has a {name} with impossible {kind}")
    if not isinstance(parts["_not_saved"], list) or not all(isinstance(key, str) for key in parts["_not_saved"]):
        raise ValueError(f"it has a {name} with impossible names of buffers")
    vars(made).update(parts | {"_not_saved": set(parts["_not_saved"])})
    return made


def _found(module: str, name: str) -> type[Module]:
    """The class of this name in a module that is imported, or in minitrain.nn."""
    found = sys.modules.get(module)
    if found is None and module.startswith("minitrain.nn."):
        with contextlib.suppress(ImportError):
            found = importlib.import_module(module)
    cls: Any = found
    for part in name.split("."):
        cls = getattr(cls, part, None)
    if not isinstance(cls, type) or not issubclass(cls, Module):
        raise ValueError(
            f"it holds a model of the class {name}, which {module} does not define; define or import the class first, "
            "or save a state_dict"
        )
    return cls

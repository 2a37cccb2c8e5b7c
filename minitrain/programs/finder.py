"""The import finder that lets `import torch` and `import torchvision` find minitrain's modules, in this process."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

from minitrain.torchlike.not_offered import explanation

ROOTS = {"torch": "minitrain", "torchvision": "minitrain.vision"}


def minitrain_name(name: str) -> str:
    """The module of minitrain that stands for one of torch's: torch.utils.data is minitrain.utils.data."""
    root, dot, rest = name.partition(".")
    return ROOTS[root] + dot + rest


class TorchFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds minitrain's module under torch's name. It is one and the same module, under both names."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a module of torch's. Raises ModuleNotFoundError, with advice, if minitrain does not offer it."""
        if fullname.partition(".")[0] not in ROOTS:
            return None
        name = minitrain_name(fullname)
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not name.startswith(error.name):
                raise
            offered = vars(sys.modules.get(name.rpartition(".")[0], sys)).get("__all__", ())
            text = explanation(name.removeprefix("minitrain."), offered)
            raise ModuleNotFoundError(f"No module named {fullname!r}: {text}", name=fullname) from None
        return importlib.util.spec_from_loader(fullname, self, is_package=hasattr(module, "__path__"))

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that is there already."""
        module = sys.modules[minitrain_name(spec.name)]
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run; the module keeps the spec of its own name, which the import system has replaced."""
        spec = module.__spec__
        if spec is not None and spec.loader_state is not None:
            module.__spec__ = spec.loader_state


def install() -> None:
    """Let imports of torch and torchvision find minitrain from now on; a second call changes nothing.

    Raises RuntimeError if torch is imported already.
    """
    if any(isinstance(finder, TorchFinder) for finder in sys.meta_path):
        return
    imported = [root for root in ROOTS if root in sys.modules]
    if imported:
        raise RuntimeError(
            f"{imported[0]} is imported already, and cannot be replaced in this process; install minitrain's names "
            "before the first import of torch (in a notebook: restart the kernel, and do it in the first cell)."
        )
    sys.meta_path.insert(0, TorchFinder())

"""Names that a module imports with their first use (PEP 562), so that `import minitrain` runs no more than it must.

A module lists these names by the modules that define them:

    __getattr__, __dir__ = on_first_use(__name__, {"minitrain.serialization": "load save"})

It also imports them under `if TYPE_CHECKING`, for type checkers and editors, and names them in `__all__`. Modules of
torch's names call `torch_names` (torchlike/not_offered.py) instead, whose error explains what is not offered.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from types import FrameType
from typing import Any


def _missing(module: str, name: str, frame: FrameType) -> Exception:
    return AttributeError(f"module {module!r} has no attribute {name!r}")


def on_first_use(
    module: str, elsewhere: Mapping[str, str], missing: Callable[[str, str, FrameType], Exception] = _missing
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """A module's __getattr__ and __dir__.

    elsewhere: modules, and the names to import from each. The module itself stands for its submodules; "qr=old_qr"
    imports old_qr as qr.
    missing: the error for any other name, given the module's name, that name, and the frame that asks for it.
    """
    places = {
        name: (place, source or name)
        for place, names in elsewhere.items()
        for name, _, source in (entry.partition("=") for entry in names.split())
    }

    def __getattr__(name: str) -> Any:  # noqa: N807, the module's own
        if name not in places:
            raise missing(module, name, sys._getframe(1))
        place, source = places[name]
        found = import_module(f"{module}.{source}") if place == module else getattr(import_module(place), source)
        setattr(sys.modules[module], name, found)
        return found

    def __dir__() -> list[str]:  # noqa: N807, the module's own
        return sorted({*vars(sys.modules[module]), *places})

    return __getattr__, __dir__

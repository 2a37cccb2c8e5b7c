"""Puts a mistake of the catalogue into the library, in this process."""

import contextlib
import inspect
import sys
from collections.abc import Iterator

import pytest

from minitrain.mistakes.specimen import Specimen


@contextlib.contextmanager
def planted(specimen: Specimen) -> Iterator[None]:
    """The library with the mistake: in its class, or wherever a module has a name for the function."""
    *_, owner, name = specimen.of.split(".")
    wrong, original = specimen.function, specimen.original
    with pytest.MonkeyPatch.context() as patch:
        if owner[0].isupper():
            holder = getattr(sys.modules[original.__module__], owner)
            static = isinstance(inspect.getattr_static(holder, name), staticmethod)
            patch.setattr(holder, name, staticmethod(wrong) if static else wrong)
        else:
            for module in [module for key, module in sys.modules.items() if key.startswith("minitrain.")]:
                if vars(module).get(name) is original:
                    patch.setattr(module, name, wrong)
        yield

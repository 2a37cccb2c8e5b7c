"""Runs a PyTorch program as `python program.py` would, on minitrain or on torch."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import signal
import sys
import traceback
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from minitrain.programs.finder import install
from minitrain.runs.config import ConfigError
from minitrain.runs.interrupts import end_at_once


class ProgramError(ConfigError):
    """The program cannot be read: a wrong path, a folder."""


def read_source(path: Path) -> bytes:
    """The program's source. Raises ProgramError with the reason if it cannot be read, or is a notebook."""
    if path.suffix == ".ipynb":
        raise ProgramError(
            f"{path} is a notebook: put `import minitrain.as_torch` into its first cell and run it in Jupyter, or "
            "convert it to a program with `jupyter nbconvert --to script`"
        )
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise ProgramError(f"{path} is a folder; name a program, such as {path / 'program.py'}") from None
    except OSError as error:
        raise ProgramError(f"cannot read {path}: {error.strerror}") from None


def find_module(name: str) -> ModuleSpec:
    """What `python -m name` runs: the module, or a package's __main__. Raises ProgramError if it is not found."""
    try:
        spec = importlib.util.find_spec(name)
        is_package = spec is not None and spec.submodule_search_locations is not None
        spec = importlib.util.find_spec(f"{name}.__main__") if is_package else spec
    except (ModuleNotFoundError, ValueError) as error:
        raise ProgramError(f"cannot find the module {name}: {error}") from None
    if is_package and spec is None:
        raise ProgramError(f"{name} is a package and cannot be run: it has no {name}.__main__")
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ProgramError(f"cannot find the module {name} as a Python file; the search begins in this folder")
    return spec


def run(path: Path, arguments: Sequence[str], *, on: str = "minitrain", module: bool = False) -> int:
    """Run a program in this process, whose main module it becomes; returns the exit status.

    arguments: the program's own, sys.argv[1:]. on: "minitrain", or "torch" for torch itself.
    module: path is a module's name, and the program runs as with `python -m`.
    Errors of the program are printed as Python prints them, with the program's own lines.
    """
    source = b"" if module else read_source(path)
    if on == "minitrain":
        install()
    else:
        sys.meta_path.insert(0, _TorchvisionMender())
    spec = None
    if module:
        sys.argv, sys.path[0:1] = ["-m", *arguments], [os.getcwd()]
        spec = find_module(str(path))  # imports the packages that it is in
        path = Path(str(spec.origin))
        source = read_source(path)
    else:
        sys.path[0:1] = [str(path.resolve().parent)]
    sys.argv = [str(path), *arguments]
    main, file = types.ModuleType("__main__"), os.path.abspath(path)
    vars(main).update(__file__=file, __builtins__=__builtins__, __spec__=spec, __package__=spec and spec.parent)
    sys.modules["__main__"] = main
    end_at_once()  # SIGTERM and SIGHUP, as for any program of Python's
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        exec(compile(source, file, "exec", dont_inherit=True), vars(main))
    except SystemExit as stop:
        return _status(stop.code)
    except BaseException as error:
        if on == "minitrain" and "unexpected keyword" in str(error) and "minitrain" not in str(error):
            _explain_keyword(error, path)
        _print_error(error)
        if isinstance(error, KeyboardInterrupt):
            _end_by_interrupt()
        return 1
    return 0


def _status(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _explain_keyword(error: BaseException, path: Path) -> None:
    """Add what the check of the program says about the line in which a keyword was not known."""
    from minitrain.programs.check import check  # which imports this file

    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    if frame.f_code.co_filename == os.path.abspath(path):
        for missing in check(path):
            if line == missing.line:
                error.add_note(missing.text)


def _print_error(error: BaseException) -> None:
    """Print the traceback without the frames above the program's own, or by the program's sys.excepthook."""
    if sys.stdout is not None:
        sys.stdout.flush()
    own = error.__traceback__.tb_next if error.__traceback__ is not None else None
    if sys.excepthook is not sys.__excepthook__:
        sys.excepthook(type(error), error.with_traceback(own), own)
    else:
        traceback.print_exception(type(error), error.with_traceback(own), own)


def _end_by_interrupt() -> None:
    """End as Python does after Ctrl-C: by the signal, so that the shell knows."""
    sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


class _TorchvisionMender(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports torchvision in a way that also works beside a torch built for the CPU alone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """torchvision's, once."""
        if fullname != "torchvision":
            return None
        sys.meta_path.remove(self)
        from minitrain.with_torch.import_torchvision import import_torchvision

        spec = importlib.util.spec_from_loader(fullname, self, is_package=True)
        if spec is not None:
            spec.loader_state = import_torchvision()
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that was imported."""
        module: ModuleType = spec.loader_state
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """It has run; give it its own spec back."""
        module.__spec__ = self._spec

"""Lists the names that a PyTorch program uses and minitrain does not offer, without running the program."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from minitrain.programs.finder import ROOTS, minitrain_name
from minitrain.programs.run import ProgramError, read_source
from minitrain.torchlike.device import _Absent
from minitrain.torchlike.not_offered import ADVICE, check_keywords, explanation


@dataclasses.dataclass(frozen=True, order=True)
class Missing:
    """A name that is not offered: in which line it stands, the name as the program has it, and what to do instead."""

    line: int
    name: str
    text: str


def check(path: Path) -> list[Missing]:
    """The names of torch and torchvision that the program uses and minitrain lacks, in the order of their lines.

    Seen are imports, names reached from them through attributes, keywords of such calls, and methods that only a
    Tensor or a Module of torch's has. Raises ProgramError if the program cannot be read or is not valid Python.
    """
    try:
        tree = ast.parse(read_source(path), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise ProgramError(f"{path}{line} is not valid Python: {error}") from None
    finder = _Finder()
    finder.visit(tree)
    return sorted(set(finder.missing))


class _Finder(ast.NodeVisitor):
    """Follows the names that imports bind, through the whole program; but not one that is bound otherwise, too."""

    def __init__(self) -> None:
        self.missing: list[Missing] = []
        self.bound: dict[str, str] = {}  # the program's name -> torch's dotted name

    def visit_Module(self, node: ast.Module) -> None:
        for statement in ast.walk(node):
            if isinstance(statement, ast.Import):
                self._imports(statement)
            elif isinstance(statement, ast.ImportFrom) and not statement.level:
                self._imports_from(statement)
        for name in _bound_otherwise(node):  # optim = optim.SGD(...)
            self.bound.pop(name, None)
        self.generic_visit(node)

    def _imports(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if root in ROOTS:
                self.bound[alias.asname or root] = alias.name if alias.asname else root
                self._require(node.lineno, alias.name)

    def _imports_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if module.partition(".")[0] not in ROOTS:
            return
        if _resolve(module) is None:
            self._require(node.lineno, module)
            return
        for alias in node.names:
            if alias.name != "*":
                self.bound[alias.asname or alias.name] = f"{module}.{alias.name}"
                self._require(node.lineno, f"{module}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self._dotted(node)
        if name is not None:
            self._require(node.lineno, name)
            return  # what it begins with is part of the name
        if f"Tensor.{node.attr}" in ADVICE:
            self.missing.append(Missing(node.lineno, f".{node.attr}", explanation(f"Tensor.{node.attr}")))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func)
        function = _resolve(name) if name is not None else None
        if callable(function):
            called = function.__init__ if inspect.isclass(function) else function
            try:
                check_keywords(called, str(name), [keyword.arg for keyword in node.keywords if keyword.arg])
            except TypeError as error:
                self.missing.append(Missing(node.lineno, str(name), str(error)))
            except ValueError:  # a builtin without a signature
                pass
        self.generic_visit(node)

    def _dotted(self, node: ast.AST) -> str | None:
        """torch's dotted name of an expression such as nn.functional.relu; None for any other."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.bound:
            return ".".join([self.bound[node.id], *reversed(parts)])
        return None

    def _require(self, line: int, name: str) -> None:
        for shown, part in _growing(name):
            if _resolve(shown) is None:
                offered = _offered_beside(shown)
                text = explanation(minitrain_name(shown).removeprefix("minitrain."), offered)
                self.missing.append(Missing(line, shown, text))
                return
            if not isinstance(part, ModuleType) or isinstance(part, _Absent):
                return  # attributes of classes and values are not followed, nor what programs ask a GPU if it is there


def _bound_otherwise(tree: ast.AST) -> Iterator[str]:
    """The names that the program binds by anything but an import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _growing(name: str) -> Iterator[tuple[str, Any]]:
    """torch, torch.nn, torch.nn.Linear, with what each is in minitrain."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        shown = ".".join(parts[:end])
        yield shown, _resolve(shown)


def _resolve(name: str) -> Any:
    """minitrain's object of torch's dotted name, or None if minitrain does not have it."""
    return _found(minitrain_name(name))


def _found(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        module, _, attribute = name.rpartition(".")
    with contextlib.suppress(ImportError):  # what a module's __getattr__ may raise
        return getattr(_found(module) if module else None, attribute, None)
    return None


def _offered_beside(name: str) -> list[str]:
    beside = name.rpartition(".")[0]
    holder = _resolve(beside) if beside else None
    return list(getattr(holder, "__all__", ())) if holder is not None else []

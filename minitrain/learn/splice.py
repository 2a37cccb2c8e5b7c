"""Cuts a piece out of the library's source for the learner, and puts the learner's version back in.

A piece is a function (`walk_back`) or a method (`ReLU.backward`) of a minitrain module. `learner_file` writes the file
that the learner works in: the piece without its body, and the code around it that is needed to understand it. `splice`
compiles the module's source again, with the learner's code in place of the library's. check_process.py runs that code
in an interpreter that has not imported the module yet. So the whole library uses the learner's piece, and every error
in it shows the learner's file and line.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import dataclasses
import difflib
import itertools
import sys
import textwrap
import types
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

WIDTH = 120
LEARNERS = 1_000_000  # added to the learner's line numbers while they are compiled together with the library's
MOVED = {  # modules that learners' files of earlier versions import from
    "minitrain.arguments": "minitrain.torchlike.arguments",
    "minitrain.device": "minitrain.torchlike.device",
    "minitrain.memory": "minitrain.layout",
    "minitrain.random": "minitrain.torchlike.random",
    "minitrain.training.loops": "minitrain.loops",
}
NO_LONGER_THERE = {"Tensor": "minitrain.tensor"}  # names that such files use without an import: their module had them


class SpliceError(Exception):
    """What is wrong with a learner's file, and in which line (None: in the file as a whole)."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


# --- where a piece is -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Piece:
    """A function or a method of a module.

    module: the module's full name. path: its source file. source: the file's text. name: `walk_back` or
    `ReLU.backward`.
    """

    module: str
    path: Path
    source: str
    name: str

    @property
    def class_name(self) -> str:
        """The method's class; "" for a function."""
        return self.name.rpartition(".")[0]

    @property
    def function_name(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]


def find_piece(package: Path, target: str) -> Piece:
    """The piece called target in the package in this folder, for example ops.ReLU.backward or nn.init.uniform_.

    A module may be left out: ops.ReLU.backward is looked for in every file of ops/.
    Raises LookupError if there is no such module or piece.
    """
    parts = target.split(".")
    for i in range(len(parts) - 1, 0, -1):
        folder, name = package.joinpath(*parts[:i]), ".".join(parts[i:])
        files = [folder.with_suffix(".py")] if folder.with_suffix(".py").is_file() else sorted(folder.glob("*.py"))
        for path in files:
            module = ".".join([package.name, *path.relative_to(package).with_suffix("").parts])
            piece = Piece(module, path, path.read_text("utf-8"), name)
            with contextlib.suppress(LookupError):
                _find(ast.parse(piece.source), piece)
                return piece
    raise LookupError(f"{package} has no module that contains {target}")


def _find(tree: ast.Module, piece: Piece) -> tuple[ast.FunctionDef | ast.ClassDef, ast.FunctionDef]:
    """The piece's top-level statement in the library's tree (the function or its class), and the function itself."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == piece.name:
            return statement, statement
        if isinstance(statement, ast.ClassDef) and statement.name == piece.class_name:
            methods = _methods(statement)
            if piece.function_name in methods:
                return statement, methods[piece.function_name]
    raise LookupError(f"{piece.path} has no {piece.name}")


def _methods(holder: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {statement.name: statement for statement in holder.body if isinstance(statement, ast.FunctionDef)}


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


# --- the learner's file -----------------------------------------------------------------------------------------------


def learner_file(
    piece: Piece,
    body: str,
    *,
    introduction: str,
    given: Collection[str] | None = None,
    gap: tuple[str, str] | None = None,
    program: str = "",
) -> str:
    """The text of the file that the learner works in.

    body: the code at the place where the learner writes, without indentation.
    introduction: the file's docstring. given: the names of the class's other methods to show; None shows all.
    gap: how the learner's first and last statements begin (the first may be a comment). None: the learner writes the
        whole body. The docstring, and a comment below it, stay in both cases.
    program: the code that runs when the learner runs the file.
    Raises LookupError unless the gap's lines exist exactly once.
    """
    tree = ast.parse(piece.source)
    lines = piece.source.splitlines()
    holder, function = _find(tree, piece)
    first, last = _gap(lines, function, gap)
    indent = lines[first][: len(lines[first]) - len(lines[first].lstrip())]

    def with_lines(taken: list[str]) -> str:
        written = [*lines[_start(function) - 1 : first], *taken, *lines[last : function.end_lineno]]
        if not isinstance(holder, ast.ClassDef):
            return "\n".join(written)
        top = holder.body[0].end_lineno if _is_docstring(holder.body[0]) else holder.lineno
        parts = [lines[holder.lineno - 1 : top]]
        for name, method in _methods(holder).items():
            if method is function:
                parts.append(written)
            elif given is None or name in given:
                margin = " " * method.col_offset
                whole = lines[_start(method) - 1 : method.end_lineno]
                parts.append([f"{margin}# Given, as it is in {piece.module}.", *whole])
        return "\n\n".join("\n".join(part) for part in parts)

    text = with_lines(textwrap.indent(body.rstrip(), indent).split("\n"))
    imports = _imports(tree, piece, _names(text) | _names(with_lines(lines[first:last])))
    parts = [f'"""{introduction.strip()}\n"""', "from __future__ import annotations", imports, f"\n{text}"]
    if program:
        parts.append(f"\n{program.strip()}")
    return "\n\n".join(parts) + "\n"


def body_of(piece: Piece, gap: tuple[str, str] | None = None) -> str:
    """The library's lines at the place where the learner writes, without indentation."""
    lines = piece.source.splitlines()
    _, function = _find(ast.parse(piece.source), piece)
    first, last = _gap(lines, function, gap)
    return textwrap.dedent("\n".join(lines[first:last]))


def _gap(lines: list[str], function: ast.FunctionDef, gap: tuple[str, str] | None) -> tuple[int, int]:
    """The range of the learner's lines, counted from 0: the first, and the one after the last."""
    end = function.end_lineno or 0
    statements = function.body[1:] if _is_docstring(function.body[0]) else function.body
    start = statements[0].lineno - 1 if statements else end
    if gap is None:
        return start, end
    first, last = (_line_of(text, lines, function, start) for text in gap)
    ends = [node.end_lineno for node in ast.walk(function) if isinstance(node, ast.stmt) and node.lineno == last + 1]
    return first, ends[0] or last + 1


def _line_of(beginning: str, lines: list[str], function: ast.FunctionDef, start: int) -> int:
    found = [i for i in range(start, function.end_lineno or 0) if lines[i].strip().startswith(beginning)]
    if len(found) != 1:
        raise LookupError(f"{function.name} should have one line that begins with {beginning!r}, but has {len(found)}")
    return found[0]


def _start(function: ast.FunctionDef) -> int:
    """The line number of the function's first line, including decorators."""
    return min([function.lineno, *[decorator.lineno for decorator in function.decorator_list]])


def _names(text: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}


def _imports(tree: ast.Module, piece: Piece, names: set[str]) -> str:
    """The import lines that the file needs: each name from where the module imports it, or from the module itself."""
    needed: list[ast.Import | ast.ImportFrom] = []
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) and _module(statement) != "__future__":
            used = [alias for alias in statement.names if _bound(alias) in names | {"np"}]  # NumPy is always of use
            if used:
                needed.append(copy.copy(statement))
                needed[-1].names = used
    own = sorted((names & _defined(tree).keys()) - {piece.name, piece.class_name}, key=_import_order)
    if own:
        needed.append(ast.ImportFrom(piece.module, [ast.alias(name) for name in own], 0))

    def group(statement: ast.Import | ast.ImportFrom) -> int:  # the standard library, NumPy, minitrain
        root = _root(_module(statement))
        return 2 if root == _root(piece.module) else 0 if root in sys.stdlib_module_names else 1

    needed.sort(key=lambda x: (group(x), isinstance(x, ast.ImportFrom), _module(x)))
    return "\n\n".join("\n".join(map(_import_line, some)) for _, some in itertools.groupby(needed, group))


def _module(statement: ast.Import | ast.ImportFrom) -> str:
    """The module that a statement imports, or imports from."""
    return (statement.module or "") if isinstance(statement, ast.ImportFrom) else statement.names[0].name


def _root(module: str) -> str:
    return module.partition(".")[0]


def _bound(alias: ast.alias) -> str:
    """The name that an import binds."""
    return alias.asname or _root(alias.name)


def _import_order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions, as isort orders them."""
    bare = name.lstrip("_")
    return (0 if bare.isupper() and len(bare) > 1 else 1 if bare[:1].isupper() else 2), name


def _import_line(statement: ast.stmt) -> str:
    line = ast.unparse(statement)
    if len(line) <= WIDTH:
        return line
    module, _, names = line.partition(" import ")
    return f"{module} import (\n    " + names.replace(", ", ",\n    ") + ",\n)"


def _defined(tree: ast.Module) -> dict[str, ast.stmt]:
    """The functions, classes and values that a module defines at top level, without its imports."""
    defined: dict[str, ast.stmt] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            defined.update((target.id, statement) for target in targets if isinstance(target, ast.Name))
    return defined


# --- the learner's piece in the library -------------------------------------------------------------------------------


def splice(piece: Piece, source: str, filename: str) -> list[types.CodeType]:
    """The module's code with the learner's piece in place of the library's; run the code objects in order.

    source, filename: the learner's file. All methods of its class replace the library's, and its imports and helpers
    become part of the module. Tracebacks show the learner's file name and line numbers.
    Raises SpliceError if the file is not Python, or if the piece is missing, defined twice, or has other parameters.
    """
    tree = _parse(source, filename)
    library = ast.parse(piece.source)
    holder: Any = _find(library, piece)[0]
    theirs = _learners_piece(tree, piece)
    if isinstance(theirs, ast.ClassDef):
        _drop_outdated_methods(theirs, holder, tree, library, piece)
        new: ast.stmt = _merged(holder, theirs)
    else:
        _check_signature(holder, theirs)
        new = _moved(theirs)
    before, after = _rest(tree, theirs, library, piece)
    place = library.body.index(holder)
    future = [x for x in library.body if isinstance(x, ast.ImportFrom) and x.module == "__future__"]
    return [
        _compiled(library.body[:place], piece.path),
        _compiled([*future, *before], filename),
        _relocated(_compiled([*future, new, *library.body[place + 1 :]], piece.path), filename),
        _compiled([*future, *after], filename),
    ]


def _compiled(body: list[ast.stmt], filename: str | Path) -> types.CodeType:
    code: types.CodeType = compile(ast.Module(body, []), str(filename), "exec", dont_inherit=True)
    return code


def _parse(source: str, filename: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.11's category for an invalid escape
            compile(source, filename, "exec", dont_inherit=True)  # finds more than parsing: a return outside a function
            return ast.parse(source)
    except SyntaxError as error:
        kind = {"IndentationError": "indentation", "TabError": "tabs"}.get(type(error).__name__, "syntax")
        raise SpliceError(f"this is not Python ({kind}): {error.msg}", error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; brackets a thousand deep
        raise SpliceError(f"this is not Python: {error or 'it is nested too deeply'}") from None


def _learners_piece(tree: ast.Module, piece: Piece) -> ast.FunctionDef | ast.ClassDef:
    """The learner's function, or the class with the learner's method."""
    if not piece.class_name:
        return _function(_only(tree.body, f"function {piece.name}", piece), piece)
    holder = _only(tree.body, f"class {piece.class_name}", piece)
    if not isinstance(holder, ast.ClassDef):
        raise SpliceError(f"{piece.class_name} must be a class", holder.lineno)
    _function(_only(holder.body, f"method {piece.name}", piece, holder.lineno), piece)
    return holder


def _only(body: Sequence[ast.stmt], what: str, piece: Piece, line: int | None = None) -> ast.stmt:
    """The only definition of what in the body. Raises SpliceError if it is missing, or defined twice."""
    name = what.split()[-1].rpartition(".")[2]
    definitions = [x for x in body if isinstance(x, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    found = [x for x in definitions if x.name == name]
    if len(found) > 1:
        raise SpliceError(
            f"the {what} is defined a second time; the first is in line {found[0].lineno}. Keep one of them.",
            found[1].lineno,
        )
    if not found:
        near = difflib.get_close_matches(name.lower(), [x.name.lower() for x in definitions], 1)
        alike = [x.name for x in definitions if [x.name.lower()] == near]
        raise SpliceError(
            f"the {what} is missing. The check needs it to replace the one in {piece.module}."
            + "".join(f" There is {other}: did you mean that?" for other in alike)
            + " `minitrain learn reset NAME` makes a new file and keeps yours.",
            line,
        )
    return found[0]


def _function(statement: ast.stmt, piece: Piece) -> ast.FunctionDef:
    if not isinstance(statement, ast.FunctionDef):
        other = "class" if isinstance(statement, ast.ClassDef) else "async def"
        raise SpliceError(
            f"{piece.name} must be a plain function: def {piece.function_name}(...), not {other}", statement.lineno
        )
    return statement


def _rest(
    tree: ast.Module, theirs: ast.stmt, library: ast.Module, piece: Piece
) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The rest of the learner's file: the statements before the piece, and those after it."""
    defined = _defined(library)
    used = _used_names([x for x in tree.body if not isinstance(x, ast.Import | ast.ImportFrom)], theirs)
    before: list[ast.stmt] = []
    after: list[ast.stmt] = []
    rest = before
    for name, statement in _defined(tree).items():
        if name in defined and statement is not theirs:
            raise SpliceError(
                f"{piece.module} already has a {name}, which other code there uses. Give yours another name, or import "
                f"the library's: from {piece.module} import {name}",
                statement.lineno,
            )
    for name in used & NO_LONGER_THERE.keys() - _names_there(library) - _names_there(tree):
        added = ast.ImportFrom(NO_LONGER_THERE[name], [ast.alias(name)], 0)
        before.append(ast.fix_missing_locations(ast.copy_location(added, theirs)))
    for statement in tree.body:
        if statement is theirs:
            rest = after
        elif isinstance(statement, ast.ImportFrom) and _root(_module(statement)) == _root(piece.module):
            rest += _imported(statement, library, piece, used)
        elif not (isinstance(statement, ast.ImportFrom) and statement.module == "__future__"):
            rest.append(statement)
    return before, after


def _used_names(statements: Sequence[ast.stmt], theirs: ast.stmt) -> set[str]:
    """The names that these statements use when they run; annotations, and the bases of the learner's class, do not."""
    nodes = [x for statement in statements for x in ast.walk(statement)]
    notes = [getattr(x, field, None) for x in nodes for field in ("annotation", "returns")]
    notes += theirs.bases if isinstance(theirs, ast.ClassDef) else []
    unused = {id(x) for note in notes if note is not None for x in ast.walk(note)}
    return {x.id for x in nodes if isinstance(x, ast.Name) and id(x) not in unused}


def _names_there(module: ast.Module) -> set[str]:
    """The names that a module defines or imports."""
    imports = [x for x in module.body if isinstance(x, ast.Import | ast.ImportFrom)]
    return {_bound(alias) for x in imports for alias in x.names} | set(_defined(module))


def _holds(module: str, piece: Piece) -> bool:
    """Whether this is the piece's module, or a package (other than the root) that contains it."""
    return module == piece.module or (module != _root(module) and piece.module.startswith(f"{module}."))


def _drop_outdated_methods(
    theirs: ast.ClassDef, holder: ast.ClassDef, tree: ast.Module, library: ast.Module, piece: Piece
) -> None:
    """Leave a given method to the library if it uses a helper that is gone: the file is of an earlier version."""
    imports = [x for x in tree.body if isinstance(x, ast.ImportFrom) and _holds(x.module or "", piece)]
    there = _names_there(library)
    gone = {a.asname or a.name for x in imports for a in x.names if not {a.name, a.name.lstrip("_")} & there}
    for name, method in _methods(theirs).items():
        if name != piece.function_name and name in _methods(holder) and _used_names([method], method) & gone:
            theirs.body.remove(method)


def _imported(statement: ast.ImportFrom, library: ast.Module, piece: Piece, used: set[str]) -> list[ast.stmt]:
    """What an import from the library becomes, now that the learner's file is part of the piece's module.

    Names of that module, or of a package that it belongs to, are there already: `Array as A` becomes A = Array. Files
    of earlier versions must still work: names that the file does not use are dropped, since they may have moved, and a
    helper `_f` may be called `f` now.
    """
    there = _names_there(library)
    module = MOVED.get(_module(statement), _module(statement))
    is_own = module == piece.module
    result: list[ast.stmt] = []
    for alias in statement.names:
        name = alias.asname or alias.name
        original = alias.name if alias.name in there else alias.name.lstrip("_")
        if _holds(module, piece) and (original in there or (is_own and name == "*")):
            if name != original:
                result.append(ast.Assign([ast.Name(name, ast.Store())], ast.Name(original, ast.Load())))
        elif name in used or name == "*":
            if is_own:
                raise SpliceError(f"{piece.module} has no {alias.name} to import", statement.lineno)
            result.append(ast.ImportFrom(module, [alias], statement.level))
    return [ast.fix_missing_locations(ast.copy_location(new, statement)) for new in result]


def _merged(holder: ast.ClassDef, theirs: ast.ClassDef) -> ast.ClassDef:
    """The library's class with the learner's methods in place of its own, plus whatever else the learner added."""
    own, new = _methods(holder), _methods(theirs)
    merged = copy.copy(holder)
    merged.body = []
    for statement in holder.body:
        if isinstance(statement, ast.FunctionDef) and statement is own[statement.name] and statement.name in new:
            _check_signature(statement, new[statement.name])
            merged.body.append(_moved(new[statement.name]))
        else:
            merged.body.append(statement)
    known = {ast.dump(x) for x in holder.body}
    for statement in theirs.body:
        replaces = isinstance(statement, ast.FunctionDef) and statement.name in own
        if not replaces and not _is_docstring(statement) and ast.dump(statement) not in known:
            merged.body.append(_moved(statement))
    return merged


def _check_signature(own: ast.FunctionDef, theirs: ast.FunctionDef) -> None:
    """Raise SpliceError unless the learner's function has the library's parameters and decorators."""
    expected, found = _parameters(own), _parameters(theirs)
    if found != expected:
        raise SpliceError(
            f"{own.name} takes ({', '.join(expected)}), but here it takes ({', '.join(found)}). Keep the parameters as "
            "they are: the library calls it that way.",
            theirs.lineno,
        )
    decorators, others = ([ast.unparse(x) for x in f.decorator_list] for f in (own, theirs))
    for name in decorators:
        if name not in others:
            raise SpliceError(f"@{name} is missing above {own.name}", theirs.lineno)


def _parameters(function: ast.FunctionDef) -> list[str]:
    """The parameters as written, without annotations and defaults: ["ctx", "x", "*", "dim"]."""
    arguments = function.args
    names = [x.arg for x in arguments.posonlyargs] + (["/"] if arguments.posonlyargs else [])
    names += [x.arg for x in arguments.args]
    if arguments.vararg is not None:
        names.append(f"*{arguments.vararg.arg}")
    elif arguments.kwonlyargs:
        names.append("*")
    names += [x.arg for x in arguments.kwonlyargs]
    return names + ([f"**{arguments.kwarg.arg}"] if arguments.kwarg is not None else [])


def _moved(statement: ast.stmt) -> ast.stmt:
    """The statement with line numbers that the library does not use."""
    return ast.increment_lineno(statement, LEARNERS)


def _relocated(code: types.CodeType, filename: str) -> types.CodeType:
    """Give the code that was compiled from the learner's lines the learner's file name and line numbers."""
    constants = tuple([_relocated(x, filename) if isinstance(x, types.CodeType) else x for x in code.co_consts])
    if code.co_firstlineno <= LEARNERS:
        return code.replace(co_consts=constants)
    return code.replace(co_consts=constants, co_filename=filename, co_firstlineno=code.co_firstlineno - LEARNERS)

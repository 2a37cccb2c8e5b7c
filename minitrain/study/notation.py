"""Index notation: expressions for one entry of an array, made from text, evaluated in float64, printed, cut into terms.

The text is Python's syntax: `Σ(x[..., i] * weight[o, i], i) + bias[o]`. What an expression is, recording.py's docstring
says; entries.py says what the names in a text mean.
"""

from __future__ import annotations

import ast
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Expression = list[Any]
Indices = Mapping[str, int]

CALLS: dict[str, Callable[..., float]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "mod": np.mod,
    "copysign": np.copysign,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "atan2": np.arctan2,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": math.erf,
    "erfc": math.erfc,
}
COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
}
LEADING: Expression = ["..."]
MOVES = ("moved", "gathered")
OVER_INDICES = ("sum", "max", "prod", "logsumexp", "softmax")  # the operators that come with indices of their own


# Making expressions.


def number(x: float) -> Expression:
    """A number; infinity, which JSON lacks, as the largest float."""
    return ["number", float(np.clip(float(x), -sys.float_info.max, sys.float_info.max))]


def is_number(x: Expression, value: float) -> bool:
    """Whether the expression is this number."""
    return x[0] == "number" and bool(x[1] == value)


def add(*parts: Expression | None) -> Expression | None:
    """Their sum, without what is None or 0."""
    left = [x for x in parts if x is not None and not is_number(x, 0)]
    if not left:
        return None if all(x is None for x in parts) else number(0)
    flat = [y for x in left for y in (x[1:] if x[0] == "add" else [x])]
    return flat[0] if len(flat) == 1 else ["add", *flat]


def mul(*factors: Expression | None) -> Expression | None:
    """Their product, without what is None or 1."""
    left = [x for x in factors if x is not None and not is_number(x, 1)]
    if not left:
        return None if all(x is None for x in factors) else number(1)
    if any(is_number(x, 0) for x in left):
        return number(0)
    flat = [y for x in left for y in (x[1:] if x[0] == "mul" else [x])]
    return flat[0] if len(flat) == 1 else ["mul", *flat]


def neg(x: Expression | None) -> Expression | None:
    """-x."""
    if x is None or x[0] != "number":
        return None if x is None else ["neg", x]
    return number(-x[1])


def sub(a: Expression | None, b: Expression | None) -> Expression | None:
    """a - b; what is None is left out."""
    if b is None or is_number(b, 0):
        return a
    if a is None or is_number(a, 0):
        return neg(b)
    return number(a[1] - b[1]) if a[0] == b[0] == "number" else ["sub", a, b]


def div(a: Expression | None, b: Expression | None) -> Expression | None:
    """a / b."""
    if a is None or b is None or is_number(b, 1):
        return a
    return number(a[1] / b[1]) if a[0] == b[0] == "number" and b[1] else ["div", a, b]


class Reader(ast.NodeVisitor):
    """Makes an expression of Python syntax. `name` and `entry` say what names and subscripts stand for."""

    def __init__(
        self,
        name: Callable[[str], Expression | None],
        entry: Callable[[str, list[Expression]], Expression | None],
        over: Callable[[str, Sequence[ast.expr], Reader], Expression],
    ) -> None:
        self._name, self._entry, self._over = name, entry, over

    def read(self, text: str) -> Expression:
        """The expression of a text. Raises ValueError for one that is nothing but optional inputs that are None."""
        found = self.visit(ast.parse(text, mode="eval").body)
        if found is None:
            raise ValueError(f"nothing is left of {text!r}")
        return list(found)

    def visit_Constant(self, node: ast.Constant) -> Expression:
        return LEADING if node.value is ... else number(node.value)  # type: ignore[arg-type]

    def visit_Name(self, node: ast.Name) -> Expression | None:
        return self._name(node.id)

    def visit_Subscript(self, node: ast.Subscript) -> Expression | None:
        indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        assert isinstance(node.value, ast.Name)
        return self._entry(node.value.id, [self.visit(x) for x in indices])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Expression | None:
        return neg(self.visit(node.operand))

    def visit_BinOp(self, node: ast.BinOp) -> Expression | None:
        a, b = self.visit(node.left), self.visit(node.right)
        match node.op:
            case ast.Add():
                return add(a, b)
            case ast.Sub():
                return sub(a, b)
            case ast.Mult():
                return mul(a, b)
            case ast.Div():
                return div(a, b)
            case ast.Pow():
                return ["pow", a, b]
            case ast.FloorDiv():
                return a if is_number(b, 1) else ["call", "floor", ["div", a, b]]
            case ast.Mod():
                return ["call", "mod", a, b]
        raise SyntaxError(f"{type(node.op).__name__} is not part of the notation")

    def visit_Compare(self, node: ast.Compare) -> Expression:
        symbols = {ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge", ast.Eq: "eq", ast.NotEq: "ne"}
        return [symbols[type(node.ops[0])], self.visit(node.left), self.visit(node.comparators[0])]

    def visit_Call(self, node: ast.Call) -> Expression:
        assert isinstance(node.func, ast.Name)
        name = node.func.id
        if name == "where":
            return ["where", *(self.visit(x) for x in node.args)]
        if name in CALLS:
            return ["call", name, *(self.visit(x) for x in node.args)]
        return self._over(name, node.args, self)

    def generic_visit(self, node: ast.AST) -> Any:
        raise SyntaxError(f"{type(node).__name__} is not part of the notation")


# Evaluating.


def evaluate(x: Expression, at: Indices, read: Callable[[Any], Any]) -> float | None:
    """The expression's value in float64 at these indices; None if it is absent. read: the array of a reference."""
    with np.errstate(all="ignore"):
        return _value(x, at, read)


def _value(x: Expression, at: Indices, read: Callable[[Any], Any]) -> float | None:
    head = x[0]
    if head == "number":
        return float(x[1])
    if head == "index":
        return float(at[x[1]])
    if head == "entry":
        place = where(x, at, read)
        return None if place is None else float(read(x[1])[place])
    if head == "named":
        return _value(x[2], at, read)
    if head == "where":
        condition = _value(x[1], at, read)
        return None if condition is None else _value(x[2] if condition else x[3], at, read)
    if head in MOVES:
        entries = came_from(x, at, read)
        return math.fsum(_value(entry, at, read) or 0 for entry in entries) if entries or head == "gathered" else None
    if head in OVER_INDICES:
        found = [v for more in ranges(x[1]) if (v := _value(x[-1], {**at, **more}, read)) is not None]
        if head == "sum":
            return math.fsum(found) if np.isfinite(found).all() else float(np.sum(found))
        if head == "prod":
            return math.prod(found)
        if not found:
            return None
        top = float(np.max(found))
        if head == "max":
            return top
        exps = np.exp(np.array(found) - (top if np.isfinite(top) else 0))
        if head == "logsumexp":
            return float(top + np.log(exps.sum())) if np.isfinite(top) else top
        here = _value(x[2], at, read)
        return None if here is None else float(np.exp(here - top) / exps.sum())
    parts = [_value(part, at, read) for part in x[(2 if head == "call" else 1) :]]
    values = [np.float64(v) for v in parts if v is not None]
    if len(values) < len(parts):
        return None
    return float(_apply(head, x, values))


def _apply(head: str, x: Expression, values: list[Any]) -> Any:
    match head:
        case "add":
            return math.fsum(values) if np.isfinite(values).all() else sum(values)
        case "mul":
            return math.prod(values)
        case "sub":
            return values[0] - values[1]
        case "div":
            return values[0] / values[1]
        case "neg":
            return -values[0]
        case "pow":
            return values[0] ** values[1]
        case "call":
            return CALLS[x[1]](*values)
    return COMPARISONS[head](*values)


def ranges(indices: Sequence[tuple[str, int]]) -> Iterator[dict[str, int]]:
    """All values of these indices, (name, size) each, the last one fastest."""
    names = [name for name, _ in indices]
    for place in itertools.product(*(range(size) for _, size in indices)):
        yield dict(zip(names, place, strict=True))


def where(entry: Expression, at: Indices, read: Callable[[Any], Any]) -> tuple[int, ...] | None:
    """The place of an ["entry", array, indices] in its array, or None if it is absent."""
    place: list[int] = []
    for index, size in zip(entry[2], np.shape(read(entry[1])), strict=True):
        value = _value(index, at, read)
        if value is None or value != round(value) or not 0 <= value < size:
            return None
        place.append(round(value))
    return tuple(place)


def came_from(x: Expression, at: Indices, read: Callable[[Any], Any]) -> list[Expression]:
    """The entries that a "moved" or a "gathered" stands for at these indices; see recording.py's docstring."""
    place = tuple(at[name] for name in x[-1])
    sources = np.asarray(read(x[2]))
    if x[0] == "gathered":
        here = int(np.ravel_multi_index(place, x[4]) if place else 0) + x[3]
        there = np.argwhere(sources == here)
        return [["entry", x[1], [number(i) for i in index]] for index in there.tolist()]
    source = int(sources[place])
    for ref, offset in x[1]:
        shape = np.shape(read(ref))
        if offset <= source < offset + math.prod(shape):
            index = np.unravel_index(source - offset, shape) if shape else ()
            return [["entry", ref, [number(int(i)) for i in index]]]
    return []


def reads(x: Expression, at: Indices, read: Callable[[Any], Any]) -> Iterator[Expression]:
    """The entries that an expression is computed from, with numbers for indices, and what has a name of its own.

    One may come several times.
    """
    head = x[0]
    if head == "named":
        yield x
        return
    if head == "entry":
        if (place := where(x, at, read)) is not None:
            yield ["entry", x[1], [number(i) for i in place]]
    elif head in OVER_INDICES:
        for more in ranges(x[1]):
            yield from reads(x[-1], {**at, **more}, read)
    elif head in MOVES:
        yield from came_from(x, at, read)
    elif head == "where":
        condition = _value(x[1], at, read)
        yield from reads(x[1], at, read)
        if condition is not None:
            yield from reads(x[2] if condition else x[3], at, read)
    else:
        for part in x[1:]:
            if isinstance(part, list):
                yield from reads(part, at, read)


# Cutting into terms.


def terms(x: Expression, at: Indices, read: Callable[[Any], Any]) -> list[tuple[list[Expression], Indices]]:
    """The terms that add up to the expression, each a list of factors and the indices at which they are meant.

    A sum in a product is multiplied out, and a quotient is a product with a reciprocal. A `where` is the branch that it
    takes, a maximum the first of its largest entries. Absent terms are left out.
    """
    found = [(sorted(factors, key=_is_reciprocal), there) for factors, there in _terms(x, at, read, [])]
    return [(factors, there) for factors, there in found if _product(factors, there, read) is not None]


def _product(factors: list[Expression], at: Indices, read: Callable[[Any], Any]) -> float | None:
    return evaluate(["mul", *factors], at, read)


def _terms(
    x: Expression, at: Indices, read: Callable[[Any], Any], scale: list[Expression]
) -> Iterator[tuple[list[Expression], Indices]]:
    head = x[0]
    if head == "add":
        for part in x[1:]:
            yield from _terms(part, at, read, scale)
    elif head == "sub":
        yield from _terms(x[1], at, read, scale)
        yield from _terms(x[2], at, read, [number(-1), *scale])
    elif head == "neg":
        yield from _terms(x[1], at, read, [number(-1), *scale])
    elif head == "sum":
        for more in ranges(x[1]):
            yield from _terms(x[2], {**at, **more}, read, scale)
    elif head == "where":
        condition = evaluate(x[1], at, read)
        if condition is not None:
            yield from _terms(x[2] if condition else x[3], at, read, scale)
    elif head == "max":
        there = largest_at(x, at, read)
        if there is not None:
            yield from _terms(x[2], there, read, scale)
    elif head in MOVES:
        for entry in came_from(x, at, read):
            yield [*scale, entry], at
    elif _is_quotient(x):
        yield from _terms(x[1], at, read, [*scale, ["div", number(1), x[2]]])
    elif head == "mul":
        split = [test(part) for test in (several, _is_quotient) for part in x[1:]]
        inner = split.index(True) % (len(x) - 1) + 1 if True in split else None
        if inner is None:
            yield [*scale, *x[1:]], at
        else:
            yield from _terms(x[inner], at, read, [*scale, *x[1:inner], *x[inner + 1 :]])
    else:
        yield [*scale, x], at


def _is_quotient(x: Expression) -> bool:
    return bool(x[0] == "div" and x[1][0] != "number")


def _is_reciprocal(x: Expression) -> bool:
    return bool(x[0] == "div" and is_number(x[1], 1))


def largest_at(x: Expression, at: Indices, read: Callable[[Any], Any]) -> Indices | None:
    """The indices at which a "max" is reached first; None if all its entries are absent. nan counts as the largest."""
    found = [({**at, **more}, v) for more in ranges(x[1]) if (v := _value(x[2], {**at, **more}, read)) is not None]
    return found[int(np.argmax([v for _, v in found]))][0] if found else None


def several(x: Expression) -> bool:
    """Whether an expression has more than one term, or is a choice of such."""
    if x[0] in ("neg", "div"):
        return several(x[1])
    if x[0] == "mul":
        return any(several(part) for part in x[1:])
    return x[0] in ("sum", "max", "add", "sub", "gathered") or (x[0] == "where" and (several(x[2]) or several(x[3])))


# Printing.

_OVER = {"sum": "Σ", "max": "max", "prod": "Π"}
_PRECEDENCE = {"where": 0, "add": 2, "sub": 2, "sum": 3, "prod": 3, "neg": 4, "mul": 4, "div": 4, "pow": 6}
_SIGNS = {"lt": "<", "le": "≤", "gt": ">", "ge": "≥", "eq": "=", "ne": "≠"}
_NAMES = {"log": "ln", "abs": "abs", "maximum": "max", "minimum": "min", "sqrt": "√"}


def written(x: Expression, name: Callable[[Any], str]) -> str:
    """The expression as a line of text. name: of an array."""
    return _written(x, name, 0)


def _written(x: Expression, name: Callable[[Any], str], outer: int) -> str:
    head = x[0]

    def inside(part: Expression, least: int = 0) -> str:
        return _written(part, name, least)

    own = 1 if head in _SIGNS else _PRECEDENCE.get(head, 9)
    match head:
        case "number":
            text = written_number(x[1])
            own = 3 if x[1] < 0 else 9
        case "index":
            text = x[1]
        case "entry":
            text = name(x[1]) + (f"[{', '.join(map(inside, x[2]))}]" if x[2] else "")
        case "moved":
            text = f"{' or '.join(name(ref) for ref, _ in x[1])}[where it came from]"
        case "gathered":
            text = f"Σ {name(x[1])}[where it went]"
            own = 3
        case "named":
            text = x[1]
        case "sum" | "max" | "prod":
            text = f"{_OVER[head]}_{_indices(x[1])} {inside(x[2], 4)}"
        case "logsumexp":
            text = f"ln Σ_{_indices(x[1])} exp {inside(x[2], 9)}"
            own = 4
        case "softmax":
            text = f"exp {inside(x[2], 9)} / Σ_{_indices(x[1])} exp {inside(x[3], 9)}"
            own = 4
        case "add":
            text = " + ".join(inside(part, 2) for part in x[1:]).replace("+ -", "- ")
        case "sub":
            text = f"{inside(x[1], 2)} - {inside(x[2], 3)}"
        case "mul":
            text = " · ".join([inside(x[1], 4), *(inside(part, 5) for part in x[2:])])
        case "div":
            text = f"{inside(x[1], 4)} / {inside(x[2], 5)}"
        case "neg":
            text = f"-{inside(x[1], 4)}"
        case "pow":
            text = f"{inside(x[1], 7)}^{inside(x[2], 7)}"
        case "where":
            text = f"{inside(x[2], 1)} where {inside(x[1], 1)}, else {inside(x[3], 1)}"
        case "call":
            text = _call(x, inside)
        case _:
            text = f"{inside(x[1], 2)} {_SIGNS[head]} {inside(x[2], 2)}"
    if own < outer:
        return f"[{text}]" if head in _SIGNS else f"({text})"  # 1 where it is true, else 0
    return text


def _call(x: Expression, inside: Callable[..., str]) -> str:
    match x[1]:
        case "floor":
            return f"⌊{inside(x[2])}⌋"
        case "mod":
            return f"({inside(x[2], 4)} mod {inside(x[3], 4)})"
        case "abs":
            return f"|{inside(x[2])}|"
    return f"{_NAMES.get(x[1], x[1])}({', '.join(inside(part) for part in x[2:])})"


def _indices(indices: Sequence[tuple[str, int]]) -> str:
    return ",".join(name for name, _ in indices)


def written_number(x: float) -> str:
    """As short as float32 allows, without a needless point."""
    with np.errstate(over="ignore"):
        return str(int(x)) if abs(x) < 1e15 and x == round(x) else str(np.float32(x)).removesuffix(".0")

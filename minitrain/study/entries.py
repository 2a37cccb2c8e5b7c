"""How entries are made: a Rule for an operation's result and for each of its gradients, from declarations.py.

A declaration is text in index notation (notation.py), in one of two forms.

With indices, `y[..., o] = Σ(x[..., i] * weight[o, i], i) + bias[o]`. y is the result, dy its gradient; inputs are named
as forward names its arguments, and dx is the gradient of x. `...` are the leading axes. Σ(e, i, j) sums over i and j,
MAX(e, i, j) is the largest, PROD the product, LOGSUMEXP(e, i) = log(Σ(exp(e), i)); the sizes of their indices are read
off the arrays that are indexed by them, or are whole numbers in the declaration's `given`. A name alone is a number: an
option of the operation, `stride[0]` of an option that is a tuple, pi, or what `given` adds. The inputs of a forward
with `*arrays` are arrays0, arrays1, ...

Element by element, `dy * b`: inputs broadcast as NumPy's do, and a gradient is summed over what its input was repeated
along. In a reduction the axes are x's, and y and dy lack those over which it runs, or have size 1 there.
along(e) = Σ of e over these axes, largest(e), product(e), others(e) = the product of e over all other places there,
logsumexp(e), and softmax(e) = exp(e) / along(exp(e)).

What is None (a Linear's bias) falls out of sums and products.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import string
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain import ops
from minitrain.ops import Array, Context, Function
from minitrain.study import notation
from minitrain.study.notation import LEADING, Expression, Reader

if TYPE_CHECKING:
    from minitrain.study.recording import Operation, Step

AXES = {0: "", 1: "i", 2: "ni", 3: "nij", 4: "ncij"}
INDEXED = {"Σ": "sum", "MAX": "max", "PROD": "prod", "LOGSUMEXP": "logsumexp"}
ALONG = {"along": "sum", "largest": "max", "product": "prod", "others": "prod", "logsumexp": "logsumexp"}


@dataclasses.dataclass(frozen=True)
class Aux:
    """An array that belongs to an operation and is no tensor of the step: what was drawn, or kept for backward."""

    array: Array
    name: str


@dataclasses.dataclass(frozen=True)
class Ref:
    """A tensor's "value", its gradient "grad", the gradient that the optimizer "used", or its value "after"."""

    tensor: int
    of: str


@dataclasses.dataclass(frozen=True)
class Rule:
    """How each entry of an array is made. The fields are those of Rule in recording.py's docstring."""

    axes: tuple[str, ...]
    entry: Expression
    value: Expression
    sentence: tuple[tuple[Expression | None, str], ...] = ()
    table: tuple[list[tuple[str, int]], list[tuple[str, Expression]]] | None = None
    together: Expression | None = None

    def at(self, index: Sequence[int]) -> dict[str, int]:
        """The indices by name."""
        return dict(zip(self.axes, index, strict=True))


def MOVED(setting: Setting) -> Mapping[str, str]:  # noqa: N802, a mark
    """In a declaration's place: the operation only moves numbers, and its forward says where from."""
    raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class Declaration:
    """How an operation says how its entries are made.

    rules: "y" and "dx", "dweight", ... -> text; or a function of a Setting that returns this.
    given: a function of a Setting that returns numbers, arrays and lists of axes for names in the texts. The axes in
        "dim" are those that a reduction runs over; "lacking" names the arrays that then lack them.
    sentences: for a rule's name, (condition, sentence) each; the first whose condition holds is shown.
    tables: for a rule's name, columns by title, element by element along dim.
    sides: a function of forward's arrays and the result: which side of each kink the operation is on.
    """

    rules: Mapping[str, str] | Callable[[Setting], Mapping[str, str]]
    given: Callable[[Setting], Mapping[str, Any]] = lambda setting: {}
    sentences: Mapping[str, Sequence[tuple[str, str]]] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)


class Setting:
    """An operation of a step, as its declaration sees it: shapes, options, and what names stand for."""

    def __init__(self, step: Step, operation: Operation) -> None:
        self.step, self.operation = step, operation
        self.inputs = dict(zip(map(identifier, operation.arguments), operation.inputs, strict=True))
        self.options = operation.options
        self.declaration = declaration_of(operation.function)
        self.y = step.tensors[operation.result].value
        self.given = dict(self.declaration.given(self)) if self.declaration else {}
        reduces = "dim" in self.given
        self.dim: tuple[int, ...] = tuple(self.given.pop("dim", ()))
        self.lacking: tuple[str, ...] = tuple(self.given.pop("lacking", ()))
        if reduces:
            self.full = self.shape(next(iter(self.inputs)))
        else:
            try:
                self.full = np.broadcast_shapes(self.y.shape, *map(self.shape, self.inputs))
            except ValueError:
                self.full = self.y.shape
        self.dim = tuple(axis % max(len(self.full), 1) for axis in self.dim)

    # What the names stand for.

    def array(self, name: str) -> Array | None:
        """The array of an input, of y, or of dy; None for an input that is None. Raises KeyError for another name."""
        ref = self.ref(name)
        if ref is None or isinstance(ref, float):
            return None if ref is None else np.asarray(ref)
        return np.asarray(self.read(ref))

    def shape(self, name: str) -> tuple[int, ...]:
        """Its shape; () for None."""
        array = self.array(name)
        return () if array is None else array.shape

    def ref(self, name: str) -> Ref | Aux | float | None:
        """What a name of an array stands for."""
        if name == "y":
            return Ref(self.operation.result, "value")
        if name == "dy":
            return Ref(self.operation.result, "grad")
        if name in self.inputs:
            x = self.inputs[name]
            if isinstance(x, int):
                return Ref(x, "value")
            if x[1] is None:
                return None
            return Aux(x[1], name) if isinstance(x[1], np.ndarray) and x[1].ndim else float(x[1])
        if isinstance(self.given.get(name), np.ndarray):
            return Aux(self.given[name], name)
        raise KeyError(name)

    def read(self, ref: Any) -> Any:
        """The array of a reference."""
        return read(self.step, ref)

    def context(self) -> Context:
        """What forward leaves on its Context, run again in the recorded dtype."""
        ctx = Context(tuple(True for _ in self.inputs))
        self.operation.function.forward(ctx, *(self.array(name) for name in self.inputs), **self.options)
        return ctx

    # Making rules.

    def rule(self, name: str) -> Rule | None:
        """The Rule of "y", or of "dx" for an input x; None if none is declared."""
        if self.declaration is None:
            return None
        rules = self.declaration.rules
        if rules is MOVED:
            return self.moved(name)
        text = (rules(self) if callable(rules) else rules).get(name)
        if text is None:
            return None
        return _Text(self, name).rule(text)

    def moved(self, name: str) -> Rule:
        """The Rule of an operation that only moves numbers: its forward says where, run on an array of indices."""
        text = _Text(self, name)
        axes = text.axis_names_of(self.shape(text.of))
        numbered, offsets, start = [], {}, 0
        for own in self.inputs:
            shape = self.shape(own)
            offsets[own] = start
            numbered.append(np.arange(start, start + math.prod(shape)).reshape(shape))
            start += math.prod(shape)
        ctx = Context(tuple(False for _ in self.inputs))
        sources = Aux(np.array(self.operation.function.forward(ctx, *numbered, **self.options)), "source")
        if name == "y":
            refs = [[self.ref(own), offset] for own, offset in offsets.items()]
            value: Expression = ["moved", refs, sources, axes]
        else:
            value = ["gathered", self.ref("dy"), sources, offsets[text.of], list(self.shape(text.of)), axes]
        return Rule(tuple(axes), ["entry", text.target(), [["index", axis] for axis in axes]], value)


class _Text:
    """The meaning of one declared text."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.setting, self.name = setting, name
        self.of = name if name == "y" else name[1:]  # the array that has the shape
        self.sizes: dict[str, int] = {n: x for n, x in setting.given.items() if isinstance(x, int) and n.islower()}
        self.indices: set[str] = set()
        self.now: dict[int, str] = {}  # element by element: the names of some of the full axes, in an along(...)
        self.reader = Reader(self.meaning, self.subscripted, self.over)
        self.leading: list[str] = []

    def target(self) -> Ref:
        """The array whose entries are explained."""
        setting = self.setting
        if self.name == "y":
            return Ref(setting.operation.result, "value")
        ref = setting.ref(self.of)
        assert isinstance(ref, Ref)
        return Ref(ref.tensor, "grad")

    def rule(self, text: str) -> Rule:
        left, equals, right = text.partition(" = ")
        axes, indices, value = self.indexed(left, right) if equals else self.elementwise(text)
        declaration = self.setting.declaration
        assert declaration is not None
        sentence = tuple(
            (self.reader.read(condition) if condition else None, words)
            for condition, words in declaration.sentences.get(self.name, ())
        )
        table: tuple[list[tuple[str, int]], list[tuple[str, Expression]]] | None = None
        if (columns := declaration.tables.get(self.name)) is not None and len(self.setting.dim) == 1:
            axis = self.setting.dim[0]
            fresh = self.fresh(axis)
            self.now = {axis: fresh}
            table = [(fresh, self.setting.full[axis])], [(t, self.reader.read(e)) for t, e in columns.items()]
            self.now = {}
        elif value[0] == "max":  # what it is the largest of
            table = [(name, size) for name, size in value[1]], [("", value[2])]
        return Rule(tuple(axes), ["entry", self.target(), indices], value, sentence, table)

    # With indices.

    def indexed(self, left: str, right: str) -> tuple[list[str], list[Expression], Expression]:
        """Axes, their indices, and the value, of `left = right`."""
        shape = self.setting.shape(self.of)
        subscript = ast.parse(left, mode="eval").body
        parts: list[ast.expr] = []
        if isinstance(subscript, ast.Subscript):
            parts = subscript.slice.elts if isinstance(subscript.slice, ast.Tuple) else [subscript.slice]
        names = [part.id for part in parts if isinstance(part, ast.Name)]
        both = {node.id for node in ast.walk(ast.parse(right)) if isinstance(node, ast.Name)} | set(names)
        free = [c for c in "nmlkji" if c not in both]
        self.leading = free[: self.leading_axes()] if "..." in left + right else []
        axes: list[str] = []
        for part in parts:
            if isinstance(part, ast.Constant) and part.value == 0:  # an axis of size 1
                axes.append(f"{len(axes)}_")
            else:
                axes += self.leading if not isinstance(part, ast.Name) else [part.id]
        self.indices |= {*axes, *self.leading}
        for axis, size in zip(axes, shape, strict=True):
            self.sizes[axis] = size
        if self.leading and self.leading[0] not in self.sizes:
            for axis, size in zip(self.leading, self.setting.y.shape, strict=False):
                self.sizes[axis] = size
        indices = [notation.number(0) if axis.endswith("_") else ["index", axis] for axis in axes]
        return axes, indices, self.reader.read(right)

    def leading_axes(self) -> int:
        """How many axes `...` stands for: those of y without its last, as Linear has it."""
        return max(self.setting.y.ndim - 1, 0)

    # Element by element.

    def axis_names(self) -> list[str]:
        """A name for each of the full axes."""
        return self.axis_names_of(self.setting.full)

    def axis_names_of(self, shape: tuple[int, ...]) -> list[str]:
        """A name for each axis of this shape."""
        count = len(shape)
        return list(AXES[count]) if count in AXES else [f"i{k + 1}" for k in range(count)]

    def places(self, name: str, ndim: int) -> list[int]:
        """Which of the full axes each axis of this array is."""
        full = len(self.setting.full)
        if name in self.setting.lacking and ndim < full:
            return [axis for axis in range(full) if axis not in self.setting.dim]
        return list(range(full - ndim, full))

    def elementwise(self, text: str) -> tuple[list[str], list[Expression], Expression]:
        setting, names = self.setting, self.axis_names()
        self.indices |= {*names}
        shape = setting.shape(self.of)
        axes: list[str] = []
        indices: list[Expression] = []
        for axis, size in zip(self.places(self.of, len(shape)), shape, strict=True):
            repeated = size == 1 != setting.full[axis]
            axes.append(f"{names[axis]}_" if repeated else names[axis])
            indices.append(notation.number(0) if repeated else ["index", names[axis]])
        value = self.reader.read(text)
        summed = [[name, setting.full[i]] for i, name in enumerate(names) if name not in axes]
        if self.name != "y" and summed:
            value = ["sum", summed, value]
        return axes, indices, value

    def fresh(self, axis: int) -> str:
        """A name for an axis that is summed over while its own name is taken."""
        name = next(c for c in ("k" + string.ascii_lowercase) if c not in self.indices)
        self.indices.add(name)
        return name

    # The reader's questions.

    def meaning(self, name: str) -> Expression | None:
        """What a name without a subscript stands for."""
        if name in self.indices:
            return ["index", name]
        if name == "pi":
            return ["named", "π", notation.number(math.pi)]
        setting = self.setting
        for numbers in (setting.given, setting.options):
            if isinstance(numbers.get(name), int | float | np.number):
                return notation.number(float(numbers[name]))
        ref = setting.ref(name)
        if ref is None or isinstance(ref, float):
            return None if ref is None else notation.number(ref)
        names, shape = self.axis_names(), setting.shape(name)
        indices: list[Expression] = []
        for axis, size in zip(self.places(name, len(shape)), shape, strict=True):
            here = ["index", self.now.get(axis, names[axis])]
            indices.append(notation.number(0) if size == 1 and setting.full[axis] != 1 else here)
        return ["entry", ref, indices]

    def subscripted(self, name: str, indices: list[Expression]) -> Expression | None:
        """What a name with a subscript stands for: an entry, or a number of an option that is a tuple."""
        setting = self.setting
        option = setting.options.get(name, setting.given.get(name))
        if isinstance(option, tuple):
            return notation.number(option[int(indices[0][1])])
        ref = setting.ref(name)
        if ref is None:
            return None
        places: list[Expression] = []
        for index in indices:
            places += [["index", n] for n in self.leading] if index == LEADING else [index]
        for index, size in zip(places, setting.shape(name), strict=True):
            if index[0] == "index":
                self.sizes.setdefault(index[1], size)
        return ["entry", ref, places]

    def over(self, name: str, args: Sequence[ast.expr], reader: Reader) -> Expression:
        """Sums and maxima."""
        setting = self.setting
        if name in INDEXED:
            indices: list[str] = []
            for arg in args[1:]:
                indices += [arg.id] if isinstance(arg, ast.Name) else self.leading
            self.indices |= {*indices}
            inner = reader.visit(args[0])
            over = [[i, self.sizes[i]] for i in indices]
            return [INDEXED[name], over, inner] if over else list(inner)
        names, before = self.axis_names(), self.now
        own = self.name == "y" and "y" in setting.lacking and not before  # the axes' own names are free
        inside = {axis: names[axis] if own else self.fresh(axis) for axis in setting.dim}
        here = reader.visit(args[0]) if name == "softmax" else None
        self.now = {**before, **inside}
        inner = reader.visit(args[0])
        self.now = before
        over = [[inside[axis], setting.full[axis]] for axis in setting.dim]
        if name == "softmax":
            return ["softmax", over, here, inner]
        if name == "others":  # the place itself counts as 1
            own_place = notation.number(1)
            for axis, fresh in inside.items():
                own_place = ["where", ["eq", ["index", fresh], ["index", names[axis]]], own_place, inner]
            inner = own_place
        if not over and name != "logsumexp":
            return inner  # type: ignore[no-any-return]
        return [ALONG[name], over, inner]


def identifier(argument: str) -> str:
    """The name that an argument of forward has in a text: "arrays0" of "arrays[0]"."""
    return argument.replace("[", "").replace("]", "")


def declaration_of(function: type[Function]) -> Declaration | None:
    """What is declared for an operation; nothing for one of the user's own, even if it is derived from ours."""
    from minitrain.study.declarations import DECLARATIONS

    return DECLARATIONS.get(function)


def why_undeclared(function: type[Function]) -> str | None:
    """Why an operation has no declaration; None if it has one."""
    from minitrain.study.declarations import DECLARATIONS, NOT_DECLARED

    return None if function in DECLARATIONS else NOT_DECLARED.get(function, "Nothing is declared for it.")


def read(step: Step, ref: Any) -> Any:
    """The array of a reference."""
    if isinstance(ref, Aux):
        return ref.array
    array = getattr(step.tensors[ref.tensor], ref.of)
    if array is None:
        raise KeyError(f"{step.tensors[ref.tensor].name} has no {ref.of}")
    return array


def rules_of(step: Step, operation: Operation) -> tuple[Rule | None, list[Rule | None]]:
    """The Rule of an operation's result, and of the gradient that it sends to each of its inputs."""
    if declaration_of(operation.function) is None:
        return None, [None for _ in operation.inputs]
    setting = Setting(step, operation)
    gradients = [
        setting.rule(f"d{name}") if isinstance(x, int) and asks(step, operation, i) else None
        for i, (name, x) in enumerate(setting.inputs.items())
    ]
    if operation.function is ops.LogSoftmax and gradients[0] is not None:
        gradients[0] = dataclasses.replace(gradients[0], together=_with_the_loss(step, operation, gradients[0]))
    return setting.rule("y"), gradients


def _with_the_loss(step: Step, operation: Operation, rule: Rule) -> Expression | None:
    """(p - 1 at the label) · dL/dy / n: LogSoftmax's gradient and NLLLoss's in one, where that is all of it."""
    uses = step.tensors[operation.result].used_by
    loss = step.ops[uses[0][0]] if len(uses) == 1 else None
    dim = operation.options["dim"] % max(len(rule.axes), 1)
    if loss is None or loss.function is not ops.NLLLoss or dim != min(len(rule.axes) - 1, 1) or not loss.visited:
        return None
    target, weight = loss.inputs[1:3]
    total = 1.0
    if loss.options["reduction"] != "none":
        labels = Setting(step, loss).given["total"]
        total = labels if loss.options["reduction"] == "mean" else 1.0
        rows = labels
    else:
        rows = step.tensors[loss.result].value.size
    if weight != ("constant", None) or not isinstance(target, int) or rows != step.tensors[target].value.size:
        return None
    places: list[Expression] = [["index", axis] for axis in rule.axes]
    without = [place for axis, place in enumerate(places) if axis != dim]
    p: Expression = ["call", "exp", ["entry", Ref(operation.result, "value"), places]]
    label: Expression = ["eq", places[dim], ["entry", Ref(target, "value"), without]]
    start: Expression = ["entry", Ref(loss.result, "grad"), without if loss.options["reduction"] == "none" else []]
    return ["div", ["mul", ["sub", p, label], start], notation.number(total)]


def asks(step: Step, operation: Operation, place: int) -> bool:
    """Whether backward sent a gradient to this input of the operation."""
    x = operation.inputs[place]
    return operation.visited and isinstance(x, int) and step.tensors[x].requires_grad


# The line of the library that computes it.


def lines_of(function: type[Function], name: str, place: int = 0) -> list[tuple[int, str]]:
    """The lines of forward ("y"), or of backward ("dx", the gradient of the input at this place), that compute it.

    They are the return statement's expression for it and, where that is a name, what is assigned to the name. Numbers
    are those of the file. Empty if Python does not know the source, or if a helper makes the pass.
    """
    method = getattr(getattr(function, "of_tensors", function), "forward" if name == "y" else "backward", None)
    try:
        lines, first = inspect.getsourcelines(method)  # type: ignore[arg-type]
        body = ast.parse(textwrap.dedent("".join(lines))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return []
    if not isinstance(body, ast.FunctionDef) or not isinstance(body.body[-1], ast.Return):
        return []
    result = body.body[-1].value
    if name != "y" and isinstance(result, ast.Tuple):
        result = result.elts[place] if place < len(result.elts) else None
    if result is None:
        return []
    result = _unwrapped(result)
    found = [node for node in ast.walk(body) if isinstance(result, ast.Name) and _assigns(node, result.id)]
    wanted: set[int] = set()
    for node in found or [result]:
        wanted |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))  # type: ignore[attr-defined]
    margin = textwrap.dedent("".join(lines)).splitlines()
    return [(first + k - 1, margin[k - 1].strip()) for k in sorted(wanted)]


_WRAPPERS = ("asarray", "ascontiguousarray", "reshape", "astype", "moveaxis", "squeeze")


def _unwrapped(x: ast.expr) -> ast.expr:
    """The expression without what changes no number: another shape, a choice between two of them."""
    while True:
        if isinstance(x, ast.IfExp):
            x = x.body
        elif isinstance(x, ast.Call) and isinstance(x.func, ast.Attribute) and x.func.attr in _WRAPPERS:
            x = x.args[0] if isinstance(x.func.value, ast.Name) and x.func.value.id == "np" else x.func.value
        else:
            return x


def _assigns(node: ast.AST, name: str) -> bool:
    """Whether a statement gives this name, or a part of it, a value other than None."""
    if not isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        return False
    if isinstance(node.value, ast.Constant) and node.value.value is None:
        return False
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    plain = [target.value if isinstance(target, ast.Subscript) else target for target in targets]
    return any(isinstance(target, ast.Name) and target.id == name for target in plain)


def source_lines(function: Any) -> tuple[tuple[int, str], ...]:
    """A function's lines with their numbers in the file; none where Python does not know the source."""
    try:
        lines, first = inspect.getsourcelines(function)
    except (OSError, TypeError):
        return ()
    return tuple((first + k, line.rstrip()) for k, line in enumerate(textwrap.dedent("".join(lines)).splitlines()))


def size_of(shape: Sequence[int], dim: Sequence[int]) -> int:
    """How many values lie along these axes."""
    return math.prod(shape[axis] for axis in dim)

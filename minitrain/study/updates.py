"""How the optimizers of the library say how each number of an update is made.

A declaration is a list of assignments in index notation (notation.py), in the order of the optimizer's docstring: what
g is, the state, what is computed from it, and the parameter. `param` and `grad` are those of the run, an option's name
is its number, `beta1` and `beta2` are those of betas, `step` counts this step. A name of the state is the array before
the step until it is assigned, and the array after it from then on; before the first step it is what it starts at.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop
from minitrain.study import notation
from minitrain.study.entries import AXES, Aux, Ref, Rule
from minitrain.study.notation import Expression, Reader

if TYPE_CHECKING:
    from minitrain.study.recording import Step, Value

Options = Mapping[str, Any]
Assignments = list[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Line:
    """One number of an update: its name, how it is made, the library's array of it or None, and the source lines."""

    name: str
    rule: Rule
    array: Ref | Aux | None
    lines: tuple[tuple[int, str], ...]


# The declarations. first: whether the state is made at this step.


def _gradient(o: Options) -> Assignments:
    grad = "-grad" if o["maximize"] else "grad"
    decays = o["weight_decay"] and not o.get("decoupled_weight_decay")
    return [("g", f"{grad} + weight_decay * param" if decays else grad)]


def _decayed(o: Options) -> str:
    decays = o["weight_decay"] and o.get("decoupled_weight_decay")
    return "param - lr * weight_decay * param" if decays else "param"


def _sgd(o: Options, first: bool) -> Assignments:
    if not o["momentum"]:
        return [*_gradient(o), ("param", "param - lr * g")]
    return [
        *_gradient(o),
        ("momentum_buffer", "g" if first else "momentum * momentum_buffer + (1 - dampening) * g"),
        ("param", f"param - lr * {'(g + momentum * momentum_buffer)' if o['nesterov'] else 'momentum_buffer'}"),
    ]


AVERAGES = [
    ("exp_avg", "beta1 * exp_avg + (1 - beta1) * g"),
    ("exp_avg_sq", "beta2 * exp_avg_sq + (1 - beta2) * g**2"),
]


def _adam(o: Options, first: bool) -> Assignments:
    square = "max_exp_avg_sq" if o["amsgrad"] else "exp_avg_sq"
    return [
        *_gradient(o),
        *AVERAGES,
        *([("max_exp_avg_sq", "maximum(max_exp_avg_sq, exp_avg_sq)")] if o["amsgrad"] else []),
        ("bias_correction1", "1 - beta1**step"),
        ("bias_correction2", "1 - beta2**step"),
        ("denom", f"sqrt({square}) / sqrt(bias_correction2) + eps"),
        ("param", f"{_decayed(o)} - lr / bias_correction1 * exp_avg / denom"),
    ]


def _nadam(o: Options, first: bool) -> Assignments:
    return [
        *_gradient(o),
        *AVERAGES,
        ("bias_correction", "1 - beta2**step"),
        ("denom", "sqrt(exp_avg_sq / bias_correction) + eps"),
        ("mu", "beta1 * (1 - 0.96**(step * momentum_decay) / 2)"),
        ("mu_next", "beta1 * (1 - 0.96**((step + 1) * momentum_decay) / 2)"),
        ("mu_product", "mu_product * mu"),
        (
            "param",
            f"{_decayed(o)} - lr * (1 - mu) / (1 - mu_product) * g / denom"
            " - lr * mu_next / (1 - mu_product * mu_next) * exp_avg / denom",
        ),
    ]


def _radam(o: Options, first: bool) -> Assignments:
    return [
        *_gradient(o),
        ("exp_avg", "exp_avg + (1 - beta1) * (g - exp_avg)"),
        AVERAGES[1],
        ("bias_correction1", "1 - beta1**step"),
        ("bias_correction2", "1 - beta2**step"),
        ("rho_inf", "2 / (1 - beta2) - 1"),
        ("rho", "rho_inf - 2 * step * beta2**step / bias_correction2"),
        (
            "rect",
            "where(rho > 5, sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)), 1)",
        ),
        ("adaptive", "where(rho > 5, rect * sqrt(bias_correction2) / (sqrt(exp_avg_sq) + eps), 1)"),
        ("param", f"{_decayed(o)} - lr / bias_correction1 * exp_avg * adaptive"),
    ]


def _rmsprop(o: Options, first: bool) -> Assignments:
    centered = [("grad_avg", "alpha * grad_avg + (1 - alpha) * g")] if o["centered"] else []
    mean = "square_avg - grad_avg**2" if o["centered"] else "square_avg"
    momentum = [("momentum_buffer", "momentum * momentum_buffer + g / avg")] if o["momentum"] > 0 else []
    return [
        *_gradient(o),
        ("square_avg", "alpha * square_avg + (1 - alpha) * g**2"),
        *centered,
        ("avg", f"sqrt({mean}) + eps"),
        *momentum,
        ("param", f"param - lr * {'momentum_buffer' if momentum else 'g / avg'}"),
    ]


def _adagrad(o: Options, first: bool) -> Assignments:
    return [
        *_gradient(o),
        ("sum", "sum + g**2"),
        ("clr", "lr / (1 + (step - 1) * lr_decay)"),
        ("param", "param - clr * g / (sqrt(sum) + eps)"),
    ]


def _adamax(o: Options, first: bool) -> Assignments:
    return [
        *_gradient(o),
        AVERAGES[0],
        ("exp_inf", "maximum(beta2 * exp_inf, abs(g) + eps)"),
        ("bias_correction", "1 - beta1**step"),
        ("param", "param - lr / bias_correction * exp_avg / exp_inf"),
    ]


def _adadelta(o: Options, first: bool) -> Assignments:
    return [
        *_gradient(o),
        ("square_avg", "rho * square_avg + (1 - rho) * g**2"),
        ("delta", "sqrt(acc_delta + eps) / sqrt(square_avg + eps) * g"),
        ("acc_delta", "rho * acc_delta + (1 - rho) * delta**2"),
        ("param", "param - lr * delta"),
    ]


UPDATES: dict[type, Callable[[Options, bool], Assignments]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    NAdam: _nadam,
    RAdam: _radam,
    RMSprop: _rmsprop,
    Adagrad: _adagrad,
    Adamax: _adamax,
    Adadelta: _adadelta,
}
SENTENCES = {
    "g": "The gradient as this update uses it.",
    "momentum_buffer": "What is left of the earlier gradients, and this one.",
    "exp_avg": "A running mean of the gradients: mostly the mean so far, and a little of this gradient.",
    "exp_avg_sq": "A running mean of the squared gradients: it remembers how large they are.",
    "square_avg": "A running mean of the squared gradients: it remembers how large they are.",
    "bias_correction1": "The mean started at 0, and has reached only this share of what it averages.",
    "bias_correction2": "The mean of the squares started at 0, too, and has reached this share.",
    "denom": "Large where the gradients were large: there the step is made smaller.",
}
STARTS = {"mu_product": 1.0}  # where the state before the first step is not 0


# What they mean.


def update_lines(step: Step, number: int) -> list[Line]:
    """Each number of a parameter's update, in order, the parameter last. Empty for an optimizer that declares nothing,
    such as the user's own, even if it is derived from one of the library's."""
    tensor = step.tensors[number]
    group = next((group for group in step.groups if number in group.parameters), None)
    type_of = step.optimizer
    if group is None or tensor.after is None or type_of not in UPDATES:
        return []
    options = {name: x.item() if hasattr(x, "item") else x for name, x in group.options.items()}
    first = all(pair["before"] is None for pair in tensor.state.values())
    lines = _Update(tensor, number, options).lines(UPDATES[type_of](options, first))
    source = _sources(type_of, options)
    return [dataclasses.replace(line, lines=tuple(source.get(line.name, ()))) for line in lines]


def is_plain(step: Step) -> bool:
    """Whether the update is param - lr · grad and nothing else, for all parameters."""
    return step.optimizer is SGD and not any(
        group.options[name] for group in step.groups for name in ("momentum", "weight_decay", "maximize")
    )


class _Update:
    """The assignments of one parameter's update, read."""

    def __init__(self, tensor: Value, number: int, options: Options) -> None:
        self.tensor, self.number = tensor, number
        ndim = tensor.value.ndim
        self.axes = tuple("oi" if ndim == 2 else AXES.get(ndim) or [f"i{k + 1}" for k in range(ndim)])
        self.places: list[Expression] = [["index", axis] for axis in self.axes]
        self.known: dict[str, Expression] = {
            "param": ["entry", Ref(number, "value"), self.places],
            "grad": ["entry", Ref(number, "grad" if tensor.used is None else "used"), self.places],
        }
        betas = options.get("betas", ())
        numbers = {**options, **{f"beta{k + 1}": beta for k, beta in enumerate(betas)}}
        for name, x in numbers.items():
            if isinstance(x, int | float | np.number):
                self.known[name] = notation.number(float(x))
        for name, pair in tensor.state.items():
            if name == "step":
                assert pair["after"] is not None
                self.known[name] = notation.number(float(pair["after"]))
            elif pair["before"] is None:
                self.known[name] = notation.number(STARTS.get(name, 0.0))
            else:
                self.known[name] = self.entry(Aux(pair["before"], f"{name} before"))

    def entry(self, array: Aux) -> Expression:
        """The entry of a state's array: of the place, or the only one."""
        return ["entry", array, self.places if array.array.ndim else []]

    def lines(self, assignments: Assignments) -> list[Line]:
        reader = Reader(self.known.__getitem__, _no_subscripts, _no_sums)
        lines: list[Line] = []
        for name, text in assignments:
            value = reader.read(text)
            state = self.tensor.state.get(name, {}).get("after")
            if name == "param":
                array: Ref | Aux | None = Ref(self.number, "after")
                entry: Expression = ["entry", array, self.places]
            elif state is not None:
                array = Aux(state, f"{name} after")
                entry = self.entry(array)
            else:
                array, entry = None, ["named", name, value]
                if value[0] == "entry":  # another name for it: nothing to show
                    self.known[name] = value
                    continue
            self.known[name] = entry
            sentence = ((None, SENTENCES[name]),) if name in SENTENCES else ()
            lines.append(Line(name, Rule(self.axes, entry, value, sentence), array, ()))
        return lines


def _no_subscripts(name: str, indices: list[Expression]) -> Expression | None:
    raise SyntaxError(f"an update has no subscripts, but {name} has")


def _no_sums(name: str, args: Sequence[ast.expr], reader: Reader) -> Expression:
    raise SyntaxError(f"{name} is not part of the notation of an update")


def _sources(optimizer: type, options: Options) -> dict[str, list[tuple[int, str]]]:
    """The lines of an optimizer's update that give each name its value, with their numbers in the file.

    What stands under an `if` that these options decide is left out where it did not run.
    """
    try:
        text, first = inspect.getsourcelines(optimizer.update)  # type: ignore[attr-defined]
        body = ast.parse(textwrap.dedent("".join(text))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    statements = list(_ran(body.body, {**options, "options": options}))  # type: ignore[attr-defined]
    state = {target: name for node in statements if (name := _state_made(node)) for target in _targets(node)}
    found: dict[str, list[tuple[int, str]]] = {}
    for node in statements:
        for target in _targets(node) if _state_made(node) is None else ():
            rows = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            found.setdefault(state.get(target, target), []).extend((first + k - 1, text[k - 1].strip()) for k in rows)
    return found


def _ran(body: Sequence[ast.stmt], known: Mapping[str, Any]) -> Iterator[ast.stmt]:
    """The statements that ran, and those of both branches where the options alone do not decide."""
    for node in body:
        if not isinstance(node, ast.If):
            yield node
            continue
        try:
            taken = bool(eval(compile(ast.Expression(node.test), "", "eval"), {}, dict(known)))
        except (NameError, KeyError):
            yield from _ran([*node.body, *node.orelse], known)
        else:
            yield from _ran(node.body if taken else node.orelse, known)


def _targets(node: ast.stmt) -> list[str]:
    """The names that a statement gives a value, also by `out=`."""
    if isinstance(node, ast.Assign | ast.AugAssign):
        targets: list[ast.expr] = node.targets if isinstance(node, ast.Assign) else [node.target]
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        targets = [keyword.value for keyword in node.value.keywords if keyword.arg == "out"]
    else:
        targets = []
    parts = [x for target in targets for x in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [x.id for x in parts if isinstance(x, ast.Name)]


def _state_made(node: ast.stmt) -> str | None:
    """The name of the state's array of `x = _buffer(state, "name", ...)`; None for any other statement."""
    value = node.value if isinstance(node, ast.Assign) else None
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "_buffer":
        return str(ast.literal_eval(value.args[1]))
    return None

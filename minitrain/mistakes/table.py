"""How the zoo's specimens are examined: a checker runs each on an example that shows it; the table."""

from __future__ import annotations

import dataclasses
import difflib
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from minitrain import ops, optim
from minitrain.diagnosis.autopsy import Mistake, autopsy
from minitrain.diagnosis.gradcheck import check_gradients
from minitrain.diagnosis.optimcheck import check_optimizer
from minitrain.mistakes.catalogue import SPECIMENS, Specimen
from minitrain.ops import Array, Function
from minitrain.tensor import Tensor, apply

# --- examples: what an operation is run on ----------------------------------------------------------------------------


class Example(NamedTuple):
    """An operation's inputs (arrays, None) and options."""

    inputs: list[Any]
    options: Mapping[str, Any] = MappingProxyType({})


def sizes(rng: np.random.Generator, count: int) -> list[int]:
    """Different sizes, none of them 1 or 2: what is N, C or 2 times too large can be told by the number."""
    return [int(size) for size in rng.permutation([3, 4, 5, 6])[:count]]


def values(rng: np.random.Generator, *shape: int) -> Array:
    """Irregular numbers from 0.3 to 2 in size, of either sign."""
    return np.asarray(rng.uniform(0.3, 2, shape) * rng.choice([-1.0, 1.0], shape))


def _one(rng: np.random.Generator) -> Example:
    return Example([values(rng, *sizes(rng, 2))])


def _positive(rng: np.random.Generator) -> Example:
    return Example([np.abs(values(rng, *sizes(rng, 2)))])


def _two(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c), values(rng, c)])


def _two_of_one_shape(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c), values(rng, n, c)])


def _power(rng: np.random.Generator) -> Example:
    a, b = _two(rng).inputs
    return Example([np.abs(a), b])


def _power_of_zero(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([rng.integers(0, 3, (n, c)), np.abs(values(rng, c))])


def _clamp(rng: np.random.Generator) -> Example:
    return Example(_one(rng).inputs, {"min": -1.0, "max": 0.8})


def _where(rng: np.random.Generator) -> Example:
    a, b = _two(rng).inputs
    return Example([rng.random(a.shape) < 0.5, a, b])


def _reduction(rng: np.random.Generator) -> Example:
    return Example(_one(rng).inputs, {"dim": (0,), "keepdim": False})


def _reshape(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c)], {"shape": (c, n)})


def _flatten(rng: np.random.Generator) -> Example:
    return Example([values(rng, *sizes(rng, 3))], {"start_dim": 1, "end_dim": 2})


def _transpose(rng: np.random.Generator) -> Example:
    return Example(_one(rng).inputs, {"dim0": 0, "dim1": 1})


def _permute(rng: np.random.Generator) -> Example:
    return Example([values(rng, *sizes(rng, 3))], {"dims": (1, 2, 0)})


def _expand(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, c)], {"shape": (n, c)})


def _index(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c)], {"index": (np.array([1, 0, 1, 2, 1]),)})


def _index_put(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c), values(rng, c)], {"index": (np.array([2, 0]),)})


def _cat(rng: np.random.Generator) -> Example:
    return Example(_two_of_one_shape(rng).inputs, {"dim": 0})


def _clone(rng: np.random.Generator) -> Example:
    return Example(_one(rng).inputs, {"order": "K"})


def _to_copy(rng: np.random.Generator) -> Example:
    return Example(_one(rng).inputs, {"dtype": np.dtype(np.float64)})


def _matmul(rng: np.random.Generator) -> Example:
    n, k, m = sizes(rng, 3)
    return Example([values(rng, n, k), values(rng, k, m)])


def _matmul_of_a_stack(rng: np.random.Generator) -> Example:
    stack, n, k, m = sizes(rng, 4)
    return Example([values(rng, stack, n, k), values(rng, k, m)])


def _linear(rng: np.random.Generator) -> Example:
    n, inputs, outputs = sizes(rng, 3)
    return Example([values(rng, n, inputs), values(rng, outputs, inputs), values(rng, outputs)])


def _along(rng: np.random.Generator) -> Example:
    return Example(_one(rng).inputs, {"dim": 1})


def _nll(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    target = rng.integers(0, c, n)
    return Example([values(rng, n, c), target, None], {"ignore_index": -100, "reduction": "mean"})


def _mse(rng: np.random.Generator) -> Example:
    return Example(_two_of_one_shape(rng).inputs, {"reduction": "mean"})


EXAMPLES: dict[str, Callable[[np.random.Generator], Example]] = {
    **dict.fromkeys(["Add", "Sub", "Mul", "Div", "Maximum", "Minimum"], _two),
    **dict.fromkeys(["Neg", "Exp", "Abs", "Tanh", "Sigmoid", "ReLU"], _one),
    **dict.fromkeys(["Log", "Sqrt"], _positive),
    **dict.fromkeys(["Sum", "Mean", "Amax"], _reduction),
    **dict.fromkeys(["Softmax", "LogSoftmax"], _along),
    "Pow": _power,
    "Clamp": _clamp,
    "Where": _where,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Permute": _permute,
    "Expand": _expand,
    "Index": _index,
    "IndexPut": _index_put,
    "Cat": _cat,
    "Clone": _clone,
    "ToCopy": _to_copy,
    "Matmul": _matmul,
    "Linear": _linear,
    "NLLLoss": _nll,
    "MSELoss": _mse,
}

# Specimens that show on another example than their operation's usual one.
ON_ANOTHER = {
    "div-returns-in-the-wrong-order": _two_of_one_shape,
    "pow-of-zero": _power_of_zero,
    "matmul-of-the-first-matrix-only": _matmul_of_a_stack,
}


# --- examining --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check says of a specimen.

    caught: whether it says that something is wrong. mistakes: what, the likeliest first. report: its whole text.
    """

    specimen: Specimen
    caught: bool
    mistakes: list[Mistake]
    report: str

    @property
    def right(self) -> bool:
        """Whether the first of the mistakes is the specimen's."""
        return bool(self.mistakes) and self.mistakes[0].name == self.specimen.mistake


def examine(specimen: Specimen) -> list[Mistake]:
    """Put the specimen into its operation, optimizer or tape and check that; the mistakes, the likeliest first."""
    return find(specimen).mistakes


def find(specimen: Specimen, seed: int = 0) -> Finding:
    """As examine, with the whole report. seed: of the example's values."""
    if not specimen.of:
        return _of_a_check(specimen)
    module, _, place = specimen.of.partition(".")
    if module == "optim":
        return _of_an_optimizer(specimen, place, seed)
    report = _of_the_tape(specimen, seed) if module == "tape" else _of_an_operation(specimen, place, seed)
    mistakes = [mistake for found in report.inputs for mistake in found.mistakes]
    return Finding(specimen, not report.ok, list({mistake.name: mistake for mistake in mistakes}.values()), str(report))


def _faulty(right: type[Any], specimen: Specimen, method: str, *, static: bool) -> type[Any]:
    """A subclass that has the specimen for one of its methods."""
    return type(right.__name__, (right,), {method: staticmethod(specimen.function) if static else specimen.function})


def _of_an_operation(specimen: Specimen, place: str, seed: int) -> Any:
    name, _, method = place.partition(".")
    faulty = _faulty(getattr(ops, name), specimen, method, static=True)
    rng = np.random.default_rng(seed)
    if specimen.mistake == "one-hot-missing":
        return _of_cross_entropy(faulty, rng)
    example = ON_ANOTHER.get(specimen.name, EXAMPLES[name])(rng)
    return check_gradients(faulty, example.inputs, options=example.options, seed=seed)


def _of_cross_entropy(log_softmax: type[Function], rng: np.random.Generator) -> Any:
    (x, target, weight), options = _nll(rng)

    def cross_entropy(scores: Tensor) -> Tensor:
        return apply(ops.NLLLoss, apply(log_softmax, scores, dim=1), Tensor(target), weight, **options)

    return check_gradients(cross_entropy, Tensor(x, requires_grad=True))


def _of_the_tape(specimen: Specimen, seed: int) -> Any:
    class OnAnotherTape(Tensor):
        """A Tensor whose backward takes the specimen for a walk."""

        def backward(
            self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
        ) -> None:
            """As Tensor's, but for the walk."""
            grad = np.ones_like(self.array) if gradient is None else gradient.array
            specimen.function(self._edge(), grad, retain_graph=bool(retain_graph))

    def function(a: Tensor, b: Tensor) -> Tensor:
        y = (a * b).tanh()
        if specimen.mistake != "inputs-swapped":  # which takes an operation of two inputs, and one of them
            y = y * a.exp() + y
        result = OnAnotherTape(y.array)
        result._grad_fn, result._requires_grad = y.grad_fn, y.requires_grad
        return result

    a, b = _two_of_one_shape(np.random.default_rng(seed)).inputs
    return check_gradients(function, (Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)), seed=seed)


def _of_an_optimizer(specimen: Specimen, place: str, seed: int) -> Finding:
    name, _, method = place.partition(".")
    right = optim.SGD if name == "Optimizer" else getattr(optim, name)
    report = check_optimizer(_faulty(right, specimen, method, static=False), right, seed=seed)
    return Finding(specimen, not report.ok, report.mistakes, str(report))


def _of_a_check(specimen: Specimen) -> Finding:
    analytic, numeric = specimen.function()
    mistakes = autopsy(analytic, numeric, dtype=numeric.dtype)
    return Finding(specimen, bool(mistakes), mistakes, "\n".join(map(str, mistakes)))


# --- the table --------------------------------------------------------------------------------------------------------


def table(specimens: Iterable[Specimen] = SPECIMENS.values()) -> Iterator[str]:
    """The lines of a table: each specimen, what it stands in for, its mistake, and what a check takes it for."""
    specimens = list(specimens)
    heads = ("specimen", "in place of", "mistake", "taken for")
    rows = [(specimen.name, specimen.of or "a check", specimen.mistake) for specimen in specimens]
    widths = [max(map(len, column)) for column in zip(heads, *[(*row, "") for row in rows], strict=True)]

    def line(cells: Iterable[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    yield line(heads)
    caught = right = 0
    for specimen, row in zip(specimens, rows, strict=True):
        finding = find(specimen)
        first = finding.mistakes[0].name if finding.mistakes else "nothing that is known"
        caught, right = caught + finding.caught, right + finding.right
        verdict = "not caught" if not finding.caught else first if finding.right else f"{first}: wrong"
        yield line((*row, verdict))
    yield f"{caught} of {len(specimens)} caught, {right} named rightly ({right / max(len(specimens), 1):.1%})"


def describe(name: str) -> str:
    """description() of the specimen of this name. Raises LookupError, with like names, if there is none."""
    if name not in SPECIMENS:
        near = difflib.get_close_matches(name, SPECIMENS, n=3, cutoff=0.4)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise LookupError(f"there is no {name!r} in the zoo{meant} (minitrain learn zoo lists all)")
    return description(SPECIMENS[name])


def description(specimen: Specimen) -> str:
    """All that there is to say of one specimen, with the check's report."""
    text = textwrap.fill(specimen.explanation, 100, initial_indent="  ", subsequent_indent="  ")
    where = f" in {specimen.of}" if specimen.of else ""
    return f"{specimen.name}: {specimen.mistake}{where}\n  {specimen.formula}\n{text}\n\n{find(specimen).report}"

"""How the zoo's specimens are examined: a checker runs each one on an example that shows it; the table of results."""

from __future__ import annotations

import contextlib
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
from minitrain.diagnosis.loopcheck import check_loop
from minitrain.diagnosis.optimcheck import check_optimizer
from minitrain.mistakes.catalogue import CATALOGUE, SPECIMENS
from minitrain.mistakes.specimen import VALUES, Specimen
from minitrain.ops import Array, Function
from minitrain.tensor import Tensor, apply, wrap
from minitrain.torchlike.grad_mode import no_grad

# --- the examples that operations run on ------------------------------------------------------------------------------


class Example(NamedTuple):
    """An operation's inputs (arrays, None) and options."""

    inputs: list[Any]
    options: Mapping[str, Any] = MappingProxyType({})


MakeExample = Callable[[np.random.Generator], Example]


def sizes(rng: np.random.Generator, count: int) -> list[int]:
    """Different sizes, none of them 1 or 2, so that a factor of N, C or 2 can be recognized by its value."""
    return [int(size) for size in rng.permutation([3, 4, 5, 6])[:count]]


def values(rng: np.random.Generator, *shape: int) -> Array:
    """Irregular numbers of both signs, from 0.3 to 2 in size."""
    return np.asarray(rng.uniform(0.3, 2, shape) * rng.choice([-1.0, 1.0], shape))


def _arrays(*shapes: str, **options: Any) -> MakeExample:
    """Makes an example with arrays of these shapes: "nc" is (n, c). A letter has the same size everywhere."""
    letters = list(dict.fromkeys("".join(shapes)))

    def make(rng: np.random.Generator) -> Example:
        size = dict(zip(letters, sizes(rng, len(letters)), strict=True))
        return Example([values(rng, *[size[letter] for letter in shape]) for shape in shapes], options)

    return make


def _positive(first: str, *others: str) -> MakeExample:
    """Like _arrays, but the first array is positive."""

    def make(rng: np.random.Generator) -> Example:
        x, *rest = _arrays(first, *others)(rng).inputs
        return Example([np.abs(x), *rest])

    return make


def _power_of_zero(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([rng.integers(0, 3, (n, c)), np.abs(values(rng, c))])


def _where(rng: np.random.Generator) -> Example:
    a, b = _arrays("nc", "c")(rng).inputs
    return Example([rng.random(a.shape) < 0.5, a, b])


def _reshape(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c)], {"shape": (c, n)})


def _expand(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, c)], {"shape": (n, c)})


def _nll(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    target = rng.integers(0, c, n)
    return Example([values(rng, n, c), target, None], {"ignore_index": -100, "reduction": "mean"})


def _normalize(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([values(rng, n, c), values(rng, 1, c), values(rng, 1, c)], {"dim": (0,), "eps": 1e-5})


def _convolution(rng: np.random.Generator) -> Example:
    x, weight, bias = values(rng, 2, 3, 4, 5), values(rng, 4, 3, 2, 3), values(rng, 4)
    options = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    return Example([x, weight, bias], options)


def _windows(rng: np.random.Generator) -> Example:
    options = {"size": (2, 2), "stride": (2, 2), "padding": (0, 0), "dilation": (1, 1), "ceil": (0, 0)}
    return Example([values(rng, 2, 2, 4, 6)], options)


def _average(rng: np.random.Generator) -> Example:
    options = {"size": (2, 3), "stride": (2, 3), "padding": (0, 0), "ceil": (0, 0)}
    return Example([values(rng, 3, 2, 4, 6), np.full((2, 2), 6)], options)


def _probabilities(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([rng.uniform(0.1, 0.9, (n, c)), (rng.random((n, c)) < 0.5) + 0.0])


def _logits(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    target, weight = rng.permutation(n * c).reshape(n, c) % 2 + 0.0, np.array(3)  # an integer gets no gradient
    return Example([values(rng, n, c), target, weight])


EXAMPLES: dict[str, MakeExample] = {
    **dict.fromkeys(["Add", "Sub", "Mul", "Div", "Maximum", "Minimum"], _arrays("nc", "c")),
    **dict.fromkeys(["Neg", "Exp", "Abs", "Tanh", "Sigmoid", "ReLU"], _arrays("nc")),
    **dict.fromkeys(["Log", "Sqrt"], _positive("nc")),
    **dict.fromkeys(["Sum", "Mean", "Amax"], _arrays("nc", dim=(0,), keepdim=False)),
    **dict.fromkeys(["Softmax", "LogSoftmax"], _arrays("nc", dim=1)),
    "Max": _arrays("nc", dim=(0, 1), keepdim=False),
    "Var": _arrays("nc", dim=(0,), keepdim=False, correction=1),
    "Pow": _positive("nc", "c"),
    "Clamp": _arrays("nc", min=-1.0, max=0.8),
    "Where": _where,
    "Reshape": _reshape,
    "Flatten": _arrays("nhw", start_dim=1, end_dim=2),
    "Transpose": _arrays("nc", dim0=0, dim1=1),
    "Permute": _arrays("nhw", dims=(1, 2, 0)),
    "Expand": _expand,
    "Index": _arrays("nc", index=(np.array([1, 0, 1, 2, 1]),)),
    "IndexPut": _arrays("nc", "c", index=(np.array([2, 0]),)),
    "ViewPut": _arrays("nc", "c", view=lambda array: array[1]),
    "Cat": _arrays("nc", "nc", dim=0),
    "Clone": _arrays("nc", order="K"),
    "ToCopy": _arrays("nc", dtype=np.dtype(np.float64)),
    "Matmul": _arrays("nk", "km"),
    "Linear": _arrays("ni", "oi", "o"),
    "NLLLoss": _nll,
    "MSELoss": _arrays("nc", "nc", reduction="mean"),
    "Normalize": _normalize,
    "Norm": _arrays("nc", p=2.0, dim=(1,), keepdim=False),
    **dict.fromkeys(["LogSumExp", "Prod"], _arrays("nc", dim=(1,), keepdim=False)),
    "Cumsum": _arrays("nc", dim=1),
    "Conv2d": _convolution,
    "MaxPool2d": _windows,
    "AvgPool2d": _average,
    "LeakyReLU": _arrays("nc", slope=0.1),
    "ELU": _arrays("nc", alpha=0.7, scale=1.0, rate=1.0),
    "SiLU": _arrays("nc"),
    "Softplus": _arrays("nc", beta=1.0, threshold=20.0),
    "BCELoss": _probabilities,
    "BCEWithLogitsLoss": _logits,
    "SmoothL1Loss": _arrays("nc", "nc", beta=1.5),
}


def _with_ties(rng: np.random.Generator) -> Example:
    n, c = sizes(rng, 2)
    return Example([np.sort(values(rng, n, c), axis=0)[[*range(n), n - 1]]], {"dim": (0,), "keepdim": False})


def _equal_operands(rng: np.random.Generator) -> Example:
    a = values(rng, *sizes(rng, 2))
    return Example([a, np.where(rng.permutation(a.size).reshape(a.shape) % 3, values(rng, *a.shape), a)])


def _weighted_nll(rng: np.random.Generator) -> Example:
    c, options = sizes(rng, 1)[0], _nll(rng).options
    return Example([values(rng, 2 * c, c), np.arange(2 * c) % c, rng.permutation(c) + 2], options)  # integer weights


def _windows_that_overlap(rng: np.random.Generator) -> Example:
    options = {"size": (2, 3), "stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "ceil": (0, 0)}
    return Example([values(rng, 2, 2, 4, 5)], options)


def _averages_that_overlap(rng: np.random.Generator) -> Example:
    options = {"size": (2, 3), "stride": (1, 1), "padding": (0, 0), "ceil": (0, 0)}
    return Example([values(rng, 2, 2, 4, 5), np.full((3, 3), 6)], options)


# Specimens that do not show on their operation's usual example.
ON_ANOTHER = {
    "amax-ties-to-each": _with_ties,
    "maximum-ties-to-both": _equal_operands,
    "nll-weights-forgotten": _weighted_nll,
    "nll-divided-by-all-rows": _weighted_nll,
    "div-returns-in-the-wrong-order": _arrays("nc", "nc"),
    "pow-of-zero": _power_of_zero,
    "max-pool-overwrites": _windows_that_overlap,
    "avg-pool-overwrites": _averages_that_overlap,
    "matmul-of-the-first-matrix-only": _arrays("snk", "km"),
}


# --- examining --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a check reports about a specimen.

    caught: whether it finds something wrong. mistakes: what, the likeliest first. report: its full text.
    """

    specimen: Specimen
    caught: bool
    mistakes: list[Mistake]
    report: str

    @property
    def right(self) -> bool:
        """Whether the first of the mistakes is the specimen's."""
        return bool(self.mistakes) and self.mistakes[0].name == self.specimen.mistake


def find(specimen: Specimen, seed: int = 0) -> Finding:
    """Put the specimen into its operation, optimizer, tape or loop, and check that. seed: of the example's values.

    Raises ValueError for a specimen that no check can name.
    """
    if specimen.mistake == VALUES:
        raise ValueError(f"no check can name {specimen.name}: only a comparison with the right values finds it")
    room, name, *_ = specimen.of.split(".")
    if room == "mistakes":
        return _of_a_check(specimen)
    if room == "loops":
        return _of_a_loop(specimen)
    if room == "optim":
        return _of_an_optimizer(specimen, name, seed)
    report = _of_the_tape(specimen, seed) if room == "tape" else _of_an_operation(specimen, name, seed)
    mistakes = [mistake for found in report.inputs for mistake in found.mistakes]
    return Finding(specimen, not report.ok, list({mistake.name: mistake for mistake in mistakes}.values()), str(report))


def faulty(right: type[Any], specimen: Specimen) -> type[Any]:
    """A subclass with the specimen in place of its method."""
    method = specimen.of.rpartition(".")[2]
    static = issubclass(right, Function)
    return type(right.__name__, (right,), {method: staticmethod(specimen.function) if static else specimen.function})


def _of_an_operation(specimen: Specimen, name: str, seed: int) -> Any:
    wrong = faulty(getattr(ops, name), specimen)
    rng = np.random.default_rng(seed)
    if specimen.mistake in ("one-hot-missing", "softmax-twice", "wrong-target"):  # of cross-entropy as a whole
        return _of_cross_entropy(wrong, rng)
    example = ON_ANOTHER.get(specimen.name, EXAMPLES[name])(rng)
    return check_gradients(wrong, example.inputs, options=example.options, seed=seed)


def _of_cross_entropy(wrong: type[Function], rng: np.random.Generator) -> Any:
    (x, _, weight), options = _nll(rng)
    target = np.arange(len(x)) % x.shape[1]
    log_softmax, nll = (wrong if issubclass(wrong, right) else right for right in (ops.LogSoftmax, ops.NLLLoss))

    def cross_entropy(scores: Tensor) -> Tensor:
        return apply(nll, apply(log_softmax, scores, dim=1), wrap(target), weight, **options)

    return check_gradients(cross_entropy, wrap(x).requires_grad_())


def _of_the_tape(specimen: Specimen, seed: int) -> Any:
    class OnAnotherTape(Tensor):
        """A Tensor whose backward walks as the specimen does."""

        def backward(
            self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
        ) -> None:
            """Like Tensor.backward, with the other walk."""
            grad = np.ones_like(self.array) if gradient is None else gradient.array
            specimen.function(self._edge(), grad, retain_graph=bool(retain_graph))

    def function(a: Tensor, b: Tensor) -> Tensor:
        y = (a * b).tanh()
        if specimen.mistake != "inputs-swapped":  # shown by one operation with two inputs
            y = y * a.exp() + y
        result = wrap(y.array)
        result.__class__ = OnAnotherTape
        result._grad_fn, result._requires_grad = y.grad_fn, y.requires_grad
        return result

    a, b = _arrays("nc", "nc")(np.random.default_rng(seed)).inputs
    return check_gradients(function, (wrap(a).requires_grad_(), wrap(b).requires_grad_()), seed=seed)


def _of_an_optimizer(specimen: Specimen, name: str, seed: int) -> Finding:
    right = optim.SGD if name == "Optimizer" else getattr(optim, name)
    report = check_optimizer(faulty(right, specimen), right, seed=seed)
    return Finding(specimen, not report.ok, report.mistakes, str(report))


def _of_a_loop(specimen: Specimen) -> Finding:
    with no_grad() if specimen.of == "loops.test_loop" else contextlib.nullcontext():
        report = check_loop(specimen.function)
    return Finding(specimen, not report.ok, report.mistakes, str(report))


def _of_a_check(specimen: Specimen) -> Finding:
    analytic, numeric = specimen.function()
    mistakes = autopsy(analytic, numeric)
    return Finding(specimen, bool(mistakes), mistakes, "\n".join(map(str, mistakes)))


# --- the table --------------------------------------------------------------------------------------------------------


def table(specimens: Iterable[Specimen] = SPECIMENS.values()) -> Iterator[str]:
    """The lines of a table: each specimen, the function it changes, its mistake, and the mistake that a check names."""
    specimens = list(specimens)
    heads = ("specimen", "in place of", "mistake", "taken for")
    rows = [(each.name, "a check" if each.of.startswith("mistakes") else each.of, each.mistake) for each in specimens]
    widths = [max(map(len, column)) for column in zip(heads, *[(*row, "") for row in rows], strict=True)]

    def line(cells: Iterable[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    yield line(heads)
    caught = right = 0
    for specimen, row in zip(specimens, rows, strict=True):
        finding = find(specimen)
        first = finding.mistakes[0].name if finding.mistakes else "no known mistake"
        caught, right = caught + finding.caught, right + finding.right
        verdict = "not caught" if not finding.caught else first if finding.right else f"{first}: wrong"
        yield line((*row, verdict))
    yield f"{caught} of {len(specimens)} caught, {right} named correctly ({right / max(len(specimens), 1):.1%})"


def describe(name: str) -> str:
    """A specimen's wrong formula, its explanation, the edit and the check's report.

    Raises LookupError, with similar names, for an unknown name.
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, n=3, cutoff=0.4)
        meant = f"; did you mean {' or '.join(near)}?" if near else ""
        raise LookupError(f"there is no {name!r} in the zoo{meant} (minitrain learn zoo lists all)")
    specimen = CATALOGUE[name]
    text = textwrap.fill(specimen.explanation, 100, initial_indent="  ", subsequent_indent="  ")
    where = "" if specimen.of.startswith("mistakes") else f" in {specimen.of}"
    edit = [
        f"{sign} {line}"
        for pair in specimen.edits
        for sign, x in zip("-+", pair, strict=True)
        for line in x.split("\n")
    ]
    shown = textwrap.indent("\n".join(line for line in edit if line != "- "), "  ")
    if specimen.mistake == VALUES:
        found = "No check names it; a comparison with the right values finds it."
    else:
        found = find(specimen).report
    return f"{specimen.name}: {specimen.mistake}{where}\n  {specimen.formula}\n{text}\n{shown}\n\n{found}"

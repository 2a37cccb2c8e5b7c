"""The bug zoo: every specimen fits into the library, is caught, and is named; and nothing right is called wrong."""

import ast
import builtins
import dataclasses
import functools
import inspect
import sys
from typing import Any

import numpy as np
import pytest

from minitrain import ops, optim
from minitrain.diagnosis import optimizer_rules
from minitrain.diagnosis.autopsy import autopsy
from minitrain.diagnosis.gradcheck import check_gradients
from minitrain.diagnosis.optimcheck import check_optimizer
from minitrain.diagnosis.source_edit import body_of, edited, entries
from minitrain.mistakes.catalogue import CATALOGUE, SPECIMENS
from minitrain.mistakes.specimen import Specimen
from minitrain.mistakes.table import EXAMPLES, Example, describe, find, table
from minitrain.ops import Array, Function

GRADIENTS = [
    "sign",
    "factor",
    "mean-missing",
    "mean-twice",
    "transposed",
    "wrong-place",
    "sum-missing",
    "sum-wrong-axis",
    "mask-inverted",
    "mask-missing",
    "mask-wrong-side",
    "at-output",
    "at-input",
    "path-forgotten",
    "detached",
    "off-diagonal-missing",
    "one-hot-missing",
    "clipped",
    "eps",
    "rounding",
    "kinks",
    "grad-output-missing",
    "derivative-missing",
    "inputs-swapped",
    "operand",
    "rows-missing",
    "averaged",
    "shifted",
    "not-finite",
    "one-side",
    "row-factor",
    "term-missing",
    "term-sign",
    "term-factor",
    "term-without-grad",
    "not-linear",
    "ties",
    "softmax-twice",
    "wrong-target",
    "wrong-derivative",
    "wrong-shape",
    "whole-numbers",
]
OPTIMIZERS = [
    "uphill",
    "lr-missing",
    "stale-momentum",
    "momentum-averaged",
    "momentum-missing",
    "nesterov-missing",
    "dampened-first",
    "decay-missing",
    "decay-sign",
    "decay-decoupled",
    "decay-coupled",
    "bias-correction-missing",
    "eps-inside-root",
    "square-missing",
    "root-missing",
    "betas-swapped",
    "gradients-not-zeroed",
    "late-gradient",
    "step-not-counted",
]
LOOPS = [
    "step-before-backward",
    "gradients-zeroed-too-early",
    "no-step",
    "no-backward",
    "step-twice",
    "loss-not-divided",
    "softmax-before-cross-entropy",
    "labels-shuffled",
    "training-in-evaluation-mode",
    "evaluation-in-training-mode",
    "smallest-score",
    "accuracy-over-batches",
    "loss-over-samples",
]
MORE_OF_OPTIMIZERS = ["not-updated", "gradient-written", "lr-inside-momentum", "lr-not-followed", "eps-uncorrected"]
OF_STEP = ["gradient-averaged", "gradient-centered", "gradient-clipped", "gradient-normalized", "gradient-sign"]
OF_RATIOS = ["step-factor", "rate-falls"]
# The other names that the diagnosis of optimizers has for the rules that the library has, too: a specimen is an edit of
# the library. No example here tells a lower bound of eps from a missing one.
IN_THE_LIBRARY: list[optimizer_rules.Rule] = ["sgd", "rmsprop", "adam"]
OF_RULES = {
    name.partition("/")[0]
    for name in optimizer_rules.MISTAKES
    if any(optimizer_rules.has_place(rule, name) for rule in IN_THE_LIBRARY)
} - {"eps-as-minimum"}

# The operations that a learner reads, each of which has a specimen. Some further ones have specimens, too.
STUDIED = {f"minitrain.ops.{name}" for name in ("elementwise", "reduce", "shape", "linear", "loss")}
OPERATIONS = [
    name
    for name, member in inspect.getmembers(ops, inspect.isclass)
    if issubclass(member, Function) and member is not Function and member.__module__ in STUDIED
]

every_specimen = pytest.mark.parametrize("specimen", SPECIMENS.values(), ids=lambda specimen: specimen.name)
every_mistake = pytest.mark.parametrize("specimen", CATALOGUE.values(), ids=lambda specimen: specimen.name)
in_the_library = [specimen for specimen in SPECIMENS.values() if not specimen.of.startswith("mistakes.")]
every_one_in_the_library = pytest.mark.parametrize("specimen", in_the_library, ids=lambda specimen: specimen.name)
every_operation = pytest.mark.parametrize("name", OPERATIONS)


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_it_has_a_mistake_for_every_operation_every_optimizer_and_the_tape() -> None:
    of = {specimen.of.rpartition(".")[0] for specimen in in_the_library}
    assert of >= {f"ops.{name}" for name in OPERATIONS}
    assert of - {f"ops.{name}" for name in EXAMPLES} == {
        "optim.Optimizer",
        "optim.SGD",
        "optim.RMSprop",
        "optim.Adam",
        "tape",
        "loops",
    }


def test_it_has_every_mistake_that_has_a_name() -> None:
    of_optimizers = {*OPTIMIZERS, *MORE_OF_OPTIMIZERS, *OF_STEP, *OF_RATIOS, *OF_RULES}
    assert {specimen.mistake for specimen in SPECIMENS.values()} == {*GRADIENTS, *of_optimizers, *LOOPS}


@every_mistake
def test_it_says_what_is_wrong_and_what_follows(specimen: Specimen) -> None:
    assert specimen.formula.endswith(".")
    assert len(specimen.explanation) > 80
    assert specimen.explanation.endswith((".", ".)"))
    assert specimen.name == specimen.name.lower().replace("_", "-")
    assert specimen.edits


# --- it fits into the library -----------------------------------------------------------------------------------------


@every_mistake
def test_every_edit_fits_and_changes_the_body(specimen: Specimen) -> None:
    """Each old text must occur exactly once, or body and function raise LookupError."""
    assert specimen.body != body_of(specimen.original)
    assert callable(specimen.function)


@pytest.mark.parametrize("old", ["y > 0", "y"])
def test_an_edit_that_does_not_fit_is_refused(old: str) -> None:
    specimen = dataclasses.replace(SPECIMENS["relu-mask-inverted"], edits=((old, "y >= 0"),))
    with pytest.raises(LookupError, match=r"relu-mask-inverted, in ops.ReLU.backward: .* exactly once, but 'y"):
        assert specimen.function


def test_edits_are_written_in_the_style_of_a_diff() -> None:
    written = """
first: one
  A line.
- a + b  =>  a - b
-  * 2  =>

second: two
  Two
  lines.
- x
-     y
+ z
+ return
"""
    first, second = entries(written)
    assert first == ("first: one", ["A line."], (("a + b", "a - b"), (" * 2", "")))
    assert second == ("second: two", ["Two", "lines."], (("x\n    y", "z\nreturn"),))
    assert edited("(a + b) * 2", first.edits) == "(a - b)"
    assert edited("whatever", [("", "return None")]) == "return None"


def test_the_library_stays_as_it_is() -> None:
    before = ops.ReLU.backward
    find(SPECIMENS["relu-mask-inverted"])
    assert SPECIMENS["relu-mask-inverted"].original is before is ops.ReLU.backward


def names_from_outside(specimen: Specimen) -> set[str]:
    """What its body uses and does not make itself."""
    names = [node for node in ast.walk(ast.parse(f"def body():\n  {indented(specimen)}")) if isinstance(node, ast.Name)]
    arguments = set(inspect.signature(specimen.original).parameters)
    return {name.id for name in names} - {x.id for x in names if isinstance(x.ctx, ast.Store)} - arguments


def indented(specimen: Specimen) -> str:
    return specimen.body.replace("\n", "\n  ")


@every_mistake
def test_it_takes_what_the_librarys_function_takes(specimen: Specimen) -> None:
    def parameters(function: Any) -> list[Any]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert parameters(specimen.function) == parameters(specimen.original)


@every_mistake
def test_its_body_uses_only_what_the_librarys_module_has(specimen: Specimen) -> None:
    module = sys.modules[specimen.original.__module__]
    missing = [n for n in names_from_outside(specimen) if not hasattr(module, n) and not hasattr(builtins, n)]
    assert not missing


# --- it is caught, and named ------------------------------------------------------------------------------------------


found = functools.cache(find)


@every_specimen
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_caught(specimen: Specimen, seed: int) -> None:
    assert found(specimen, seed).caught


@pytest.mark.parametrize("seed", [0, 1])
def test_at_least_95_percent_are_named_rightly(seed: int) -> None:
    findings = [found(specimen, seed) for specimen in SPECIMENS.values()]
    of_gradients = [finding for finding in findings if finding.specimen.mistake in GRADIENTS]
    for some in (findings, of_gradients):
        wrong = [f"{f.specimen.name}: {[mistake.name for mistake in f.mistakes]}" for f in some if not f.right]
        assert len(wrong) <= len(some) / 20, wrong


of_optimizers = [specimen for specimen in in_the_library if specimen.of.startswith(("optim.", "loops."))]


@pytest.mark.parametrize("specimen", of_optimizers, ids=lambda specimen: specimen.name)
def test_of_an_optimizer_or_a_loop_every_one_is_named_rightly(specimen: Specimen) -> None:
    finding = found(specimen, 0)
    assert finding.right, finding.report


# Those of one optimizer have the same example.
one_of_each = {
    specimen.of if specimen.of.startswith("optim.") else name: specimen for name, specimen in SPECIMENS.items()
}


@pytest.mark.parametrize("specimen", one_of_each.values(), ids=lambda specimen: specimen.name)
def test_what_is_right_in_its_place_is_not_caught(specimen: Specimen) -> None:
    """The very examples that show the specimens show nothing of the library's own functions."""
    finding = find(dataclasses.replace(specimen, edits=()))
    assert not finding.caught, finding.report
    assert finding.mistakes == []


def test_a_mistake_of_another_kind_is_not_counted_as_right() -> None:
    specimen = dataclasses.replace(SPECIMENS["relu-mask-inverted"], mistake="sign")
    assert find(specimen).caught
    assert not find(specimen).right


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_a_line_for_each_and_says_how_many() -> None:
    some = [SPECIMENS["sub-sign-forgotten"], dataclasses.replace(SPECIMENS["sgd-uphill"], mistake="decay-missing")]
    head, first, second, total = table(some)
    assert head.split()[0] == "specimen"
    assert first.split() == ["sub-sign-forgotten", "ops.Sub.backward", "sign", "sign"]
    assert second.split() == ["sgd-uphill", "optim.SGD.update", "decay-missing", "uphill:", "wrong"]
    assert total == "2 of 2 caught, 1 named correctly (50.0%)"


def test_the_table_says_what_is_not_caught() -> None:
    right = dataclasses.replace(SPECIMENS["sub-sign-forgotten"], edits=())
    assert list(table([right]))[1].endswith("not caught")


def test_a_description_has_the_formula_and_the_report() -> None:
    text = describe("relu-mask-inverted")
    assert "dL/dx = dL/dy where x <= 0" in text
    assert "\n  - y <= 0\n  + y > 0\n\n" in text
    assert "mask-inverted" in text.partition("\n\n")[2]


def test_of_a_mistake_that_no_check_can_name_the_description_says_what_finds_it() -> None:
    specimen = CATALOGUE["train-loop-counts-too-few"]
    assert "a comparison with the right values finds it" in describe(specimen.name)
    with pytest.raises(ValueError, match="only a comparison with the right values"):
        find(specimen)


# --- no false alarm ---------------------------------------------------------------------------------------------------


class AnyNumbers:
    """Stands in for the generator that the examples draw from: any sizes from 1 up, zeros, ties, small and large."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.spread = self._random.choice([0.3, 1.0, 3.0])
        self.quarters = self._random.random() < 0.3  # with ties, and on kinks

    def shape(self, ndim: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self._random.integers(1, 5, ndim))

    def array(self, *shape: int, positive: bool = False) -> Array:
        numbers = np.asarray(self._random.normal(0, self.spread, shape))
        numbers = np.round(4 * numbers) / 4 if self.quarters else numbers
        return np.abs(numbers) + 0.25 if positive else numbers

    def one_of(self, *choices: Any) -> Any:
        return choices[self._random.integers(len(choices))]

    def integers(self, below: int, *shape: int) -> Array:
        return self._random.integers(0, below, shape)

    def subset(self, count: int) -> tuple[int, ...]:
        return tuple(i for i in range(count) if self._random.random() < 0.5)

    def permutation(self, count: int) -> tuple[int, ...]:
        return tuple(int(i) for i in self._random.permutation(count))


def any_example(name: str, draw: AnyNumbers) -> Example:
    """A random call of the operation."""
    n, c = draw.shape(2)
    x = draw.array(*draw.shape(draw.one_of(1, 2, 3)), positive=name in ("Log", "Sqrt"))
    axis = draw.one_of(*range(x.ndim))
    match name:
        case "Add" | "Sub" | "Mul" | "Div" | "Maximum" | "Minimum" | "Pow" | "Where":
            shapes = draw.one_of([(n, c), (c,)], [(n, 1), (n, c)], [(n, c), (n, c)], [(), (n,)], [(2, n, 1), (1, c)])
            a, b = (draw.array(*shape, positive=name == "Pow") for shape in shapes)
            b = np.where(np.abs(b) < 0.2, 0.5, b) if name == "Div" else b
            where = [draw.integers(2, *np.broadcast_shapes(*shapes)).astype(bool)] if name == "Where" else []
            return Example([*where, a, b])
        case "Clamp":
            return Example([x], {"min": draw.one_of(None, -0.5), "max": draw.one_of(0.25, 1.0)})
        case "Sum" | "Mean" | "Amax":
            return Example([x], {"dim": draw.subset(x.ndim) or (axis,), "keepdim": draw.one_of(False, True)})
        case "Max":
            return Example([x], {"dim": tuple(range(x.ndim)), "keepdim": False})
        case "Var":
            x = draw.array(n + 1, c)
            return Example([x], {"dim": (0,), "keepdim": draw.one_of(False, True), "correction": draw.one_of(0, 1)})
        case "Reshape":
            return Example([x], {"shape": draw.one_of((x.size,), x.shape[::-1], (*x.shape, 1))})
        case "Flatten":
            return Example([x], {"start_dim": axis, "end_dim": x.ndim - 1})
        case "Transpose":
            return Example([x], {"dim0": axis, "dim1": draw.one_of(*range(x.ndim))})
        case "Permute":
            return Example([x], {"dims": draw.permutation(x.ndim)})
        case "Expand":
            return Example([draw.array(n, 1)], {"shape": draw.one_of((n, c), (2, n, c), (n, 1))})
        case "Index":
            index = draw.one_of((slice(0, 1),), (draw.integers(len(x), 5),), (0,), (x > 0,), (..., np.newaxis))
            return Example([x], {"index": index})
        case "IndexPut":
            x, place = draw.array(n, c), draw.integers(n, 1)
            return Example([x, draw.array(*draw.one_of((1, c), (c,), (1,)))], {"index": (place,)})
        case "ViewPut":
            return Example([draw.array(n, c), draw.array(c)], {"view": lambda array: array[0, ::-1]})
        case "Cat":
            return Example([draw.array(size, c) for size in draw.shape(draw.one_of(1, 2, 3))], {"dim": 0})
        case "Clone" | "ToCopy":
            return Example([x], EXAMPLES[name](np.random.default_rng(0)).options)
        case "Matmul":
            k, stack = draw.shape(2)
            shapes = draw.one_of(
                [(n, k), (k, c)], [(stack, n, k), (k, c)], [(k,), (k, c)], [(n, k), (k,)], [(k,), (k,)]
            )
            return Example([draw.array(*shape) for shape in shapes])
        case "Linear":
            batch = draw.one_of((), (4,), (2, 3))
            return Example([draw.array(*batch, n), draw.array(c, n), draw.one_of(None, draw.array(c))])
        case "Softmax" | "LogSoftmax":
            return Example([x], {"dim": axis})
        case "NLLLoss":
            options = {"ignore_index": draw.one_of(-100, 0), "reduction": draw.one_of("none", "mean", "sum")}
            target = draw.integers(c, n)
            target[0] = c - 1 if c > 1 else target[0]
            options["ignore_index"] = options["ignore_index"] if c > 1 else -100  # all ignored has no mean
            return Example([draw.array(n, c), target, draw.one_of(None, draw.array(c, positive=True))], options)
        case "MSELoss":
            return Example([draw.array(n, c), draw.array(n, c)], {"reduction": draw.one_of("none", "mean", "sum")})
    return Example([x])


@every_operation
def test_no_false_alarm_for_a_right_operation(name: str) -> None:
    """24 cases each, together with the optimizers' more than a thousand."""
    for seed in range(24):
        inputs, options = any_example(name, AnyNumbers(seed))
        needs = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
        needs = [True, False, False] if name == "NLLLoss" else needs
        report = check_gradients(getattr(ops, name), inputs, options=options, needs_input_grad=needs, seed=seed)
        assert report.ok, f"seed {seed}\n{report}"
        for found in report.inputs:
            assert found.mistakes == []
            if found.analytic is not None and not found.kinks and not found.unmeasured:
                assert found.numeric is not None
                assert autopsy(found.analytic, found.numeric) == [], f"seed {seed}"


OPTIONS: dict[type[Any], dict[str, list[Any]]] = {
    optim.SGD: {"momentum": [0, 0.5, 0.9], "dampening": [0, 0.3], "nesterov": [False, True]},
    optim.RMSprop: {"alpha": [0.5, 0.9, 0.99], "eps": [1e-8, 1e-3], "momentum": [0, 0.9], "centered": [False, True]},
    optim.Adam: {"betas": [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)], "eps": [1e-8, 1e-3], "amsgrad": [False, True]},
    optim.AdamW: {"betas": [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)], "eps": [1e-8, 1e-3], "amsgrad": [False, True]},
}


@pytest.mark.parametrize("rule", OPTIONS)
def test_no_false_alarm_for_a_right_optimizer(rule: type[Any]) -> None:
    """50 cases each, against the formula and against itself."""
    formula = {optim.SGD: "sgd", optim.RMSprop: "rmsprop"}.get(rule, "adam")
    for seed in range(50):
        draw = AnyNumbers(seed)
        choices = {**OPTIONS[rule], "lr": [1e-4, 1e-2, 1.0], "weight_decay": [0, 0.01, 0.3], "maximize": [False, True]}
        options = {name: draw.one_of(*values) for name, values in choices.items()}
        if options.get("nesterov"):
            options |= {"momentum": 0.9, "dampening": 0}
        shapes = [draw.shape(draw.one_of(1, 2)) for _ in range(draw.one_of(1, 2, 4))]
        for reference in (formula, rule):
            report = check_optimizer(
                rule, reference, options=options, shapes=shapes, steps=draw.one_of(1, 5), seed=seed
            )
            assert report.ok, f"seed {seed}\n{report}"
            assert report.mistakes == []

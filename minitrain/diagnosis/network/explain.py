"""Names mistakes in a hand-written backward over several layers, from the gradients of its parameters alone.

The forward is run once more and recorded (traced_array.py), which gives the gradient of every value on the way. Then
the pattern of right and wrong parameters says where to look: a mistake that spares W3 lies between W3's layer and the
wrong ones. Each way back that lies there is changed as people change it by mistake, and kept if it gives the wrong
gradients and leaves the right ones. changes.py lists those changes.
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.checked_function import Problem
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.diagnosis.network.net import Net
from minitrain.diagnosis.network.search import Found, Search
from minitrain.diagnosis.traced_array import Graph, UntraceableError, trace
from minitrain.ops import Array, Context

# Mistakes that explain a gradient to the last entry, wherever in the network they were made.
WITHOUT_PLACE = {"grad-output-moved", "wrong-place", "transposed"}


def explain_network(problem: Problem, report: Report, weights: Sequence[Array], check: Callable[..., Report]) -> None:
    """Look for mistakes in the whole network of a wrong report, and put them there. check: check_gradients."""
    pair = getattr(problem, "pair", None)
    if pair is None or report.ok:
        return
    results = problem.prepare()
    written = _written(problem, weights)
    if written:
        report.whole = [written]
        for found in report.inputs:
            if not found.ok:
                found.problem = (
                    "backward writes into what was saved; two different gradients for one dL/dy would follow"
                )
                found.mistakes, found.worst, found.explained = [], None, True
        return
    if _parts(pair, report, check):
        return
    wrong = [not found.ok for found in report.inputs]
    wrongs = [found for found in report.inputs if not found.ok]
    silent = [not found.problem and {m.name for m in found.mistakes} <= {"rounding"} for found in wrongs]
    net = _net(problem, pair, weights[0]) if len(results) == 1 else None
    whole = net is not None and len(net.layers) > 1 and len(problem.arrays) > 1
    if net is None or any(found.problem for found in report.inputs) or not (whole or any(silent)):
        return
    given = [None if g is None else np.asarray(g, np.float64) for g in problem.backward([w.copy() for w in weights])]
    unmatched = frozenset(i for i, is_wrong in enumerate(wrong) if is_wrong)
    search = Search(net, given, weights[0])
    matched = frozenset(range(len(wrong))) - unmatched - search.numb
    try:
        changes = search.run(unmatched, matched, {})
    except (ValueError, IndexError, UntraceableError):  # a way back that a change makes impossible
        changes = []
    if not whole and not all(silent) and [change.explains for change in changes] != [unmatched]:
        return  # each input has a likelier mistake of its own
    facts = _pattern(net, wrong) if whole else ""
    report.whole = _merged(net, changes)
    if report.whole:
        first = report.whole[0]
        report.whole[0] = dataclasses.replace(first, evidence=f"{facts} {first.evidence}".strip())
    elif facts and not all({m.name for m in found.mistakes[:1]} & WITHOUT_PLACE for found in wrongs):
        report.whole = [Mistake("network", facts, "")]
    for i, of_input in enumerate(report.inputs):
        of_input.explained = any(i in change.explains for change in changes)


def _parts(pair: Any, report: Report, check: Callable[..., Report]) -> bool:
    """Check the layers of a network, where it has such parts, each by itself; whether one of them is wrong."""
    for path, part, given in pair.parts() if hasattr(pair, "parts") else []:
        try:
            with warnings.catch_warnings():  # of what this check cannot see, the whole network's has warned already
                warnings.simplefilter("ignore")
                of_part = check(part, given)
        except Exception:  # it cannot be checked by itself
            continue
        if not of_part.ok:
            bad = [found for found in of_part.inputs if not found.ok]
            causes = [*of_part.whole, *(mistake for found in bad for mistake in found.mistakes[:1])]
            says = f"The backward of {path} ({type(part).__name__}) is wrong."
            says += f" {causes[0].says}" if causes else ""
            evidence = f"checked by itself at the arrays that it got: {bad[0].name} {list(bad[0].shape)} is wrong"
            evidence += f"; {causes[0].evidence}" if causes else ""
            report.whole.append(Mistake(causes[0].name if causes else "operation", says, evidence))
    for found in report.inputs:
        found.explained = bool(report.whole)
    return bool(report.whole)


def kept_values(owner: Any, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Arrays that an object keeps in attributes, dicts, lists and tuples, with the names they have there."""
    if depth == 0:
        return
    parts = owner.items() if isinstance(owner, dict) else vars(owner).items() if hasattr(owner, "__dict__") else ()
    for name, value in [*parts]:
        yield from _named(str(name), value, depth)


def _named(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _named(f"{name}[{i}]", part, depth)
    elif isinstance(value, dict) or (hasattr(value, "__dict__") and not callable(value)):
        yield from kept_values(value, depth - 1)


def _written(problem: Problem, weights: Sequence[Array]) -> Mistake | None:
    """Whether backward writes into an input, or into an array that forward left for it."""
    pair, context = problem.pair, problem.context  # type: ignore[attr-defined]
    arrays = [*zip(parameter_names(pair, problem), problem.arrays, strict=True)]
    if not hasattr(pair, "kept"):
        arrays += [*kept_values(context), *kept_values(pair)]
    before = [(name, array, array.copy()) for name, array in arrays if array.dtype.kind in "biuf"]
    problem.backward([w.copy() for w in weights])
    found = [(name, array, old) for name, array, old in before if not np.array_equal(array, old, equal_nan=True)]
    if not found:
        return None
    name, array, old = found[0]
    apart = np.abs(np.subtract(array, old, dtype=np.float64)).max()
    for _, changed, was in found:
        if changed.flags.writeable:
            changed[...] = was
    says = f"backward writes into {name} in place, so it changes what was saved by forward. "
    if any(array is checked for checked in problem.arrays):
        says += "Update the weights after the whole backward: the way back needs the values that forward used."
    else:
        says += (
            "Work on a copy (x = x + y, not x += y). What is added to in place adds up from call to call: start from "
            "zeros in each backward."
        )
    return Mistake("saved-changed", says, f"after one call of backward, {name} differs by up to {apart:.3g}")


def parameter_names(pair: Any, problem: Problem) -> list[str]:
    """What forward calls the checked inputs; 'input 2' where it takes *inputs."""
    if hasattr(pair, "names"):
        return [pair.names[i] for i in problem.places()]
    try:
        names = [
            p.name
            for p in inspect.signature(pair.forward).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ][1:]
    except (TypeError, ValueError):
        names = []
    return [names[i] if i < len(names) else f"input {i}" for i in problem.places()]


def _net(problem: Problem, pair: Any, grad: Array) -> Net | None:
    """The recorded network; None if it cannot be recorded, or if the record gives other gradients than measured."""
    context = Context((True,) * len(problem.inputs))
    forward = inspect.unwrap(pair.forward)
    code = getattr(pair, "code", None) or getattr(forward, "__code__", None)

    def kept() -> Iterator[tuple[str, Any]]:
        yield from kept_values(context)
        yield from kept_values(pair.kept() if hasattr(pair, "kept") else pair)

    try:
        graph = trace(
            lambda *given: pair.forward(context, *given, **problem.options),
            code,
            problem.inputs,
            problem.places(),
            kept,
        )
        names = parameter_names(pair, problem)
        for i, name in zip(graph.inputs, names, strict=True):
            graph.names[i] = name
        net = Net(graph, names, grad)
        right = graph.walk(grad, {}).grads
    except Exception:  # whatever a forward does with an array that it did not expect
        return None
    return net if _measures(problem, graph, right, grad) else None


def _measures(problem: Problem, graph: Graph, right: Mapping[int, Array], grad: Array) -> bool:
    """Whether the recorded graph's gradients agree with the function, along a random direction of each input."""
    random = np.random.RandomState(2)
    for number, array in zip(graph.inputs, problem.arrays, strict=True):
        before, direction = array.copy(), random.randn(*array.shape)
        slopes = []
        try:
            for h in (1e-6, -1e-6):
                array[...] = before + h * direction
                slopes.append(float((problem.results()[0] * grad).sum()))
        finally:
            array[...] = before
        measured, walked = (slopes[0] - slopes[1]) / 2e-6, float((right.get(number, np.zeros(1)) * direction).sum())
        if not abs(measured - walked) <= 1e-5 + 1e-3 * abs(measured):
            return False
    return True


def _merged(net: Net, found: Sequence[Found]) -> list[Mistake]:
    """The sentences of the changes, one for those of the same kind."""
    mistakes: dict[str, Mistake] = {}
    for one in found:
        those = sorted(one.explains)
        mistake = net.mistake(one.change, one.k, those)
        if mistake.name in mistakes:
            first = mistakes[mistake.name]
            head, also, names = first.evidence.rstrip(".").partition(" The same kind of mistake gives ")
            more = f"{names.rstrip('.')}, " if also else ""
            named = listing([net.names[i] for i in those])
            evidence = f"{head}{'' if also else '.'} The same kind of mistake gives {more}{named}."
            if mistake.says not in first.says and "layer" in mistake.says:
                first = dataclasses.replace(first, says=f"{first.says} {mistake.says}")
            mistakes[mistake.name] = dataclasses.replace(first, evidence=evidence)
        else:
            mistakes[mistake.name] = mistake
    return [*mistakes.values()]


def _pattern(net: Net, wrong: Sequence[bool]) -> str:
    """Which parameters are right and wrong, and where that says to look."""
    names = net.names
    rights = [names[i] for i in range(len(wrong)) if not wrong[i]]
    wrongs = [names[i] for i in range(len(wrong)) if wrong[i]]
    if not rights:
        return "Every gradient is wrong: look at the end first, between the loss and the last layer."
    listed = f"{_are(rights)} right, {_are(wrongs)} wrong."
    layer = [net.layer_of_input(i) for i in range(len(wrong))]
    if net.recurrent or not all(layer):
        return listed
    last_wrong, first_right = (
        max(layer[i] for i in range(len(wrong)) if wrong[i]),
        min((layer[i] for i in range(len(wrong)) if not wrong[i]), default=0),
    )
    if first_right > last_wrong:
        return f"{listed} Look between layer {first_right} and layer {last_wrong}: the gradient is right until there."
    if len(wrongs) == 1:
        beside = [names[i] for i in range(len(wrong)) if not wrong[i] and layer[i] == last_wrong]
        if beside:
            of_it = f"only {wrongs[0]} is made wrongly of it"
            return f"{listed} {_are(beside)} right in the same layer, so its delta is: {of_it}."
    return listed


def _are(names: Sequence[str]) -> str:
    return f"{listing(names)} {'is' if len(names) == 1 else 'are'}"


def listing(names: Sequence[str]) -> str:
    """'W1, b1 and W2'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

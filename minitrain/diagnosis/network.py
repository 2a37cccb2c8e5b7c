"""Names mistakes in a hand-written backward over several layers, from the gradients of its parameters alone.

The forward is run once more and recorded (traced_array.py), which gives the gradient of every value on the way. Then
the pattern of right and wrong parameters says where to look: a mistake that spares W3 lies between W3's layer and the
wrong ones. Each way back that lies there is changed as people change it by mistake, and kept if it gives the wrong
gradients and leaves the right ones. network_ways.py lists those changes.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake, agree
from minitrain.diagnosis.checked_function import Problem
from minitrain.diagnosis.gradcheck_report import Report
from minitrain.diagnosis.network_ways import Back, Change, Net, possible_changes
from minitrain.diagnosis.traced_array import Graph, UntraceableError, trace
from minitrain.ops import Array, Context

WALKS = 20_000  # ways back that the search tries: one or two seconds' worth, the same on every processor
BRANCHES = 5  # of the changes that explain a part, how many are followed


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
    if net is None or any(found.problem for found in report.inputs) or not (whole or all(silent)):
        return
    given = [None if g is None else np.asarray(g, np.float64) for g in problem.backward([w.copy() for w in weights])]
    unmatched = frozenset(i for i, is_wrong in enumerate(wrong) if is_wrong)
    search = _Search(net, given, weights[0])
    matched = frozenset(range(len(wrong))) - unmatched - search.numb
    try:
        changes = search.run(unmatched, matched, {})
    except (ValueError, IndexError, UntraceableError):  # a way back that a change makes impossible
        changes = []
    facts = _pattern(net, wrong) if whole else ""
    report.whole = _merged(net, changes)
    if report.whole:
        first = report.whole[0]
        report.whole[0] = dataclasses.replace(first, evidence=f"{facts} {first.evidence}".strip())
    elif facts:
        report.whole = [Mistake("network", facts, "")]
    for i, of_input in enumerate(report.inputs):
        of_input.explained = any(i in change.explains for change in changes)


def _parts(pair: Any, report: Report, check: Callable[..., Report]) -> bool:
    """Check the layers of a network, where it has such parts, each by itself; whether one of them is wrong."""
    for path, part, given in pair.parts() if hasattr(pair, "parts") else []:
        try:
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
        right = graph.walk(grad, {})
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


@dataclasses.dataclass(frozen=True)
class _Found:
    """A change that gives some of the wrong gradients. score: how many, how few it leaves, whether its factor tells."""

    change: Change
    k: float
    explains: frozenset[int]
    score: tuple[int, int, bool]


class _Search:
    """Looks for the changes of the right way back that give these gradients, from the loss on."""

    def __init__(self, net: Net, given: Sequence[Array | None], grad: Array) -> None:
        self._net, self._grad, self._left = net, grad, WALKS
        shapes = [net.graph.steps[n].value.shape for n in net.graph.inputs]
        self._targets = [np.zeros(shape) if g is None else g for shape, g in zip(shapes, given, strict=True)]
        # Inputs on which the loss does not depend, as a bias before batch norm: 0 is right there, after most mistakes.
        self._zero = 1e-9 * max((float(np.abs(target).max(initial=0)) for target in self._targets), default=0.0)
        self.numb = frozenset(i for i, target in enumerate(self._targets) if self._is_zero(target))

    def run(self, unmatched: frozenset[int], matched: frozenset[int], changed: Mapping[int, Back]) -> list[_Found]:
        """The changes that explain the most of the unmatched inputs; of as many, the fewest."""
        found = sorted(self._single(unmatched, matched, changed), key=lambda f: f.score, reverse=True)
        best: list[_Found] = []
        for first in found[:BRANCHES]:
            rest = unmatched - first.explains
            after = {**changed, **first.change.changed(first.k, changed)}
            whole = [first, *(self.run(rest, matched | first.explains, after) if rest else [])]
            explained = frozenset[int]().union(*(f.explains for f in whole))
            before = frozenset[int]().union(*(f.explains for f in best))
            if (len(explained), -len(whole)) > (len(before), -len(best)):
                best = whole
            if explained == unmatched and (len(whole) == 1 or self._left <= 0):
                break
        return best

    def _single(self, unmatched: frozenset[int], matched: frozenset[int], changed: Mapping[int, Back]) -> list[_Found]:
        net, graph, found = self._net, self._net.graph, []
        current = graph.walk(self._grad, changed)
        for change in possible_changes(net, current, changed, set(matched), set(unmatched)):
            touched = change.touched & unmatched
            if self._left <= 0:
                break
            if not touched or change.touched & matched:
                continue
            for k in self._factors(change, changed, current, touched) if change.scaled else [1.0]:
                self._left -= 1
                try:
                    grads = graph.walk(self._grad, {**changed, **change.changed(k, changed)})
                except ValueError:  # the changed shapes do not fit
                    continue
                if not all(self._is_zero(grads.get(graph.inputs[i])) for i in self.numb - unmatched):
                    continue
                explains = frozenset(i for i in unmatched if self._fits(grads.get(graph.inputs[i]), i))
                telling = not change.scaled or net.telling(k)
                if not explains or (not telling and sum(self._targets[i].size for i in explains) < 4):
                    continue  # any number fits so few
                found.append(_Found(change, k, explains, (len(explains), -len(touched - explains), telling)))
                if explains == unmatched and telling:
                    return found
        return found

    def _is_zero(self, grad: Array | None) -> bool:
        return grad is None or bool(np.abs(grad).max(initial=0) <= self._zero)

    def _fits(self, walked: Array | None, i: int) -> bool:
        if walked is None:
            return False
        return agree(self._targets[i], walked) or not (np.any(self._targets[i]) or np.any(walked))

    def _factors(
        self, change: Change, changed: Mapping[int, Back], current: Mapping[int, Array], touched: Iterable[int]
    ) -> list[float]:
        """The factors of a scaled change that one of the inputs wants: the gradient is linear in the factor."""
        without = self._net.graph.walk(self._grad, {**changed, **change.changed(0.0, changed)})
        found: list[float] = []
        for i in touched:
            target, number = self._targets[i], self._net.graph.inputs[i]
            base = without.get(number, np.zeros(target.shape))
            whole = current.get(number, np.zeros(target.shape)) - base
            if target.shape != whole.shape or not whole.any():
                continue
            k = float(((target - base) * whole).sum() / (whole * whole).sum())
            k = round(k) if abs(k - round(k)) < 1e-5 else k
            if k != 1 and self._fits(base + k * whole, i) and not any(abs(k - other) < 1e-4 for other in found):
                found.append(k)
        return found


def _merged(net: Net, found: Sequence[_Found]) -> list[Mistake]:
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

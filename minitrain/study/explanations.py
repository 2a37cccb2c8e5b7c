"""What there is to say about one entry of a step: its formula, its terms, the line of the library that computed it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minitrain.diagnosis.anomaly_report import formula_of, rule_of
from minitrain.study.entries import Ref, Rule, asks, lines_of, read, rules_of, source_lines, why_undeclared
from minitrain.study.notation import Expression, evaluate, reads, terms, where, written, written_number
from minitrain.study.updates import update_lines

if TYPE_CHECKING:
    from minitrain.study.recording import Operation, Step

Index = tuple[int, ...]


SHOWN = 8  # terms, when an explanation is printed


@dataclasses.dataclass(frozen=True)
class Factor:
    """A factor of a term: its value in float64, and the entry that it is, or the entries that it is computed from."""

    value: float
    text: str
    tensor: int | None = None
    of: str | None = None
    index: Index | None = None
    parts: tuple[Factor, ...] = ()

    def __str__(self) -> str:
        """ "X[0, 1] 2"; the entries of a compound stand in brackets, a number alone."""
        if self.text == written_number(self.value):
            return self.text
        few = [str(part) for part in self.parts[:SHOWN]]
        more = [f"{len(self.parts) - SHOWN} more"] if len(self.parts) > SHOWN else []
        return f"{self.text} {self.value:.6g}" + (f" ({', '.join(few + more)})" if few else "")


@dataclasses.dataclass(frozen=True)
class Term:
    """One of the numbers that an entry is the sum of: the product of the factors."""

    value: float
    factors: tuple[Factor, ...]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One entry of a value, of a gradient, or of a parameter after the update.

    name: "dL/dW1[26, 36]". exact: the library's number. shortest: the shortest decimal that gives it back.
    formula: how all entries of the array are made. sentence: what it means here, or "".
    terms: what it is the sum of; total: their sum in float64, or None where nothing is declared.
    lines: the library's lines that computed it, with their numbers; place: the operation's name and pass.
    shares: for a gradient of a value used more than once, the explanation of each gradient that was added up.
    steps: for a parameter after the update, the explanation of each number that the update computes on the way.
    """

    name: str
    exact: float
    shortest: str
    formula: str = ""
    sentence: str = ""
    terms: tuple[Term, ...] = ()
    total: float | None = None
    lines: tuple[tuple[int, str], ...] = ()
    place: str = ""
    shares: tuple[Explanation, ...] = ()
    steps: tuple[Explanation, ...] = ()

    def __str__(self) -> str:
        """The name and the number, the formula, the terms, largest first, their sum, and the library's lines."""
        terms = sorted(self.terms, key=lambda term: -abs(term.value))
        rows = [(term.value, " · ".join(map(str, term.factors))) for term in terms]
        text = [*map(str, self.steps), f"{self.name} = {self.shortest}", *filter(None, (self.formula, self.sentence))]
        text += [f"  {value: .6g}".ljust(16) + of for value, of in rows[:SHOWN]]
        if len(rows) > SHOWN:
            text.append(
                f"  {sum(value for value, _ in rows[SHOWN:]): .6g}".ljust(16) + f"{len(rows) - SHOWN} more terms"
            )
        if self.total is not None:
            text.append(f"  {self.total: .9g}  their sum in float64")
        text += [f"{self.place}, line {number}: {line}" for number, line in self.lines]
        return "\n".join([*text, *map(str, self.shares)])


def explain(step: Step, tensor: int | str, index: Sequence[int] = (), of: str = "value") -> Explanation:
    """The explanation of an entry.

    tensor: its number or its name. of: "value", "grad" (dL/d(tensor)), or "after" (a parameter after the update).
    Raises KeyError if there is no such array, IndexError for an index outside it.
    """
    number = step.number(tensor) if isinstance(tensor, str) else tensor
    array, place = read(step, Ref(number, of)), tuple(index)
    exact = array[place]
    if np.shape(exact):
        raise IndexError(f"an entry of shape {list(array.shape)} needs {array.ndim} indices, but got {list(place)}")
    subscript = f"[{', '.join(map(str, place))}]" if place else ""
    known = Explanation(array_name(step, Ref(number, of)) + subscript, float(exact), shortest(exact))
    if of == "after":
        return _of_update(step, number, place, known)
    return _of_value(step, number, place, known) if of == "value" else _of_gradient(step, number, place, known)


def shortest(x: Any) -> str:
    """The shortest decimal that gives this number of its dtype back."""
    return np.format_float_positional(x, trim="-") if 1e-4 <= abs(x) < 1e16 or x == 0 else str(x)


def array_name(step: Step, ref: Any) -> str:
    """ "W1", "dL/dW1", "W1 after"; an array of an operation's own has its own name."""
    if not isinstance(ref, Ref):
        return str(ref.name)
    name = step.tensors[ref.tensor].name
    return {"value": name, "grad": f"dL/d{name}", "used": f"dL/d{name} (used)", "after": f"{name} after"}[ref.of]


def formula(step: Step, rule: Rule) -> str:
    """ "dL/dW1[o, i] = Σ_n dL/da1[n, o] · x[n, i]"."""
    name = _namer(step)
    return f"{written(rule.entry, name)} = {written(rule.value, name)}"


def _namer(step: Step) -> Callable[[Any], str]:
    return lambda ref: array_name(step, ref)


def _by_rule(step: Step, rule: Rule, place: Index, known: Explanation) -> Explanation:
    at = rule.at(place)

    def reader(ref: Any) -> Any:
        return read(step, ref)

    found: list[Term] = []
    for factors, there in terms(rule.value, at, reader):
        parts = tuple(_factor(step, factor, there) for factor in factors)
        found.append(Term(float(np.prod([part.value for part in parts])), parts))
    said = ""
    for condition, sentence in rule.sentence:
        if condition is None or evaluate(condition, at, reader):
            said = sentence
            break
    total = evaluate(rule.value, at, reader)
    return dataclasses.replace(
        known,
        formula=formula(step, rule),
        sentence=said,
        terms=tuple(found),
        total=0.0 if total is None else total,
    )


def _factor(step: Step, factor: Expression, at: Any) -> Factor:
    def reader(ref: Any) -> Any:
        return read(step, ref)

    value = evaluate(factor, at, reader)
    assert value is not None
    text = written(_at(factor, at, reader), _namer(step))
    if factor[0] == "entry":
        ref = factor[1]
        return (
            Factor(value, text, ref.tensor, ref.of, where(factor, at, reader))
            if isinstance(ref, Ref)
            else Factor(value, text)
        )
    if factor[0] in ("number", "index", "named"):
        return Factor(value, text)
    parts = [_factor(step, entry, at) for entry in reads(factor, at, reader)]
    return Factor(value, text, parts=tuple({part.text: part for part in parts}.values()))


def _at(x: Expression, at: Any, reader: Callable[[Any], Any]) -> Expression:
    """The expression with numbers for the indices that are known."""
    if x[0] == "index":
        return ["number", float(at[x[1]])] if x[1] in at else x
    if x[0] == "entry":
        place = where(x, at, reader) if _all_known(x, at) else None
        known = [_at(i, at, reader) for i in x[2]] if place is None else [["number", float(i)] for i in place]
        return ["entry", x[1], known]
    return [
        _at(part, at, reader) if isinstance(part, list) and part and isinstance(part[0], str) else part for part in x
    ]


def _all_known(x: Any, at: Any) -> bool:
    if isinstance(x, list):
        return x[1] in at if x[:1] == ["index"] else all(_all_known(part, at) for part in x)
    return True


def _of_value(step: Step, number: int, place: Index, known: Explanation) -> Explanation:
    tensor = step.tensors[number]
    if tensor.made_by is None:
        what = "a parameter of the model" if tensor.parameter else "a buffer of the model" if tensor.buffer else "given"
        written_since = tensor.was is not None
        return dataclasses.replace(
            known,
            sentence="Written in place since it was made." if written_since else f"No operation made it: it is {what}.",
        )
    operation = step.ops[tensor.made_by]
    known = dataclasses.replace(
        known,
        formula=formula_of(operation.function),
        lines=tuple(lines_of(operation.function, "y")),
        place=f"{operation.function.__name__}, forward",
    )
    rule, _ = rules_of(step, operation)
    return _undeclared(known, operation) if rule is None else _by_rule(step, rule, place, known)


def _of_gradient(step: Step, number: int, place: Index, known: Explanation) -> Explanation:
    tensor = step.tensors[number]
    senders = [
        (op, i)
        for op, i in tensor.used_by
        if step.ops[op].visited and asks(step, step.ops[op], i) and step.ops[op].sends[i]
    ]
    starts = [grad for root, grad in step.roots if root == number]
    shares: list[Explanation] = []
    if starts:
        shares += [
            dataclasses.replace(known, exact=float(grad[place]), shortest=shortest(grad[place]), sentence=START)
            for grad in starts
        ]
    for op, i in senders:
        operation = step.ops[op]
        sent = next((x.grad for x in tensor.shares if (x.op, x.input) == (op, i)), tensor.grad)
        assert sent is not None
        share = dataclasses.replace(
            known,
            exact=float(sent[place]),
            shortest=shortest(sent[place]),
            formula=formula_of(operation.function),
            lines=tuple(lines_of(operation.function, f"d{operation.arguments[i]}", i)),
            place=f"{operation.function.__name__}, backward",
        )
        rule = rules_of(step, operation)[1][i]
        shares.append(_undeclared(share, operation) if rule is None else _by_rule(step, rule, place, share))
    if len(shares) == 1:
        return dataclasses.replace(shares[0], exact=known.exact, shortest=known.shortest)
    parts = tuple(Term(x.exact, (Factor(x.exact, x.place or "start"),)) for x in shares)
    return dataclasses.replace(
        known,
        formula=f"{array_name(step, Ref(number, 'grad'))} = the sum of the gradients from its {len(shares)} uses",
        sentence="The value was used more than once, so its gradients add up.",
        terms=parts,
        total=float(sum(x.exact for x in shares)),
        shares=tuple(shares),
    )


def _undeclared(known: Explanation, operation: Operation) -> Explanation:
    return dataclasses.replace(known, sentence=why_undeclared(operation.function) or "")


START = "Backward starts here: this is the number itself, so it moves with itself one to one."


UNDECLARED = "This optimizer does not declare how single numbers are made: here are its formula and its source."


def _of_update(step: Step, number: int, place: Index, known: Explanation) -> Explanation:
    assert step.optimizer is not None
    known = dataclasses.replace(known, place=f"{step.optimizer.__name__}, update")
    found: list[Explanation] = []
    for line in update_lines(step, number):
        said = _by_rule(step, line.rule, place, dataclasses.replace(known, lines=line.lines))
        if line.name != "param":
            exact = said.total if line.array is None else evaluate(line.rule.entry, line.rule.at(place), _reader(step))
            assert exact is not None
            text = shortest(np.float64(exact) if line.array is None else read(step, line.array).dtype.type(exact))
            name = written(_at(line.rule.entry, line.rule.at(place), _reader(step)), _namer(step))
            said = dataclasses.replace(said, name=name, exact=exact, shortest=text)
        found.append(said)
    if not found:
        source = source_lines(step.optimizer.update)  # type: ignore[attr-defined]
        return dataclasses.replace(known, formula=rule_of(step.optimizer), sentence=UNDECLARED, lines=source)
    return dataclasses.replace(found[-1], steps=tuple(found[:-1]))


def _reader(step: Step) -> Callable[[Any], Any]:
    return lambda ref: read(step, ref)

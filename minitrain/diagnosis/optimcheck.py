"""check_optimizer: does an optimizer take the right steps? If not, which mistake explains the steps that it takes?

Two optimizers run from the same parameters on the same gradients, in the loop of a training program, and are compared
after each step. If they differ, every known mistake of optimizer_rules.py is tried, and a mistake is named if its
formula gives exactly the steps that were taken. Recordings are plain arrays: either side may come from another process.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.diagnosis.optimizer_facts import by_memory, by_ratios, changed_gradients, not_reached, which
from minitrain.diagnosis.optimizer_rules import DEFAULTS, MISTAKES, RULES, Rule, has_place, simulated, with_one_memory
from minitrain.diagnosis.plain_optimizers import is_plain, plain
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap

Shapes = Sequence[tuple[int, ...]]
Options = Mapping[str, Any]

SHAPES: Shapes = ((3, 2), (5,), (3, 2))  # two alike: a memory by shape is shared
STEPS = 6

# Options that are off, or next to nothing, by default, and values that let one see whether they work.
SWITCHED_ON = {
    "eps": 0.1,
    "weight_decay": 0.1,
    "momentum": 0.9,
    "dampening": 0.4,
    "nesterov": True,
    "centered": True,
    "amsgrad": True,
    "decoupled_weight_decay": True,
    "maximize": True,
}
# Options that are never off, with values that let one see whether they work.
OTHERWISE: dict[str, Any] = {"betas": (0.8, 0.99), "alpha": 0.9}


ALL = {name: None for defaults in DEFAULTS.values() for name in ("lr", *defaults)}


# --- recording --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """What an optimizer did to some parameters, step by step, in plain float64 arrays.

    options: the optimizer's defaults. start: the parameters before the first step.
    lrs, sent: for each step and parameter, the learning rate, and the gradient that backward added to .grad (or None).
    arrived, left: .grad when step() was called, and after it.
    params, states: the parameters after each step, and what the optimizer remembers of each by name.
    in_float32: whether it remembers in float32 what is float64 here, as minitrain.Tensor(array) would have it: then its
        steps are right to about six digits only.
    """

    options: dict[str, Any]
    start: list[Array]
    lrs: list[list[float]]
    sent: list[list[Array | None]]
    arrived: list[list[Array | None]]
    left: list[list[Array | None]]
    params: list[list[Array]]
    states: list[list[dict[str, Array]]]
    in_float32: bool = False


def record(
    optimizer_class: Callable[..., Any],
    options: Options | None = None,
    *,
    steps: int = STEPS,
    shapes: Shapes = SHAPES,
    seed: int = 0,
    like_plain: bool = False,
    wanted: Options | None = None,
) -> Trajectory:
    """Run an optimizer in a loop of backward, step and zero_grad, and record what it does.

    optimizer_class: takes parameters (here two groups) and options, and has torch's param_groups, step, zero_grad.
    options: for its constructor. shapes: the parameters'.
    The gradients are drawn from the seed and do not depend on the parameters. The second half of the parameters has
    half the learning rate, all rates change halfway, and the first parameter has no gradient in the third step.
    For an optimizer without groups (see plain_optimizers.py), and with like_plain, none of this: one group, one rate,
    and always a gradient. wanted: the options that the rule of such an optimizer has, with their defaults.
    Raises ValueError for no parameters or no steps, and whatever the optimizer raises.
    """
    if not shapes or steps < 1:
        raise ValueError(f"there must be parameters and steps, but there are {len(shapes)} shapes and {steps} steps")
    rng = np.random.default_rng(seed)
    start = [_irregular(rng, shape, 0.5, 2) for shape in shapes]
    sent: list[list[Array | None]] = [[_irregular(rng, shape, 10**-2.5, 3) for shape in shapes] for _ in range(steps)]
    simple = like_plain or is_plain(optimizer_class)
    if len(shapes) > 1 and steps > 2 and not simple:
        sent[2][0] = None  # and the next in its group has one

    params = [wrap(array.copy()).requires_grad_() for array in start]
    half = (len(params) + 1) // 2
    groups = [{"params": part} for part in (params[:half], params[half:]) if part]
    if is_plain(optimizer_class):
        optimizer = plain(optimizer_class, wanted or ALL)(params, **(options or {}))
    else:
        optimizer = optimizer_class(params if simple else groups, **(options or {}))
    lr = optimizer.param_groups[0]["lr"]
    run = Trajectory(dict(optimizer.defaults), start, [], sent, [], [], [], [])
    for step in range(steps):
        rates = [lr * share * (1 if step < (steps + 1) // 2 else 0.3) for share in (1, 0.5)]
        rates = [lr, lr] if simple else rates
        for group, rate in zip(optimizer.param_groups, rates, strict=False):
            group["lr"] = rate
        products = [(p * wrap(grad)).sum() for p, grad in zip(params, sent[step], strict=True) if grad is not None]
        with np.errstate(all="ignore"):
            functools.reduce(operator.add, products).backward()
            run.arrived.append([_grad(param) for param in params])
            optimizer.step()
        run.left.append([_grad(param) for param in params])
        optimizer.zero_grad()
        run.lrs.append([rates[0] if i < half else rates[1] for i in range(len(params))])
        run.params.append([param.array.copy() for param in params])
        run.states.append([_remembered(optimizer.state.get(param, {})) for param in params])
    kept = [value for param in params for value in optimizer.state.get(param, {}).values() if isinstance(value, Tensor)]
    return dataclasses.replace(
        run, in_float32=any(value.array.dtype == np.float32 and (value.array % 1).any() for value in kept)
    )


def _irregular(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Numbers of either sign and of all magnitudes between low and high."""
    return np.asarray(rng.choice([-1, 1], shape) * np.exp(rng.uniform(math.log(low), math.log(high), shape)))


def _grad(param: Tensor) -> Array | None:
    return None if param.grad is None else param.grad.array.copy()


def _remembered(state: Mapping[str, Any]) -> dict[str, Array]:
    """The values that are numbers, as arrays."""
    arrays = {name: np.asarray(value.array if isinstance(value, Tensor) else value) for name, value in state.items()}
    return {name: np.array(array, np.float64) for name, array in arrays.items() if array.dtype.kind in "fiub"}


def formula(rule: Rule, run: Trajectory) -> Trajectory:
    """What the rule's formula does from the same start with the same gradients, rates and options.

    A reference that does not depend on minitrain.optim, since an exercise may have replaced that.
    """
    params, states = [], []
    for i in range(len(run.start)):
        steps = list(_simulated(rule, run, i, run.sent))
        params.append([param for param, _ in steps])
        states.append([state for _, state in steps])
    return dataclasses.replace(
        run,
        arrived=run.sent,
        left=run.sent,
        params=[list(step) for step in zip(*params, strict=True)],
        states=[list(step) for step in zip(*states, strict=True)],
    )


def _simulated(
    rule: Rule, run: Trajectory, i: int, grads: Sequence[Sequence[Array | None]], *wrong: str
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """Parameter i of the run, and its state, after each step of the rule with these gradients and mistakes."""
    options = {**run.options, "lr": run.lrs[0][0], "counted": _counted(run, i)}
    return simulated(rule, run.start[i], [step[i] for step in grads], [rates[i] for rates in run.lrs], options, *wrong)


def _counted(run: Trajectory, i: int) -> list[int]:
    """For each update of parameter i, how many updates of all parameters there have been, with this one."""
    order = [j for step in run.sent for j, grad in enumerate(step) if grad is not None]
    counts = [count for count, j in enumerate(order, start=1) if j == i]
    return counts + [len(order)] * (len(run.sent) - len(counts))  # a mistake may make more updates


# --- the verdict ------------------------------------------------------------------------------------------------------

NOT_ZEROED = (
    "The gradients are kept from step to step: backward adds to .grad, so zero_grad() must set every parameter's .grad "
    "to None (or to 0)."
)
OTHER_FORMS = ("eps-uncorrected",)  # differences that are no mistakes
WRITTEN = (
    "step() changes .grad. An operation such as `grad += ...` writes into the model's gradient; `grad = grad + ...` "
    "makes a new array."
)


@dataclasses.dataclass(frozen=True)
class Difference:
    """A place where two trajectories differ: the step (from 1 up), the parameter's number, what of it, at which index.

    what: "parameter", a name in its state, "gradient before step()" or "gradient after step()".
    got, expected: the values there, or None.
    """

    step: int
    parameter: int
    what: str
    index: tuple[int, ...]
    got: float | None
    expected: float | None

    def __str__(self) -> str:
        place = f" at {list(self.index)}" if self.index else ""
        got, expected = ("nothing" if x is None else f"{x:.10g}" for x in (self.got, self.expected))
        what = "" if self.what == "parameter" else f", {self.what}"
        return f"step {self.step}, parameter {self.parameter}{what}{place}: got {got}, expected {expected}"


@dataclasses.dataclass(frozen=True)
class OptimizerReport:
    """The result of a comparison.

    first_difference: None if the two agree. wrong: the numbers of the parameters that differ.
    mistakes: the likely ones, the likeliest first; empty if no known mistake gives these steps.
    ratios: for each step, the smallest and the largest of (update taken) / (update expected) over all entries.
    tried: with how many sets of options the two were run; options are those of this run.
    """

    options: dict[str, Any]
    steps: int
    parameters: int
    first_difference: Difference | None
    wrong: list[int]
    mistakes: list[Mistake]
    ratios: list[tuple[float, float]]
    tried: int = 1

    @property
    def ok(self) -> bool:
        """Whether both take the same steps and remember the same."""
        return self.first_difference is None

    def __str__(self) -> str:
        options = "with " + ", ".join(f"{name}={value}" for name, value in self.options.items())
        if self.first_difference is None:
            options = options if self.tried == 1 else f"with each of {self.tried} sets of options"
            return f"The optimizer is right: {self.parameters} parameters in {self.steps} steps, {options}."
        other_form = bool(self.mistakes) and self.mistakes[0].name in OTHER_FORMS
        verdict = "differs from the reference" if other_form else "is wrong"
        lines = [f"The optimizer {verdict}, {options}.", f"First difference: {self.first_difference}."]
        if self.mistakes:
            lines += [f"{'Likely' if i == 0 else 'Or'}: {mistake}" for i, mistake in enumerate(self.mistakes)]
        else:
            lines.append("None of the known mistakes gives these steps.")
        lines.append("Update taken / update expected, from the smallest to the largest:")
        for step, (low, high) in enumerate(self.ratios, start=1):
            lines.append(f"  step {step}: {_range(low, high)}")
        return "\n".join(lines)


# --- judging ----------------------------------------------------------------------------------------------------------


def check_optimizer(
    optimizer: Callable[..., Any],
    reference: Callable[..., Any] | Rule,
    *,
    options: Options | None = None,
    steps: int = STEPS,
    shapes: Shapes = SHAPES,
    seed: int = 0,
) -> OptimizerReport:
    """Run an optimizer beside a right one, and report whether it takes the same steps and, if not, what may be wrong.

    optimizer, reference: classes as `record` takes them; the reference may also be "sgd", "rmsprop", "adam",
        "adagrad", "adadelta", "adamax" or "nadam", for the formula of that rule in optimizer_rules.py.
    options: for both. None: tries the reference's defaults, then each option that is off by default switched on, then
        each pair of them, until a difference is found.
    steps, shapes, seed: as `record` takes them.
    Returns the report of the first run that differs, else of the last. (What explains a later run alone would mislead.)
    """
    model = optimizer if isinstance(reference, str) or is_plain(optimizer) else reference
    wanted = {"lr": None, **DEFAULTS[reference]} if isinstance(reference, str) else _defaults(reference)
    to_try = [options] if options is not None else _revealing(plain(model, wanted) if is_plain(model) else model)
    passed: list[Trajectory] = []

    def both(chosen: Options) -> tuple[Trajectory, Trajectory]:
        return _both(optimizer, reference, chosen, wanted, steps=steps, shapes=shapes, seed=seed)

    report = None
    for tried, chosen in enumerate(to_try, start=1):
        taken, right = both(chosen)
        report = dataclasses.replace(judge(taken, right, passed), tried=tried)
        if not report.ok:
            break
        passed.append(right)
    if report is not None and any(mistake.name.startswith("lr-") for mistake in report.mistakes):
        # A factor may equal the learning rate by chance: it must do so at another one.
        again = judge(*both({**chosen, "lr": 0.7 * report.options["lr"]}), passed)
        confirmed = {mistake.name for mistake in again.mistakes}
        agreed = [mistake for mistake in report.mistakes if mistake.name in confirmed]
        report = dataclasses.replace(report, mistakes=agreed or again.mistakes)
    if report is None:
        raise ValueError("there are no options that the reference takes")
    return report


def _own_memory(taken: Trajectory, right: Trajectory) -> Trajectory:
    """right, without what it remembers if the optimizer remembers under names of its own: then only steps compare."""
    ours, theirs = ({name for step in run.states for of in step for name in of} for run in (taken, right))
    own_names = bool(ours - theirs) and not (ours & theirs) - {"step"}
    return dataclasses.replace(right, states=taken.states) if own_names else right


def _both(
    optimizer: Callable[..., Any], reference: Callable[..., Any] | Rule, chosen: Options, wanted: Options, **run: Any
) -> tuple[Trajectory, Trajectory]:
    """What the optimizer did with these options, and what is right."""
    simple = is_plain(optimizer)
    if isinstance(reference, str):
        taken = record(optimizer, chosen, wanted=wanted, **run)
        return taken, _fitted(reference, taken) if simple else _own_memory(taken, formula(reference, taken))
    if simple:
        taken = record(optimizer, chosen, wanted=wanted, **run)
        shared = {name: value for name, value in taken.options.items() if name in wanted}
        right = record(reference, shared, like_plain=True, **run)
        taken = dataclasses.replace(taken, in_float32=taken.in_float32 or right.in_float32)
        return taken, dataclasses.replace(right, states=taken.states)
    right = record(reference, chosen, **run)
    taken = record(optimizer, {**chosen, "lr": right.options["lr"]}, **run)
    return taken, _own_memory(taken, right)


EPS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-10, 1e-12)  # as they stand in people's code


def _fitted(rule: Rule, taken: Trajectory) -> Trajectory:
    """What the formula does where a plain optimizer took these steps, with the eps that fits if none is an option.

    What such an optimizer remembers is its own affair, and so not compared.
    """
    unknown = rule != "sgd" and "eps" not in taken.options
    rights = [
        dataclasses.replace(
            formula(
                rule, dataclasses.replace(taken, options={**taken.options, "eps": eps} if unknown else taken.options)
            ),
            states=taken.states,
        )
        for eps in (EPS if unknown else EPS[:1])
    ]
    agreeing = next((right for right in rights if not any(_differences(taken, right))), None)
    return agreeing or next((right for right in rights[:-1] if judge(taken, right).mistakes), rights[0])


def _defaults(optimizer: Callable[..., Any]) -> dict[str, Any]:
    return dict(optimizer([wrap(np.zeros(1)).requires_grad_()]).defaults)


def _revealing(reference: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """No options, each option that is off by default switched on, and each pair; without what the reference refuses."""
    param = wrap(np.zeros(1)).requires_grad_()
    defaults = reference([param]).defaults
    off = [name for name in SWITCHED_ON if name in defaults and (not defaults[name] or name == "eps")]
    sets = [
        {name: SWITCHED_ON[name] for name in names}
        for count in range(3)
        for names in itertools.combinations(off, count)
    ]
    sets += [{name: value} for name, value in OTHERWISE.items() if name in defaults]
    for options in sets:
        try:
            reference([param], **options)
        except (TypeError, ValueError):  # nesterov without momentum; decoupled_weight_decay in AdamW
            continue
        yield options


def judge(taken: Trajectory, right: Trajectory, passed: Sequence[Trajectory] = ()) -> OptimizerReport:
    """Compare what an optimizer did with what it should have done. Raises ValueError if the runs are not comparable.

    taken, right: recorded with the same steps, shapes, seed and options. passed: with other options, the runs that the
        optimizer took right; what would have made one of them wrong is not its mistake.
    """
    _check_same_run(taken, right)
    differences = list(_differences(taken, right))
    wrong = sorted({difference.parameter for difference in differences})
    everything = range(len(right.start))
    ratios = [_update_ratios(taken, right, step, everything) for step in range(len(right.sent))]
    return OptimizerReport(
        right.options,
        len(right.sent),
        len(right.start),
        differences[0] if differences else None,
        wrong,
        _mistakes(taken, right, wrong, passed) if differences else [],
        [(float(step.min()), float(step.max())) if step.size else (1.0, 1.0) for step in ratios],
    )


def _check_same_run(taken: Trajectory, right: Trajectory) -> None:
    def same(a: Any, b: Any) -> bool:
        return (a is None) == (b is None) and (a is None or (np.shape(a) == np.shape(b) and np.array_equal(a, b)))

    def flat(run: Trajectory) -> list[Any]:
        return [*run.start, *itertools.chain(*run.sent), *itertools.chain(*run.lrs)]

    ours, theirs = flat(taken), flat(right)
    if len(ours) != len(theirs) or not all(same(a, b) for a, b in zip(ours, theirs, strict=True)):
        raise ValueError(
            "the two trajectories have different parameters, gradients or learning rates; record both with the same "
            "options, steps, shapes and seed."
        )


def _slack(run: Trajectory, i: int, in_float32: bool) -> Array:
    """How far rounding alone may move parameter i at each step: a billionth of the distance that it has moved.

    in_float32: the state was; then three millionths.
    """
    path = np.asarray([run.start[i], *[params[i] for params in run.params]])
    path = np.where(np.isfinite(path), path, 0)
    with np.errstate(all="ignore"):
        moved = np.abs(np.diff(path, axis=0)).cumsum(axis=0)
        return np.asarray((3e-6 if in_float32 else 1e-9) * moved + 1e-13 * np.abs(path).max(axis=0))


def _apart(a: Array, b: Array, slack: Any) -> Array:
    """Where a and b differ by more than slack; nan equals nan, and an infinity equals itself."""
    with np.errstate(all="ignore"):
        return np.asarray(~((np.abs(a - b) <= slack) | (a == b) | (np.isnan(a) & np.isnan(b))))


def _state_slack(right: Array, in_float32: bool = False) -> Any:
    largest = np.abs(right[np.isfinite(right)]).max(initial=0)
    return 3e-6 * np.abs(right) + 3e-7 * largest if in_float32 else 1e-9 * np.abs(right) + 1e-12 * largest


def _differences(taken: Trajectory, right: Trajectory) -> Iterator[Difference]:
    """Where the two differ, in the order of steps, then of parameters, then of what happens in a step."""
    slacks = [_slack(right, i, taken.in_float32) for i in range(len(right.start))]
    for step, i in itertools.product(range(len(right.sent)), range(len(right.start))):
        held: list[tuple[str, Array | None, Array | None, Any]] = []
        arrived, expected = taken.arrived[step][i], right.arrived[step][i]
        held.append(("gradient before step()", arrived, expected, 0 if expected is None else _state_slack(expected)))
        for name, remembered in right.states[step][i].items():
            held.append((name, taken.states[step][i].get(name), remembered, _state_slack(remembered, taken.in_float32)))
        held.append(("parameter", taken.params[step][i], right.params[step][i], slacks[i][step]))
        held.append(("gradient after step()", taken.left[step][i], arrived, 0))
        for what, a, b, slack in held:
            if a is None or b is None:
                if a is not b:
                    got, due = (None if x is None or not x.size else float(x.flat[0]) for x in (a, b))
                    yield Difference(step + 1, i, what, (0,) * taken.start[i].ndim, got, due)
                continue
            if a.shape != b.shape:
                yield Difference(step + 1, i, f"{what} of shape {list(a.shape)}, not {list(b.shape)}", (), None, None)
                continue
            apart = _apart(a, b, slack)
            if apart.any():
                index = tuple(int(k) for k in np.argwhere(apart)[0])
                yield Difference(step + 1, i, what, index, float(a[index]), float(b[index]))


def _mistakes(
    taken: Trajectory, right: Trajectory, wrong: list[int], passed: Sequence[Trajectory] = ()
) -> list[Mistake]:
    """The likely ones, the likeliest first."""
    found = _not_zeroed(taken)
    rule = next((rule for rule in RULES if all(_fit(rule, right, right, i) for i in range(len(right.start)))), None)
    if rule is not None:
        unexplained = [i for i in wrong if _fit(rule, taken, right, i) < 2]
        found += _by_formula(rule, taken, right, unexplained, passed) if unexplained else []
        found = found or _by_gradients(rule, taken, right) or _by_one_memory(rule, taken, right, wrong)
    elif not found:
        found += _by_update(taken, right, wrong)
    found += _written(taken)
    return found or _by_facts(taken, right, wrong)


def _not_zeroed(taken: Trajectory) -> list[Mistake]:
    """Where .grad is the sum of all gradients so far."""
    for_whom, at_step = [], 0
    for i in range(len(taken.start)):
        total: Array | None = None
        kept = []
        for step, sent in enumerate(taken.sent):
            grad, arrived = sent[i], taken.arrived[step][i]
            total = grad if total is None else total if grad is None else total + grad
            if arrived is None or total is None or _apart(arrived, total, _state_slack(total)).any():
                break
            if step and (grad is None or _apart(arrived, grad, _state_slack(grad)).any()):
                kept.append(step + 1)
        else:
            if kept:
                for_whom.append(i)
                at_step = kept[0]
    if not for_whom:
        return []
    i, step = for_whom[0], at_step - 1
    index = (0,) * taken.start[i].ndim
    terms = [sent[i] for sent in taken.sent[:at_step]]
    numbers = " + ".join(f"{term[index]:.6g}" for term in terms if term is not None)
    arrived = taken.arrived[step][i]
    value = "nothing" if arrived is None else f"{arrived[index]:.6g}"
    evidence = f"of {_numbered(for_whom)}, .grad at step {at_step} is the sum of all so far: {numbers} = {value}."
    return [Mistake("gradients-not-zeroed", NOT_ZEROED, evidence)]


def _written(taken: Trajectory) -> list[Mistake]:
    """Where step() has written into .grad."""
    for step, i in itertools.product(range(len(taken.sent)), range(len(taken.start))):
        before, after = taken.arrived[step][i], taken.left[step][i]
        if before is None or after is None or before.shape != after.shape:
            continue
        changed = _apart(after, before, 0)
        if changed.any():
            index = tuple(int(k) for k in np.argwhere(changed)[0])
            change = f"goes from {before[index]:.6g} to {after[index]:.6g}"
            return [Mistake("gradient-written", WRITTEN, f"in step {step + 1}, .grad of parameter {i} {change}.")]
    return []


def _numbered(parameters: Sequence[int]) -> str:
    names = [str(i) for i in parameters]
    return f"parameter {names[0]}" if len(names) == 1 else f"parameters {', '.join(names[:-1])} and {names[-1]}"


def _by_gradients(rule: Rule, taken: Trajectory, right: Trajectory) -> list[Mistake]:
    """The change of the gradients with which the right rule gives the steps taken."""
    everything = range(len(right.start))
    if all(_fit(rule, taken, right, i) for i in everything):
        return []
    seen = []
    if rule == "sgd":
        ways = [[_update(taken, k, i) / lr for i, lr in enumerate(lrs)] for k, lrs in enumerate(taken.lrs)]
        seen += [max(float(np.linalg.norm(way)) for step in ways for way in step)]
        seen += [max(math.sqrt(sum((way**2).sum() for way in step)) for step in ways)]
        seen += [max(float(np.abs(way).max(initial=0)) for step in ways for way in step)]
    for name, says, grads in changed_gradients(taken.arrived, seen):
        if all(_fit(rule, taken, right, i, grads=grads) for i in everything):
            return [Mistake(name, says, f"with it {_evidence(taken, right, list(everything), False)}")]
    return []


def _by_one_memory(rule: Rule, taken: Trajectory, right: Trajectory, wrong: list[int]) -> list[Mistake]:
    """Parameters of one shape that are updated with one memory."""
    alike = [i for i in range(len(right.start)) if right.start[i].shape == right.start[wrong[0]].shape]
    if len(alike) < 2 or not {*wrong} <= {*alike} or right.options.get("weight_decay") or right.options.get("maximize"):
        return []
    start = [right.start[i] for i in alike]
    grads = [[step[i] for i in alike] for step in taken.arrived]
    lrs = [[step[i] for i in alike] for step in right.lrs]
    slacks = [_slack(taken, i, taken.in_float32) for i in alike]
    with np.errstate(all="ignore"):
        for step, params in enumerate(with_one_memory(rule, start, grads, lrs, right.options)):
            for i, param, slack in zip(alike, params, slacks, strict=True):
                if _apart(taken.params[step][i], param, slack[step]).any():
                    return []
    says = (
        "Parameters of the same shape share what is remembered (a buffer, an average). Each parameter needs its own: "
        "keep it by the parameter's number or name, not by its shape or value."
    )
    return [Mistake("memory-shared", says, f"with it {_evidence(taken, right, alike, False)}")]


def _by_facts(taken: Trajectory, right: Trajectory, wrong: list[int]) -> list[Mistake]:
    slacks = [_slack(right, i, taken.in_float32) for i in range(len(right.start))]

    def apart(step: int, i: int) -> bool:
        return bool(_apart(taken.params[step][i], right.params[step][i], slacks[i][step]).any())

    if any(taken.params[k][i].shape != right.params[k][i].shape for k in range(len(right.sent)) for i in wrong):
        return []
    moved = [i for i in wrong if any(apart(step, i) for step in range(len(right.sent)))]
    if not moved:
        return []
    unreached = not_reached(taken, right, moved)
    return unreached or by_ratios(taken, right, moved) or by_memory(taken, right, moved, apart)


def _fit(
    rule: Rule,
    taken: Trajectory,
    right: Trajectory,
    i: int,
    *wrong: str,
    grads: Sequence[Sequence[Array | None]] | None = None,
) -> int:
    """How well the rule with these mistakes fits the steps taken: 0 not, 1 the parameter, 2 its state as well.

    grads: what step() makes of the gradients; by default nothing.
    """
    grads = taken.arrived if grads is None else grads
    slack = _slack(taken, i, taken.in_float32)
    remembered = True
    for step, (param, state) in enumerate(_simulated(rule, right, i, grads, *wrong)):
        if taken.params[step][i].shape != param.shape or _apart(taken.params[step][i], param, slack[step]).any():
            return 0
        for name, value in state.items():
            kept = taken.states[step][i].get(name)
            if (
                kept is None
                or kept.shape != value.shape
                or _apart(kept, value, _state_slack(value, taken.in_float32)).any()
            ):
                remembered = False
        if right.states[step][i].keys() & taken.states[step][i].keys() - state.keys():
            remembered = False
    return 2 if remembered else 1


def _by_formula(
    rule: Rule, taken: Trajectory, right: Trajectory, moved: list[int], passed: Sequence[Trajectory]
) -> list[Mistake]:
    """The mistakes with which the rule's formula gives the steps taken; else the first pair that does."""
    only_remembered = all(_fit(rule, taken, right, i) for i in moved)  # the parameters are right

    # Of those that change nothing in this run (a decay's with a weight_decay of 0), no pair can explain more.
    possible = [wrong for wrong in MISTAKES if has_place(rule, wrong)]

    def changes(wrong: str) -> bool:
        return not all(_fit(rule, right, right, i, wrong) for i in moved)

    def would_have_passed(wrong: tuple[str, ...]) -> bool:
        return all(_fit(rule, run, run, i, *wrong) for run in passed for i in range(len(run.start)))

    def fitting(count: int) -> list[tuple[str, ...]]:
        fits = []
        for wrong in itertools.combinations(possible if count == 1 else filter(changes, possible), count):
            kinds = {"lr" if each.startswith("lr-") else _name(each) for each in wrong}
            likely = len(kinds) == count and sum("/" in each for each in wrong) < 2
            if likely and has_place(rule, *wrong):
                fit = 2
                for i in moved:
                    fit = min(fit, _fit(rule, taken, right, i, *wrong))
                    if fit < 1 + only_remembered:
                        break
                else:
                    fits.append((-fit, wrong))
        ordered = [wrong for _, wrong in sorted(fits, key=lambda fit: fit[0])]  # stable: in the order of MISTAKES
        return [wrong for wrong in ordered if would_have_passed(wrong)] or ordered

    evidence = _evidence(taken, right, moved, only_remembered)
    found: dict[str, Mistake] = {}
    for (wrong,) in fitting(1):
        found.setdefault(_name(wrong), Mistake(_name(wrong), MISTAKES[wrong], f"with it {evidence}"))
    if not found and not only_remembered:
        for pair in fitting(2)[:1]:
            for wrong, other in (pair, pair[::-1]):
                together = f"together with {_name(other)} {evidence}"
                found[_name(wrong)] = Mistake(_name(wrong), MISTAKES[wrong], together)
    return list(found.values())


def _name(wrong: str) -> str:
    return wrong.partition("/")[0]


def _evidence(taken: Trajectory, right: Trajectory, moved: list[int], only_remembered: bool) -> str:
    """For how many steps the formula fits, and how far the steps are from the right ones."""
    what = "what is remembered" if only_remembered else "the steps taken"
    digits = 5 if taken.in_float32 else 9
    text = f"the formula gives {what} in all {len(right.sent)} steps for {_numbered(moved)}{which(moved, right)}, to "
    text += f"{digits} digits"
    for step in range(len(right.sent)):
        ratios = _update_ratios(taken, right, step, moved)
        if (
            not only_remembered
            and ratios.size
            and not np.allclose(ratios, 1, rtol=1e-5 if taken.in_float32 else 1e-9, atol=0)
        ):
            span = _range(float(ratios.min()), float(ratios.max()))
            return f"{text}; in step {step + 1} they are {span} times the right ones."
    return f"{text}."


def _range(low: float, high: float) -> str:
    low_text, high_text = f"{low:.6g}", f"{high:.6g}"
    return low_text if low_text == high_text else f"{low_text} to {high_text}"


def _update_ratios(taken: Trajectory, right: Trajectory, step: int, parameters: Sequence[int]) -> Array:
    """(the update taken) / (the right one) of every entry of these parameters, where the right one is not 0."""
    ratios = [np.ones(0)]
    for i in parameters:
        ours, theirs = _update(taken, step, i), _update(right, step, i)
        with np.errstate(all="ignore"):
            ratios.append((ours / theirs)[theirs != 0])
    return np.concatenate(ratios)


def _update(run: Trajectory, step: int, i: int) -> Array:
    before = run.params[step - 1][i] if step else run.start[i]
    with np.errstate(all="ignore"):
        return np.asarray(run.params[step][i] - before)


def _by_update(taken: Trajectory, right: Trajectory, wrong: list[int]) -> list[Mistake]:
    """For a rule without a formula here: what the first updates that differ reveal."""
    steps = range(len(right.sent))
    if all(not _update(taken, step, i).any() for step in steps for i in wrong):
        return [Mistake("not-updated", MISTAKES["not-updated"], f"{_numbered(wrong)}: every update is 0.")]
    i = wrong[0]
    slack = _slack(right, i, taken.in_float32)
    step = next((k for k in steps if _apart(taken.params[k][i], right.params[k][i], slack[k]).any()), None)
    if step is None or not right.start[i].size:
        return []
    ours, theirs, lr = _update(taken, step, i), _update(right, step, i), right.lrs[step][i]
    before = right.params[step - 1][i] if step else right.start[i]
    decay = (ours - theirs) / (lr * before)

    def equal(a: Array, b: Any) -> bool:
        return np.allclose(a, b, rtol=1e-6, atol=0)

    if equal(ours, -theirs):
        name, evidence = "uphill", "each update is -1 times the right one."
    elif equal(ours, theirs / lr):
        name, evidence = "lr-missing", f"each update is 1/lr = {1 / lr:.6g} times the right one."
    elif step and equal(ours, _update(right, step - 1, i)):
        name, evidence = "late-gradient", f"the update is the one due in step {step}."
    elif equal(decay, decay.flat[0]):
        due = right.options.get("weight_decay", 0)
        name = "decay-sign" if due and math.isclose(decay.flat[0], 2 * due, rel_tol=1e-6) else "decay-missing"
        evidence = f"each update differs from the right one by {decay.flat[0]:.6g} · lr · the parameter."
    else:
        return []
    return [Mistake(name, MISTAKES[name], f"in step {step + 1}, parameter {i}: {evidence}")]

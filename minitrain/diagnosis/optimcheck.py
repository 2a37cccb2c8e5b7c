"""check_optimizer: does an optimizer take the steps that it should, and if not, which mistake would make it take these?

Two optimizers are run from the same parameters on the same gradients, in the loop of a training program, and compared
after each step. Where they part, every known mistake is tried: this file has the rules of SGD, RMSprop and Adam once
more, as short formulas that can be made wrong in one place, and a mistake whose formula gives the very steps that were
taken is named. What was recorded is plain arrays, so that either side may have been recorded in another process.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from minitrain.diagnosis.autopsy import Mistake
from minitrain.ops import Array
from minitrain.tensor import Tensor

Rule = Literal["sgd", "rmsprop", "adam"]
Shapes = Sequence[tuple[int, ...]]
Options = Mapping[str, Any]

SHAPES: Shapes = ((3, 2), (5,), (1, 4))
STEPS = 6

# What is off by default, and how it is switched on to see whether it works.
SWITCHED_ON = {
    "weight_decay": 0.1,
    "momentum": 0.9,
    "dampening": 0.4,
    "nesterov": True,
    "centered": True,
    "amsgrad": True,
    "decoupled_weight_decay": True,
    "maximize": True,
}


# --- recording --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """What an optimizer did to some parameters, step by step, in plain float64 arrays.

    options: the optimizer's defaults. start: the parameters before the first step.
    lrs, sent: for each step and parameter, the learning rate, and the gradient that backward added to .grad (or None).
    arrived, left: .grad when step() was called, and after it.
    params, states: the parameters after each step, and what the optimizer remembers of each by name.
    """

    options: dict[str, Any]
    start: list[Array]
    lrs: list[list[float]]
    sent: list[list[Array | None]]
    arrived: list[list[Array | None]]
    left: list[list[Array | None]]
    params: list[list[Array]]
    states: list[list[dict[str, Array]]]


def record(
    optimizer_class: Callable[..., Any],
    options: Options | None = None,
    *,
    steps: int = STEPS,
    shapes: Shapes = SHAPES,
    seed: int = 0,
) -> Trajectory:
    """Run an optimizer in a loop of backward, step and zero_grad, and write down what it does.

    optimizer_class: takes parameters (here two groups) and options, and has torch's param_groups, step, zero_grad.
    options: for its constructor. shapes: the parameters'.
    The gradients are drawn from the seed and do not depend on the parameters. The second half of the parameters has
    half the learning rate, all rates change halfway, and the second parameter has no gradient in the third step.
    Raises ValueError for no parameters or no steps, and whatever the optimizer raises.
    """
    if not shapes or steps < 1:
        raise ValueError(f"there must be parameters and steps, but there are {len(shapes)} shapes and {steps} steps")
    rng = np.random.default_rng(seed)
    start = [_irregular(rng, shape, 0.5, 2) for shape in shapes]
    sent: list[list[Array | None]] = [[_irregular(rng, shape, 10**-2.5, 3) for shape in shapes] for _ in range(steps)]
    if len(shapes) > 1 and steps > 2:
        sent[2][1] = None

    params = [Tensor(array.copy(), requires_grad=True) for array in start]
    half = (len(params) + 1) // 2
    groups = [{"params": part} for part in (params[:half], params[half:]) if part]
    optimizer = optimizer_class(groups, **(options or {}))
    lr = optimizer.param_groups[0]["lr"]
    run = Trajectory(dict(optimizer.defaults), start, [], sent, [], [], [], [])
    for step in range(steps):
        rates = [lr * share * (1 if step < (steps + 1) // 2 else 0.3) for share in (1, 0.5)]
        for group, rate in zip(optimizer.param_groups, rates, strict=False):
            group["lr"] = rate
        products = [(p * Tensor(grad)).sum() for p, grad in zip(params, sent[step], strict=True) if grad is not None]
        with np.errstate(all="ignore"):
            functools.reduce(operator.add, products).backward()
            run.arrived.append([_grad(param) for param in params])
            optimizer.step()
        run.left.append([_grad(param) for param in params])
        optimizer.zero_grad()
        run.lrs.append([rates[0] if i < half else rates[1] for i in range(len(params))])
        run.params.append([param.array.copy() for param in params])
        run.states.append([_remembered(optimizer.state.get(param, {})) for param in params])
    return run


def _irregular(rng: np.random.Generator, shape: tuple[int, ...], low: float, high: float) -> Array:
    """Numbers of either sign and of all magnitudes between low and high."""
    return np.asarray(rng.choice([-1, 1], shape) * np.exp(rng.uniform(math.log(low), math.log(high), shape)))


def _grad(param: Tensor) -> Array | None:
    return None if param.grad is None else param.grad.array.copy()


def _remembered(state: Mapping[str, Any]) -> dict[str, Array]:
    """Those of the values that are numbers, as arrays."""
    arrays = {name: np.asarray(value.array if isinstance(value, Tensor) else value) for name, value in state.items()}
    return {name: np.array(array, np.float64) for name, array in arrays.items() if array.dtype.kind in "fiub"}


def formula(rule: Rule, run: Trajectory) -> Trajectory:
    """What the rule's formula does from the same start with the same gradients, rates and options.

    A reference that depends on no code of optim.py: for where that has been replaced, as by an exercise.
    """
    params, states = [], []
    for i in range(len(run.start)):
        steps = list(_simulated(rule, run, i, [sent[i] for sent in run.sent], frozenset()))
        params.append([param for param, _ in steps])
        states.append([state for _, state in steps])
    return dataclasses.replace(
        run,
        arrived=run.sent,
        left=run.sent,
        params=[list(step) for step in zip(*params, strict=True)],
        states=[list(step) for step in zip(*states, strict=True)],
    )


# --- the rules, right, and wrong in one place -------------------------------------------------------------------------
#
# One step of one parameter: (param, grad, lr, state, options, wrong) -> the new param; state is brought up to date.
# `wrong` holds what is done wrongly; the names are those of MISTAKES below.

State = dict[str, Array]
Wrong = frozenset[str]


def _decayed(param: Array, grad: Array, lr: float, o: Options, wrong: Wrong) -> tuple[Array, Array]:
    """The parameter and the gradient once weight decay has been applied to one of them."""
    g = -grad if o.get("maximize") and "maximize-ignored" not in wrong else grad
    g = -g if "uphill/gradient" in wrong else g
    decay = 0 if "decay-missing" in wrong else -o["weight_decay"] if "decay-sign" in wrong else o["weight_decay"]
    decoupled = bool(o.get("decoupled_weight_decay"))
    if "decay-decoupled" in wrong or "decay-decoupled/no lr" in wrong:
        decoupled = True
    if "decay-coupled" in wrong:
        decoupled = False
    if not decoupled:
        return param, g + decay * param
    rate = 1 if "lr-missing/decay" in wrong or "decay-decoupled/no lr" in wrong else lr
    return param * (1 - rate * decay), g


def _momentum(step: Array, lr: float, state: State, momentum: float, wrong: Wrong, first: bool) -> tuple[Array, float]:
    """What RMSprop's momentum makes of a step, and the learning rate that remains to be applied."""
    old = state.get("momentum_buffer", np.zeros_like(step))
    if "lr-inside-momentum" in wrong:
        step, lr = lr * step, 1
    used = momentum * old + step
    if "momentum-averaged" in wrong:
        used = momentum * old + (1 - momentum) * step
    if "stale-momentum/first" in wrong:
        used = step if first else old
    kept = np.zeros_like(step) if "stale-momentum/unkept" in wrong else used
    if "momentum-missing/bufferless" not in wrong:
        state["momentum_buffer"] = kept
    if "momentum-missing" in wrong or "momentum-missing/bufferless" in wrong:
        used = step
    return used, lr


def _moved(param: Array, lr: float, step: Array, wrong: Wrong) -> Array:
    if "lr-missing" in wrong:
        lr = 1
    return param + lr * step if "uphill" in wrong else param - lr * step


def _sgd(param: Array, grad: Array, lr: float, state: State, o: Options, wrong: Wrong) -> Array:
    param, g = _decayed(param, grad, lr, o, wrong)
    momentum = o["momentum"]
    if not momentum:
        return _moved(param, lr, g, wrong)
    if "lr-inside-momentum" in wrong:
        g, lr = lr * g, 1
    first = "momentum_buffer" not in state
    old = state.get("momentum_buffer", np.zeros_like(g))
    share = 1 if "dampening-ignored" in wrong or (first and "dampened-first" not in wrong) else 1 - o["dampening"]
    used = momentum * old + share * g
    if "momentum-averaged" in wrong or ("momentum-averaged/from the first" in wrong and not first):
        used = momentum * old + (1 - momentum) * g
    if "stale-momentum/first" in wrong and not first:
        used = old
    kept = used
    if "stale-momentum/unkept" in wrong:
        kept = np.zeros_like(g)
    if "stale-momentum/kept first" in wrong and not first:
        kept = old
    if "momentum-missing/bufferless" in wrong:
        return _moved(param, lr, g, wrong)
    state["momentum_buffer"] = kept
    if "momentum-missing" in wrong:
        return _moved(param, lr, g, wrong)
    look_ahead = o["nesterov"] and "nesterov-missing" not in wrong
    return _moved(param, lr, g + momentum * used if look_ahead else used, wrong)


def _rmsprop(param: Array, grad: Array, lr: float, state: State, o: Options, wrong: Wrong) -> Array:
    first = "square_avg" not in state
    _count(state, wrong)
    param, g = _decayed(param, grad, lr, o, wrong)
    variance = _average(state, "square_avg", _square(g, wrong), o["alpha"], wrong)
    if o["centered"] and "centered-ignored" not in wrong:
        variance = variance - _average(state, "grad_avg", g, o["alpha"], wrong) ** 2
    if "eps-inside-root" in wrong:
        avg = np.sqrt(variance + o["eps"])
    elif "root-missing" in wrong:
        avg = variance + o["eps"]
    else:
        avg = np.sqrt(variance) + o["eps"]
    step = g / avg
    if o["momentum"]:
        step, lr = _momentum(step, lr, state, o["momentum"], wrong, first)
    return _moved(param, lr, step, wrong)


def _adam(param: Array, grad: Array, lr: float, state: State, o: Options, wrong: Wrong) -> Array:
    t = _count(state, wrong)
    beta1, beta2 = reversed(o["betas"]) if "betas-swapped" in wrong else o["betas"]
    param, g = _decayed(param, grad, lr, o, wrong)
    m = _average(state, "exp_avg", g, beta1, wrong, "stale-momentum/first average")
    v = _average(state, "exp_avg_sq", _square(g, wrong), beta2, wrong, "stale-momentum/second average")
    if o["amsgrad"] and "amsgrad-ignored" not in wrong:
        v = state["max_exp_avg_sq"] = np.maximum(state.get("max_exp_avg_sq", np.zeros_like(v)), v)
    corrected1, corrected2 = 1 - beta1**t, 1 - beta2**t
    if wrong & {"bias-correction-missing", "bias-correction-missing/first", "momentum-missing"}:
        corrected1 = 1.0
    if wrong & {"bias-correction-missing", "bias-correction-missing/second"}:
        corrected2 = 1.0
    if "eps-inside-root" in wrong:
        denom = np.sqrt(v / corrected2 + o["eps"])
    elif "eps-inside-root/uncorrected" in wrong:
        denom = np.sqrt(v + o["eps"]) / np.sqrt(corrected2)
    elif "eps-uncorrected" in wrong:
        denom = (np.sqrt(v) + o["eps"]) / np.sqrt(corrected2)
    elif "root-missing" in wrong:
        denom = v / corrected2 + o["eps"]
    elif "root-missing/correction" in wrong:
        denom = np.sqrt(v) / corrected2 + o["eps"]
    else:
        denom = np.sqrt(v / corrected2) + o["eps"]
    numerator = g if wrong & {"momentum-missing", "momentum-missing/corrected"} else m
    return _moved(param, lr, numerator / corrected1 / denom, wrong)


def _count(state: State, wrong: Wrong) -> float:
    """The number of the step, as the corrections use it; the one in state may be another."""
    before = float(state.get("step", np.zeros(())))
    state["step"] = np.asarray(before + 1)
    if "step-not-counted" in wrong or "step-not-counted/zero" in wrong:
        state["step"] = np.asarray(0.0)
    if "step-not-counted/one" in wrong:
        state["step"] = np.asarray(1.0)
    if "step-not-counted/absent" in wrong:
        del state["step"]
    if "step-not-counted/late" in wrong or "step-not-counted/zero" in wrong:
        return before
    return 1 if any(name.startswith("step-not-counted") for name in wrong) else before + 1


def _square(g: Array, wrong: Wrong) -> Array:
    return g if "square-missing" in wrong else np.abs(g) if "square-missing/absolute" in wrong else g * g


def _average(state: State, name: str, new: Array, beta: float, wrong: Wrong, unkept: str = "") -> Array:
    """The running average of this name, with the new value in it."""
    old, share = state.get(name, np.zeros_like(new)), 1 - beta
    if "betas-swapped/weights" in wrong:
        beta, share = share, beta
    average = beta * old + share * new
    state[name] = np.zeros_like(new) if unkept in wrong or "stale-momentum/unkept" in wrong else average
    return average


Step = Callable[[Array, Array, float, State, Options, Wrong], Array]
RULES: dict[Rule, Step] = {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam}
# torch's, for options that an optimizer does not have.
DEFAULTS: dict[Rule, Options] = {
    "sgd": {"weight_decay": 0, "momentum": 0, "dampening": 0, "nesterov": False},
    "rmsprop": {"weight_decay": 0, "momentum": 0, "alpha": 0.99, "eps": 1e-8, "centered": False},
    "adam": {"weight_decay": 0, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
}


def _simulated(
    rule: Rule, run: Trajectory, i: int, grads: Sequence[Array | None], wrong: frozenset[str]
) -> Iterator[tuple[Array, State]]:
    """Parameter i and its state after each step, with these gradients and this done wrongly."""
    param, state = run.start[i], State()
    options = {**DEFAULTS[rule], **run.options}
    lrs = [rates[i] for rates in run.lrs]
    if "lr-not-followed" in wrong:
        lrs = [run.lrs[0][0]] * len(lrs)
    if "lr-not-followed/group" in wrong:
        lrs = [lrs[0]] * len(lrs)
    before = grads[0] if "late-gradient" in wrong else None
    for lr, grad in zip(lrs, grads, strict=True):
        now = grad
        if "late-gradient" in wrong or "late-gradient/none first" in wrong:
            now, before = before, grad
        if "late-gradient/kept" in wrong and grad is not None:
            now, before = (grad if before is None else before), grad
        if now is not None and "not-updated/skipped" not in wrong:
            with np.errstate(all="ignore"):
                moved = RULES[rule](param, now, lr, state, options, wrong)
            param = param if "not-updated" in wrong else moved
        yield param, dict(state)


# --- the mistakes -----------------------------------------------------------------------------------------------------

# What may be done wrongly, each with what a learner should know of it. What stands behind a / is a variant of it.
MISTAKES: dict[str, str] = {
    "uphill": "The step goes along the gradient, where it must go against it: param -= lr · ..., with a minus.",
    "uphill/gradient": "The gradient has the wrong sign from the start, so the loss rises; only the decay is right.",
    "lr-missing": "The step is not multiplied by lr: the gradient says which way, the learning rate how far.",
    "lr-missing/decay": "AdamW's decay is not multiplied by lr: param -= lr · weight_decay · param.",
    "not-updated": "The step is computed, but the parameter never moves. `param = param - ...` makes a new array and "
    "drops it; `param -= ...` writes into the model's.",
    "not-updated/skipped": "The parameter is never updated, nor is anything remembered of it. Does the loop over "
    "groups and parameters reach it, or does a `return` or `break` stand one level too deep?",
    "momentum-missing": "The buffer is kept, but the step does not use it: the bare gradient has taken its place.",
    "momentum-missing/bufferless": "There is no momentum: each step is that of the last gradient alone.",
    "momentum-missing/corrected": "The bare gradient stands where exp_avg, the average of gradients, belongs.",
    "stale-momentum/first": "The buffer is filled at the first step and never brought up to date: every step goes the "
    "first way.",
    "stale-momentum/unkept": "What is to be remembered stays 0 in state. `buf = momentum * buf + ...` makes a new "
    "array; write into the one in state, with `buf *= ...; buf += ...`.",
    "stale-momentum/kept first": "The buffer keeps the first gradient: each step adds the newest one to it, but does "
    "not keep the sum. Write into the array in state, with `buf *= ...; buf += ...`.",
    "stale-momentum/first average": "exp_avg stays 0 in state: write into it, with `exp_avg *= ...; exp_avg += ...`.",
    "stale-momentum/second average": "exp_avg_sq stays 0 in state: write into it, with `exp_avg_sq *= ...`.",
    "momentum-averaged": "The buffer is an average, momentum · buf + (1 - momentum) · g; here it is a sum, "
    "momentum · buf + g.",
    "momentum-averaged/from the first": "The buffer is an average from the second step on, momentum · buf + "
    "(1 - momentum) · g; here it is a sum, momentum · buf + g.",
    "nesterov-missing": "nesterov has no effect: with it the step is g + momentum · buf, with the new buf.",
    "dampened-first": "Dampening acts on the first gradient, too; the first buffer is g itself.",
    "dampening-ignored": "dampening has no effect: from the second step on, (1 - dampening) · g goes into the buffer.",
    "lr-inside-momentum": "lr is multiplied in before the buffer gathers, as in the paper; torch has it outside, "
    "lr · buf. They differ once lr changes.",
    "lr-not-followed": "Every step has the first learning rate of the first group. Read lr from the parameter's own "
    "group at each step, not from the defaults.",
    "lr-not-followed/group": "Every step has the first learning rate. Read lr from the group anew at each step.",
    "decay-missing": "weight_decay has no effect.",
    "decay-sign": "The decay has the wrong sign, and lets the weights grow: it must pull them towards 0.",
    "decay-decoupled": "The decay is applied to the parameter, as AdamW does; here it belongs into the gradient, "
    "g = grad + weight_decay · param, before anything is averaged.",
    "decay-decoupled/no lr": "The decay is applied to the parameter, and without lr; here it belongs into the "
    "gradient, g = grad + weight_decay · param.",
    "decay-coupled": "The decay is put into the gradient, as Adam does; AdamW applies it to the parameter, "
    "param *= 1 - lr · weight_decay.",
    "eps-inside-root": "eps stands under the root; torch adds it after: √... + eps.",
    "eps-inside-root/uncorrected": "eps stands under the root, and before the correction; torch adds it after both.",
    "eps-uncorrected": "eps is divided by √bias_correction2, too, since both corrections are in the rate; it belongs "
    "beside the corrected root.",
    "square-missing": "The average is of the gradients; it should be of their squares. Its root is nan where negative.",
    "square-missing/absolute": "The average is of |g|, where that of g² is due.",
    "root-missing": "The step is divided by the averaged square, not by its root.",
    "root-missing/correction": "√exp_avg_sq is divided by bias_correction2, where √bias_correction2 is due.",
    "betas-swapped": "The two betas are exchanged: the first is exp_avg's, the second exp_avg_sq's.",
    "betas-swapped/weights": "The average's weights are exchanged: beta · old + (1 - beta) · new.",
    "bias-correction-missing": "The averages are not corrected for having started at 0: divide by 1 - beta^step.",
    "bias-correction-missing/first": "exp_avg is not corrected for having started at 0: divide by 1 - beta1^step.",
    "bias-correction-missing/second": "exp_avg_sq is not corrected for having started at 0: divide by 1 - beta2^step.",
    "step-not-counted": "The step in state stays 0, and each step is corrected as if it were the first. `step + 1` "
    "makes a new number; `step += 1` counts.",
    "step-not-counted/one": "The step in state stays 1, so each step is corrected as if it were the first.",
    "step-not-counted/absent": "Nothing in state counts the steps.",
    "step-not-counted/zero": "The step in state stays 0, and 1 - beta^0 is 0: count before the corrections.",
    "step-not-counted/late": "The step is counted after its use: the first correction is 1 - beta^0, which is 0.",
    "late-gradient": "Each update uses the gradient of the step before. Is step() called before backward(), or the "
    "gradient kept somewhere?",
    "late-gradient/none first": "Each update uses the gradient of the step before, and the first has none. Is step() "
    "called before backward()?",
    "late-gradient/kept": "Each update uses the gradient that was there at the update before.",
    "maximize-ignored": "maximize has no effect: with it the step goes along the gradient.",
    "centered-ignored": "centered has no effect: with it grad_avg² is subtracted from square_avg.",
    "amsgrad-ignored": "amsgrad has no effect: with it the largest exp_avg_sq so far takes the place of exp_avg_sq.",
}
NOT_ZEROED = (
    "The gradients are not forgotten between the steps: backward adds to .grad, so zero_grad() must set every "
    "parameter's .grad to None (or to 0)."
)
WRITTEN = (
    "step() changes .grad. An operation such as `grad += ...` writes into the model's gradient; `grad = grad + ...` "
    "makes a new array."
)


@dataclasses.dataclass(frozen=True)
class Parted:
    """Where two trajectories part: the step (from 1 up), the parameter's number, what of it, at which index.

    what: "parameter", a name in its state, "gradient before step()" or "gradient after step()".
    got, expected: the values there; None where there is none.
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
    """What came of a comparison.

    parted: the first place where the two differ; None if they agree. wrong: the numbers of the parameters that differ.
    mistakes: the likely ones, the likeliest first; empty if none of the known ones gives these steps.
    ratios: for each step, the smallest and the largest of (update taken) / (update expected) over all entries.
    tried: with how many sets of options the two were run; options are those of this run.
    """

    options: dict[str, Any]
    steps: int
    parameters: int
    parted: Parted | None
    wrong: list[int]
    mistakes: list[Mistake]
    ratios: list[tuple[float, float]]
    tried: int = 1

    @property
    def ok(self) -> bool:
        """Whether both take the same steps and remember the same."""
        return self.parted is None

    def __str__(self) -> str:
        options = "with " + ", ".join(f"{name}={value}" for name, value in self.options.items())
        if self.parted is None:
            options = options if self.tried == 1 else f"with each of {self.tried} sets of options"
            return f"The optimizer is right: {self.parameters} parameters in {self.steps} steps, {options}."
        lines = [f"The optimizer is wrong, {options}.", f"First difference: {self.parted}."]
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
    """Run an optimizer beside one that is right, and say whether it takes the same steps; if not, what may be wrong.

    optimizer, reference: classes as `record` takes them; the reference may also be "sgd", "rmsprop" or "adam", for the
        formula of that rule as it stands in this file.
    options: for both. None: the reference's defaults, then each option that is off switched on, then each two of them,
        until a difference is found.
    steps, shapes, seed: as `record` takes them.
    Returns the report of the first run that differs, preferably of one whose mistake is known; else of the last run.
    """
    to_try = [options] if options is not None else _revealing(optimizer if isinstance(reference, str) else reference)
    undiagnosed = report = None
    for tried, chosen in enumerate(to_try, start=1):
        if isinstance(reference, str):
            taken = record(optimizer, chosen, steps=steps, shapes=shapes, seed=seed)
            right = formula(reference, taken)
        else:
            right = record(reference, chosen, steps=steps, shapes=shapes, seed=seed)
            chosen = {**chosen, "lr": right.options["lr"]}
            taken = record(optimizer, chosen, steps=steps, shapes=shapes, seed=seed)
        report = dataclasses.replace(judge(taken, right), tried=tried)
        if report.mistakes:
            return report
        undiagnosed = undiagnosed or (None if report.ok else report)
    if report is None:
        raise ValueError("there are no options that the reference takes")
    return undiagnosed or report


def _revealing(reference: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """No options; each that is off by default switched on; each two of them. Not those that the reference refuses."""
    param = Tensor(np.zeros(1), requires_grad=True)
    defaults = reference([param]).defaults
    off = [name for name in SWITCHED_ON if name in defaults and not defaults[name]]
    for count in range(3):
        for names in itertools.combinations(off, count):
            options = {name: SWITCHED_ON[name] for name in names}
            try:
                reference([param], **options)
            except (TypeError, ValueError):  # nesterov without momentum; decoupled_weight_decay in AdamW
                continue
            yield options


def judge(taken: Trajectory, right: Trajectory) -> OptimizerReport:
    """Compare what an optimizer did with what it should have done. Raises ValueError if the two runs were different.

    taken, right: recorded with the same steps, shapes, seed and options.
    """
    _check_same_run(taken, right)
    parted = list(_differences(taken, right))
    wrong = sorted({difference.parameter for difference in parted})
    return OptimizerReport(
        right.options,
        len(right.sent),
        len(right.start),
        parted[0] if parted else None,
        wrong,
        _mistakes(taken, right, wrong) if parted else [],
        _ratios(taken, right),
    )


def _check_same_run(taken: Trajectory, right: Trajectory) -> None:
    def same(a: Any, b: Any) -> bool:
        return (a is None) == (b is None) and (a is None or (np.shape(a) == np.shape(b) and np.array_equal(a, b)))

    def flat(run: Trajectory) -> list[Any]:
        return [*run.start, *itertools.chain(*run.sent), *itertools.chain(*run.lrs)]

    ours, theirs = flat(taken), flat(right)
    if len(ours) != len(theirs) or not all(same(a, b) for a, b in zip(ours, theirs, strict=True)):
        raise ValueError(
            "the two trajectories have other parameters, gradients or learning rates; record both with the same "
            "options, steps, shapes and seed."
        )


def _slack(run: Trajectory, i: int) -> Array:
    """How far parameter i may be off at each step for rounding alone: a billionth of the way that it has gone."""
    path = np.asarray([run.start[i], *[params[i] for params in run.params]])
    path = np.where(np.isfinite(path), path, 0)
    with np.errstate(all="ignore"):
        return np.asarray(1e-9 * np.abs(np.diff(path, axis=0)).cumsum(axis=0) + 1e-13 * np.abs(path).max(axis=0))


def _apart(a: Array, b: Array, slack: Any) -> Array:
    """Where a and b are farther apart than that; nan is as good as nan, and an infinity as the same one."""
    with np.errstate(all="ignore"):
        return np.asarray(~((np.abs(a - b) <= slack) | (a == b) | (np.isnan(a) & np.isnan(b))))


def _state_slack(right: Array) -> Any:
    finite = np.abs(right[np.isfinite(right)])
    return 1e-9 * np.abs(right) + 1e-12 * finite.max(initial=0)


def _differences(taken: Trajectory, right: Trajectory) -> Iterator[Parted]:
    """Where the two differ: the steps in order, in each the parameters in order, and what goes before first."""
    slacks = [_slack(right, i) for i in range(len(right.start))]
    for step, i in itertools.product(range(len(right.sent)), range(len(right.start))):
        held: list[tuple[str, Array | None, Array | None, Any]] = []
        arrived, expected = taken.arrived[step][i], right.arrived[step][i]
        held.append(("gradient before step()", arrived, expected, 0 if expected is None else _state_slack(expected)))
        for name, remembered in right.states[step][i].items():
            held.append((name, taken.states[step][i].get(name), remembered, _state_slack(remembered)))
        held.append(("parameter", taken.params[step][i], right.params[step][i], slacks[i][step]))
        held.append(("gradient after step()", taken.left[step][i], arrived, 0))
        for what, a, b, slack in held:
            if a is None or b is None:
                if a is not b:
                    got, due = (None if x is None or not x.size else float(x.flat[0]) for x in (a, b))
                    yield Parted(step + 1, i, what, (0,) * taken.start[i].ndim, got, due)
                continue
            if a.shape != b.shape:
                yield Parted(step + 1, i, f"{what} of shape {list(a.shape)}, not {list(b.shape)}", (), None, None)
                continue
            apart = _apart(a, b, slack)
            if apart.any():
                index = tuple(int(k) for k in np.argwhere(apart)[0])
                yield Parted(step + 1, i, what, index, float(a[index]), float(b[index]))


def _ratios(taken: Trajectory, right: Trajectory) -> list[tuple[float, float]]:
    everything = range(len(right.start))
    ratios = [_update_ratios(taken, right, step, everything) for step in range(len(right.sent))]
    return [(float(step.min()), float(step.max())) if step.size else (1.0, 1.0) for step in ratios]


def _mistakes(taken: Trajectory, right: Trajectory, wrong: list[int]) -> list[Mistake]:
    """The likely ones, the likeliest first."""
    found = _not_zeroed(taken)
    rule = next((rule for rule in RULES if all(_fit(rule, right, right, i) for i in range(len(right.start)))), None)
    if rule is not None:
        unexplained = [i for i in wrong if _fit(rule, taken, right, i) < 2]
        found += _by_formula(rule, taken, right, unexplained) if unexplained else []
    elif not found:
        found += _by_update(taken, right, wrong)
    return found + _written(taken)


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
            evidence = (
                f"in step {step + 1}, .grad of parameter {i} goes from {before[index]:.6g} to {after[index]:.6g}."
            )
            return [Mistake("gradient-written", WRITTEN, evidence)]
    return []


def _numbered(parameters: Sequence[int]) -> str:
    names = [str(i) for i in parameters]
    return f"parameter {names[0]}" if len(names) == 1 else f"parameters {', '.join(names[:-1])} and {names[-1]}"


def _fit(rule: Rule, taken: Trajectory, right: Trajectory, i: int, *wrong: str) -> int:
    """How well the rule with these mistakes gives what was taken: 0 not, 1 the parameter, 2 what is remembered, too."""
    slack = _slack(taken, i)
    simulated = _simulated(rule, right, i, [arrived[i] for arrived in taken.arrived], frozenset(wrong))
    remembered = True
    for step, (param, state) in enumerate(simulated):
        if taken.params[step][i].shape != param.shape or _apart(taken.params[step][i], param, slack[step]).any():
            return 0
        for name, value in state.items():
            kept = taken.states[step][i].get(name)
            if kept is None or kept.shape != value.shape or _apart(kept, value, _state_slack(value)).any():
                remembered = False
        if right.states[step][i].keys() & taken.states[step][i].keys() - state.keys():
            remembered = False
    return 2 if remembered else 1


def _by_formula(rule: Rule, taken: Trajectory, right: Trajectory, moved: list[int]) -> list[Mistake]:
    """Those mistakes with which the rule's formula gives what was taken; else the first two that do it together."""
    only_remembered = all(_fit(rule, taken, right, i) for i in moved)  # the parameters come out right

    def fitting(count: int) -> list[tuple[str, ...]]:
        fits = []
        for wrong in itertools.combinations(MISTAKES, count):
            if len({_name(each) for each in wrong}) == count:
                fit = 2
                for i in moved:
                    fit = min(fit, _fit(rule, taken, right, i, *wrong))
                    if fit < 1 + only_remembered:
                        break
                else:
                    fits.append((-fit, wrong))
        return [wrong for _, wrong in sorted(fits, key=lambda fit: fit[0])]  # stable: as MISTAKES has them

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
    """Over how many steps the formula gives what was taken, and how far from it the right one is."""
    what = "what is remembered" if only_remembered else "the steps taken"
    text = f"the formula gives {what} in all {len(right.sent)} steps for {_numbered(moved)}, to 9 digits"
    for step in range(len(right.sent)):
        ratios = _update_ratios(taken, right, step, moved)
        if not only_remembered and ratios.size and not np.allclose(ratios, 1, rtol=1e-9, atol=0):
            text += (
                f"; in step {step + 1} they are {_range(float(ratios.min()), float(ratios.max()))} times the right ones"
            )
            break
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
    """For a rule that this file has no formula of: what the first updates that differ say by themselves."""
    steps = range(len(right.sent))
    if all(not _update(taken, step, i).any() for step in steps for i in wrong):
        return [Mistake("not-updated", MISTAKES["not-updated"], f"{_numbered(wrong)}: every update is 0.")]
    i = wrong[0]
    step = next((k for k in steps if _apart(taken.params[k][i], right.params[k][i], _slack(right, i)[k]).any()), None)
    if step is None or not right.start[i].size:
        return []
    ours, theirs, lr = _update(taken, step, i), _update(right, step, i), right.lrs[step][i]
    place = f"in step {step + 1}, parameter {i}:"
    if np.allclose(ours, -theirs, rtol=1e-6, atol=0):
        return [Mistake("uphill", MISTAKES["uphill"], f"{place} each update is -1 times the right one.")]
    if np.allclose(ours, theirs / lr, rtol=1e-6, atol=0):
        return [
            Mistake(
                "lr-missing", MISTAKES["lr-missing"], f"{place} each update is 1/lr = {1 / lr:.6g} times the right one."
            )
        ]
    before = right.params[step - 1][i] if step else right.start[i]
    shares = (ours - theirs) / (lr * before)
    if step and np.allclose(ours, _update(right, step - 1, i), rtol=1e-6, atol=0):
        return [
            Mistake("late-gradient", MISTAKES["late-gradient"], f"{place} the update is the one due in step {step}.")
        ]
    decay = float(shares.flat[0])
    if np.allclose(shares, decay, rtol=1e-6, atol=0):
        due = right.options.get("weight_decay", 0)
        name = "decay-sign" if due and math.isclose(decay, 2 * due, rel_tol=1e-6) else "decay-missing"
        evidence = f"{place} each update differs from the right one by {decay:.6g} · lr · the parameter."
        return [Mistake(name, MISTAKES[name], evidence)]
    return []

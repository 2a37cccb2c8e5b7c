"""The rules of the optimizers as short formulas, which the edits of optimizer_mistakes.py make wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from minitrain.diagnosis import adaptive_mistakes, optimizer_mistakes
from minitrain.diagnosis.source_edit import Entry, body_of, edited, entries, with_body
from minitrain.ops import Array

Rule = Literal["sgd", "rmsprop", "adam", "adagrad", "adadelta", "adamax", "nadam"]
Options = Any  # an optimizer's options as attributes


class State(dict[str, Any]):
    """What an optimizer remembers of a parameter, by name. Everything starts at 0."""

    def __missing__(self, name: str) -> Any:
        return np.float64(0)  # a mistake may divide by it


# --- the rules --------------------------------------------------------------------------------------------------------
#
# One step of one parameter: (param, g, lr, state, o) -> the new param, with the gradient g and the options o. The state
# is updated in place.


def _sgd(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    step = g
    if o.momentum:
        share = 1 - o.dampening if "momentum_buffer" in state else 1
        buf = o.momentum * state["momentum_buffer"] + share * g
        state["momentum_buffer"] = buf
        step = g + o.momentum * buf if o.nesterov else buf
    return param - lr * step


def _rmsprop(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    t = state["step"] + 1
    state["step"] = t
    square_avg = _average(state["square_avg"], g * g, o.alpha)
    state["square_avg"] = square_avg
    variance = square_avg
    if o.centered:
        grad_avg = _average(state["grad_avg"], g, o.alpha)
        state["grad_avg"] = grad_avg
        variance = square_avg - grad_avg**2
    step = g / (np.sqrt(variance) + o.eps)
    if o.momentum:
        buf = o.momentum * state["momentum_buffer"] + step
        state["momentum_buffer"] = buf
        step = buf
    return param - lr * step


def _adam(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    beta1, beta2 = o.betas
    t = state["step"] + 1
    state["step"] = t
    exp_avg = _average(state["exp_avg"], g, beta1)
    state["exp_avg"] = exp_avg
    exp_avg_sq = _average(state["exp_avg_sq"], g * g, beta2)
    state["exp_avg_sq"] = exp_avg_sq
    variance = exp_avg_sq
    if o.amsgrad:
        variance = np.maximum(state["max_exp_avg_sq"], exp_avg_sq)
        state["max_exp_avg_sq"] = variance
    correction1 = 1 - beta1**t
    correction2 = 1 - beta2**t
    denom = np.sqrt(variance / correction2) + o.eps
    step = exp_avg / correction1 / denom
    return param - lr * step


def _adagrad(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    t = state["step"] + 1
    state["step"] = t
    total = state.get("sum", o.initial_accumulator_value) + g * g
    state["sum"] = total
    denom = np.sqrt(total) + o.eps
    lr = lr / (1 + (t - 1) * o.lr_decay)
    step = g / denom
    return param - lr * step


def _adadelta(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    state["step"] = state["step"] + 1
    square_avg = _average(state["square_avg"], g * g, o.rho)
    state["square_avg"] = square_avg
    acc_delta = state["acc_delta"]
    delta = np.sqrt(acc_delta + o.eps) / np.sqrt(square_avg + o.eps) * g
    state["acc_delta"] = _average(acc_delta, delta * delta, o.rho)
    step = delta
    return param - lr * step


def _adamax(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    beta1, beta2 = o.betas
    t = state["step"] + 1
    state["step"] = t
    exp_avg = _average(state["exp_avg"], g, beta1)
    state["exp_avg"] = exp_avg
    exp_inf = np.maximum(beta2 * state["exp_inf"], np.abs(g) + o.eps)
    state["exp_inf"] = exp_inf
    correction1 = 1 - beta1**t
    step = exp_avg / correction1 / exp_inf
    return param - lr * step


def _nadam(param: Array, g: Array, lr: float, state: State, o: Options) -> Any:
    beta1, beta2 = o.betas
    t = state["step"] + 1
    state["step"] = t
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * o.momentum_decay))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * o.momentum_decay))
    mu_product = state.get("mu_product", 1) * mu
    state["mu_product"] = mu_product
    exp_avg = _average(state["exp_avg"], g, beta1)
    state["exp_avg"] = exp_avg
    exp_avg_sq = _average(state["exp_avg_sq"], g * g, beta2)
    state["exp_avg_sq"] = exp_avg_sq
    variance = exp_avg_sq
    correction2 = 1 - beta2**t
    denom = np.sqrt(variance / correction2) + o.eps
    step = (1 - mu) / (1 - mu_product) * g / denom + mu_next / (1 - mu_product * mu_next) * exp_avg / denom
    return param - lr * step


def _average(old: Any, new: Array, beta: float) -> Any:
    return beta * old + (1 - beta) * new


def _steps(
    rule: Callable[..., Array], param: Array, grads: Sequence[Array | None], lrs: Sequence[float], o: Options
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """The parameter, and what is remembered of it, after each step of the rule."""
    state = State()
    for lr, grad in zip(lrs, grads, strict=True):
        if grad is not None:
            g = -grad if o.maximize else grad
            decayed = param
            if o.decoupled_weight_decay:
                decayed = param * (1 - lr * o.weight_decay)
            else:
                g = g + o.weight_decay * param
            param = rule(decayed, g, lr, state, o)
        yield param, {name: np.asarray(value) for name, value in state.items()}


RULES: dict[Rule, Callable[..., Array]] = {
    "sgd": _sgd,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "adamax": _adamax,
    "nadam": _nadam,
}
# torch's defaults, for options that an optimizer does not have.
_SHARED = {"weight_decay": 0, "maximize": False, "decoupled_weight_decay": False}
DEFAULTS: dict[Rule, dict[str, Any]] = {
    "sgd": {**_SHARED, "momentum": 0, "dampening": 0, "nesterov": False},
    "rmsprop": {**_SHARED, "momentum": 0, "alpha": 0.99, "eps": 1e-8, "centered": False},
    "adam": {**_SHARED, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
    "adagrad": {**_SHARED, "lr_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
    "adadelta": {**_SHARED, "rho": 0.9, "eps": 1e-6},
    "adamax": {**_SHARED, "betas": (0.9, 0.999), "eps": 1e-8},
    "nadam": {**_SHARED, "betas": (0.9, 0.999), "eps": 1e-8, "momentum_decay": 0.004, "amsgrad": False},
}


def simulated(
    rule: Rule,
    param: Array,
    grads: Sequence[Array | None],
    lrs: Sequence[float],
    options: Mapping[str, Any],
    *wrong: str,
) -> Iterator[tuple[Array, dict[str, Array]]]:
    """A parameter and its state after each step of the rule, with these mistakes.

    grads, lrs: for each step. options: the optimizer's, lr among them, which is used by a mistake only.
    Raises LookupError if the rule has no place for a mistake.
    """
    steps, step = _with_mistakes(rule, wrong)
    o = SimpleNamespace(**{**DEFAULTS[rule], **options})
    with np.errstate(all="ignore"):
        yield from steps(step, param, list(grads), list(lrs), o)


def with_one_memory(
    rule: Rule,
    params: Sequence[Array],
    grads: Sequence[Sequence[Array | None]],
    lrs: Sequence[Sequence[float]],
    options: Mapping[str, Any],
) -> Iterator[list[Array]]:
    """These parameters after each step of the rule if one memory serves all of them, one after the other.

    grads, lrs: for each step and parameter. Without decay.
    """
    o, state, params = SimpleNamespace(**{**DEFAULTS[rule], **options}), State(), list(params)
    for step, rates in zip(grads, lrs, strict=True):
        for k, grad in enumerate(step):
            if grad is not None:
                params[k] = RULES[rule](params[k], grad, rates[k], state, o)
        yield list(params)


def has_place(rule: Rule, *wrong: str) -> bool:
    """Whether the rule can have all these mistakes at once."""
    try:
        _with_mistakes(rule, wrong)
    except LookupError:
        return False
    return True


@functools.cache
def _with_mistakes(rule: Rule, wrong: tuple[str, ...]) -> tuple[Callable[..., Any], Callable[..., Array]]:
    """_steps and the rule with those edits of the mistakes that fit there."""
    functions: tuple[Callable[..., Any], ...] = _steps, RULES[rule]
    bodies = [body_of(function) for function in functions]
    for mistake in wrong:
        fitting = [[edit for edit in KNOWN[mistake].edits if edit[0] in body] for body in bodies]
        if not any(fitting):
            raise LookupError(f"the rule {rule} has no place for the mistake {mistake}")
        bodies = [edited(body, edits) for body, edits in zip(bodies, fitting, strict=True)]
    steps, step = map(_with_body, functions, bodies)
    return steps, step


_with_body = functools.cache(with_body)  # of two mistakes, most leave one of the functions as it is


# --- the mistakes -----------------------------------------------------------------------------------------------------

KNOWN: dict[str, Entry] = {
    entry.heading: entry for module in (optimizer_mistakes, adaptive_mistakes) for entry in entries(module.WRITTEN)
}
MISTAKES: dict[str, str] = {name: " ".join(entry.text) for name, entry in KNOWN.items()}

"""The rules of SGD, RMSprop and Adam as short formulas, and the known mistakes, each as an edit of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from minitrain.diagnosis.source_edit import Entry, body_of, edited, entries, with_body
from minitrain.ops import Array

Rule = Literal["sgd", "rmsprop", "adam"]
Options = Any  # an optimizer's options as attributes


class State(dict[str, Any]):
    """What an optimizer remembers of a parameter, by name. Everything starts at 0."""

    def __missing__(self, name: str) -> float:
        return 0.0


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


RULES: dict[Rule, Callable[..., Array]] = {"sgd": _sgd, "rmsprop": _rmsprop, "adam": _adam}
# torch's defaults, for options that an optimizer does not have.
_SHARED = {"weight_decay": 0, "maximize": False, "decoupled_weight_decay": False}
DEFAULTS: dict[Rule, dict[str, Any]] = {
    "sgd": {**_SHARED, "momentum": 0, "dampening": 0, "nesterov": False},
    "rmsprop": {**_SHARED, "momentum": 0, "alpha": 0.99, "eps": 1e-8, "centered": False},
    "adam": {**_SHARED, "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
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
    steps, step = (with_body(function, body) for function, body in zip(functions, bodies, strict=True))
    return steps, step


# --- the mistakes -----------------------------------------------------------------------------------------------------

# Each with what a learner should know about it, and its edits, of which those that fit the rule apply. After a / stands
# the variant of the mistake.
_WRITTEN = """
uphill
  The step goes along the gradient, but it must go against it: param -= lr · ..., with a minus.
- return param -  =>  return param +
uphill/gradient
  The gradient has the wrong sign from the start, so the loss rises. Only the decay is right.
- -grad if o.maximize else grad  =>  grad if o.maximize else -grad
lr-missing
  The step is not multiplied by lr. The gradient gives the direction, the learning rate how far to go.
- lr * step  =>  step
lr-missing/decay
  AdamW's decay is not multiplied by lr: param -= lr · weight_decay · param.
- lr * o.weight_decay  =>  o.weight_decay
not-updated
  The step is computed, but the parameter never moves. `param = param - ...` makes a new array and drops it; `param -=
  ...` writes into the model's.
- param = rule  =>  rule
not-updated/skipped
  The parameter is never updated, and nothing about it is remembered. Does the loop over groups and parameters reach it,
  or is a `return` or `break` indented one level too deep?
- if grad is not None  =>  if False
momentum-missing
  The buffer is updated, but the step does not use it: the bare gradient is used in its place.
- step = g + o.momentum * buf if o.nesterov else buf  =>  step = g
- step = buf  =>  pass
- exp_avg / correction1 / denom  =>  g / denom
momentum-missing/bufferless
  There is no momentum: each step depends on the last gradient alone.
- if o.momentum  =>  if False
momentum-missing/corrected
  The bare gradient is used where exp_avg, the average of gradients, belongs.
- exp_avg / correction1  =>  g / correction1
stale-momentum/first
  The buffer is filled at the first step and never updated: every step goes the first way.
- o.momentum * state["momentum_buffer"] + share * g  =>  state["momentum_buffer"] if "momentum_buffer" in state else g
- o.momentum * state["momentum_buffer"] + step
+ state["momentum_buffer"] if "momentum_buffer" in state else step
stale-momentum/unkept
  What should be remembered stays 0 in state. `buf = momentum * buf + ...` makes a new array; write into the one in
  state, with `buf *= ...; buf += ...`.
- state["momentum_buffer"] = buf  =>  state["momentum_buffer"] = np.zeros_like(buf)
- state["square_avg"] = square_avg  =>  state["square_avg"] = np.zeros_like(g)
- state["grad_avg"] = grad_avg  =>  state["grad_avg"] = np.zeros_like(g)
- state["exp_avg"] = exp_avg  =>  state["exp_avg"] = np.zeros_like(g)
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg_sq"] = np.zeros_like(g)
stale-momentum/kept first
  The buffer keeps the first gradient: each step adds the newest one to it, but does not keep the sum. Write into the
  array in state, with `buf *= ...; buf += ...`.
- state["momentum_buffer"] = buf  =>  state.setdefault("momentum_buffer", buf)
stale-momentum/first average
  exp_avg stays 0 in state: write into it, with `exp_avg *= ...; exp_avg += ...`.
- state["exp_avg"] = exp_avg  =>  state["exp_avg"] = np.zeros_like(g)
stale-momentum/second average
  exp_avg_sq stays 0 in state: write into it, with `exp_avg_sq *= ...`.
- state["exp_avg_sq"] = exp_avg_sq  =>  state["exp_avg_sq"] = np.zeros_like(g)
momentum-averaged
  The buffer is an average, momentum · buf + (1 - momentum) · g. It should be a sum, momentum · buf + g.
- share * g  =>  (1 - o.momentum) * g
- state["momentum_buffer"] + step  =>  state["momentum_buffer"] + (1 - o.momentum) * step
momentum-averaged/from the first
  The buffer is an average from the second step on, momentum · buf + (1 - momentum) · g. It should be a sum, momentum ·
  buf + g.
- share = 1 - o.dampening  =>  share = 1 - o.momentum
nesterov-missing
  nesterov has no effect: with it the step is g + momentum · buf, with the new buf.
- g + o.momentum * buf if o.nesterov else buf  =>  buf
dampened-first
  Dampening acts on the first gradient as well, but the first buffer is g itself.
- 1 - o.dampening if "momentum_buffer" in state else 1  =>  1 - o.dampening
dampening-ignored
  dampening has no effect: from the second step on, (1 - dampening) · g goes into the buffer.
- 1 - o.dampening if "momentum_buffer" in state else 1  =>  1
lr-inside-momentum
  The gradient is multiplied by lr before it goes into the buffer, as in the paper. In torch lr is outside, lr · buf.
  They differ once lr changes.
- if o.momentum:
+ if o.momentum:
+     g, step, lr = lr * g, lr * step, 1
lr-not-followed
  Every step has the first learning rate of the first group. Read lr from the parameter's own group at each step, not
  from the defaults.
- in zip(lrs  =>  in zip([o.lr] * len(lrs)
lr-not-followed/group
  Every step has the first learning rate. Read lr from the group again at each step.
- in zip(lrs  =>  in zip([lrs[0]] * len(lrs)
decay-missing
  weight_decay has no effect.
- 1 - lr * o.weight_decay  =>  1
- g + o.weight_decay * param  =>  g
decay-sign
  The decay has the wrong sign and lets the weights grow: it must pull them towards 0.
- 1 - lr * o.weight_decay  =>  1 + lr * o.weight_decay
- g + o.weight_decay * param  =>  g - o.weight_decay * param
decay-decoupled
  The decay is applied to the parameter, as AdamW does. Here it belongs in the gradient, g = grad + weight_decay ·
  param, before anything is averaged.
- if o.decoupled_weight_decay  =>  if True
decay-decoupled/no lr
  The decay is applied to the parameter, and without lr. Here it belongs in the gradient, g = grad + weight_decay ·
  param.
- if o.decoupled_weight_decay  =>  if True
- lr * o.weight_decay  =>  o.weight_decay
decay-coupled
  The decay goes into the gradient, as in Adam. AdamW applies it to the parameter, param *= 1 - lr · weight_decay.
- if o.decoupled_weight_decay  =>  if False
eps-inside-root
  eps is added under the root. torch adds it after: √... + eps.
- np.sqrt(variance) + o.eps  =>  np.sqrt(variance + o.eps)
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance / correction2 + o.eps)
eps-inside-root/uncorrected
  eps is added under the root, and before the correction. torch adds it after both.
- np.sqrt(variance / correction2) + o.eps  =>  np.sqrt(variance + o.eps) / np.sqrt(correction2)
eps-uncorrected
  eps is divided by √bias_correction2 as well, since both corrections are in the rate. It should be added to the
  corrected root.
- np.sqrt(variance / correction2) + o.eps  =>  (np.sqrt(variance) + o.eps) / np.sqrt(correction2)
square-missing
  The gradients are averaged, but their squares should be. The root of a negative average is nan.
- g * g  =>  g
square-missing/absolute
  |g| is averaged, but g² should be.
- g * g  =>  abs(g)
root-missing
  The step is divided by the averaged square, not by its root.
- np.sqrt(variance) + o.eps  =>  variance + o.eps
- np.sqrt(variance / correction2)  =>  variance / correction2
root-missing/correction
  √exp_avg_sq is divided by bias_correction2. It should be divided by √bias_correction2.
- np.sqrt(variance / correction2)  =>  np.sqrt(variance) / correction2
betas-swapped
  The two betas are exchanged: the first belongs to exp_avg, the second to exp_avg_sq.
- beta1, beta2 = o.betas  =>  beta2, beta1 = o.betas
betas-swapped/weights
  The average's weights are exchanged: it is beta · old + (1 - beta) · new.
- g * g, o.alpha  =>  g * g, 1 - o.alpha
- state["grad_avg"], g, o.alpha  =>  state["grad_avg"], g, 1 - o.alpha
- g, beta1  =>  g, 1 - beta1
- g, beta2  =>  g, 1 - beta2
bias-correction-missing
  The averages are not corrected for starting at 0: divide by 1 - beta^step.
- 1 - beta1**t  =>  1
- 1 - beta2**t  =>  1
bias-correction-missing/first
  exp_avg is not corrected for starting at 0: divide by 1 - beta1^step.
- 1 - beta1**t  =>  1
bias-correction-missing/second
  exp_avg_sq is not corrected for starting at 0: divide by 1 - beta2^step.
- 1 - beta2**t  =>  1
step-not-counted
  The step in state stays 0, and each step is corrected as if it were the first. `step + 1` makes a new number; `step +=
  1` counts.
- state["step"] = t  =>  state["step"] = 0
step-not-counted/one
  The step in state stays 1, so each step is corrected as if it were the first.
- t = state["step"] + 1  =>  t = 1
step-not-counted/absent
  Nothing in state counts the steps.
- state["step"] = t  =>  pass
step-not-counted/zero
  The step in state stays 0, and 1 - beta^0 is 0: count before the corrections.
- t = state["step"] + 1  =>  t = state["step"]
step-not-counted/late
  The step is counted after its use: the first correction is 1 - beta^0, which is 0.
- t = state["step"] + 1  =>  t = state["step"]
- state["step"] = t  =>  state["step"] = t + 1
late-gradient
  Each update uses the gradient of the step before. Is step() called before backward(), or the gradient kept somewhere?
- , grads, strict  =>  , [grads[0], *grads[:-1]], strict
late-gradient/none first
  Each update uses the gradient of the step before, and the first one has none. Is step() called before backward()?
- , grads, strict  =>  , [None, *grads[:-1]], strict
late-gradient/kept
  Each update uses the gradient of the update before.
- state = State()  =>  state, late = State(), []
- g = -grad if
+ late.append(grad)
+         grad = late[-2:][0]
+         g = -grad if
maximize-ignored
  maximize has no effect: with it the step goes along the gradient.
- -grad if o.maximize else grad  =>  grad
centered-ignored
  centered has no effect: with it grad_avg² is subtracted from square_avg.
- if o.centered  =>  if False
amsgrad-ignored
  amsgrad has no effect: with it the largest exp_avg_sq so far takes the place of exp_avg_sq.
- if o.amsgrad  =>  if False
"""
KNOWN: dict[str, Entry] = {entry.heading: entry for entry in entries(_WRITTEN)}
MISTAKES: dict[str, str] = {name: " ".join(entry.text) for name, entry in KNOWN.items()}

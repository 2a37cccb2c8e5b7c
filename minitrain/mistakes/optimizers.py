"""Wrong optimizers for the bug zoo: each has one mistake that people make.

Each function has the arguments of the method of optim.py that it stands in for, and uses only names that are known
there, so that its body can be put into that file in place of the right one. The first line of its docstring is the
wrong formula, in the words of the right one; what follows says what the mistake is, and what comes of it. zoo.py lists
them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.optim import STEP_0, Optimizer, State, _buffer
from minitrain.tensor import increment_version
from minitrain.torchlike.grad_mode import enable_grad

# --- the optimizers: what they share ----------------------------------------------------------------------------------


def zero_grad_does_nothing(self: Optimizer, set_to_none: bool = True) -> None:
    """grad = None, where param.grad = None is meant.

    A name in a function is bound to something else; the parameter keeps its gradient, and backward adds the next one
    to it. The first step is right. From the second on each goes along the sum of all gradients so far, like a momentum
    of 1 that never forgets.
    """
    for group in self.param_groups:
        for param in group["params"]:
            grad = param.grad
            if grad is not None:
                grad = None if set_to_none else grad.detach() * 0


def zero_grad_returns_too_early(self: Optimizer, set_to_none: bool = True) -> None:
    """param.grad = None for the first parameter alone.

    The return stands one level too deep and ends the loop in its first turn: the first parameter starts each step
    afresh, the others gather the gradients of all steps before.
    """
    for group in self.param_groups:
        for param in group["params"]:
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.detach().zero_()
            return


def step_one_late(self: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
    """update with the gradient of the step before; the first step has its own.

    So it goes in a loop that steps before backward, or keeps its gradients in a buffer and takes them out too late.
    Each step is the right one for where the parameters have been. With a small learning rate one hardly sees it; with
    a large one it swings.
    """
    loss = None
    if closure is not None:
        with enable_grad():
            loss = closure()
    with np.errstate(all="ignore"):
        for group in self.param_groups:
            options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
            for param in group["params"]:
                if param.grad is not None:
                    state = self.state[param]
                    before = state.get("grad_before", param.grad)
                    state["grad_before"] = param.grad
                    self.update(param.array, before.array, state, options)
                    increment_version(param)
    return loss


def step_returns_too_early(self: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
    """update the first parameter that has a gradient, and no other.

    `return loss` stands in the loop instead of after it. One parameter learns, and the loss falls a little; the others
    stay as they were.
    """
    loss = None
    if closure is not None:
        with enable_grad():
            loss = closure()
    with np.errstate(all="ignore"):
        for group in self.param_groups:
            options = {name: value.item() if hasattr(value, "item") else value for name, value in group.items()}
            for param in group["params"]:
                if param.grad is not None:
                    self.update(param.array, param.grad.array, self.state[param], options)
                    increment_version(param)
                    return loss
    return loss


def step_ignores_the_groups(self: Optimizer, closure: Callable[[], Any] | None = None) -> Any:
    """update with self.defaults, where the options of the parameter's group are due.

    A schedule changes param_groups[i]["lr"]; with the defaults every step has the learning rate of the first, whatever
    the schedule says, and all groups have the same.
    """
    loss = None
    if closure is not None:
        with enable_grad():
            loss = closure()
    with np.errstate(all="ignore"):
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self.update(param.array, param.grad.array, self.state[param], self.defaults)
                    increment_version(param)
    return loss


# --- SGD --------------------------------------------------------------------------------------------------------------


def sgd_uphill(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param += lr · buf.

    The gradient points to where the loss grows; the step has to go the other way. With a plus the loss rises in every
    step, the faster, the larger lr is.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param += lr * grad


def sgd_lr_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= buf.

    The gradient says which way, and the learning rate how far. Without it each step is 1/lr times too large, and the
    loss jumps to nan or never falls.
    """
    momentum, weight_decay = options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= grad


def sgd_rebinds_the_parameter(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """param = param - lr · buf.

    The right numbers in a new array that is dropped when the function ends: `param = ...` gives the name another
    array, `param -= ...` writes into the model's. The loss never changes.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param = param - lr * grad


def sgd_decay_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """g = grad, whatever weight_decay is.

    Nothing pulls the weights towards 0. Training looks the same at first; what was to be prevented, weights that grow
    and fit the noise, comes late.
    """
    lr, momentum = options["lr"], options["momentum"]
    if options["maximize"]:
        grad = -grad
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_decay_sign(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """g = grad - weight_decay · param.

    The penalty weight_decay / 2 · param² has the gradient +weight_decay · param. With a minus the weights are rewarded
    for being large, and grow without end.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad - weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_decay_decoupled(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """g = grad;  param -= lr · weight_decay · param + lr · buf.

    The decay goes to the parameter directly and not into the gradient, so the momentum does not gather it. Without
    momentum both are the same; with 0.9 this decay is ten times weaker in the long run.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    param *= 1 - lr * weight_decay
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_decay_written_into_the_gradient(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """grad += weight_decay · param, in place.

    The step is right, but `+=` has changed the model's .grad. It shows where a gradient is used twice: for a second
    step, for gradients that are gathered over several batches, or for a norm that is printed after the step.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad += weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_momentum_of_the_first_gradient(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """buf = the first g, for ever.

    The buffer is filled in the first step and never brought up to date: every step goes the way of the first batch,
    wherever the parameters are by then.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        if first:
            buf += grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_momentum_not_kept(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """buf = momentum · 0 + g.

    `buf = momentum * buf + grad` makes a new array, and the one in state stays at 0: nothing is remembered from step
    to step. It runs like SGD without momentum; `buf *= momentum; buf += grad` writes into the one in state.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf = momentum * buf + (grad if first else (1 - options["dampening"]) * grad)
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_momentum_averaged(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """buf = momentum · buf + (1 - momentum) · g, from buf = 0.

    An average, where torch's SGD has a sum, momentum · buf + g. Both are called momentum; with 0.9 the steps of an
    average are ten times smaller in the long run.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += (1 - momentum) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_momentum_unused(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= lr · g, whatever momentum is.

    The buffer is kept as it should be, and then the gradient is used in its place. In narrow valleys it zigzags as
    plain SGD does.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
    param -= lr * grad


def sgd_nesterov_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= lr · buf, with nesterov, too.

    Nesterov's step looks ahead: g + momentum · buf, with the buffer that g is in already. Here nesterov=True changes
    nothing.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = buf
    param -= lr * grad


def sgd_first_gradient_dampened(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """buf = momentum · buf + (1 - dampening) · g, at the first step, too.

    In torch the first buffer is g itself, in full; dampening begins with the second step. What is missing at the first
    step is missing from the buffer ever after, though less and less.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    if momentum != 0:
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= lr * grad


def sgd_lr_inside_the_momentum(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """buf = momentum · buf + (1 - dampening) · lr · g;  param -= buf.

    As the paper has it, and the same as long as lr stays. When a schedule lowers lr, torch's form slows down at once;
    here what the buffer has gathered goes on at the old rate.
    """
    lr, momentum, weight_decay = options["lr"], options["momentum"], options["weight_decay"]
    if options["maximize"]:
        grad = -grad
    if weight_decay != 0:
        grad = grad + weight_decay * param
    grad = lr * grad
    if momentum != 0:
        first = "momentum_buffer" not in state
        buf = _buffer(state, "momentum_buffer", param)
        buf *= momentum
        buf += grad if first else (1 - options["dampening"]) * grad
        grad = grad + momentum * buf if options["nesterov"] else buf
    param -= grad


# --- RMSprop ----------------------------------------------------------------------------------------------------------


def rmsprop_eps_inside_the_root(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """avg = √(square_avg + eps).

    torch adds eps after the root. Under it, 1e-8 acts like 1e-4 on a gradient of 0: where gradients are small, steps
    are far smaller. TensorFlow does it this way, and its results differ from torch's for that.
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = (-grad if options["maximize"] else grad) + options["weight_decay"] * param
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= alpha
    square_avg += (1 - alpha) * grad * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= alpha
        grad_avg += (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / np.sqrt(variance + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
        buf = momentum_buffer
    param -= lr * buf


def rmsprop_square_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """square_avg = alpha · square_avg + (1 - alpha) · g.

    The mean of the gradients, where the mean of their squares is due. Where it is negative its root is nan, and a nan
    in a parameter never goes away.
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = (-grad if options["maximize"] else grad) + options["weight_decay"] * param
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= alpha
    square_avg += (1 - alpha) * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= alpha
        grad_avg += (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / (np.sqrt(variance) + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
        buf = momentum_buffer
    param -= lr * buf


def rmsprop_root_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """avg = square_avg + eps.

    Divided by the mean square instead of its root, the step is the larger, the smaller the gradient is: a hundredth of
    the gradient makes a step a hundred times as large.
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = (-grad if options["maximize"] else grad) + options["weight_decay"] * param
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= alpha
    square_avg += (1 - alpha) * grad * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= alpha
        grad_avg += (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / (variance + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
        buf = momentum_buffer
    param -= lr * buf


def rmsprop_alpha_on_the_wrong_term(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """square_avg = (1 - alpha) · square_avg + alpha · g².

    alpha is the share of the old average that is kept. On the wrong term the average forgets all but the last gradient,
    and every step is about lr · sign(g).
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = (-grad if options["maximize"] else grad) + options["weight_decay"] * param
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= 1 - alpha
    square_avg += alpha * grad * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= 1 - alpha
        grad_avg += alpha * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / (np.sqrt(variance) + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
        buf = momentum_buffer
    param -= lr * buf


def rmsprop_decay_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """g = grad, whatever weight_decay is.

    Nothing pulls the weights towards 0, and weight_decay is an option without effect.
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= alpha
    square_avg += (1 - alpha) * grad * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= alpha
        grad_avg += (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / (np.sqrt(variance) + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
        buf = momentum_buffer
    param -= lr * buf


def rmsprop_momentum_unused(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= lr · g / avg, whatever momentum is.

    The momentum_buffer is brought up to date, and then what went into it is used in its place.
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = (-grad if options["maximize"] else grad) + options["weight_decay"] * param
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= alpha
    square_avg += (1 - alpha) * grad * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= alpha
        grad_avg += (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / (np.sqrt(variance) + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
    param -= lr * buf


def rmsprop_step_not_counted(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """step = 0, for ever.

    Nothing in RMSprop depends on the number of steps, so the parameters come out right. But torch counts them, and a
    checkpoint that says 0 after an epoch misleads whoever reads it.
    """
    lr, alpha, eps, momentum = options["lr"], options["alpha"], options["eps"], options["momentum"]
    _buffer(state, "step", STEP_0)
    grad = (-grad if options["maximize"] else grad) + options["weight_decay"] * param
    square_avg = _buffer(state, "square_avg", param)
    square_avg *= alpha
    square_avg += (1 - alpha) * grad * grad
    variance = square_avg
    if options["centered"]:
        grad_avg = _buffer(state, "grad_avg", param)
        grad_avg *= alpha
        grad_avg += (1 - alpha) * grad
        variance = square_avg - grad_avg * grad_avg
    buf = grad / (np.sqrt(variance) + eps)
    if momentum > 0:
        momentum_buffer = _buffer(state, "momentum_buffer", param)
        momentum_buffer *= momentum
        momentum_buffer += buf
        buf = momentum_buffer
    param -= lr * buf


# --- Adam and AdamW ---------------------------------------------------------------------------------------------------


def adam_uphill(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param += lr / bias_correction1 · exp_avg / denom.

    Adam's steps are about lr whatever the gradient is, so uphill it climbs steadily, and the loss with it, from the
    first step on.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param += lr / bias_correction1 * exp_avg / denom


def adam_lr_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= 1 / bias_correction1 · exp_avg / denom.

    exp_avg / denom is about 1 in size, whatever the gradient is: without lr each weight moves by 1 in every step, a
    thousand times the default.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= exp_avg / bias_correction1 / denom


def adam_uncorrected(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= lr · exp_avg / (√exp_avg_sq + eps).

    Both averages start at 0 and need about 1 / (1 - beta) steps to forget it: 10 and 1000. Uncorrected, the first is
    ten times too small at the first step, the root of the second thirty times, so the first steps are three times too
    large.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    denom = np.sqrt(exp_avg_sq) + eps
    param -= lr * exp_avg / denom


def adam_first_average_uncorrected(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """param -= lr · exp_avg / denom.

    exp_avg starts at 0 and is ten times too small at the first step (1 - beta1 of what it should be); the correction by
    bias_correction1 undoes that. Without it Adam starts slowly, and is right after some twenty steps.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr * exp_avg / denom


def adam_second_average_uncorrected(
    self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]
) -> None:
    """denom = √exp_avg_sq + eps.

    exp_avg_sq starts at 0, and its root is thirty times too small at the first step. Uncorrected, the first steps are
    thirty times too large, which throws the weights far away before training has begun.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    denom = np.sqrt(exp_avg_sq) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_eps_inside_the_root(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """denom = √(exp_avg_sq / bias_correction2 + eps).

    The paper and torch add eps after the root. Under it, 1e-8 acts like 1e-4: where gradients are smaller than that,
    steps are far smaller than Adam's.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq / bias_correction2 + eps)
    param -= lr / bias_correction1 * exp_avg / denom


def adam_eps_uncorrected(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= lr · √bias_correction2 / bias_correction1 · exp_avg / (√exp_avg_sq + eps).

    Both corrections in the learning rate, the faster form that the paper has in passing. It is the same but for eps,
    which is divided by √bias_correction2 here: 30 times larger at the first step than torch's.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) + eps
    param -= lr * math.sqrt(bias_correction2) / bias_correction1 * exp_avg / denom


def adam_betas_swapped(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """exp_avg with beta2, exp_avg_sq with beta1.

    beta2, beta1 = options["betas"]: the direction is averaged over a thousand steps and the size over ten. It still
    goes downhill, but sluggishly, and turns too late.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta2, beta1 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_step_not_counted(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """step = 0 + 1, in every step.

    `step = ... + 1` makes a new number, and the one in state stays 0. So each step corrects its averages as if it were
    the first: the first one is right, and from then on they come out up to ten and a thousand times too large.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0) + 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_square_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """exp_avg_sq = beta2 · exp_avg_sq + (1 - beta2) · g.

    The mean of the gradients, where the mean of their squares is due. Its root is nan wherever that is negative, and a
    nan in a parameter never goes away.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_root_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """denom = exp_avg_sq / bias_correction2 + eps.

    Adam's step is about lr, since numerator and denominator are of one size. Without the root the denominator is the
    square of that size, and small gradients make gigantic steps.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = exp_avg_sq / bias_correction2 + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_momentum_unused(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= lr · g / denom.

    exp_avg is kept, and then the bare gradient is used in its place, with the correction left out that belongs to it.
    This is RMSprop with a corrected root: noisier, as the direction is not averaged.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr * grad / denom


def adam_averages_not_kept(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """exp_avg = beta1 · 0 + (1 - beta1) · g,  exp_avg_sq = beta2 · 0 + (1 - beta2) · g².

    `exp_avg = beta1 * exp_avg + ...` makes a new array, and the one in state stays 0: nothing is averaged over the
    steps, and as the corrections fade out, the steps change in size for no reason.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - lr * weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_decay_decoupled(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """g = grad;  param -= lr · weight_decay · param, for Adam as for AdamW.

    This is AdamW's decay, and for good reasons. But in Adam it goes into the gradient, and into both averages; there a
    weight_decay of the same number means another thing, and results are not comparable.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    param *= 1 - lr * weight_decay
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_decay_coupled(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """g = grad + weight_decay · param, for AdamW as for Adam.

    Put into the gradient, the decay is divided by the root of the averaged squares like all the rest: weights with
    large gradients are hardly decayed. That it should not be is the W in AdamW.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_decay_sign(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param *= 1 + lr · weight_decay for AdamW, g = grad - weight_decay · param for Adam.

    The decay has the wrong sign, and lets the weights grow, each by the same percentage in every step.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 + lr * weight_decay
    else:
        grad = grad - weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_decay_forgotten(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """weight_decay has no effect.

    AdamW without it is Adam. Training looks the same at first; the weights just never stop growing.
    """
    lr, eps = options["lr"], options["eps"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom


def adam_decay_without_lr(self: Optimizer, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
    """param -= weight_decay · param for AdamW.

    torch multiplies AdamW's decay by lr (the paper does not). Without it, at an lr of 1e-3, it is a thousand times too
    strong, and the weights are gone after some hundred steps.
    """
    lr, eps, weight_decay = options["lr"], options["eps"], options["weight_decay"]
    beta1, beta2 = options["betas"]
    step = _buffer(state, "step", STEP_0)
    step += 1
    grad = -grad if options["maximize"] else grad
    if options["decoupled_weight_decay"]:
        param *= 1 - weight_decay
    else:
        grad = grad + weight_decay * param
    exp_avg = _buffer(state, "exp_avg", param)
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq = _buffer(state, "exp_avg_sq", param)
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    if options["amsgrad"]:
        max_exp_avg_sq = _buffer(state, "max_exp_avg_sq", param)
        exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    bias_correction1 = 1 - beta1 ** step.item()
    bias_correction2 = 1 - beta2 ** step.item()
    denom = np.sqrt(exp_avg_sq) / math.sqrt(bias_correction2) + eps
    param -= lr / bias_correction1 * exp_avg / denom

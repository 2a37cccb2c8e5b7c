"""Faults to find: each is a mistake that people make in a hand-written layer, loss or optimizer, planted on purpose.

A fault is an operation, a loss or an optimizer with one thing wrong in it, derived from the right one where that
makes it shorter. plant() puts it into a model, a loss and an optimizer of minitrain; compare() has to find it where
the fault says. Nothing is changed in the library itself.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from minitrain import nn, ops
from minitrain.nn import functional as F
from minitrain.ops import Array, Context, Function, Gradients
from minitrain.optim import SGD, Adam, Optimizer, RMSprop
from minitrain.optim.param_groups import State
from minitrain.runs.config import Config, ConfigError
from minitrain.tensor import Tensor, apply

# --- wrong operations -------------------------------------------------------------------------------------------------


class WeightGradientSign(ops.Linear):
    """dL/dW = -dL/dyᵀ x."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        grad_x, grad_weight, grad_bias = ops.Linear.backward(ctx, grad_y)
        return grad_x, -grad_weight, grad_bias


class BiasGradientMean(ops.Linear):
    """dL/db = 1/N · Σ dL/dy over the batch."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        grad_x, grad_weight, grad_bias = ops.Linear.backward(ctx, grad_y)
        return grad_x, grad_weight, grad_bias / len(grad_y)


class InputGradientSign(ops.Linear):
    """dL/dx = -dL/dy W."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        grad_x, grad_weight, grad_bias = ops.Linear.backward(ctx, grad_y)
        return -grad_x, grad_weight, grad_bias


class BiasForgotten(ops.Linear):
    """y = x Wᵀ."""

    @staticmethod
    def forward(ctx: Context, x: Array, weight: Array, bias: Array | None) -> Array:
        return ops.Linear.forward(ctx, x, weight, None)


class WeightNotTransposed(ops.Linear):
    """y = x W + b, which has a shape only where W is square."""

    @staticmethod
    def forward(ctx: Context, x: Array, weight: Array, bias: Array | None) -> Array:
        return ops.Linear.forward(ctx, x, weight.T, bias)


class ReLUMaskInverted(Function):
    """dL/dx = dL/dy where x <= 0."""

    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return np.maximum(x, 0)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        (x,) = ctx.saved_arrays
        return grad_y * (x <= 0)


class ReLUWithoutMask(ReLUMaskInverted):
    """dL/dx = dL/dy everywhere."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y


class FaultyLinear(nn.Module):
    """A Linear's Parameters under a wrong operation."""

    def __init__(self, layer: nn.Linear, operation: type[Function]) -> None:
        super().__init__()
        self.weight, self.bias, self.operation = layer.weight, layer.bias, operation

    def forward(self, input: Tensor) -> Tensor:
        """input (..., in) -> (..., out)."""
        return apply(self.operation, input, self.weight, self.bias)


class FaultyReLU(nn.Module):
    """A ReLU that runs a wrong operation."""

    def __init__(self, operation: type[Function]) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, input: Tensor) -> Tensor:
        """max(input, 0)."""
        return apply(self.operation, input)


# --- wrong losses -----------------------------------------------------------------------------------------------------


class CrossEntropy(Function):
    """y = -1/N Σ ln softmax(x)[i, t_i];  dL/dx = (softmax(x) - onehot(t)) / N · dL/dy. This one is right."""

    @staticmethod
    def forward(ctx: Context, x: Array, target: Array) -> Array:
        shifted = x - x.max(axis=1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        onehot = target[:, np.newaxis] == np.arange(x.shape[1])
        ctx.save_for_backward(np.exp(log_probs), onehot)
        return np.asarray(-log_probs[onehot].sum() / x.dtype.type(len(x)))

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        probs, onehot = ctx.saved_arrays
        return (probs - onehot) / len(probs) * grad_y, None


class CrossEntropyGradientSummed(CrossEntropy):
    """dL/dx = (softmax(x) - onehot(t)) · dL/dy."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        probs, onehot = ctx.saved_arrays
        return (probs - onehot) * grad_y, None


class CrossEntropyWithoutTarget(CrossEntropy):
    """dL/dx = softmax(x) / N · dL/dy."""

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        probs, _ = ctx.saved_arrays
        return probs / len(probs) * grad_y, None


class FaultyLoss(nn.Module):
    """A loss that runs an operation of its own."""

    def __init__(self, operation: type[Function]) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """input (N, C), target (N,) -> ()."""
        return apply(self.operation, input, target)


class LastSampleDropped(nn.Module):
    """Cross-entropy of all rows but the last."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """input (N, C), target (N,) -> ()."""
        return F.cross_entropy(input[:-1], target[:-1])


# --- wrong optimizers -------------------------------------------------------------------------------------------------


class Uphill(SGD):
    """param += lr · grad."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """SGD's, the other way."""
        super().update(param, -grad, state, options)


class GradientsKept(SGD):
    """zero_grad() does nothing."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing."""


class LateGradient(SGD):
    """param -= lr · (the gradient of the step before); the first step has its own."""

    before: list[Tensor | None] | None = None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """SGD's, with the gradients that were kept at the step before."""
        params = [param for group in self.param_groups for param in group["params"]]
        now = [param.grad for param in params]
        for param, late in zip(params, self.before or now, strict=True):
            param.grad = late
        self.before = now
        return super().step(closure)


class WeightDecaySign(SGD):
    """g = grad - weight_decay · param."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """SGD's, with the decay's sign turned."""
        super().update(param, grad, state, {**options, "weight_decay": -options["weight_decay"]})


class StaleMomentum(SGD):
    """buf = the first g, for ever."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """SGD's formula but for buf, which never changes."""
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = Tensor(grad + options["weight_decay"] * param)
        param -= options["lr"] * state["momentum_buffer"].array


class AveragedMomentum(SGD):
    """buf = momentum · buf + (1 - momentum) · g, from buf = 0."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """SGD's formula with an average in place of the sum."""
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = Tensor(np.zeros_like(param))
        buf = state["momentum_buffer"].array
        buf *= options["momentum"]
        buf += (1 - options["momentum"]) * (grad + options["weight_decay"] * param)
        param -= options["lr"] * buf


def _adam_averages(param: Array, grad: Array, state: State, options: dict[str, Any]) -> tuple[Array, Array, float]:
    """Adam's exp_avg and exp_avg_sq, brought up to date as they should be, and the number of the step."""
    if not state:
        state["step"] = Tensor(np.zeros((), np.float32))
        state["exp_avg"], state["exp_avg_sq"] = Tensor(np.zeros_like(param)), Tensor(np.zeros_like(param))
    beta1, beta2 = options["betas"]
    step, exp_avg, exp_avg_sq = (state[name].array for name in ("step", "exp_avg", "exp_avg_sq"))
    step += 1
    grad = grad + options["weight_decay"] * param
    exp_avg *= beta1
    exp_avg += (1 - beta1) * grad
    exp_avg_sq *= beta2
    exp_avg_sq += (1 - beta2) * grad * grad
    return exp_avg, exp_avg_sq, step.item()


class AdamUncorrected(Adam):
    """param -= lr · exp_avg / (√exp_avg_sq + eps)."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """Adam's without bias_correction1 and bias_correction2."""
        exp_avg, exp_avg_sq, _ = _adam_averages(param, grad, state, options)
        param -= options["lr"] * exp_avg / (np.sqrt(exp_avg_sq) + options["eps"])


class AdamEpsInside(Adam):
    """denom = √(exp_avg_sq / bias_correction2 + eps)."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """Adam's, with eps under the root."""
        exp_avg, exp_avg_sq, step = _adam_averages(param, grad, state, options)
        beta1, beta2 = options["betas"]
        denom = np.sqrt(exp_avg_sq / (1 - beta2**step) + options["eps"])
        param -= options["lr"] / (1 - beta1**step) * exp_avg / denom


class RMSpropEpsInside(RMSprop):
    """avg = √(square_avg + eps); without momentum."""

    def update(self, param: Array, grad: Array, state: State, options: dict[str, Any]) -> None:
        """RMSprop's, with eps under the root."""
        if not state:
            state["step"], state["square_avg"] = Tensor(np.zeros((), np.float32)), Tensor(np.zeros_like(param))
        step, square_avg = state["step"].array, state["square_avg"].array
        step += 1
        grad = grad + options["weight_decay"] * param
        square_avg *= options["alpha"]
        square_avg += (1 - options["alpha"]) * grad * grad
        param -= options["lr"] * grad / np.sqrt(square_avg + options["eps"])


# --- where they go, and where they show -------------------------------------------------------------------------------

# Takes a model, a loss and an optimizer of minitrain; returns them with a fault, and the layer at which it shows.
Planted = tuple[tuple[nn.Module, Any, Optimizer], str]
Plant = Callable[[nn.Module, Any, Optimizer], Planted]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A planted mistake, and where it has to be found.

    explanation: what is wrong, and what follows from it, for a learner.
    plant: puts it in. step, phase, what: where it shows, as compare's Difference has them; plant returns the layer.
    settings: the run's settings without which it does not show there.
    """

    name: str
    explanation: str
    plant: Plant
    step: int
    phase: Literal["forward", "loss", "gradient", "update"]
    what: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        needs = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in self.settings.items())
        text = textwrap.fill(self.explanation, 100, initial_indent="  ", subsequent_indent="  ")
        where = f"  Shows in step {self.step}, phase {self.phase}." + f" Runs with {needs}." * bool(needs)
        return f"{self.name}\n{text}\n{where}"

    def adapt(self, config: Config, given: Mapping[str, Any]) -> Config:
        """The configuration with this fault's settings. Raises ConfigError where the user gave others."""
        for setting, value in self.settings.items():
            chosen = given.get(setting, value)
            if chosen != value and not (chosen and value and setting != "optimizer"):
                needed = " and ".join(f"--{name.replace('_', '-')} {v}" for name, v in self.settings.items())
                raise ConfigError(f"the fault {self.name} shows with {needed}, but {setting} is {chosen}")
        return dataclasses.replace(config, **{name: v for name, v in self.settings.items() if name not in given})


def _leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if next(module.children(), None) is None]


def _replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    path, _, last = name.rpartition(".")
    parent = dict(model.named_modules())[path]
    setattr(parent, last, layer)


def _in_linear(operation: type[Function], which: int = 0, *, square: bool = False, shows_before: bool = False) -> Plant:
    """Into the model's Linear number `which`, or its first square one; shows there, or at the layer before."""

    def plant(model: nn.Module, loss_fn: Any, optimizer: Optimizer) -> Planted:
        leaves = _leaves(model)
        names = [
            name
            for name, module in leaves
            if isinstance(module, nn.Linear) and (not square or module.in_features == module.out_features)
        ]
        if not names:
            raise ConfigError("this fault needs a Linear of as many inputs as outputs; add one with --hidden 64 64")
        name, place = names[which], [name for name, _ in leaves].index(names[which])
        if shows_before and len(names) == 1:
            raise ConfigError("this fault needs a layer before the last Linear; add one with --hidden 64")
        _replace(model, name, FaultyLinear(dict(leaves)[name], operation))  # type: ignore[arg-type]
        return (model, loss_fn, optimizer), leaves[place - 1][0] if shows_before else name

    return plant


def _in_relu(operation: type[Function]) -> Plant:
    """Into the model's first ReLU; shows at the layer before it, whose output's gradient it makes."""

    def plant(model: nn.Module, loss_fn: Any, optimizer: Optimizer) -> Planted:
        leaves = _leaves(model)
        place = next((i for i, (_, module) in enumerate(leaves) if isinstance(module, nn.ReLU)), None)
        if place is None:
            raise ConfigError("this fault needs a ReLU; add a hidden layer with --hidden 64")
        _replace(model, leaves[place][0], FaultyReLU(operation))
        return (model, loss_fn, optimizer), leaves[place - 1][0]

    return plant


def _in_loss(faulty: nn.Module, *, shows_in_gradient: bool = True) -> Plant:
    """In place of the loss; shows at the last layer, whose output's gradient it makes, or in the loss itself."""

    def plant(model: nn.Module, loss_fn: Any, optimizer: Optimizer) -> Planted:
        return (model, faulty, optimizer), _leaves(model)[-1][0] if shows_in_gradient else "loss"

    return plant


def _in_optimizer(faulty: type[Optimizer], *, shows_last: bool = False) -> Plant:
    """In place of the optimizer; shows at the first layer that has parameters, or at the last."""

    def plant(model: nn.Module, loss_fn: Any, optimizer: Optimizer) -> Planted:
        layers = [name.rpartition(".")[0] for name, _ in model.named_parameters()]
        options = {name: value for name, value in optimizer.defaults.items() if name != "decoupled_weight_decay"}
        return (model, loss_fn, faulty(model.parameters(), **options)), layers[-1 if shows_last else 0]

    return plant


PLAIN_SGD = {"optimizer": "sgd", "momentum": 0.0}
WITH_MOMENTUM = {"optimizer": "sgd", "momentum": 0.9}
PLAIN_RMSPROP = {"optimizer": "rmsprop", "momentum": 0.0}

FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "bias-forgotten",
            "The first Linear's forward leaves the bias away: y = x Wᵀ. All that is computed from y is wrong, too.",
            _in_linear(BiasForgotten),
            *(1, "forward", "output"),
        ),
        Fault(
            "weight-not-transposed",
            "A Linear computes x W in place of x Wᵀ. Where W is square no shape complains, and the wrong weights meet "
            "the wrong inputs.",
            _in_linear(WeightNotTransposed, square=True),
            *(1, "forward", "output"),
        ),
        Fault(
            "last-sample-dropped",
            "The loss leaves out the last sample of each batch, as a loop that ends one too early does.",
            _in_loss(LastSampleDropped(), shows_in_gradient=False),
            *(1, "loss", "loss"),
        ),
        Fault(
            "loss-gradient-summed",
            "The loss is a mean over the N samples, but its gradient lacks the 1/N. All gradients come out N times too "
            "large, as if the learning rate were; the loss itself is right.",
            _in_loss(FaultyLoss(CrossEntropyGradientSummed)),
            *(1, "gradient", "output"),
        ),
        Fault(
            "loss-gradient-without-target",
            "The gradient of softmax and cross-entropy is softmax - onehot; here it lacks the onehot of the right "
            "classes, so every score is pushed down.",
            _in_loss(FaultyLoss(CrossEntropyWithoutTarget)),
            *(1, "gradient", "output"),
        ),
        Fault(
            "input-gradient-sign",
            "The last Linear sends back -dL/dy W in place of dL/dy W. Its own weights learn; those before it go "
            "uphill. It shows one layer earlier, at the output that this gradient belongs to.",
            _in_linear(InputGradientSign, -1, shows_before=True),
            *(1, "gradient", "output"),
        ),
        Fault(
            "relu-mask-inverted",
            "The first ReLU lets the gradient through where its input was negative, and stops it elsewhere. It shows "
            "at the output of the layer before, the ReLU's input.",
            _in_relu(ReLUMaskInverted),
            *(1, "gradient", "output"),
        ),
        Fault(
            "relu-without-mask",
            "The first ReLU lets the gradient through everywhere, as if it were y = x. It shows at the output of the "
            "layer before, the ReLU's input.",
            _in_relu(ReLUWithoutMask),
            *(1, "gradient", "output"),
        ),
        Fault(
            "weight-gradient-sign",
            "The first Linear's weight has its gradient with the wrong sign, so this one weight goes uphill. The loss "
            "may still fall: the other layers learn around it.",
            _in_linear(WeightGradientSign),
            *(1, "gradient", "weight"),
        ),
        Fault(
            "bias-gradient-mean",
            "The last Linear's bias has the mean of dL/dy over the batch for its gradient, where it is the sum: the "
            "1/N is in dL/dy already.",
            _in_linear(BiasGradientMean, -1),
            *(1, "gradient", "bias"),
        ),
        Fault(
            "gradients-kept",
            "zero_grad() does nothing, so each backward adds to the gradients of all steps before. The first step is "
            "right; the second is not.",
            _in_optimizer(GradientsKept, shows_last=True),
            *(2, "gradient", "weight"),
            {"optimizer": "sgd"},
        ),
        Fault(
            "uphill",
            "The update adds lr · grad in place of subtracting it: the loss rises.",
            _in_optimizer(Uphill),
            *(1, "update", "weight"),
            PLAIN_SGD,
        ),
        Fault(
            "late-gradient",
            "The update uses the gradient of the step before. The first step, which has none before it, is right.",
            _in_optimizer(LateGradient),
            *(2, "update", "weight"),
            PLAIN_SGD,
        ),
        Fault(
            "weight-decay-sign",
            "Weight decay has the wrong sign: in place of shrinking, the weights grow.",
            _in_optimizer(WeightDecaySign),
            *(1, "update", "weight"),
            {**PLAIN_SGD, "weight_decay": 0.01},
        ),
        Fault(
            "stale-momentum",
            "The momentum buffer is filled in the first step and never updated again: every step goes the first way.",
            _in_optimizer(StaleMomentum),
            *(2, "update", "weight.momentum_buffer"),
            WITH_MOMENTUM,
        ),
        Fault(
            "averaged-momentum",
            "The buffer is an average, momentum · buf + (1 - momentum) · g, where torch's SGD sums, momentum · buf + "
            "g. Both are called momentum; with 0.9 the steps are ten times smaller.",
            _in_optimizer(AveragedMomentum),
            *(1, "update", "weight.momentum_buffer"),
            WITH_MOMENTUM,
        ),
        Fault(
            "rmsprop-eps-inside",
            "RMSprop takes √(square_avg + eps), where torch's is √square_avg + eps. What is remembered agrees; the "
            "step is smaller where gradients are small.",
            _in_optimizer(RMSpropEpsInside),
            *(1, "update", "weight"),
            PLAIN_RMSPROP,
        ),
        Fault(
            "adam-eps-inside",
            "Adam takes √(exp_avg_sq + eps), corrected, where the paper and torch have √exp_avg_sq + eps. What is "
            "remembered agrees; the step is smaller where gradients are small.",
            _in_optimizer(AdamEpsInside),
            *(1, "update", "weight"),
            {"optimizer": "adam"},
        ),
        Fault(
            "adam-uncorrected",
            "Adam does not correct its averages for having started at 0. What is remembered agrees, but the first "
            "steps are about three times too large.",
            _in_optimizer(AdamUncorrected),
            *(1, "update", "weight"),
            {"optimizer": "adam"},
        ),
    )
}


def find_fault(name: str) -> Fault:
    """The fault of this name. Raises ConfigError for a name that none has."""
    if name not in FAULTS:
        raise ConfigError(f"there is no fault {name!r}; choose one of {', '.join(FAULTS)}")
    return FAULTS[name]

"""Faults to find: mistakes from the catalogue, planted in a model, a loss or an optimizer.

compare() has to find each fault where it shows. The library itself stays as it is.
"""

from __future__ import annotations

import copy
import dataclasses
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal

from minitrain import nn, ops
from minitrain.mistakes.catalogue import CATALOGUE
from minitrain.mistakes.specimen import Specimen
from minitrain.mistakes.table import faulty
from minitrain.ops import Function
from minitrain.optim import Optimizer
from minitrain.runs.config import Config, ConfigError
from minitrain.tensor import Tensor, apply

Planted = tuple[tuple[nn.Module, Any, Optimizer], str]  # (model, loss, optimizer), and the layer at which it shows


@dataclasses.dataclass(frozen=True)
class Fault:
    """A mistake of the catalogue, the place it is planted in, and where it has to be found.

    name: what --inject calls it. specimen: the mistake; its operation or optimizer is the place it is planted in.
    step, phase, what: where it shows, as compare's Difference has them.
    layer: which one of several Linears, such as 0 or -1; None: the first one that is square.
    shows: at this layer, at the one before (whose output's gradient this layer computes), or at the last one.
    settings: the run's settings without which it does not show there.
    """

    name: str
    specimen: Specimen
    step: int
    phase: Literal["forward", "loss", "gradient", "update"]
    what: str
    layer: int | None = 0
    shows: Literal["here", "before", "last"] = "here"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def explanation(self) -> str:
        """What is wrong, and its effect."""
        return f"{self.specimen.formula} {self.specimen.explanation}"

    def __str__(self) -> str:
        needs = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in self.settings.items())
        where = f"In {self.specimen.of}{self._which()}. Shows in step {self.step}, phase {self.phase}."
        where += f" Runs with {needs}." * bool(needs)
        filled = [textwrap.fill(x, 100, initial_indent="  ", subsequent_indent="  ") for x in (self.explanation, where)]
        return "\n".join([self.name, *filled])

    def _which(self) -> str:
        if self._operation == "Linear":
            return f" of the {'first square' if self.layer is None else 'last' if self.layer else 'first'} Linear"
        return " of the first ReLU" if self._operation == "ReLU" else ""

    @property
    def _operation(self) -> str:
        return self.specimen.of.split(".")[1]

    def adapt(self, config: Config, given: Mapping[str, Any]) -> Config:
        """The configuration with this fault's settings. Raises ConfigError where the user gave others."""
        for setting, value in self.settings.items():
            chosen = given.get(setting, value)
            if chosen != value and not (chosen and value and setting != "optimizer"):
                needed = " and ".join(f"--{name.replace('_', '-')} {v}" for name, v in self.settings.items())
                raise ConfigError(f"the fault {self.name} shows with {needed}, but {setting} is {chosen}")
        return dataclasses.replace(config, **{name: v for name, v in self.settings.items() if name not in given})

    def plant(self, model: nn.Module, loss_fn: Any, optimizer: Any) -> Planted:
        """Put the mistake into minitrain's model, loss or optimizer. Raises ConfigError if it has no place there."""
        if self.specimen.of.startswith("optim."):
            layers = [name.rpartition(".")[0] for name, _ in model.named_parameters()]
            options = {name: value for name, value in optimizer.defaults.items() if name != "decoupled_weight_decay"}
            wrong = faulty(type(optimizer), self.specimen)(model.parameters(), **options)
            return (model, loss_fn, wrong), layers[-1 if self.shows == "last" else 0]
        operation = faulty(getattr(ops, self._operation), self.specimen)
        modules = dict(model.named_modules())
        names = [name for name, module in modules.items() if next(module.children(), None) is None]
        if self._operation in LOSSES:
            layer = "loss" if self.phase == "loss" else names[-1]
            return (model, _with_forward(loss_fn, LOSSES[self._operation](operation)), optimizer), layer
        place = self._place([modules[name] for name in names])
        path, _, last = names[place].rpartition(".")
        setattr(modules[path], last, _with_forward(modules[names[place]], LAYERS[self._operation](operation)))
        return (model, loss_fn, optimizer), names[place - 1 if self.shows == "before" else place]

    def _place(self, layers: list[Any]) -> int:
        """The number of the layer that gets the fault."""
        kind: type[nn.Module] = getattr(nn, self._operation)
        places = [i for i, layer in enumerate(layers) if isinstance(layer, kind)]
        if self.layer is None:
            places = [i for i in places if layers[i].in_features == layers[i].out_features]
            if not places:
                raise ConfigError("this fault needs a Linear with as many inputs as outputs; add one: --hidden 64 64")
        if not places:
            raise ConfigError(f"this fault needs a {self._operation}; add a hidden layer with --hidden 64")
        if self.shows == "before" and kind is nn.Linear and len(places) == 1:
            raise ConfigError("this fault needs a layer before the last Linear; add one with --hidden 64")
        return places[self.layer or 0]


def _with_forward(module: nn.Module, forward: Callable[..., Tensor]) -> nn.Module:
    """The same module, with its parameters, but another forward."""
    wrong = copy.copy(module)
    wrong.__class__ = type(type(module).__name__, (type(module),), {"forward": forward})
    return wrong


def _cross_entropy(log_softmax: type[Function], nll: type[Function]) -> Callable[..., Tensor]:
    def forward(self: nn.Module, input: Tensor, target: Tensor) -> Tensor:
        log_probs = apply(log_softmax, input, dim=1)
        return apply(nll, log_probs, target, None, ignore_index=-100, reduction="mean")

    return forward


# For each operation with faults: the forward of the layer, or of the loss, that runs a wrong one.
LAYERS: dict[str, Callable[[type[Function]], Callable[..., Tensor]]] = {
    "Linear": lambda operation: lambda self, input: apply(operation, input, self.weight, self.bias),
    "ReLU": lambda operation: lambda self, input: apply(operation, input),
}
LOSSES: dict[str, Callable[[type[Function]], Callable[..., Tensor]]] = {
    "LogSoftmax": lambda operation: _cross_entropy(operation, ops.NLLLoss),
    "NLLLoss": lambda operation: _cross_entropy(ops.LogSoftmax, operation),
}

SGD = {"optimizer": "sgd"}
PLAIN_SGD = {"optimizer": "sgd", "momentum": 0.0}
WITH_MOMENTUM = {"optimizer": "sgd", "momentum": 0.9}
PLAIN_RMSPROP = {"optimizer": "rmsprop", "momentum": 0.0}
ADAM = {"optimizer": "adam"}


def _fault(name: str, specimen: str, *where: Any, **options: Any) -> Fault:
    return Fault(name, CATALOGUE[specimen], *where, **options)


FAULTS = {
    fault.name: fault
    for fault in (
        _fault("bias-forgotten", "linear-bias-not-added", 1, "forward", "output"),
        _fault("weight-not-transposed", "linear-weight-not-transposed", 1, "forward", "output", layer=None),
        _fault("last-sample-dropped", "nll-last-sample-dropped", 1, "loss", "loss"),
        _fault("loss-gradient-summed", "nll-mean-forgotten", 1, "gradient", "output"),
        _fault("loss-gradient-without-target", "log-softmax-one-hot-forgotten", 1, "gradient", "output"),
        _fault("input-gradient-sign", "linear-input-sign", 1, "gradient", "output", layer=-1, shows="before"),
        _fault("relu-mask-inverted", "relu-mask-inverted", 1, "gradient", "output", shows="before"),
        _fault("relu-without-mask", "relu-mask-forgotten", 1, "gradient", "output", shows="before"),
        _fault("weight-gradient-sign", "linear-weight-sign", 1, "gradient", "weight"),
        _fault("bias-gradient-mean", "linear-bias-averaged", 1, "gradient", "bias", layer=-1),
        _fault("gradients-kept", "zero-grad-does-nothing", 2, "gradient", "weight", shows="last", settings=SGD),
        _fault("uphill", "sgd-uphill", 1, "update", "weight", settings=PLAIN_SGD),
        _fault("late-gradient", "step-one-late", 2, "update", "weight", settings=PLAIN_SGD),
        _fault(
            *("weight-decay-sign", "sgd-decay-sign", 1, "update", "weight"), settings=PLAIN_SGD | {"weight_decay": 0.01}
        ),
        _fault(
            *("stale-momentum", "sgd-momentum-of-the-first-gradient", 2, "update", "weight.momentum_buffer"),
            settings=WITH_MOMENTUM,
        ),
        _fault(
            *("averaged-momentum", "sgd-momentum-averaged", 1, "update", "weight.momentum_buffer"),
            settings=WITH_MOMENTUM,
        ),
        _fault("rmsprop-eps-inside", "rmsprop-eps-inside-the-root", 1, "update", "weight", settings=PLAIN_RMSPROP),
        _fault("adam-eps-inside", "adam-eps-inside-the-root", 1, "update", "weight", settings=ADAM),
        _fault("adam-uncorrected", "adam-uncorrected", 1, "update", "weight", settings=ADAM),
    )
}


# Those that one backward pass shows: minitrain gradcheck and minitrain step plant them.
GRADIENT_FAULTS = {name: fault for name, fault in FAULTS.items() if (fault.step, fault.phase) == (1, "gradient")}


def find_fault(name: str) -> Fault:
    """The fault with this name. Raises ConfigError for an unknown name."""
    if name not in FAULTS:
        raise ConfigError(f"there is no fault {name!r}; choose one of {', '.join(FAULTS)}")
    return FAULTS[name]


def find_gradient_fault(name: str) -> Fault:
    """The fault of a gradient with this name. Raises ConfigError for an unknown name."""
    if name not in GRADIENT_FAULTS:
        raise ConfigError(f"there is no fault {name!r} of a gradient; choose one of {', '.join(GRADIENT_FAULTS)}")
    return GRADIENT_FAULTS[name]

"""Optimizers without param_groups, as people write them, in the form that check_optimizer runs."""

from __future__ import annotations

import contextlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from minitrain.diagnosis.plain_forms import WANTED, Call, is_update
from minitrain.tensor import Tensor

# What options are called, with torch's name first. Of names with two meanings, the first option in this order that the
# rule has takes the name: without another learning rate, alpha is the learning rate.
NAMES = {
    "lr": ("lr", "learning_rate", "eta", "step_size", "learningrate", "l_rate", "alpha"),
    "betas": ("betas",),
    "beta1": ("beta1", "beta_1", "b1"),
    "beta2": ("beta2", "beta_2", "b2"),
    "alpha": ("alpha", "decay_rate", "rho", "beta", "beta2", "gamma", "decay"),
    "rho": ("rho", "decay_rate", "beta", "gamma", "decay"),
    "momentum": ("momentum", "mu", "beta", "gamma", "beta1", "rho"),
    "eps": ("eps", "epsilon"),
    "weight_decay": ("weight_decay", "wd", "l2", "lambd", "lambda_", "lam"),
    "dampening": ("dampening",),
    "nesterov": ("nesterov",),
    "centered": ("centered",),
    "amsgrad": ("amsgrad",),
    "maximize": ("maximize",),
}
PARAMS = ("params", "parameters", "model_params", "model_parameters", "weights", "variables", "theta")
STEPS = ("step", "update", "update_params", "apply_gradients", "apply", "apply_grads", "update_parameters")


def is_plain(piece: Any) -> bool:
    """Whether this is an optimizer, but not of torch's form with groups."""
    if not inspect.isclass(piece):
        return inspect.isfunction(piece) and is_update(piece)
    if _own(piece, "add_param_group") or "param_groups" in _source(piece):
        return False
    return any(_own(piece, name) for name in STEPS)


def _own(piece: Any, name: str) -> bool:
    return callable(getattr(piece, name, None))


def _source(piece: Any) -> str:
    with contextlib.suppress(OSError, TypeError):
        return "".join(inspect.getsource(base) for base in piece.__mro__[:-1])
    return ""


def plain(piece: Any, wanted: Mapping[str, Any]) -> Callable[..., Any]:
    """A class in torch's form that runs the piece, with one group and a learning rate that never changes.

    wanted: the options that the rule has, with their defaults; they decide what a name such as beta means.
    """

    def made(params: Sequence[Tensor], **options: Any) -> _Plain:
        return _Plain(piece, params, options, wanted)

    return made


class _Plain:
    """One plain optimizer with its parameters.

    defaults: its options under torch's names, as far as they are found, and those that were given. What it does not
    take as an option (a Nesterov that is nothing else) is not passed on, but expected of its steps.
    """

    def __init__(
        self, piece: Any, params: Sequence[Tensor], options: dict[str, Any], wanted: Mapping[str, Any]
    ) -> None:
        self.params = list(params)
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.wanted = wanted
        signature = inspect.signature(piece).parameters
        meanings = _meanings(list(signature), wanted)
        given = _translated(options, meanings)
        defaults = {name: given.get(name, p.default) for name, p in signature.items() if p.default is not p.empty}
        found = {meanings[name]: value for name, value in defaults.items() if name in meanings}
        if inspect.isclass(piece):
            takes_params = _takes_params(list(signature.values()), meanings)
            name = next(name for name in STEPS if _own(piece, name))
            self.call = Call(piece, self.params, given, method=name, takes_params=takes_params)
            held = vars(self.call.owner) if hasattr(self.call.owner, "__dict__") else {}
            found = {**_under(held, wanted), **found}
        else:
            self.call = Call(piece, self.params, given, config=_all_names(options))
            set_by_it = {
                name: value for name, value in self.call.trial_config().items() if name not in self.call.config
            }
            found.update(_under(set_by_it, wanted))
        found.update(options)
        if "lr" not in found and wanted.get("lr") == 1:
            found["lr"] = 1.0  # Adadelta's has no unit, and most leave it out
        self.defaults = _numbers(found)
        if not isinstance(self.defaults.get("lr"), int | float):
            raise TypeError(f"{piece.__name__} has no lr (or learning_rate) as attribute or option. {WANTED}")
        self.param_groups = [{"params": self.params, "lr": self.defaults["lr"]}]

    def zero_grad(self) -> None:
        if callable(getattr(self.call.owner, "zero_grad", None)):
            self.call.owner.zero_grad()
        else:
            for param in self.params:
                param.grad = None

    def step(self) -> None:
        self.call()


def _takes_params(parameters: Sequence[inspect.Parameter], meanings: Mapping[str, str]) -> bool:
    """Whether a constructor's first argument is the parameters."""
    if not parameters or parameters[0].kind is inspect.Parameter.VAR_KEYWORD:
        return False
    first = parameters[0]
    return first.name in PARAMS or (first.name not in meanings and first.default is first.empty)


def _meanings(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """For each of these names that means one of the rule's options, torch's name of the option."""
    lowered = {name.lower().lstrip("_"): name for name in names}
    meanings: dict[str, str] = {}
    for torchs, aliases in NAMES.items():
        if torchs in wanted or (torchs in ("beta1", "beta2") and "betas" in wanted):
            name = next((lowered[a] for a in aliases if a in lowered and lowered[a] not in meanings), None)
            if name is not None:
                meanings[name] = torchs
    return meanings


def _under(held: Mapping[str, Any], wanted: Collection[str]) -> dict[str, Any]:
    return {torchs: held[name] for name, torchs in _meanings(list(held), wanted).items()}


def _split(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, and both betas by themselves."""
    betas = dict(zip(("beta1", "beta2"), options["betas"], strict=True)) if "betas" in options else {}
    return {**options, **betas}


def _translated(options: Mapping[str, Any], meanings: Mapping[str, str]) -> dict[str, Any]:
    """Those options of torch's names that the piece takes, under its own names."""
    values = _split(options)
    return {name: values[torchs] for name, torchs in meanings.items() if torchs in values}


def _all_names(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options under each of their names, for a config, which does not say what is read."""
    return {name: value for torchs, value in _split(options).items() for name in NAMES.get(torchs, ())[:4]}


def _numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are numbers, with both betas in one."""
    options = {name: value for name, value in found.items() if isinstance(value, bool | int | float | tuple)}
    betas = options.pop("beta1", None), options.pop("beta2", None)
    if None not in betas:
        options["betas"] = betas
    return options

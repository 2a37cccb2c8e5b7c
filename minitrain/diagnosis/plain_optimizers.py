"""Optimizers without param_groups, as people write them, in the form that check_optimizer runs."""

from __future__ import annotations

import contextlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.tensor import Tensor

WANTED = (
    "An optimizer is expected in one of these forms:\n"
    "  class with torch's param_groups, step() and zero_grad(); __init__(params, lr=...)\n"
    "  class without groups: __init__(params, lr=...), step(), zero_grad(); params are Tensors\n"
    "  class for arrays: __init__(lr=...), step(params, grads) or update(params, grads), with two lists or two dicts\n"
    "  function: update(w, dw, config) -> (new w, config), with config['learning_rate']"
)
# What options are called, with torch's name first.
NAMES = {
    "lr": ("lr", "learning_rate", "eta", "step_size"),
    "momentum": ("momentum", "mu"),
    "alpha": ("alpha", "decay_rate", "rho"),
    "eps": ("eps", "epsilon"),
    "weight_decay": ("weight_decay", "wd", "l2"),
    "nesterov": ("nesterov",),
    "beta1": ("beta1", "beta_1", "b1"),
    "beta2": ("beta2", "beta_2", "b2"),
    "betas": ("betas",),
}
PARAMS = ("params", "parameters", "model_params", "model_parameters", "weights")


def is_plain(piece: Any) -> bool:
    """Whether this is an optimizer, but not of torch's form with groups."""
    if not inspect.isclass(piece):
        return inspect.isfunction(piece) and "config" in inspect.signature(piece).parameters
    if _own(piece, "add_param_group") or "param_groups" in _source(piece):
        return False
    return any(_own(piece, name) for name in ("step", "update"))


def _own(piece: Any, name: str) -> bool:
    return callable(getattr(piece, name, None))


def _source(piece: Any) -> str:
    with contextlib.suppress(OSError, TypeError):
        return "".join(inspect.getsource(base) for base in piece.__mro__[:-1])
    return ""


def plain(piece: Any) -> Callable[..., Any]:
    """A class in torch's form that runs the piece, with one group and a learning rate that never changes."""

    def made(params: Sequence[Tensor], **options: Any) -> _Plain:
        return _Plain(piece, params, options)

    return made


class _Plain:
    """One plain optimizer with its parameters. defaults: its options under torch's names, as far as they are found."""

    def __init__(self, piece: Any, params: Sequence[Tensor], options: dict[str, Any]) -> None:
        self.params = list(params)
        self.state: defaultdict[Any, dict[str, Any]] = defaultdict(dict)
        self.piece: Any = piece
        self.configs: list[dict[str, Any]] | None = None
        self.form: str | None = None
        if inspect.isclass(piece):
            self._make(piece, options)
            found = {name: getattr(self.piece, name, None) for names in NAMES.values() for name in names}
            for name, parameter in inspect.signature(piece).parameters.items():
                if found.get(name) is None and parameter.default is not parameter.empty:
                    found[name] = options.get(_torchs(name), parameter.default)
        else:
            given = _translated(options, [names[1] if len(names) > 1 else names[0] for names in NAMES.values()])
            self.configs = [dict(given) for _ in self.params]
            trial = dict(given)
            with np.errstate(all="ignore"):
                piece(np.ones(2), np.ones(2), trial)
            found = trial
        self.defaults = _under_torchs_names(found)
        self.param_groups = [{"params": self.params, "lr": self.defaults.get("lr")}]
        if not isinstance(self.defaults.get("lr"), int | float):
            raise TypeError(f"{piece.__name__} has no lr (or learning_rate) as attribute or option. {WANTED}")

    def _make(self, piece: Any, options: dict[str, Any]) -> None:
        parameters = list(inspect.signature(piece).parameters.values())
        given = _translated(options, [parameter.name for parameter in parameters])
        takes = bool(parameters) and (parameters[0].name in PARAMS or _torchs(parameters[0].name) not in NAMES)
        takes = takes and parameters[0].kind is not inspect.Parameter.VAR_KEYWORD
        self.piece = piece(list(self.params), **given) if takes else piece(**given)

    def zero_grad(self) -> None:
        if callable(getattr(self.piece, "zero_grad", None)):
            self.piece.zero_grad()
        else:
            for param in self.params:
                param.grad = None

    def step(self) -> None:
        if self.configs is not None:
            for k, param in enumerate(self.params):
                new, config = self.piece(param.array.copy(), _array(param), self.configs[k])
                self.configs[k] = config
                param.array[...] = new
            return
        method = getattr(self.piece, "step", None) or self.piece.update
        required = [
            p
            for p in inspect.signature(method).parameters.values()
            if p.default is p.empty and "VAR" not in p.kind.name
        ]
        if not required:
            method()
        elif len(required) == 2:
            self._with_arrays(method)
        else:
            name = f"{type(self.piece).__name__}.{method.__name__}"
            raise TypeError(f"{name} takes {len(required)} arguments. {WANTED}")

    def _with_arrays(self, method: Callable[..., Any]) -> None:
        """step(params, grads) with lists, or with dicts, changed in place or returned."""
        for form in [self.form] if self.form else ["list", "dict"]:
            arrays = {f"p{k}": param.array.copy() for k, param in enumerate(self.params)}
            grads = {f"p{k}": _array(param) for k, param in enumerate(self.params)}
            params: Any = arrays if form == "dict" else list(arrays.values())
            try:
                result = method(params, grads if form == "dict" else list(grads.values()))
            except (TypeError, AttributeError, IndexError, KeyError) as error:
                if form == "list" and self.form is None:
                    continue
                raise TypeError(
                    f"{type(self.piece).__name__} raised {type(error).__name__}: {error}. {WANTED}"
                ) from error
            self.form = form
            result = params if result is None else result
            for param, new in zip(self.params, result.values() if form == "dict" else result, strict=True):
                param.array[...] = new
            return


def _array(param: Tensor) -> Array:
    return np.zeros_like(param.array) if param.grad is None else param.grad.array.copy()


def _torchs(name: str) -> str:
    return next((torchs for torchs, names in NAMES.items() if name in names), name)


def _under_torchs_names(found: dict[str, Any]) -> dict[str, Any]:
    """The options that are numbers, under torch's names."""
    options = {_torchs(name): value for name, value in found.items() if isinstance(value, bool | int | float | tuple)}
    betas = options.pop("beta1", None), options.pop("beta2", None)
    if None not in betas:
        options["betas"] = betas
    return {name: value for name, value in options.items() if name in NAMES}


def _translated(options: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Options of torch's names under the piece's. Raises TypeError for one that it does not have."""
    options = dict(options)
    if "betas" in options and "betas" not in names:
        options["beta1"], options["beta2"] = options.pop("betas")
    given = {}
    for torchs, value in options.items():
        name = next((name for name in names if name in NAMES.get(torchs, (torchs,))), None)
        if name is None:
            raise TypeError(f"the optimizer has no option {torchs}")
        given[name] = value
    return given

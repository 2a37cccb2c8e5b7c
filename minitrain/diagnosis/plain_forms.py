"""How the step of a plain optimizer is called: what its arguments mean, and how parameters are handed to it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from minitrain.ops import Array
from minitrain.tensor import Tensor

WANTED = (
    "An optimizer is expected in one of these forms:\n"
    "  class with torch's param_groups, step() and zero_grad(); __init__(params, lr=...)\n"
    "  class without groups: __init__(params, lr=...), step(), zero_grad(); params are Tensors\n"
    "  class for arrays: __init__(lr=...), step(params, grads) or update(params, grads), with two lists or two dicts;\n"
    "    or with update(w, dw), step(grads), apply_gradients([(grad, param)]), update_params(layer)\n"
    "  function: update(w, dw, config) -> (new w, config), with config['learning_rate'];\n"
    "    or adam(w, dw, m, v, t, lr=...) -> (new w, m, v), sgd(params, grads, lr)"
)
FAILURES = (TypeError, AttributeError, IndexError, KeyError, ValueError)
GRADS = re.compile(r"(d|g|dw|dx|dp|dtheta|d_?params|d_?weights|nabla\w*|g_?t|\w*grad\w*|deltas?)")
PARAMS = re.compile(r"(w|x|p|theta|var|weight|param|parameter|variable|\w*(params|parameters|weights|variables|vars))")
SINGLE = re.compile(r"(w|x|p|theta|var|weight|param|parameter|variable|dw|dx|dp|d|g|grad|gradient|grad_\w*|g_?t)")
COUNT = re.compile(r"(t|step|steps|it|i|k|n|iter|iteration|iterations|epoch|time_?step|n_iter|num_iter|counter)")
FORMS = ("list", "dict", "W1, b1", "single")


def role(name: str) -> str:
    """What an argument of an update is, by its name."""
    name = name.lower()
    if re.search(r"grad\w*_and|pairs|and_grads", name):
        return "pairs"
    for what, pattern in (("layer", r"layers?"), ("config", r"config|hyper\w*"), ("state", r"states?|optim\w*_state")):
        if re.fullmatch(pattern, name):
            return what
    if name == "batch_size":
        return "one"
    for what, known in (("grads", GRADS), ("params", PARAMS), ("count", COUNT)):
        if known.fullmatch(name):
            return what
    return "memory"


def is_update(function: Callable[..., Any]) -> bool:
    """Whether a function is an update by its arguments: parameters first, and gradients or d2l's batch_size."""
    names = [parameter.lower() for parameter in inspect.signature(function).parameters]
    roles = [role(name) for name in names]
    return "config" in roles or roles[:2] in (["params", "grads"], ["grads", "params"]) or "batch_size" in names[1:]


class _Parameter(np.ndarray):
    """An array with .grad."""

    grad: Any = None


class Call:
    """A step of one plain optimizer, whatever its form. The form that fits is found at the first step.

    owner: the object, or the function. roles: of each argument that is passed, its meaning.
    """

    def __init__(
        self,
        piece: Any,
        params: Sequence[Tensor],
        given: Mapping[str, Any],
        *,
        config: Mapping[str, Any] | None = None,
        method: str = "",
        takes_params: bool = False,
    ) -> None:
        self.piece, self.params, self.given, self.config = piece, list(params), dict(given), dict(config or {})
        self.method, self.takes_params = method, takes_params
        self.form: str | None = None
        self.arguments = self._arguments(getattr(piece, method) if method else piece)
        self.roles = [role for _, role in self.arguments]
        self.owner = piece
        self.owners: list[Any] = []
        self.started = False
        if method:
            # A step that takes arrays was written for a constructor that does.
            self.owner = self._made([param.array.copy() for param in self.params] if self.arguments else self.params)

    def _arguments(self, function: Callable[..., Any]) -> list[tuple[str, str]]:
        """(name, role) of each argument that a call must pass; options that are given are added by name."""
        parameters = [p for p in inspect.signature(function).parameters.values() if "VAR" not in p.kind.name]
        parameters = parameters[1:] if self.method else parameters
        found = []
        for parameter in parameters:
            what = "option" if not self.method and parameter.name in self.given else role(parameter.name)
            needed = parameter.default is parameter.empty
            if needed or (not self.method and what in ("state", "config")):
                found.append((parameter.name, what))
        if [what for _, what in found] == ["memory", "memory"]:  # names that say nothing
            found = [(found[0][0], "params"), (found[1][0], "grads")]
        return found

    def trial_config(self) -> dict[str, Any]:
        """What a function sets in its config by default."""
        if "config" not in self.roles:
            return {}
        trial = dict(self.config)
        with np.errstate(all="ignore"):
            self.piece(np.ones(2), np.ones(2), trial)
        return trial

    def _made(self, params: Any) -> Any:
        return self.piece(params, **self.given) if self.takes_params else self.piece(**self.given)

    # --- one step ---------------------------------------------------------------------------------------------------

    def __call__(self) -> None:
        if not self.arguments:
            getattr(self.owner, self.method)()
            return
        if self.form is None:
            self._find_form()
        else:
            self._run(self.form)

    def _find_form(self) -> None:
        names = [name.lower() for name, what in self.arguments if what in ("params", "grads")]
        single = bool(names) and all(SINGLE.fullmatch(name) for name in names) and "params" in self.roles
        errors = []
        for form in ("single", *FORMS[:3]) if single else FORMS:
            self.started = False
            try:
                self._run(form)
            except FAILURES as error:
                errors.append(error)
                continue
            self.form = form
            return
        name = f"{self.piece.__name__}.{self.method}" if self.method else self.piece.__name__
        takes = f"takes {len(self.arguments)} arguments ({', '.join(name for name, _ in self.arguments)})"
        raised = f"{type(errors[0]).__name__}: {errors[0]}"
        raise TypeError(f"{name} {takes}, and called with arrays it raised {raised}. {WANTED}") from errors[0]

    def _run(self, form: str) -> None:
        arrays = [param.array.copy() for param in self.params]
        grads = [np.zeros_like(p.array) if p.grad is None else p.grad.array.copy() for p in self.params]
        if form == "single":
            if not self.started:
                self._begin([[array] for array in arrays], "list")
            new = [
                self._call(unit, [array], [grad], alone=True)[0]
                for unit, array, grad in zip(self.units, arrays, grads, strict=True)
            ]
        else:
            if not self.started:
                self._begin([arrays], form)
            new = self._call(self.units[0], arrays, grads, alone=False)
        for param, array in zip(self.params, new, strict=True):
            param.array[...] = array

    def _begin(self, groups: Sequence[list[Array]], form: str) -> None:
        """One unit with a memory of its own for each group of parameters."""
        self.units = []
        for group in groups:
            alone = len(groups) > 1 or len(group) == 1
            keys = _keys(form, len(group))
            held = [array.copy() for array in group]
            owner = self.owner
            if self.method:
                owner = self._made(_packed(held, keys, form) if not alone else held)
            unit = SimpleNamespace(owner=owner, form=form, keys=keys, held=held, layers=[], memory={})
            for name, what in self.arguments:
                if what == "memory":
                    zeros = [np.zeros_like(array) for array in group]
                    marks = [key if form != "W1, b1" else f"d{key}" for key in keys]
                    unit.memory[name] = zeros[0] if alone else _packed(zeros, marks, form)
                elif what in ("state", "config"):
                    unit.memory[name] = dict(self.config) if what == "config" else {}
                elif what == "count":
                    unit.memory[name] = self._first_count(name)
            self.units.append(unit)
        self.started = True

    def _first_count(self, name: str) -> int:
        """0 for a step that is counted from 0, 1 for one that is counted from 1."""
        try:
            source = inspect.getsource(getattr(self.piece, self.method) if self.method else self.piece)
        except (OSError, TypeError):
            return 1
        return 0 if re.search(rf"\b{name}\s*\+=?\s*1", source) else 1

    def _call(self, unit: SimpleNamespace, arrays: list[Array], grads: list[Array], *, alone: bool) -> list[Array]:
        """The parameters after one step."""
        function = getattr(unit.owner, self.method) if self.method else self.piece
        if "params" not in self.roles and "pairs" not in self.roles and "layer" not in self.roles:
            arrays = unit.held
        layers: list[SimpleNamespace] = []
        if "layer" in self.roles:
            unit.layers = layers = unit.layers or [SimpleNamespace() for _ in arrays[::2]]
            _fill(layers, arrays, grads)
        keys = unit.keys
        params: Any = arrays[0] if alone else _packed(arrays, keys, unit.form)
        if "grads" not in self.roles and not self.method:  # d2l's, with .grad
            params = [_with_grad(array, grad) for array, grad in zip(arrays, grads, strict=True)]
        marks = [f"d{key}" for key in keys] if unit.form == "W1, b1" else keys
        values = {
            "params": params,
            "grads": grads[0] if alone else _packed(grads, marks, unit.form),
            "pairs": list(zip(grads, arrays, strict=True)),
            "one": 1,
        }
        rest = {name: value for name, value in self.given.items() if not self.method}
        result = None
        with np.errstate(all="ignore"):
            _hook(unit.owner, "pre_update_params", self.method)
            for layer in layers or [SimpleNamespace()]:
                values["layer"] = [layer] if "layers" in dict(self.arguments) else layer
                passed = [
                    rest.pop(name) if what == "option" else unit.memory[name] if name in unit.memory else values[what]
                    for name, what in self.arguments
                ]
                result = function(*passed, **rest)
            _hook(unit.owner, "post_update_params", self.method)
        if layers:
            return _of_layers(layers, len(arrays))
        new = self._kept(unit, result)
        if not self.method and new is None and alone and result is not None:
            raise ValueError(f"it returns a {type(result).__name__}")
        held = _unpacked(params, len(arrays)) or arrays
        if "params" not in self.roles:
            held = _attribute(unit.owner, len(arrays)) or arrays
            unit.held = held
        return new or [np.asarray(array) for array in held]

    def _kept(self, unit: SimpleNamespace, result: Any) -> list[Array] | None:
        """The parameters in what a call returned; None where it changes them in place. Memories are kept."""
        for name, what in self.arguments:
            if what == "count":
                unit.memory[name] += 1
        if isinstance(result, np.ndarray):
            return [result]
        if not isinstance(result, tuple | list | dict):
            return None
        count = len(unit.keys)
        whole = _unpacked(result, count)
        if whole and (count > 1 or not isinstance(result, tuple) or len(result) == 1):
            return whole
        first, *others = result if isinstance(result, tuple) else [result]
        names = [name for name, what in self.arguments if name in unit.memory]
        for name, value in zip(names, others, strict=False):
            if isinstance(unit.memory[name], int) == isinstance(value, int):
                unit.memory[name] = value
        return [first] if isinstance(first, np.ndarray) else _unpacked(first, count)


# --- parameters in the forms that people use --------------------------------------------------------------------------


def _keys(form: str, count: int) -> list[str]:
    if form == "W1, b1":
        return [f"{'Wb'[k % 2]}{k // 2 + 1}" for k in range(count)]
    return [f"p{k}" for k in range(count)]


def _packed(arrays: list[Array], keys: Sequence[str], form: str) -> Any:
    """A list, or a dict; of W1, b1, W2, b2, ... the last has its partner."""
    if form == "list":
        return arrays
    packed = dict(zip(keys, arrays, strict=True))
    if form == "W1, b1" and len(arrays) % 2:
        packed[keys[-1].replace("W", "b")] = np.zeros(1)
    return packed


def _unpacked(held: Any, count: int) -> list[Array] | None:
    """The first arrays of a list or dict; None if it does not hold as many."""
    values = list(held.values()) if isinstance(held, dict) else list(held) if isinstance(held, list | tuple) else []
    arrays = [np.asarray(value) for value in values if isinstance(value, np.ndarray)]
    return arrays[:count] if len(arrays) >= count and len(arrays) == len(values) else None


def _attribute(owner: Any, count: int) -> list[Array] | None:
    """The arrays that an object keeps as its parameters."""
    for name, value in vars(owner).items():
        if PARAMS.fullmatch(name.lower().lstrip("_")) and (arrays := _unpacked(value, count)):
            return arrays
    return None


def _with_grad(array: Array, grad: Array) -> _Parameter:
    param = array.view(_Parameter)
    param.grad = grad
    return param


LAYER = (("weights", "W", "w", "weight"), ("biases", "b", "bias"))


def _fill(layers: Sequence[SimpleNamespace], arrays: Sequence[Array], grads: Sequence[Array]) -> None:
    """Give layers weights, biases (the last may have none) and gradients, under the usual names."""
    for k, layer in enumerate(layers):
        pairs = list(zip(arrays, grads, strict=True))[2 * k : 2 * k + 2]
        layer.params, layer.grads = {}, {}
        for names, (array, grad) in zip(LAYER, [*pairs, (np.zeros(1), np.zeros(1))], strict=False):
            for name in names:
                setattr(layer, name, array)
                setattr(layer, f"d{name}", grad)
                setattr(layer, f"grad_{name}", grad)
            layer.params[names[1]], layer.grads[names[1]] = array, grad
        layer.first = dict(layer.params)


def _of_layers(layers: Sequence[SimpleNamespace], count: int) -> list[Array]:
    """The parameters of the layers after a step, under the name that was given a new array, if one was."""
    arrays = []
    for layer in layers:
        for names in LAYER:
            new = [getattr(layer, name) for name in names if getattr(layer, name) is not layer.first[names[1]]]
            arrays.append(np.asarray(new[0] if new else layer.params[names[1]]))
    return arrays[:count]


def _hook(owner: Any, name: str, method: str) -> None:
    """Call what stands around update_params, in the classes that have it."""
    if method and callable(getattr(owner, name, None)):
        getattr(owner, name)()

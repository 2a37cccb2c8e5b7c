"""The forms in which people write a backward by hand, turned into the one that gradcheck works with.

- layers with forward(x) and backward(grad) that keep arrays and parameters on self, and networks made of them;
- (forward, backward): two functions, where forward returns (out, cache) and backward takes (grad, cache);
- functions that return (loss, gradients), and models with params and loss(x, y) that returns (loss, grads).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitrain.diagnosis.gradcheck_report import GradcheckError
from minitrain.nn import Module
from minitrain.ops import Array
from minitrain.tensor import Tensor

FORMS = (
    "gradcheck takes forward(ctx, *arrays) and backward(ctx, grad_y); an object with forward(x) and backward(grad); "
    "two functions (forward, backward), where forward returns (out, cache) and backward takes (grad, cache); a "
    "function of arrays that returns (loss, gradients); a function of Tensors; or a Module."
)


class Adapted:
    """A piece in gradcheck's form, forward(ctx, *arrays) and backward(ctx, grad).

    names: of all inputs. function, code: what a person wrote. kept: the arrays it keeps, by name. parts: the
    layers that a network is made of.
    """

    def __init__(
        self, name: str, forward: Callable[..., Any], backward: Callable[..., Any], inputs: Sequence[Any]
    ) -> None:
        self.__name__, self.forward, self.backward, self.inputs = name, forward, backward, tuple(inputs)
        self.names: tuple[str, ...] = tuple(f"input {i}" for i in range(len(inputs)))
        self.code: Any = None
        self.function: Any = None
        self.kept: Callable[[], Any] = lambda: vars
        self.parts: Callable[[], list[tuple[str, Any, tuple[Any, ...]]]] = list
        self.warnings: list[str] = []


def adapted(func: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Adapted | None:
    """The piece in gradcheck's form; None if it has that form, or is for Tensors.

    Raises TypeError for a forward and backward that cannot be called with these inputs.
    """
    if isinstance(func, Module) or any(isinstance(x, Tensor) for x in inputs):
        return None
    if isinstance(func, tuple | list) and len(func) == 2 and all(inspect.isroutine(part) for part in func):
        return _two_functions(func[0], func[1], inputs, options)
    if isinstance(func, tuple | list) and func and all(map(_is_layer, func)):
        return _layer(_Chain(func), inputs, options)
    if not any(isinstance(x, np.ndarray | dict) or _holds_arrays(x) for x in inputs):
        return None
    if hasattr(func, "backward") and (hasattr(func, "forward") or callable(func)):
        return _forward_and_backward(func, inputs, options)
    if hasattr(func, "forward") and not callable(func):
        raise TypeError(f"{_name(func)} has a forward, but no backward. {FORMS}")
    params, loss = getattr(func, "params", None), getattr(func, "loss", None)
    if isinstance(params, dict) and callable(loss):
        return _loss_and_gradients(_name(func), loss, inputs, options, params)
    return _loss_and_gradients(_name(func), func, inputs, options, {}) if callable(func) else None


def _holds_arrays(x: Any) -> bool:
    return isinstance(x, list) and bool(x) and all(isinstance(each, np.ndarray) for each in x)


def _name(func: Any) -> str:
    return getattr(func, "__name__", type(func).__name__)


def _is_layer(thing: Any) -> bool:
    return (
        not inspect.isclass(thing)
        and callable(getattr(thing, "forward", None))
        and callable(getattr(thing, "backward", None))
    )


def _binds(function: Any, count: int, options: Mapping[str, Any]) -> bool:
    try:
        inspect.signature(function).bind(*range(count), **options)
    except TypeError:
        return False
    except ValueError:  # written in C
        return True
    return True


def _forward_and_backward(func: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Adapted | None:
    forward, backward = getattr(func, "forward", func), func.backward
    if (
        inspect.isclass(func)
        and "__init__" in vars(func)
        and next(iter(inspect.signature(forward).parameters), "") == "self"
    ):
        try:
            made = func()
        except Exception as error:  # whatever its __init__ raises
            message = f"pass an object, {func.__name__}(...), not the class: its forward uses self."
            raise TypeError(message) from error
        return _layer(made, inputs, options)
    if hasattr(func, "forward") and _binds(forward, len(inputs) + 1, options) and _binds(backward, 2, {}):
        return None
    if _binds(forward, len(inputs), options) and _binds(backward, 1, {}) and not inspect.isclass(func):
        return _layer(func, inputs, options)
    if _binds(forward, len(inputs), options) and _binds(backward, 2, {}):
        return _two_functions(forward, backward, inputs, options, _name(func))
    raise TypeError(
        f"{_name(func)} cannot be called with these {len(inputs)} inputs: forward{inspect.signature(forward)} "
        f"and backward{inspect.signature(backward)}. {FORMS}"
    )


def _two_functions(
    forward: Any, backward: Any, inputs: tuple[Any, ...], options: Mapping[str, Any], name: str = ""
) -> Adapted:
    """forward(*inputs) returns (out, cache), or out alone; backward takes (grad, cache), or (grad, *inputs)."""

    def forth(ctx: Any, *arrays: Any, **keywords: Any) -> Any:
        y = forward(*arrays, **keywords)
        ctx.inputs = arrays
        if isinstance(y, tuple):
            if len(y) != 2:
                raise GradcheckError(f"{made.__name__} returned {len(y)} values; expected out, or (out, cache).")
            y, ctx.cache = y
        return y

    def back(ctx: Any, grad: Any) -> Any:
        if hasattr(ctx, "cache"):
            found = backward(grad, ctx.cache)
        else:
            found = backward(grad, *ctx.inputs) if _binds(backward, 1 + len(ctx.inputs), {}) else backward(grad)
        return _for_each(made.__name__, found, made)

    made = Adapted(name or _name(forward), forth, back, inputs)
    made.names, made.code = _argument_names(forward, len(inputs)), getattr(forward, "__code__", None)
    made.function = forward
    return made


def _argument_names(function: Any, count: int) -> tuple[str, ...]:
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(names[i] if i < len(names) else f"input {i}" for i in range(count))


def spellings(name: str) -> list[str]:
    """What people call the gradient of an array."""
    return [f"d{name}", f"grad_{name}", f"{name}_grad", f"d_{name}", f"grad{name}", f"{name}grad", f"g{name}", name]


def _for_each(name: str, found: Any, made: Adapted) -> tuple[Any, ...]:
    """The gradients that backward returned, one for each input; None for those that it did not give."""
    if isinstance(found, Mapping):
        return tuple(next((found[key] for key in spellings(n) if key in found), None) for n in made.names)
    gradients = tuple(found) if isinstance(found, tuple | list) else (found,)
    floats = [i for i, x in enumerate(made.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"]
    if len(gradients) == len(made.inputs):
        return gradients
    if len(gradients) == len(floats):
        by_place = dict(zip(floats, gradients, strict=True))
        return tuple(by_place.get(i) for i in range(len(made.inputs)))
    raise GradcheckError(
        f"{name}.backward returned {len(gradients)} gradients for {len(floats)} arrays of floats; expected one for "
        "each, in forward's order."
    )


LARGEST = 10_000  # numbers in an array that the diagnosis may try as a factor


def arrays_in(values: Mapping[str, Any], depth: int = 3) -> dict[str, Array]:
    """The arrays among these values and in tuples, lists, dicts and objects there, by name; none that is a gradient."""
    found: dict[str, Array] = {}
    for name, value in values.items():
        last = name.rpartition(".")[2]
        if isinstance(value, np.ndarray) and value.size <= LARGEST and "grad" not in last and last[:1] != "d":
            found[name] = value
        elif isinstance(value, tuple | list) and depth:
            found |= arrays_in({f"{name}[{i}]": part for i, part in enumerate(value)}, depth - 1)
        elif isinstance(value, dict) and depth and "grad" not in last:
            found |= arrays_in({f"{name}.{key}": part for key, part in value.items()}, depth - 1)
        elif hasattr(value, "__dict__") and not callable(value) and depth:
            found |= arrays_in({f"{name}.{key}": part for key, part in vars(value).items()}, depth - 1)
    return found


def constants_of(function: Any) -> dict[str, Any]:
    """The values outside a function that it uses by name: targets, labels, data."""
    function = inspect.unwrap(getattr(function, "__func__", function)) if callable(function) else function
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    outside = getattr(function, "__globals__", {})
    named = {name: outside[name] for name in code.co_names if name in outside}
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            named[name] = cell.cell_contents
        except ValueError:  # not yet filled
            continue
    return {f"constant {name}": value for name, value in named.items() if isinstance(value, np.ndarray)}


# --- layers that keep their arrays on self ---


class _Chain:
    """A list of layers as one: forward through all, backward in the opposite order."""

    def __init__(self, layers: Sequence[Any]) -> None:
        self.layers = list(layers)
        self.__name__ = "layers"

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad: Any) -> Any:
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
            grad = grad[0] if isinstance(grad, tuple) else grad
        return grad


def parts_of(owner: Any, path: str = "", depth: int = 3) -> Iterator[tuple[str, Any]]:
    """The layers that an object is made of, with their paths; the object itself comes first, under ''."""
    yield path, owner
    if depth == 0:
        return
    for name, value in [*getattr(owner, "__dict__", {}).items()]:
        several = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        for inner, thing in [("", value), *((f"[{key}]", part) for key, part in several)]:
            if _is_layer(thing):
                yield from parts_of(thing, f"{path}.{name}{inner}".lstrip("."), depth - 1)


def _slots(owner: Any) -> Iterator[tuple[str, dict[str, Any], str, list[tuple[dict[str, Any], str]]]]:
    """(name, where it is kept, key, where its gradient may be) of each array on an object and its parts."""
    for path, part in parts_of(owner):
        own = getattr(part, "__dict__", {})
        grads = [own[name] for name in ("grads", "grad", "gradients", "dparams") if isinstance(own.get(name), dict)]
        for where, prefix in ((own, path), (own.get("params"), f"{path}.params".lstrip("."))):
            if not isinstance(where, dict):
                continue
            for key, value in [*where.items()]:
                if isinstance(key, str) and isinstance(value, np.ndarray) and value.dtype.kind == "f":
                    places = [(own, spelled) for spelled in spellings(key) if spelled != key]
                    places += [(of, spelled) for of in grads for spelled in spellings(key)]
                    yield f"{prefix}.{key}".lstrip("."), where, key, places


def _layer(owner: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]) -> Adapted:
    """An object whose backward returns the inputs' gradients, and keeps its parameters', or returns them, too."""
    forward = getattr(owner, "forward", owner)
    before = {name for name, *_ in _slots(owner)}
    y = forward(*inputs, **options)
    if not isinstance(y, np.ndarray | np.floating | float):
        raise GradcheckError(
            f"{_name(owner)}.forward returned {type(y).__name__}; expected the result, an array. {FORMS}"
        )
    returned = owner.backward(np.ones(np.shape(y)))
    returned = returned if isinstance(returned, tuple | list) else (returned,)
    kept: list[tuple[str, dict[str, Any], str, dict[str, Any] | None, str]] = []
    more = [*returned[len(inputs) :]]
    for name, where, key, places in _slots(owner):
        if name not in before:
            continue
        there = ((of, k) for of, k in places if isinstance(of.get(k), np.ndarray) and of[k].shape == where[key].shape)
        at = next(there, None)
        if at is not None:
            kept.append((name, where, key, *at))
        elif more and np.shape(more[0]) == where[key].shape:
            more.pop(0)
            kept.append((name, where, key, None, ""))
    count = len(inputs)

    def with_arrays(arrays: Sequence[Any], run: Callable[[], Any]) -> Any:
        olds = [where[key] for _, where, key, _, _ in kept]
        for (_, where, key, _, _), array in zip(kept, arrays[count:], strict=True):
            where[key] = array
        try:
            return run()
        finally:
            for (_, where, key, _, _), old in zip(kept, olds, strict=True):
                where[key] = old

    def forth(ctx: Any, *arrays: Any, **keywords: Any) -> Any:
        ctx.arrays, ctx.keywords = arrays, keywords
        return with_arrays(arrays, lambda: forward(*arrays[:count], **keywords))

    def back(ctx: Any, grad: Any) -> Any:
        def run() -> tuple[Any, ...]:
            forward(*ctx.arrays[:count], **ctx.keywords)  # what it kept may be from other arrays
            for _, _, _, of, at in kept:
                if of is not None and isinstance(of[at], np.ndarray):
                    of[at] = np.zeros_like(of[at])  # it may be added to
            found = owner.backward(grad)
            found = tuple(found) if isinstance(found, tuple | list) else (found,)
            extra = iter(found[count:])
            of_kept = [next(extra) if of is None else np.array(of[at]) for _, _, _, of, at in kept]
            return (*found[:count], *(None for _ in range(count - len(found))), *of_kept)

        return with_arrays(ctx.arrays, run)

    def parts() -> list[tuple[str, Any, tuple[Any, ...]]]:
        """The layers inside, with what they get."""
        found: list[tuple[str, Any, tuple[Any, ...]]] = []
        inside = [(path, part) for path, part in parts_of(owner) if path]
        for path, part in inside:
            original = part.forward

            def noted(*given: Any, path: str = path, part: Any = part, original: Any = original) -> Any:
                found.append((path, part, tuple(np.array(x) if isinstance(x, np.ndarray) else x for x in given)))
                return original(*given)

            part.forward = noted
        try:
            forward(*inputs, **options)
        finally:
            for _, part in inside:
                part.__dict__.pop("forward", None)
        return found

    made = Adapted(_name(owner), forth, back, (*inputs, *(where[key] for _, where, key, _, _ in kept)))
    made.warnings = _piling_up(
        owner,
        lambda: (forward(*inputs, **options), owner.backward(np.ones(np.shape(y)))),
        lambda: [(at, of[at]) for _, _, _, of, at in kept if of is not None],
    )
    made.names = (*made.names[:count], *(name for name, *_ in kept))
    made.code, made.kept, made.parts = getattr(forward, "__code__", None), lambda: owner, parts
    made.function = forward
    return made


def _piling_up(owner: Any, again: Callable[[], Any], gradients: Callable[[], list[tuple[str, Array]]]) -> list[str]:
    """A warning if backward adds to the gradients that it keeps, and the object has nothing that sets them to 0."""
    methods = [name.lower() for _, part in parts_of(owner) for name in dir(part)]
    if any(word in name for name in methods for word in ("zero", "reset", "clear")):
        return []
    before = [(name, np.array(z)) for name, z in gradients()]
    again()
    for (name, old), (_, new) in zip(before, gradients(), strict=True):
        if old.any() and not np.allclose(old, new) and np.allclose(2 * old, new):
            return [
                f"{_name(owner)}.backward adds to {name} (+=), and nothing sets it to 0: it grows from one call to the "
                f"next. gradcheck has set it to 0 before each call. Assign the gradient in backward ({name} = ...), or "
                "write a zero_grad() and call it before each step."
            ]
    return []


# --- functions that return (loss, gradients) ---


def _loss_and_gradients(
    name: str, func: Any, inputs: tuple[Any, ...], options: Mapping[str, Any], params: dict[str, Any]
) -> Adapted | None:
    """func(*inputs) returns (loss, gradients). Its arrays: among the inputs, in dicts and lists there, in params."""
    code = getattr(func, "__code__", None)
    arguments = _argument_names(func, len(inputs))
    dicts: dict[int, Any] = {i: x for i, x in enumerate(inputs) if isinstance(x, dict) or _holds_arrays(x)}
    try:
        first = func(*inputs, **options)
    except Exception:  # it is for Tensors, or for other inputs: what is said of those follows
        return None
    if not isinstance(first, tuple | list) or len(first) < 2 or np.size(first[0]) != 1 or isinstance(first[0], Tensor):
        return None
    flat: list[tuple[str, Any, Any, Any]] = []  # name, array, the dict or list it is in, its key or place
    for i, x in enumerate(inputs):
        if i not in dicts:
            flat.append((arguments[i], x, None, i))
    for of in (params, *dicts.values()):
        held = of.items() if isinstance(of, dict) else [*enumerate(of)]
        flat += [
            (str(key) if isinstance(of, dict) else f"parameter {key}", x, of, key)
            for key, x in held
            if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        ]

    def gradients_of(returned: Any) -> list[Any]:
        found = returned[1] if len(returned) == 2 else tuple(returned[1:])
        if isinstance(found, Mapping):
            named = [next((found[key] for key in spellings(n) if key in found), None) for n, *_ in flat]
            if any(gradient is not None for gradient in named):
                return named
            found = [*found.values()]  # the arguments have no such names: by shape
        several = found if isinstance(found, tuple | list) else (found,)
        result: list[Any] = [None] * len(flat)
        for gradient in several:
            shape = np.shape(gradient)
            fitting = (i for i, (_, x, _, _) in enumerate(flat) if result[i] is None and np.shape(x) == shape)
            place = next((i for i in fitting if np.asarray(flat[i][1]).dtype.kind == "f"), None)
            if place is not None:
                result[place] = gradient
        return result

    given = gradients_of(first)
    if all(gradient is None for gradient in given):
        shapes = {n: list(np.shape(x)) for n, x, *_ in flat if isinstance(x, np.ndarray)}
        raise GradcheckError(
            f"{name} returned a loss, but no gradient that belongs to one of its arrays by name or by shape: they are "
            f"{', '.join(f'{n} {shape}' for n, shape in shapes.items())}."
        )

    def forth(ctx: Any, *arrays: Any, **keywords: Any) -> Any:
        arguments = list(inputs)
        for i, x in dicts.items():
            arguments[i] = x.copy()
        kept = dict(params)
        for (_, _, of, key), array in zip(flat, arrays, strict=True):
            if of is None:
                arguments[key] = array
            elif of is params:
                params[key] = array
            else:
                arguments[next(i for i, x in dicts.items() if x is of)][key] = array
        try:
            returned = func(*arguments, **keywords)
        finally:
            params.update(kept)
        ctx.gradients = gradients_of(returned)
        loss = returned[0]
        return loss.reshape(()) if isinstance(loss, np.ndarray) else float(loss)

    def back(ctx: Any, grad: Any) -> Any:
        return tuple(None if g is None else grad * np.asarray(g) for g in ctx.gradients)

    made = Adapted(name, forth, back, [x for _, x, *_ in flat])
    made.names, made.code, made.function = tuple(n for n, *_ in flat), code, func
    made.needs = [gradient is not None for gradient in given]  # type: ignore[attr-defined]
    return made


def needs(made: Adapted) -> list[bool]:
    """Which inputs of an adapted piece are checked."""
    own: list[bool] | None = getattr(made, "needs", None)
    floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in made.inputs]
    return floats if own is None else [a and b for a, b in zip(own, floats, strict=True)]


__all__ = ["FORMS", "Adapted", "Array", "adapted", "needs"]

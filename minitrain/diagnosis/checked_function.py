"""What gradcheck can check, with one interface: arrays to move, results, and the gradients that backward returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from minitrain import ops
from minitrain.diagnosis import forms
from minitrain.diagnosis.gradcheck_report import GradcheckError
from minitrain.diagnosis.replay import Replay, inputs_of, replay
from minitrain.nn import Module
from minitrain.ops import Array, Context
from minitrain.tape import AccumulateGrad, Node
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.grad_mode import enable_grad


class Problem:
    """A function to check: its arrays, their results, and their gradients.

    names, arrays: the inputs to check. inputs: all inputs, for the autopsy. options: the operation's options.
    sizes: numbers that a mean may divide by, with a description of each.
    """

    operation: str
    names: list[str]
    arrays: list[Array]  # changed while measuring
    inputs: Sequence[Any]
    options: Mapping[str, Any]
    sizes: Mapping[int, str] = MappingProxyType({})

    def results(self) -> list[Array]:
        """The results that are floats. The function may reuse their memory."""
        raise NotImplementedError

    def results_after_moving(self, array: Array, step: float) -> Callable[[], list[Array]]:
        """Like results, but maybe faster: only this array is going to change, by about step."""
        return self.results

    def prepare(self) -> list[Array]:
        """The results again, now recorded for backward."""
        raise NotImplementedError

    def backward(self, grads: list[Array]) -> list[Array | None]:
        """The gradient of each array, given the gradients of the results. Can be called repeatedly. May keep grads."""
        raise NotImplementedError

    def with_inputs(self, inputs: Sequence[Any]) -> Problem | None:
        """The same function of other inputs, if they can be replaced."""
        return None

    def picked(self) -> list[Array]:
        """Matrices of which a loss takes minus one number of each row, as NLL does."""
        return []

    def places(self) -> list[int]:
        """For each array, its position in inputs."""
        return [*range(len(self.arrays))]

    def saved(self) -> dict[str, Array]:
        """The arrays that forward left for backward, by name."""
        return {}

    def returned(self) -> list[str]:
        """For each array, the dtype of the gradient that backward returned last, if it was not a float."""
        return [""] * len(self.arrays)

    def walks(self, grads: list[Array]) -> list[dict[str, Array]]:
        """For each array, the gradients that right and wrong walks over the tape give, see WALKS."""
        return [{} for _ in self.arrays]


class _Pair(Problem):
    """A forward and backward on arrays."""

    def __init__(self, pair: Any, inputs: Sequence[Any], options: Mapping[str, Any], needs: Sequence[bool]) -> None:
        self.operation = getattr(pair, "__name__", type(pair).__name__)
        self.inputs = [np.array(x) if isinstance(x, np.ndarray) else x for x in inputs]
        self.options = options
        self.pair, self._needs = pair, tuple(needs)
        self._checked = [i for i, need in enumerate(needs) if need]
        self.names = [f"input {i}" for i in self._checked]
        self.arrays = [self.inputs[i] for i in self._checked]
        self.context: Any = None
        self._returned = [""] * len(self._checked)

    def picked(self) -> list[Array]:
        """A loss that falls with one number of each row, at the same rate everywhere, is minus their sum or mean."""
        library = isinstance(self.pair, type) and issubclass(self.pair, ops.NLLLoss)  # right for any numbers
        if library or self.prepare()[0].size != 1:
            return []
        gradients = self.backward([np.ones_like(self.prepare()[0])])
        found = []
        for array, gradient in zip(self.arrays, gradients, strict=True):
            if gradient is not None and array.ndim == 2 and array.shape[1] > 1:
                one_of_each = (np.count_nonzero(gradient, axis=1) == 1).all() and len(array) > 1
                if one_of_each and np.ptp(gradient.min(axis=1)) < 1e-9 and gradient.min() < 0 == gradient.max():
                    found.append(array)
        return found

    def with_inputs(self, inputs: Sequence[Any]) -> Problem:
        return _Pair(self.pair, inputs, self.options, self._needs)

    def _forward(self, context: Context) -> Array:
        y = self.pair.forward(context, *self.inputs, **self.options)
        if isinstance(y, np.ndarray | np.generic | float) and (array := np.asarray(y)).dtype.kind == "f":
            return array
        if isinstance(y, np.ndarray | np.generic | int):
            raise GradcheckError(f"{self.operation}.forward returned {np.asarray(y).dtype}; a gradient needs floats.")
        raise GradcheckError(f"{self.operation}.forward returned {type(y).__name__}; expected the result, an array.")

    def results(self) -> list[Array]:
        return [self._forward(Context(self._needs))]

    def prepare(self) -> list[Array]:
        self.context = Context(self._needs)
        return [self._forward(self.context).copy()]

    def backward(self, grads: list[Array]) -> list[Array | None]:
        gradients = self.pair.backward(self.context, grads[0])
        gradients = gradients if isinstance(gradients, tuple | list) else (gradients,)
        if len(gradients) != len(self.inputs):
            raise GradcheckError(
                f"{self.operation}.backward returned {len(gradients)} gradients for {len(self.inputs)} inputs; "
                "expected one for each input, in order, and None for an input without a gradient."
            )
        arrays = [None if gradients[i] is None else np.asarray(gradients[i]) for i in self._checked]
        for i, gradient in zip(self._checked, arrays, strict=True):
            if gradient is not None and gradient.dtype.kind not in "biuf":
                kind = type(gradients[i]).__name__
                raise GradcheckError(f"{self.operation}.backward returned {kind} for input {i}; expected an array.")
        self._returned = ["" if z is None or z.dtype.kind == "f" else str(z.dtype) for z in arrays]
        return [z if z is None or z.dtype.kind == "f" else z.astype(np.float64) for z in arrays]

    def places(self) -> list[int]:
        return self._checked

    def returned(self) -> list[str]:
        return self._returned

    def saved(self) -> dict[str, Array]:
        named = {f"saved array {i}": z for i, z in enumerate(getattr(self.context, "saved_arrays", ()))}
        attributes = {name: value for name, value in vars(self.context).items() if not name.startswith("_")}
        adapted = isinstance(self.pair, forms.Adapted)
        named |= forms.arrays_in({"cache": attributes.get("cache")} if adapted else {"ctx": attributes})
        named |= forms.arrays_in({"self": self.pair.kept()}) if adapted else {}
        named |= forms.arrays_in(forms.constants_of(self.pair.function if adapted else self.pair.forward))
        arrays = ((name, z) for name, z in named.items() if isinstance(z, np.ndarray))
        return {name: z for name, z in arrays if not any(z is checked for checked in self.arrays)}


class _OfTensors(Problem):
    """A function of Tensors; the measurement changes the Tensors' memory."""

    def __init__(self, function: Callable[[], Any], operation: str, tensors: Mapping[str, Tensor]) -> None:
        self.operation, self._function = operation, function
        self.names, self.tensors = list(tensors), list(tensors.values())
        self.arrays = self.inputs = [tensor.array for tensor in self.tensors]
        self.options = {}
        self._outputs: list[Tensor] = []
        self._replay: Replay | Literal[False] | None = None  # False if there is no reliable one
        self._variables: set[Tensor] = set()

    def _floating(self, outputs: Any) -> list[Tensor]:
        outputs = outputs if isinstance(outputs, tuple | list) else (outputs,)
        for y in outputs:
            if not isinstance(y, Tensor):
                raise GradcheckError(f"{self.operation} returned {type(y).__name__}; expected one or more Tensors.")
        return [y for y in outputs if y.is_floating_point()]

    def results(self) -> list[Array]:
        return [y.array for y in self._floating(self._function())]

    def results_after_moving(self, array: Array, step: float) -> Callable[[], list[Array]]:
        if self._replay is None:
            self._replay = replay(lambda: self._floating(self._function()), self.arrays, step) or False
        return (self._replay.after_moving(array) if self._replay else None) or self.results

    def picked(self) -> list[Array]:
        inputs = inputs_of(ops.NLLLoss, self._function)
        return [scores.array for scores, *_ in inputs if scores.ndim == 2]

    def prepare(self) -> list[Array]:
        with enable_grad():
            self._outputs = self._floating(self._function())
        self._variables = {*self.tensors, *_leaves([y for y in self._outputs if y.requires_grad])}
        return [y.array.copy() for y in self._outputs]

    def backward(self, grads: list[Array]) -> list[Array | None]:
        """The gradients from Tensor.backward; every .grad is restored afterwards."""
        kept = [(variable, variable._grad) for variable in self._variables]
        try:
            for variable, _ in kept:
                variable._grad = None
            for y, grad in zip(self._outputs, grads, strict=True):
                if y.requires_grad:
                    y.backward(wrap(grad), retain_graph=True)
            return [None if tensor._grad is None else tensor._grad.array for tensor in self.tensors]
        finally:
            for variable, before in kept:
                variable._grad = before

    def walks(self, grads: list[Array]) -> list[dict[str, Array]]:
        found: list[dict[str, Array]] = [{} for _ in self.arrays]
        roots = [(y, grad) for y, grad in zip(self._outputs, grads, strict=True) if y.requires_grad]
        if len(roots) != 1 or not isinstance(roots[0][0]._edge(), Node):
            return found
        root = roots[0][0]._edge()
        for what, merge, newest_first in WALKS:
            by_leaf = {leaf.variable: grad for leaf, grad in _walk(root, roots[0][1], merge, newest_first).items()}
            for tensor, gradients in zip(self.tensors, found, strict=True):
                if tensor in by_leaf:
                    gradients[what] = by_leaf[tensor]
        return found


def _leaves(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that would get a gradient from backward."""
    seen: set[Node | AccumulateGrad] = set()
    waiting: list[Any] = [y._edge() for y in outputs]
    while waiting:
        edge = waiting.pop()
        if edge not in seen:
            seen.add(edge)
            waiting += [following for following, _ in edge.next_functions if following is not None]
    return [edge.variable for edge in seen if isinstance(edge, AccumulateGrad)]  # type: ignore[misc]


# Walks over the tape: (what is wrong, how two gradients of one value are merged, whether the order is right). The first
# walk is right.
WALKS: tuple[tuple[str, Callable[[Array, Array], Array], bool], ...] = (
    ("", lambda before, new: before + new, True),
    ("the later one replaces the earlier one", lambda before, new: new, True),
    ("only the first one is kept", lambda before, new: before, True),
    (
        "a value's gradient is passed on before all of its uses sent theirs",
        lambda before, new: before + new,
        False,
    ),
)


def _walk(
    root: Any, grad: Array, merge: Callable[[Array, Array], Array], newest_first: bool
) -> dict[AccumulateGrad, Array]:
    """tape.walk_back with one change: how two gradients are merged, or the order of the visits."""
    pending: dict[Any, Array] = {root: grad}
    waiting = [root]
    while waiting:
        node = max(waiting, key=lambda node: node.sequence_nr) if newest_first else waiting[0]
        waiting.remove(node)
        if node not in pending:
            continue
        for (edge, _), input_grad in zip(node.next_functions, node.input_gradients(pending.pop(node)), strict=True):
            if edge is None or input_grad is None:
                continue
            if edge in pending:
                pending[edge] = np.asarray(merge(pending[edge], input_grad))
                continue
            pending[edge] = input_grad
            if isinstance(edge, Node):
                waiting.append(edge)
    return {leaf: grad for leaf, grad in pending.items() if isinstance(leaf, AccumulateGrad)}


def as_problem(
    func: Any, inputs: Any, options: Mapping[str, Any], loss_fn: Any, needs_input_grad: Sequence[bool] | None
) -> Problem:
    """The Problem for func and inputs. Raises ValueError or TypeError if they cannot be checked."""
    inputs = tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if loss_fn is None and (made := forms.adapted(func, inputs, options)) is not None:
        problem = _Pair(made, made.inputs, options, needs_input_grad or forms.needs(made))
        problem.names = [made.names[i] for i in problem.places()]
        return problem
    if hasattr(func, "forward") and hasattr(func, "backward"):
        floats = [isinstance(x, np.ndarray) and x.dtype.kind == "f" for x in inputs]
        needs = floats if needs_input_grad is None else list(needs_input_grad)
        if len(needs) != len(inputs):
            raise ValueError(f"needs_input_grad has {len(needs)} values for {len(inputs)} inputs")
        if any(need and not float_ for need, float_ in zip(needs, floats, strict=True)):
            raise ValueError("needs_input_grad selects an input that is not an array of floats")
        if not any(needs):
            kinds = ", ".join(type(x).__name__ for x in inputs)
            raise ValueError(
                f"gradcheck of a forward and backward needs a float64 array among its inputs, but got {kinds}"
            )
        return _Pair(func, inputs, options, needs)
    if options or needs_input_grad is not None:
        raise TypeError("options and needs_input_grad are only for a forward and backward on arrays; use a lambda here")
    tensors = {f"input {i}": x for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad}
    name = getattr(func, "__name__", type(func).__name__).replace("<lambda>", "function")
    if isinstance(func, Module):
        name = type(func).__name__
        tensors |= {name: param for name, param in func.named_parameters() if param.requires_grad}
        if loss_fn is not None and len(inputs) < 2:
            raise ValueError("with loss_fn, inputs are the Module's inputs and then the target; pass at least two")
    elif loss_fn is not None:
        raise TypeError("loss_fn is only for a Module; compute the loss inside the function")
    if not tensors:
        raise ValueError(
            "gradcheck expects at least one input Tensor to require gradient, but none of them does; pass "
            "requires_grad=True where you make it."
        )
    for which, tensor in tensors.items():
        if not tensor.is_leaf:
            raise ValueError(f"{which} is the result of an operation; pass x.detach().requires_grad_() instead")

    def run() -> Any:
        if loss_fn is None:
            return func(*inputs)
        *of_model, target = inputs
        return loss_fn(func(*of_model), target)

    of_tensors = _OfTensors(run, name, tensors)
    if isinstance(func, Module):
        batch = next((x for x in inputs if isinstance(x, Tensor) and x.ndim), None)
        of_tensors.sizes = {} if batch is None else {len(batch): f"the {len(batch)} samples of the batch"}
    return of_tensors

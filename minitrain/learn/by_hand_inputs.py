"""The checks of a network by hand: each compares it with the tape, and names the mistake."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minitrain.learn import network_by_hand
from minitrain.learn.compare_values import CLOSE, difference
from minitrain.learn.further_inputs import LABELS, LOGITS, C, N, instead, like, package_of
from minitrain.learn.measurements import (
    ContractError,
    Found,
    Named,
    Probe,
    _gradcheck,
    as_array,
    frozen,
    noting,
    numbers,
)
from minitrain.ops import Array, Context, Function, Gradients
from minitrain.tensor import wrap

D, H = 4, 5  # inputs and hidden units
_shapes = {"W1": (D, H), "b1": (H,), "W2": (H, C), "b2": (C,)}
_parameters = {name: numbers(*shape, seed=30 + i) for i, (name, shape) in enumerate(_shapes.items())}
_X = numbers(N, D, seed=34)
_BATCHES = {"X (6, 4)": _X, "X (1, 4): one sample": _X[:1]}


def _copied() -> dict[str, Array]:
    """The parameters, in memory of their own."""
    return {name: array.copy() for name, array in _parameters.items()}


def _frozen_parameters() -> dict[str, Array]:
    return {name: frozen(array) for name, array in _parameters.items()}


def _several(returned: Any, function: str, names: tuple[str, ...]) -> tuple[Any, ...]:
    """What a function with several results returned; raises ContractError if it is not a tuple of as many."""
    if isinstance(returned, tuple) and len(returned) == len(names):
        return returned
    raise ContractError(
        f"{function} must return a tuple ({', '.join(names)}), but returned {instead(returned)}", function
    )


def _gradients(returned: Any, function: str) -> dict[str, Array]:
    """The gradients that a function returned; raises ContractError unless they are a dict with the right shapes."""
    if not isinstance(returned, Mapping) or set(returned) != set(_shapes):
        found = instead(returned)
        if isinstance(returned, Mapping):
            found = f"a dict with {', '.join(map(str, returned)) or 'nothing'}."
        raise ContractError(
            f"{function} must return a dict with a gradient for each of {', '.join(_shapes)}, but returned {found}",
            function,
        )
    arrays = {name: as_array(returned[name], f"dL/d{name}", function) for name in _shapes}
    for name, array in arrays.items():
        if array.shape != _shapes[name]:
            raise ContractError(
                f"{function} returned dL/d{name} with shape {list(array.shape)}, but {name} has shape "
                f"{list(_shapes[name])}. A gradient always has the shape of its parameter.",
                function,
            )
    return arrays


@dataclasses.dataclass(frozen=True)
class ForwardByHand(Probe):
    """The forward pass by hand, of six samples and of one."""

    kind = "values"

    def arrays(self) -> Named:
        """hidden and logits. All inputs are read-only."""
        for label, X in _BATCHES.items():
            with noting(label):
                returned = network_by_hand.forward_pass(_frozen_parameters(), frozen(X))
                results = _several(returned, "forward_pass", ("hidden", "logits"))
                for name, value in zip(("hidden", "logits"), results, strict=True):
                    yield f"{label}\n{name}", as_array(value, name, "forward_pass")

    def report(self) -> Found:
        """Whether the ReLU is where it belongs."""
        hidden, logits = network_by_hand.forward_pass(_copied(), _X)
        if (hidden.shape, logits.shape) == ((N, C), (N, H)):
            return Found("hidden and logits are exchanged: return hidden, logits.")
        if hidden.min() < 0:
            return Found(f"hidden contains {hidden.min():.4g}, but max(..., 0) is never negative: the ReLU comes last.")
        if hidden.shape == (N, H) and logits.shape == (N, C) and logits.min() >= 0:
            return Found("No logit is negative, although half of them should be: the second layer has no ReLU.")
        return Found()

    def twin(self, twins: Any) -> Named:
        """hidden and logits of torch's own layers."""
        for label, X in _BATCHES.items():
            for name, array in zip(("hidden", "logits"), twins.two_layers(X, **_parameters), strict=True):
                yield f"{label}\n{name}", array


@dataclasses.dataclass(frozen=True)
class ByHand(Probe):
    """A loss and its gradients, written by hand: measured, and compared with the tape's.

    operation: runs the functions in its forward and backward. inputs: by name. on_tape: the same loss of Tensors,
    minitrain's or torch's. measured: whether to measure numeric gradients. clue: what to think about if the
    loss is wrong.
    """

    kind = "gradcheck"
    label: str
    operation: type[Function]
    inputs: Mapping[str, Array]
    on_tape: Callable[..., Any]
    measured: bool = True
    clue: str = ""

    def arrays(self) -> Named:
        """The loss and the gradients. All inputs are read-only."""
        with noting(self.label):
            ctx = Context((True,) * len(self.inputs))
            loss = self.operation.forward(ctx, *map(frozen, self.inputs.values()))
            yield f"{self.label}\nthe loss", np.array(loss)
            gradients = self.operation.backward(ctx, np.array(1.0))
            several = gradients if isinstance(gradients, tuple) else (gradients,)
            for name, gradient in zip(self.inputs, several, strict=True):
                yield f"{self.label}\ndL/d{name}", np.array(gradient)

    def _on_tape(self) -> Named:
        leaves = {name: wrap(array.copy()).requires_grad_() for name, array in self.inputs.items()}
        loss = self.on_tape(**leaves)
        loss.backward()
        yield f"{self.label}\nthe loss", loss.array
        for name, leaf in leaves.items():
            assert leaf.grad is not None
            yield f"{self.label}\ndL/d{name}", leaf.grad.array

    def report(self) -> Found:
        """Whether the loss is the tape's; then gradcheck's report; then whether the gradients are the tape's."""
        yours, tape = dict(self.arrays()), dict(self._on_tape())
        loss = f"{self.label}\nthe loss"
        if wrong := difference(yours, {loss: tape[loss]}, CLOSE, "the tape has"):
            return Found(f"{wrong} {self.clue}".rstrip())
        measured = Found()
        if self.measured:
            measured = _gradcheck(self.label, self.operation, list(self.inputs.values()), list(self.inputs))
        if measured.wrong is not None:  # without the line of this file where the operation runs
            return Found(re.sub(r"\s*\(line \d+, `[^`]*`\)", "", measured.wrong))
        if wrong := difference(yours, tape, CLOSE, "the tape has"):
            return Found(wrong)
        return Found(right=f"{self.label}: the loss and the gradients equal the tape's", measured=measured.measured)

    def twin(self, twins: Any) -> Named:
        """torch's loss and gradients."""
        loss, gradients = twins.graph(self.on_tape, list(self.inputs.values()), 1, np.ones_like)
        yield f"{self.label}\nthe loss", loss
        for name, gradient in zip(self.inputs, gradients, strict=True):
            yield f"{self.label}\ndL/d{name}", gradient


class CrossEntropy(Function):
    """loss_and_gradient as an operation."""

    @staticmethod
    def forward(ctx: Context, logits: Array) -> Array:
        returned = network_by_hand.loss_and_gradient(logits, LABELS)
        loss, gradient = _several(returned, "loss_and_gradient", ("loss", "grad_logits"))
        ctx.gradient = as_array(gradient, "grad_logits", "loss_and_gradient")
        return as_array(loss, "loss", "loss_and_gradient")

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        return grad_y * ctx.gradient


class Network(Function):
    """The network's loss, with backward_pass as its backward."""

    @staticmethod
    def forward(ctx: Context, W1: Array, b1: Array, W2: Array, b2: Array) -> Array:
        ctx.parameters = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
        ctx.hidden, logits = network_by_hand.forward_pass(ctx.parameters, _X)
        loss, ctx.grad_logits = network_by_hand.loss_and_gradient(logits, LABELS)
        return np.asarray(loss)

    @staticmethod
    def backward(ctx: Context, grad_y: Array) -> Gradients:
        inputs = ctx.parameters, frozen(_X), frozen(ctx.hidden), frozen(grad_y * ctx.grad_logits)
        return tuple(_gradients(network_by_hand.backward_pass(*inputs), "backward_pass").values())


def _cross_entropy(logits: Any) -> Any:
    """The cross-entropy of logits, minitrain's or torch's."""
    return package_of(logits).nn.functional.cross_entropy(logits, like(logits, LABELS))


def _network(W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
    """The network's loss on the tape, minitrain's or torch's."""
    return _cross_entropy((like(W1, _X) @ W1 + b1).relu() @ W2 + b2)


def _likely(yours: Array, right: Array) -> str:
    """The likeliest mistake in an array, as a further line; "" if none is known."""
    from minitrain.diagnosis.autopsy import autopsy  # here, so that a list of exercises is fast

    return "".join(f"\nLikely: {mistake.name}. {mistake.says}" for mistake in autopsy(yours, right)[:1])


@dataclasses.dataclass(frozen=True)
class NumericByHand(Probe):
    """The numeric gradients of the whole network by hand, compared with the tape's."""

    kind = "values"

    def arrays(self) -> Named:
        """Whether each gradient is near the tape's, and the parameters afterwards."""
        tape, parameters = BACKWARD_PASS.tape_gradients(), _copied()
        gradients = _gradients(
            network_by_hand.numeric_gradients(parameters, frozen(_X), frozen(LABELS)), "numeric_gradients"
        )
        for name, gradient in gradients.items():
            close = np.allclose(gradient, tape[name], rtol=1e-5, atol=1e-7)
            yield f"whether dL/d{name} is within 1e-7 of backward's", np.array(close)
        for name, array in parameters.items():
            yield f"{name} afterwards (move each number back)", array

    def report(self) -> Found:
        """Where the gradients differ from the tape's, and why."""
        tape, parameters = BACKWARD_PASS.tape_gradients(), _copied()
        gradients = _gradients(network_by_hand.numeric_gradients(parameters, _X, LABELS), "numeric_gradients")
        for name in parameters:
            if not np.allclose(parameters[name], _parameters[name], rtol=0, atol=1e-9):
                return Found(
                    f"{name} is not as it was before. Move each number back before you move the next one, or all "
                    "further derivatives are measured at another point."
                )
        for name, gradient in gradients.items():
            if np.isnan(gradient).any():
                return Found(f"dL/d{name} contains nan. Is each number written? Begin with np.zeros(array.shape).")
        close = {"float64": (1e-5, 1e-7)}
        yours = {f"dL/d{name}": gradient for name, gradient in gradients.items()}
        expected = {f"dL/d{name}": gradient for name, gradient in tape.items()}
        wrong = difference(yours, expected, close, "the tape's backward has")
        if wrong is None:
            return Found(right="the measured gradients agree with the tape's, for all numbers of the network")
        first = next(name for name in tape if not np.allclose(gradients[name], tape[name], rtol=1e-5, atol=1e-7))
        return Found(wrong + _likely(gradients[first], tape[first]))

    def twin(self, twins: Any) -> Named:
        """Whether the library's numeric gradients are near torch's gradients."""
        measured = network_by_hand.numeric_gradients(_copied(), _X, LABELS)
        _, gradients = twins.graph(_network, list(_parameters.values()), 1, np.ones_like)
        for name, gradient in zip(_parameters, gradients, strict=True):
            close = np.allclose(measured[name], gradient, rtol=1e-5, atol=1e-7)
            yield f"whether dL/d{name} is within 1e-7 of backward's", np.array(close)


@dataclasses.dataclass(frozen=True)
class _WholeNetwork(ByHand):
    def tape_gradients(self) -> dict[str, Array]:
        """The tape's gradients by the parameters' names."""
        prefix = f"{self.label}\ndL/d"
        return {label.removeprefix(prefix): array for label, array in self._on_tape() if label.startswith(prefix)}


_steps = {name: numbers(*shape, seed=40 + i) for i, (name, shape) in enumerate(_shapes.items())}


@dataclasses.dataclass(frozen=True)
class UpdateByHand(Probe):
    """The update by hand, with two learning rates."""

    kind = "values"

    def _updated(self, lr: float) -> dict[str, Array]:
        parameters = _copied()
        network_by_hand.update(parameters, {name: frozen(step) for name, step in _steps.items()}, lr)
        return {name: as_array(parameters.get(name), name, "update") for name in _shapes}

    def arrays(self) -> Named:
        """The parameters after the update. The gradients are read-only."""
        for lr in (0.1, 2.0):
            for name, array in self._updated(lr).items():
                yield f"lr={lr}\n{name} after update", array

    def report(self) -> Found:
        """What is wrong with the first parameter that does not move by -lr times its gradient."""
        for lr in (0.1, 2.0):
            for name, array in self._updated(lr).items():
                moved, due = _parameters[name] - array, lr * _steps[name]
                if not moved.any():
                    return Found(
                        f"{name} has not changed. `W = W - ...` only gives a local name to a new array; write into the "
                        "one in parameters."
                    )
                if not np.allclose(moved, due):
                    text = f"With lr={lr}, {name} does not move by -lr times its gradient."
                    return Found(text + _likely(moved, due))
        return Found()

    def twin(self, twins: Any) -> Named:
        """torch's SGD."""
        for lr in (0.1, 2.0):
            for name, step in _steps.items():
                (after,) = twins.updates("SGD", {"lr": lr}, _parameters[name], [step])
                yield f"lr={lr}\n{name} after update", after


LR, BATCH_SIZE, EPOCHS = 0.3, 4, 2
_samples, _classes = numbers(10, D, seed=46), np.array([2, 0, 1, 2, 2, 0, 1, 1, 0, 2])  # batches of 4, 4 and 2


@dataclasses.dataclass(frozen=True)
class TrainByHand(Probe):
    """The loop by hand, on ten samples in batches of four, four and two."""

    kind = "values"

    def _run(self) -> tuple[list[float], dict[str, Array]]:
        parameters = _copied()
        with noting(f"{len(_samples)} samples and their labels, in batches of {BATCH_SIZE}"):
            losses = network_by_hand.train(parameters, frozen(_samples), frozen(_classes), LR, BATCH_SIZE, EPOCHS)
        if not isinstance(losses, list | tuple):
            raise ContractError(
                f"train must return the list of the batches' losses, but returned {instead(losses)}", "train"
            )
        return [float(as_array(loss, "a loss", "train")) for loss in losses], parameters

    def arrays(self) -> Named:
        """The losses, and the parameters after training."""
        losses, parameters = self._run()
        yield "the number of losses", np.array(len(losses))
        yield "the losses", np.array(losses)
        for name, array in parameters.items():
            yield f"{name} after training", array

    def report(self) -> Found:
        """Which part of the loop is missing or in the wrong place."""
        losses, parameters = self._run()
        whole, rest = divmod(len(_samples), BATCH_SIZE)
        batches = whole + bool(rest)
        what = f"{len(_samples)} samples in batches of {BATCH_SIZE}, {EPOCHS} epochs"
        if len(losses) != batches * EPOCHS:
            return Found(f"{what}: expected {batches * EPOCHS} losses, but got {len(losses)}. {_count(len(losses))}")
        if all(np.array_equal(parameters[name], _parameters[name]) for name in _shapes):
            return Found(
                f"{what}: no parameter has changed. Does each batch call update(parameters, gradients, lr), with the "
                "parameters that train was given?"
            )
        tape = _losses_on_tape()
        for i, (yours, right) in enumerate(zip(losses, tape, strict=True)):
            if not np.isclose(yours, right, rtol=1e-7):
                return Found(
                    f"{what}: loss {i + 1} is {yours:.8g}, but the tape's is {right:.8g}. {_parted(i, losses)}"
                )
        return Found(right="the losses equal those of the same training with the tape")

    def twin(self, twins: Any) -> Named:
        """The same training by torch."""
        losses, parameters = twins.train_two_layers(_parameters, _samples, _classes, LR, BATCH_SIZE, EPOCHS)
        yield "the losses", np.array(losses)
        for name, array in parameters.items():
            yield f"{name} after training", array


def _count(found: int) -> str:
    """Why there are so many losses."""
    whole, rest = divmod(len(_samples), BATCH_SIZE)
    if found == whole * EPOCHS:
        return f"The last batch, of {rest} samples, is dropped: range(0, len(X), batch_size) includes it."
    if found == whole + bool(rest):
        return "That is one epoch. Repeat the loop over the batches; does return stand inside a loop?"
    if found == EPOCHS:
        return "That is one for each epoch; append the loss of each batch."
    return "Append one loss for each batch of each epoch."


def _parted(i: int, losses: list[float]) -> str:
    """What a first difference at loss i suggests."""
    _, logits = network_by_hand.forward_pass(_copied(), _samples)
    if i == 0 and np.isclose(losses[0], network_by_hand.loss_and_gradient(logits, _classes)[0]):
        return "It is the loss of all samples: slice X and labels, start to start + batch_size."
    if i == 0:
        return "The first loss is that of the first batch with the initial parameters, before any update."
    if i == 1:
        return "The first loss is right, so the first update is wrong, or the second batch has the wrong samples."
    if i == 3:
        return "The first epoch is right. The second one begins with the first batch, and the parameters of the first."
    return "All losses before are right."


def _losses_on_tape() -> list[float]:
    """The losses of the same training with the tape."""
    leaves = {name: wrap(array.copy()).requires_grad_() for name, array in _parameters.items()}
    losses = []
    for start in [*range(0, len(_samples), BATCH_SIZE)] * EPOCHS:
        rows = slice(start, start + BATCH_SIZE)
        logits = (wrap(_samples[rows]) @ leaves["W1"] + leaves["b1"]).relu() @ leaves["W2"] + leaves["b2"]
        loss = package_of(logits).nn.functional.cross_entropy(logits, wrap(_classes[rows]))
        loss.backward()
        losses.append(loss.item())
        for leaf in leaves.values():
            assert leaf.grad is not None
            leaf.array -= LR * leaf.grad.array
            leaf.grad = None
    return losses


FORWARD_PASS = ForwardByHand()
LOSS_AND_GRADIENT = ByHand(
    "logits (6, 3)",
    CrossEntropy,
    {"logits": LOGITS},
    _cross_entropy,
    clue="Each row has a softmax of its own (axis=1, keepdims=True), and one number of it counts: [rows, labels]. The "
    "loss is the mean over the rows.",
)
LARGE_LOGITS = ByHand("logits up to 1000", CrossEntropy, {"logits": 500 * LOGITS}, _cross_entropy, measured=False)
BACKWARD_PASS = _WholeNetwork("X (6, 4), 5 hidden units, 3 classes", Network, _parameters, _network)
NUMERIC_GRADIENTS = NumericByHand()
UPDATE = UpdateByHand()
TRAIN = TrainByHand()

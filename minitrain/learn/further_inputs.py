"""The inputs for the exercises' checks, continued: losses, dropout, clipping and schedules."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from minitrain import optim
from minitrain.learn.measurements import (
    Case,
    ContractError,
    Found,
    Graph,
    Named,
    Operation,
    Probe,
    frozen,
    noting,
    numbers,
)
from minitrain.nn import functional
from minitrain.nn.utils import clip_grad
from minitrain.ops import Array
from minitrain.optim import lr_scheduler
from minitrain.random import fork_rng, manual_seed
from minitrain.tensor import Tensor, wrap
from minitrain.torchlike.random import bernoulli


def package_of(tensor: Any) -> Any:
    """The package that a Tensor belongs to: minitrain or torch."""
    return importlib.import_module(type(tensor).__module__.partition(".")[0])


def instead(returned: Any) -> str:
    """What a function returned instead of what it should, in words."""
    if returned is None:
        return "None. Is a return missing?"
    if isinstance(returned, tuple):
        return f"a tuple of {len(returned)}."
    return "an array." if isinstance(returned, np.ndarray | np.generic) else f"a {type(returned).__name__}."


def like(tensor: Any, array: Array) -> Any:
    """An array as a Tensor of the package that another Tensor belongs to."""
    return package_of(tensor).from_numpy(array)


# --- losses -----------------------------------------------------------------------------------------------------------

N, C = 6, 3  # samples and classes
LABELS = np.array([2, 0, 1, 2, 2, 0])
LOGITS = numbers(N, C, seed=35)
_two_ignored, _class_weights = np.array([2, -100, 1, 2, -100, 0]), np.array([0.5, 1.0, 2.5])
_scores = np.exp(numbers(N, C, seed=36))
_probabilities = _scores / _scores.sum(axis=1, keepdims=True)


@dataclasses.dataclass(frozen=True)
class SoftCrossEntropy(Probe):
    """The cross-entropy of soft or smoothed targets, by its formula, by measurement, and by torch.

    target: probabilities in the logits' shape, or labels. Probabilities get gradients, too.
    """

    kind = "gradcheck"
    label: str
    logits: Array
    target: Array
    weight: Array | None = None
    label_smoothing: float = 0.0
    reduction: str = "mean"
    ignore_index: int = -100

    @property
    def _graph(self) -> Graph:
        """The loss as a function of Tensors, minitrain's or torch's."""
        weight = self.weight
        options = {"reduction": self.reduction, "label_smoothing": self.label_smoothing}

        def loss(logits: Any, target: Any) -> Any:
            weights = None if weight is None else like(logits, weight).to(logits.dtype)
            y = package_of(logits).nn.functional.cross_entropy(logits, target, weights, **options)
            if not hasattr(y, "backward"):
                function = (
                    "_loss_of_probabilities" if self.target.dtype.kind == "f" else "cross_entropy_of_soft_targets"
                )
                raise ContractError(f"{function} must return a Tensor, but returned {instead(y)}", function)
            return y

        measured = self.logits.dtype == np.float64
        if self.target.dtype.kind == "f":
            return Graph(self.label, loss, [self.logits, self.target], measured=measured)
        return Graph(self.label, lambda logits: loss(logits, like(logits, self.target)), [self.logits])

    def _formula(self, weight: Array | None, keep: float, share: float, count: float | None = None) -> Array:
        """-Σ_c w[c] · (keep · t[c] + share) · log p[c]. count: what the mean divides by, if not the rows."""
        classes = self.logits.shape[1]
        logits = np.moveaxis(self.logits, 1, -1).reshape(-1, classes)
        w = np.ones(classes) if weight is None else weight
        shifted = logits - logits.max(axis=1, keepdims=True)
        log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        if self.target.dtype.kind == "f":
            target, counts = np.moveaxis(self.target, 1, -1).reshape(-1, classes), np.ones((len(logits), 1))
            right_count: float = len(logits)
        else:
            counts = (self.target.reshape(-1, 1) != self.ignore_index) * 1.0
            target = np.eye(classes)[np.where(counts[:, 0] == 1, self.target.reshape(-1), 0)] * counts
            right_count = float((target * w).sum())
        losses = -(w * (keep * target + share * counts) * log_probs).sum(axis=1)
        if self.reduction == "none":
            return np.asarray(losses.reshape(np.delete(self.logits.shape, 1)))
        return np.asarray(losses.sum() / (1 if self.reduction == "sum" else count or right_count))

    def _suspects(self) -> Iterator[tuple[str, Array]]:
        """What people do wrong, and the loss that it gives."""
        smoothing, classes, weight = self.label_smoothing, self.logits.shape[1], self.weight
        keep, share, rows = 1 - smoothing, smoothing / classes, self.logits.size / classes
        if weight is not None:
            yield "the class weights are left out.", self._formula(None, keep, share)
            by_weights = self._formula(weight, keep, share, weight.sum())
            yield "the mean divides by the sum of the weights, not by the rows.", by_weights
            half = self._formula(None, keep, 0) + self._formula(weight, 0, share)
            yield "the class weights are missing in the label's own loss.", half
        yield "the mean divides by all elements, not by the rows.", self._formula(weight, keep, share, rows * classes)
        if smoothing:
            text = "each class gets label_smoothing; it has to be divided by the number of classes."
            yield text, self._formula(weight, keep, smoothing)
            text = "the target keeps all of its 1; it has to be multiplied by 1 - label_smoothing."
            yield text, self._formula(weight, 1, share)
            text = "label_smoothing and 1 - label_smoothing are exchanged."
            yield text, self._formula(weight, smoothing, keep / classes)
            text = "the share is divided by C - 1. It is spread over all C classes, also the right one."
            yield text, self._formula(weight, keep, smoothing / (classes - 1))
            yield "the targets are not smoothed.", self._formula(weight, 1, 0)

    def arrays(self) -> Named:
        """The loss and the gradients."""
        return self._graph.arrays()

    def report(self) -> Found:
        """Which mistake gives this loss, if it is not the formula's; otherwise gradcheck's report."""
        (_, y), *_ = self.arrays()
        rtol = 1e-4 if self.logits.dtype == np.float32 else 1e-7
        due = self._formula(self.weight, 1 - self.label_smoothing, self.label_smoothing / self.logits.shape[1])
        if y.shape != due.shape:
            sums = "The sum over the classes, axis 1, leaves a loss for each sample."
            return Found(f"Case: {self.label}\ny has shape {list(y.shape)}; expected {list(due.shape)}. {sums}")
        if np.allclose(y, due, rtol):
            return self._graph.report()
        place = tuple(int(i) for i in np.argwhere(~np.isclose(y, due, rtol))[0])
        where = f"y{list(place)}" if place else "y"
        likely = [f"\nLikely: {text}" for text, wrong in self._suspects() if np.allclose(y, wrong, rtol)]
        text = f"{where} is {y[place]:.6g}, but the formula gives {due[place]:.6g}."
        return Found("".join([f"Case: {self.label}\n{text}", *likely[:1]]))

    def twin(self, twins: Any) -> Named:
        """torch's loss and gradients."""
        return self._graph.twin(twins)


SOFT_TARGETS = (
    SoftCrossEntropy("mean", LOGITS, _probabilities),
    SoftCrossEntropy("reduction sum", LOGITS, _probabilities, reduction="sum"),
    SoftCrossEntropy("reduction none", LOGITS, _probabilities, reduction="none"),
    SoftCrossEntropy("each class has a weight", LOGITS, _probabilities, _class_weights),
    SoftCrossEntropy("label_smoothing 0.1", LOGITS, _probabilities, label_smoothing=0.1),
    SoftCrossEntropy(
        "each class has a weight, label_smoothing 0.3, none", LOGITS, _probabilities, _class_weights, 0.3, "none"
    ),
    SoftCrossEntropy(
        "logits (2, 3, 4): the classes are axis 1",
        numbers(2, 3, 4, seed=37),
        numbers(2, 3, 4, seed=38, low=0, high=1),
        _class_weights,
        0.1,
    ),
    SoftCrossEntropy(
        "float32", LOGITS.astype(np.float32), _probabilities.astype(np.float32), _class_weights, label_smoothing=0.1
    ),
)
LABEL_SMOOTHING = (
    SoftCrossEntropy("label_smoothing 0.1", LOGITS, LABELS, label_smoothing=0.1),
    SoftCrossEntropy("label_smoothing 0.3, sum", LOGITS, LABELS, None, 0.3, "sum"),
    SoftCrossEntropy("label_smoothing 0.3, none", LOGITS, LABELS, None, 0.3, "none"),
    SoftCrossEntropy("each class has a weight", LOGITS, LABELS, _class_weights, 0.2),
    SoftCrossEntropy("each class has a weight, two labels are ignored", LOGITS, _two_ignored, _class_weights, 0.2),
    SoftCrossEntropy(
        "logits (2, 3, 4): the classes are axis 1",
        numbers(2, 3, 4, seed=37),
        np.array([[0, 2, 1, 1], [2, 2, 0, 1]]),
        label_smoothing=0.1,
    ),
)

_x34, _t34 = numbers(3, 4, seed=1), np.array([[0.0, 1.0, 1.0, 0.25], [1.0, 0.0, 0.6, 0.0], [0.0, 1.0, 0.0, 1.0]])
_pos_weight = np.array([0.5, 1.0, 3.0, 1.5])
_both, _x_only = (True, True, False), (True, False, False)
BCE_WITH_LOGITS = Operation(
    "BCEWithLogitsLoss",
    [
        Case("no pos_weight", [_x34, _t34, None], needs=_both),
        Case("pos_weight (4,)", [_x34, _t34, _pos_weight], needs=_both),
        Case("the target requires no gradient", [_x34, _t34, _pos_weight], needs=_x_only),
        Case("x from -2000 to 2000", [1000 * _x34, _t34, None], needs=_both, measured=False),
        Case("x from -2000 to 2000, pos_weight (4,)", [1000 * _x34, _t34, _pos_weight], needs=_both, measured=False),
        Case(
            "float32, x (3, 4)",
            [_x34.astype(np.float32), _t34.astype(np.float32), None],
            needs=_both,
            measured=False,
        ),
    ],
)

# --- dropout and clipping ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Dropout(Probe):
    """Dropout in training and in evaluation."""

    kind = "values"

    def _dropped(self, x: Any, p: float, training: bool = True) -> Any:
        y = functional.dropout(x, p, training)
        if isinstance(y, Tensor):
            return y
        raise ContractError(f"dropout must return a Tensor, but returned {instead(y)}", "dropout")

    def arrays(self) -> Named:
        """The result and the gradient for several p, in training and in evaluation."""
        with fork_rng():
            manual_seed(3)
            for p, training, dtype in _DROPOUTS:
                label = _dropout_label(p, training, dtype)
                with noting(label):
                    x = wrap(frozen(numbers(20, 30, seed=50).astype(dtype))).requires_grad_()
                    y = self._dropped(x, p, training)
                    yield f"{label}\ny", y.array.copy()
                    if y.requires_grad:
                        y.backward(wrap(np.ones_like(y.array)))
                    yield f"{label}\ndL/dx", np.zeros(()) if x.grad is None else x.grad.array.copy()

    def report(self) -> Found:
        """What is wrong with the dropout of ones."""
        p, ones = 0.3, np.ones((200, 300))
        with fork_rng():
            manual_seed(3)
            x = wrap(ones.copy()).requires_grad_()
            evaluated, y = self._dropped(x, p, training=False).array, self._dropped(x, p)
        if evaluated.shape != ones.shape or not np.array_equal(evaluated, ones):
            return Found("In evaluation (training is False), y differs from x. Nothing is dropped or scaled there.")
        if (y.array == 0).all(axis=1).any():
            return Found("Whole rows became 0. Each value has a draw of its own: bernoulli(input.shape, 1 - p).")
        zeros = np.mean(y.array == 0)
        if abs(zeros - p) > 0.02:
            text = f"With p={p}, {zeros:.0%} of the values became 0. p is the probability to become 0."
            if abs(zeros - (1 - p)) < 0.02:
                text += " bernoulli(shape, 1 - p) is True for the values to keep."
            return Found(text)
        kept = y.array[y.array != 0]
        if not np.allclose(kept, 1 / (1 - p)):
            return Found(
                f"With p={p}, an x of 1 that was kept became {kept[0]:.4g}; expected 1 / (1 - p) = {1 / (1 - p):.4g}. "
                f"The mean of y is {y.array.mean():.3g}, and should be near that of x, 1."
            )
        with fork_rng():
            manual_seed(3)
            drawn = bernoulli(ones.shape, 1 - p)
        if not np.array_equal(y.array != 0, drawn):
            return Found(
                "The values that were kept are not the ones that random.bernoulli(input.shape, 1 - p) draws, called "
                "once. Use it, so that a seed gives the same network each time."
            )
        if not y.requires_grad:
            return Found("y has no history, so no gradient reaches x. Multiply Tensors: input * wrap(scale).")
        return Found(right=f"with p={p}, {zeros:.0%} of 60,000 ones became 0, and their mean is {y.array.mean():.4f}")

    def twin(self, twins: Any) -> Named:
        """torch's results where nothing is drawn."""
        for p, training, dtype in _DROPOUTS:
            if not training or p in (0, 1):
                x = numbers(20, 30, seed=50).astype(dtype)
                yield f"{_dropout_label(p, training, dtype)}\ny", twins.dropout(x, p, training)


_DROPOUTS = (
    (0.5, True, "float64"),
    (0.2, True, "float32"),
    (0.8, True, "float64"),
    (0.5, False, "float64"),
    (0.0, True, "float64"),
    (1.0, True, "float64"),
)


def _dropout_label(p: float, training: bool, dtype: str) -> str:
    return f"p={p:g}, {'training' if training else 'evaluation'}, {dtype}"


_gradients_to_clip = {"a": numbers(3, 4, seed=51), "b": 3 * numbers(4, seed=52), "c": None}  # c.grad is None


@dataclasses.dataclass(frozen=True)
class Clip(Probe):
    """A clipping function of nn.utils, on the gradients of three parameters.

    bounds: its arguments, in several cases. returns: whether it returns the norm.
    """

    kind = "values"
    name: str
    bounds: tuple[tuple[float, ...], ...]
    returns: bool

    def _clipped(self, bounds: tuple[float, ...]) -> tuple[Any, dict[str, Array]]:
        """What the function returned, and the gradients after it."""
        params = {}
        for name, gradient in _gradients_to_clip.items():
            params[name] = wrap(np.zeros(1 if gradient is None else gradient.shape)).requires_grad_()
            params[name].grad = None if gradient is None else wrap(gradient.copy())
        returned = getattr(clip_grad, self.name)((param for param in params.values()), *bounds)
        if params["c"].grad is not None:
            raise ContractError("c.grad was None, and has to stay None: c has no gradient to clip.", self.name)
        if self.returns and not isinstance(returned, Tensor):
            message = f"{self.name} must return the norm before, as a Tensor, but returned {instead(returned)}"
            raise ContractError(message, self.name)
        after = {name: param.grad for name, param in params.items() if param.grad is not None}
        return returned, {name: grad.array for name, grad in after.items()}

    def arrays(self) -> Named:
        """The norm, if it is returned, and the gradients after the clipping."""
        for bounds in self.bounds:
            with noting(label := f"{self.name}(parameters, {', '.join(map(str, bounds))})"):
                returned, after = self._clipped(bounds)
                if self.returns:
                    yield f"{label}\nthe norm that is returned", returned.array.copy()
                for name, gradient in after.items():
                    yield f"{label}\n{name}.grad", gradient.copy()

    def report(self) -> Found:
        """What is wrong with the first case."""
        bounds = self.bounds[0]
        returned, after = self._clipped(bounds)
        before = {name: gradient for name, gradient in _gradients_to_clip.items() if gradient is not None}
        label = f"{self.name}(parameters, {', '.join(map(str, bounds))})"
        if all(np.array_equal(after[name], before[name]) for name in before):
            return Found(
                f"{label} has changed no gradient. Write into grad.array. (parameters may be a generator, which is "
                "empty the second time: list(parameters) keeps them.)"
            )
        wrong = (
            self._of_norms(bounds[0], returned, before, after) if self.returns else _of_values(bounds[0], before, after)
        )
        return Found(None if wrong is None else f"{label}: {wrong}")

    def _of_norms(self, bound: float, returned: Any, before: dict[str, Array], after: dict[str, Array]) -> str | None:
        norm = float(np.sqrt(sum(np.square(gradient).sum() for gradient in before.values())))
        if np.isclose(returned.item(), bound, rtol=1e-3):
            return f"it returned {bound:g}, the norm after the clipping. Compute the norm first, and return that."
        if not np.isclose(returned.item(), norm, rtol=1e-6):
            return f"it returned {returned.item():.6g}, but the norm of all gradients together, √Σ g², is {norm:.6g}."
        a, b = (float(np.mean(after[name] / before[name])) for name in ("a", "b"))
        if not np.isclose(a, b, rtol=1e-6):
            return f"a.grad was scaled by {a:.4g}, b.grad by {b:.4g}. Only one factor for all keeps the direction."
        _, small = self._clipped((1000.0,))
        if not all(np.allclose(small[name], before[name]) for name in before):
            return (
                f"with a bound of 1000, above the norm {norm:.4g}, the gradients change, too. The factor is at most 1."
            )
        return None

    def twin(self, twins: Any) -> Named:
        """torch's."""
        for bounds in self.bounds:
            label = f"{self.name}(parameters, {', '.join(map(str, bounds))})"
            returned, after = twins.clip(self.name, list(_gradients_to_clip.values()), *bounds)
            if self.returns:
                yield f"{label}\nthe norm that is returned", returned.numpy()
            for name, gradient in zip(_gradients_to_clip, after, strict=False):
                yield f"{label}\n{name}.grad", gradient


def _of_values(bound: float, before: dict[str, Array], after: dict[str, Array]) -> str | None:
    """What is wrong with values that should lie within ±bound."""
    for name, gradient in before.items():
        inside, found = np.abs(gradient) <= bound, after[name]
        if not np.array_equal(found[inside], gradient[inside]):
            return f"values of {name}.grad within ±{bound:g} have changed; they stay as they are."
        if (found[gradient < -bound] < -bound).any():
            return f"{name}.grad still contains {found.min():.4g}. Values below -{bound:g} are clipped as well."
        if (found[~inside] == 0).any():
            return f"values of {name}.grad became 0. A value that is too large becomes the nearest bound, ±{bound:g}."
    return None


CLIP_NORM = Clip("clip_grad_norm_", ((1.0,), (1000.0,), (0.5, float("inf")), (2.0, 1.0)), returns=True)
CLIP_VALUE = Clip("clip_grad_value_", ((0.5,), (1000.0,), (2.5,)), returns=False)

# --- schedules --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Schedule(Probe):
    """The rates of a scheduler, epoch by epoch, for an optimizer with two groups.

    formula: the rate of an epoch from the initial one. clues: what to think about if an epoch is the first wrong one;
    the key "" is for all others. own: a rate that the program itself sets in the fifth epoch.
    """

    kind = "values"
    name: str
    options: dict[str, Any]
    epochs: int
    formula: Callable[[int, float], float]
    clues: Mapping[int | str, str]
    own: float | None = None

    @property
    def _label(self) -> str:
        said = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name}({said})"

    def _rates(self, own: float | None) -> Array:
        """The rates of both groups in each epoch, (epochs, 2)."""
        groups = [{"params": [wrap(np.zeros(1)).requires_grad_()], "lr": lr} for lr in _BASE_LRS]
        optimizer = optim.SGD(groups, lr=1.0)
        scheduler = getattr(lr_scheduler, self.name)(optimizer, **self.options)
        rates = []
        for epoch in range(self.epochs):
            if epoch == 4 and own is not None:
                optimizer.param_groups[0]["lr"] = own
            rates.append([group["lr"] for group in optimizer.param_groups])
            for lr in rates[-1]:
                if isinstance(lr, bool) or not isinstance(lr, float | int | np.floating):
                    function = f"{self.name}.next_lr"
                    raise ContractError(f"{function} must return a number, but returned {instead(lr)}", function)
            optimizer.step()
            scheduler.step()
        return np.array(rates)

    def arrays(self) -> Named:
        """The rates."""
        yield f"{self._label}\nthe rates of both groups in each epoch", self._rates(None)
        if self.own is not None:
            yield f"{self._label}\nthe rates if the program sets {self.own} in epoch 4", self._rates(self.own)

    def report(self) -> Found:
        """The first epoch whose rate is not the formula's."""
        rates = self._rates(None)
        for epoch, (lr, _) in enumerate(rates):
            due = self.formula(epoch, _BASE_LRS[0])
            if not np.isclose(lr, due, rtol=1e-7, atol=1e-12):
                clue = self.clues.get(epoch, self.clues[""])
                return Found(f"{self._label}: in epoch {epoch} the rate is {lr:.6g}, but {due:.6g} is due. {clue}")
        own = self.own or 0.0
        for epoch in range(4, self.epochs if own else 0):
            lr, due = self._rates(own)[epoch, 0], own * self.formula(epoch, 1) / self.formula(4, 1)
            if not np.isclose(lr, due, rtol=1e-7):
                return Found(
                    f"{self._label}: the program sets the rate to {own} in epoch 4. In epoch {epoch} it is "
                    f"{lr:.6g}, but {due:.6g} is due. Compute it from lr, the rate before, not from base_lr."
                )
        return Found(right=f"{self._label}: {self.epochs} rates follow the formula")

    def twin(self, twins: Any) -> Named:
        """torch's rates."""
        no_own: list[float | None] = [None] * self.epochs
        yield (
            f"{self._label}\nthe rates of both groups in each epoch",
            twins.schedule(self.name, self.options, _BASE_LRS, no_own),
        )
        if self.own is not None:
            own = [*no_own[:4], self.own, *no_own[5:]]
            yield (
                f"{self._label}\nthe rates if the program sets {self.own} in epoch 4",
                twins.schedule(self.name, self.options, _BASE_LRS, own),
            )


_BASE_LRS = (0.1, 0.02)
STEP_LR = Schedule(
    "StepLR",
    {"step_size": 3, "gamma": 0.5},
    11,
    lambda epoch, base_lr: base_lr * 0.5 ** (epoch // 3),
    {
        0: "The schedule begins with the rate that the optimizer was given. (0 is a multiple of 3, too.)",
        1: "Before epoch 3 the rate stays as it is.",
        3: "The first factor is due in epoch 3, the second in epoch 6.",
        "": "Each stage multiplies the rate before by gamma, once.",
    },
    own=0.3,
)
COSINE = Schedule(
    "CosineAnnealingLR",
    {"T_max": 6, "eta_min": 0.01},
    16,
    lambda epoch, base_lr: 0.01 + (base_lr - 0.01) * (1 + math.cos(math.pi * epoch / 6)) / 2,
    {
        0: "At epoch 0 the cosine is 1, and the rate is base_lr.",
        7: "After T_max the same wave goes back up.",
        "": "The rate falls from base_lr to eta_min in T_max epochs: half a wave, from cos 0 to cos π.",
    },
)

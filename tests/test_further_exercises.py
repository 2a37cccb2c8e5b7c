"""The later tracks: the network by hand has the tape's gradients, and each wrong answer gets the right words."""

import inspect
import sys
from typing import Any

import numpy as np
import pytest

from minitrain.learn import network_by_hand
from minitrain.learn.compare_values import CLOSE, difference
from minitrain.learn.exercises import EXERCISES
from minitrain.learn.measurements import ContractError
from minitrain.mistakes.catalogue import CATALOGUE
from minitrain.nn import functional as F
from minitrain.tensor import wrap


def test_the_gradients_by_hand_are_the_tapes() -> None:
    random = np.random.default_rng(0)
    shapes = {"W1": (7, 9), "b1": (9,), "W2": (9, 4), "b2": (4,)}
    parameters = {name: random.normal(size=shape) for name, shape in shapes.items()}
    X, labels = random.normal(size=(11, 7)), random.integers(4, size=11)

    leaves = {name: wrap(array.copy()).requires_grad_() for name, array in parameters.items()}
    on_tape = F.cross_entropy(
        (wrap(X) @ leaves["W1"] + leaves["b1"]).relu() @ leaves["W2"] + leaves["b2"], wrap(labels)
    )
    on_tape.backward()

    hidden, logits = network_by_hand.forward_pass(parameters, X)
    loss, grad_logits = network_by_hand.loss_and_gradient(logits, labels)
    assert loss == pytest.approx(on_tape.item(), rel=1e-12)
    by_hand = network_by_hand.backward_pass(parameters, X, hidden, grad_logits)
    numeric = network_by_hand.numeric_gradients(parameters, X, labels)
    for name, leaf in leaves.items():
        assert leaf.grad is not None
        np.testing.assert_allclose(by_hand[name], leaf.grad.array, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(numeric[name], leaf.grad.array, rtol=1e-5, atol=1e-8)


NAMED = {
    "soft-targets-without-weights": "the class weights are left out",
    "soft-targets-mean-over-weights": "the mean divides by the sum of the weights",
    "soft-targets-mean-over-elements": "the mean divides by all elements",
    "soft-targets-smoothing-not-taken-away": "multiplied by 1 - label_smoothing",
    "soft-targets-smoothing-not-divided": "divided by the number of classes",
    "soft-targets-of-the-samples": "leaves a loss for each sample",
    "label-smoothing-not-divided": "divided by the number of classes",
    "label-smoothing-without-one-minus": "multiplied by 1 - label_smoothing",
    "label-smoothing-swapped": "are exchanged",
    "label-smoothing-forgets-the-weights": "missing in the label's own loss",
    "label-smoothing-over-the-others": "divided by C - 1",
    "bce-with-logits-overflows": "is inf",
    "bce-with-logits-by-the-sigmoid": "is nan",
    "bce-with-logits-of-the-other-class": "y at [0, 0] is 0.87",
    "bce-with-logits-weights-every-example": "y at [0, 0] is 0.10",
    "bce-with-logits-mean": "y has shape []",
    "bce-with-logits-target-minus-s": "The sign is wrong",
    "bce-with-logits-overflows-backward": "is nan",
    "bce-with-logits-by-the-squared-error": "sigmoid",
    "bce-with-logits-forgets-the-weight": "uses pos_weight as if it were 1",
    "dropout-not-scaled": "that was kept became 1; expected 1 / (1 - p)",
    "dropout-scaled-by-p": "that was kept became 3.333",
    "dropout-keeps-what-it-should-drop": "is True for the values to keep",
    "dropout-also-in-evaluation": "In evaluation (training is False), y differs from x",
    "dropout-scaled-in-evaluation": "Nothing is dropped or scaled there",
    "dropout-off-the-tape": "y has no history",
    "dropout-of-whole-rows": "Whole rows became 0",
    "clip-norm-of-each": "Only one factor for all",
    "clip-norm-always": "the factor is at most 1",
    "clip-norm-returns-the-norm-after": "the norm after the clipping",
    "clip-norm-clips-a-copy": "has changed no gradient",
    "clip-norm-squared": "√Σ g², is 8.66734",
    "clip-value-above-only": "are clipped as well",
    "clip-value-of-a-copy": "has changed no gradient",
    "clip-value-to-zero": "becomes the nearest bound",
    "clip-value-as-a-norm": "within ±0.5 have changed",
    "step-lr-every-epoch": "in epoch 0 the rate is 0.05",
    "step-lr-at-once": "begins with the rate that the optimizer was given",
    "step-lr-one-too-late": "The first factor is due in epoch 3",
    "step-lr-from-the-initial-rate": "multiplies the rate before",
    "step-lr-subtracts": "the rate is -0.4",
    "cosine-not-halved": "At epoch 0 the cosine is 1",
    "cosine-in-degrees": "in epoch 1 the rate is 0.0619413",
    "cosine-a-whole-wave": "half a wave",
    "cosine-eta-min-added": "in epoch 0 the rate is 0.11",
    "cosine-of-the-rate-before": "in epoch 2",
    "cosine-stops-at-the-minimum": "goes back up",
    "hand-without-relu": "never negative",
    "hand-relu-before-the-bias": "the ReLU comes last",
    "hand-relu-at-the-output": "the second layer has no ReLU",
    "hand-forward-returns-logits-only": "must return a tuple (hidden, logits), but returned one array",
    "hand-loss-overflows": "the loss is inf",
    "hand-gradient-not-divided": "Divide by N = 6",
    "hand-gradient-without-the-one": "one-hot-missing",
    "hand-gradient-of-the-label-only": "Only the right class gets a gradient",
    "hand-loss-summed": "the loss is 13.0",
    "hand-backward-without-relu": "mask-missing",
    "hand-backward-mask-of-the-gradient": "a comparison",
    "hand-backward-bias-averaged": "The gradient of b2 is 6 times too small",
    "hand-backward-transposed": "W2 has shape [5, 3]. A gradient always has the shape of its parameter",
    "hand-backward-bias-of-the-first-row": "The gradient of b1 is that of the first index",
    "hand-numeric-does-not-restore": "Move each number back",
    "hand-numeric-one-step": "2 times what it should be",
    "hand-numeric-of-weights-only": "dL/db1 at [0] is 0",
    "hand-numeric-sign": "the gradient points the other way",
    "hand-update-uphill": "the gradient points the other way",
    "hand-update-rebinds": "a local name to a new array",
    "hand-update-without-lr": "the gradient is 10 times",
    "hand-update-of-weights-only": "b1 has not changed",
    "hand-train-drops-the-last-batch": "The last batch, of 2 samples, is dropped",
    "hand-train-without-update": "no parameter has changed",
    "hand-train-loss-after-the-update": "before any update",
    "hand-train-one-epoch": "That is one epoch",
    "hand-train-returns-early": "does return stand inside a loop?",
    "read-shapes-of-the-batch": "b was broadcast to 2 rows",
    "read-shapes-of-the-data": "Does x require a gradient?",
    "read-shapes-without-the-one": "with the axes of size 1",
    "read-shapes-transposed": "so that an optimizer can subtract it from W",
    "read-shapes-of-a-number": "a Tensor without axes",
    "read-none-behind-relu": "What does it bring along?",
    "read-zero-behind-detach": "What does detach() do",
    "read-zero-where-unused": "does the loss depend on score?",
    "read-none-times-zero": "Does it arrive at times_zero?",
    "read-numbers-in-between": "which Tensors keep theirs",
    "read-tape-in-program-order": "begins with the operation that made the loss",
    "read-tape-h-is-copied": "listed once, however often",
    "read-tape-data-gets-a-gradient": "does x require a gradient?",
    "read-tape-leaves-by-creation": "The first leaf that the list meets is leaf 1",
    "read-order-depth-first": "Another operation that used u has not been visited yet",
    "read-order-forward": "Number 1 is not 'h'",
    "read-order-visits-all": "Can it reach size from there?",
    "read-order-visits-twice": "The first 4 are right. Number 5 is not 'h'",
}


TRACKS = {"Losses", "Regularization", "Learning rate schedules", "A network by hand", "Reading"}


def test_there_are_words_for_every_mistake() -> None:
    tracks = [exercise for exercise in EXERCISES.values() if exercise.track in TRACKS]
    assert {fault for exercise in tracks for fault in exercise.faults} == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_a_mistake_gets_the_right_words(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (exercise,) = [exercise for exercise in EXERCISES.values() if name in exercise.faults]
    specimen, piece = CATALOGUE[name], exercise.piece
    exercise.expected  # noqa: B018  computed here, with the library's function
    module: Any = sys.modules[piece.module]
    if piece.class_name:
        holder = getattr(module, piece.class_name)
        static = isinstance(inspect.getattr_static(holder, piece.function_name), staticmethod)
        monkeypatch.setattr(
            holder, piece.function_name, staticmethod(specimen.function) if static else specimen.function
        )
    else:
        monkeypatch.setattr(module, piece.name, specimen.function)
    try:
        with np.errstate(all="ignore"):
            arrays = exercise.arrays()
            found = [probe.report().wrong for probe in exercise.probes]
        found += [difference(arrays, exercise.expected, CLOSE, "the library has")]
        wrong = next(text for text in found if text is not None)
    except ContractError as error:
        wrong = str(error)
    assert NAMED[name] in " ".join(wrong.split())

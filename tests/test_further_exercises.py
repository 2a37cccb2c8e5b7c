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


TRACKS = {"A network by hand", "Reading"}


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

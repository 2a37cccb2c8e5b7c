"""The network by hand: its gradients are the tape's, and each mistake in it is named."""

import numpy as np
import pytest

from minitrain.learn import network_by_hand
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
}


def test_there_are_words_for_every_mistake() -> None:
    track = [exercise for exercise in EXERCISES.values() if exercise.track == "A network by hand"]
    assert {fault for exercise in track for fault in exercise.faults} == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_a_mistake_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (exercise,) = [exercise for exercise in EXERCISES.values() if name in exercise.faults]
    specimen = CATALOGUE[name]
    monkeypatch.setattr(network_by_hand, exercise.piece.name, specimen.function)
    try:
        with np.errstate(all="ignore"):
            exercise.arrays()
            wrong = next(found.wrong for probe in exercise.probes if (found := probe.report()).wrong is not None)
    except ContractError as error:
        wrong = str(error)
    assert wrong is not None
    assert NAMED[name] in " ".join(wrong.split())

"""The later tracks: the network by hand has the tape's gradients, and each wrong answer gets the right words."""

import numpy as np
import pytest

from minitrain.learn import network_by_hand
from minitrain.learn.compare_values import CLOSE, difference
from minitrain.learn.exercises import EXERCISES
from minitrain.learn.measurements import ContractError
from minitrain.mistakes.catalogue import CATALOGUE
from minitrain.nn import functional as F
from minitrain.tensor import wrap
from tests.exercise_words import NAMED
from tests.planted import planted


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


TRACKS = {"Losses", "Regularization", "Learning rate schedules", "A network by hand", "Reading"}


def test_there_are_words_for_every_mistake() -> None:
    tracks = [exercise for exercise in EXERCISES.values() if exercise.track in TRACKS]
    assert {fault for exercise in tracks for fault in exercise.faults} == NAMED.keys()


@pytest.mark.parametrize("name", NAMED)
def test_a_mistake_gets_the_right_words(name: str) -> None:
    (exercise,) = [exercise for exercise in EXERCISES.values() if name in exercise.faults]
    exercise.expected  # noqa: B018  computed here, with the library's function
    try:
        with planted(CATALOGUE[name]), np.errstate(all="ignore"):
            arrays = exercise.arrays()
            found = [probe.report().wrong for probe in exercise.probes]
        apart = difference(arrays, exercise.expected, CLOSE, "the library has")
        found = [apart, *found] if exercise.piece.function_name == "forward" else [*found, apart]  # as a check does
        wrong = next(text for text in found if text is not None)
    except ContractError as error:
        wrong = str(error)
    assert NAMED[name] in " ".join(wrong.split())

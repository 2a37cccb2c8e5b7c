"""check_loop on further mistakes that people post: each is named, and what resembles it is not."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from minitrain import nn, no_grad, optim
from minitrain.autograd import check_loop
from minitrain.nn import functional as F
from minitrain.optim.lr_scheduler import ExponentialLR, StepLR

Loop = Callable[..., Any]


def steps(dataloader, model, loss_of, optimizer) -> Iterator[None]:
    """Train with a loss of (scores, labels); yields after each step."""
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_of(model(X), y).backward()
        optimizer.step()
        yield


def names_of(loop: Loop) -> list[str]:
    return [mistake.name for mistake in check_loop(loop).mistakes]


def backward_after_the_loop(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = loss_fn(model(X), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def one_backward_of_all_losses(dataloader, model, loss_fn, optimizer):
    loss = sum(loss_fn(model(X), y) for X, y in dataloader) / len(dataloader)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def backward_again(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward(retain_graph=True)
        loss.backward()
        optimizer.step()


def two_losses_of_one_graph(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        scores = model(X)
        loss_fn(scores, y).backward(retain_graph=True)
        (0.01 * (scores**2).mean()).backward()
        optimizer.step()


def a_new_model_for_each_batch(dataloader, loss_fn):
    for X, y in dataloader:
        model = nn.Sequential(nn.Flatten(), nn.Linear(X[0].numel(), 10))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        loss_fn(model(X), y).backward()
        optimizer.step()


def an_optimizer_for_each_layer(dataloader, model, loss_fn):
    optimizers = [optim.SGD([param], lr=0.1) for param in model.parameters()]
    for X, y in dataloader:
        model.zero_grad()
        loss_fn(model(X), y).backward()
        for optimizer in optimizers:
            optimizer.step()


def a_schedule_for_epochs(dataloader, model, loss_fn, optimizer):
    scheduler = ExponentialLR(optimizer, 0.1)
    for _ in steps(dataloader, model, loss_fn, optimizer):
        scheduler.step()


def a_schedule_for_batches(dataloader, model, loss_fn, optimizer):
    scheduler = ExponentialLR(optimizer, 0.9)
    for _ in steps(dataloader, model, loss_fn, optimizer):
        scheduler.step()


def a_schedule_after_each_epoch(dataloader, model, loss_fn, optimizer):
    scheduler = StepLR(optimizer, 1, 0.01)
    for _ in range(3):
        for _ in steps(dataloader, model, loss_fn, optimizer):
            pass
        scheduler.step()


def softmax_over_the_batch(dataloader, model, optimizer):
    for _ in steps(dataloader, model, lambda scores, y: F.nll_loss(F.log_softmax(scores, 0), y), optimizer):
        pass


def probabilities_over_the_batch(dataloader, model, loss_fn, optimizer):
    for _ in steps(dataloader, model, lambda scores, y: loss_fn(scores.softmax(0), y), optimizer):
        pass


def contrastive_in_both_directions(dataloader, model, optimizer):
    def loss_of(scores, y):
        return -(F.log_softmax(scores, 0).mean() + F.log_softmax(scores, 1).mean())

    for _ in steps(dataloader, model, loss_of, optimizer):
        pass


def sigmoid_before(dataloader, model, loss_fn, optimizer):
    for _ in steps(dataloader, model, lambda scores, y: loss_fn(scores.sigmoid(), y), optimizer):
        pass


def a_gate_by_a_sigmoid(dataloader, model, loss_fn, optimizer):
    for _ in steps(dataloader, model, lambda scores, y: loss_fn(scores * scores.sigmoid(), y), optimizer):
        pass


def the_loss_of_an_argmax(dataloader, model, optimizer):
    def loss_of(scores, y):
        return F.mse_loss(scores.argmax(1).float().requires_grad_(), y.float())

    for _ in steps(dataloader, model, loss_of, optimizer):
        pass


def clipped_in(order: str) -> Loop:
    """A loop that clips at the place of the c in an order of backward, clip and step, by their first letters."""

    def loop(dataloader, model, loss_fn, optimizer):
        for X, y in dataloader:
            optimizer.zero_grad()
            loss = loss_fn(model(X), y)
            for act in order:
                if act == "b":
                    loss.backward()
                elif act == "c":
                    nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.01)
                elif act == "n":
                    nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
                else:
                    optimizer.step()

    loop.__name__ = order
    return loop


NAMED: list[tuple[str, Loop]] = [
    ("clipped-without-effect", clipped_in("cbs")),
    ("clipped-without-effect", clipped_in("bsc")),
    ("backward-outside-loop", backward_after_the_loop),
    ("backward-twice", backward_again),
    ("model-made-again", a_new_model_for_each_batch),
    ("schedule-per-batch", a_schedule_for_epochs),
    ("softmax-over-batch", softmax_over_the_batch),
    ("softmax-over-batch", probabilities_over_the_batch),
    ("sigmoid-before-cross-entropy", sigmoid_before),
    ("loss-detached", the_loss_of_an_argmax),
]
NEAR_MISSES = [
    clipped_in("bcs"),
    clipped_in("bsn"),
    one_backward_of_all_losses,
    two_losses_of_one_graph,
    an_optimizer_for_each_layer,
    a_schedule_for_batches,
    a_schedule_after_each_epoch,
    contrastive_in_both_directions,
    a_gate_by_a_sigmoid,
]


@pytest.mark.parametrize(("name", "loop"), NAMED, ids=[loop.__name__ for _, loop in NAMED])
def test_the_mistake_is_named_first(name: str, loop: Loop) -> None:
    assert names_of(loop)[:1] == [name]


@pytest.mark.parametrize("loop", NEAR_MISSES, ids=[loop.__name__ for loop in NEAR_MISSES])
def test_what_resembles_it_is_right(loop: Loop) -> None:
    assert not {name for name, _ in NAMED} & {*names_of(loop)}


def the_first_batch_again(dataloader, model, loss_fn, optimizer):
    for _ in range(len(dataloader)):
        for _ in steps([next(iter(dataloader))], model, loss_fn, optimizer):
            pass


def one_batch_to_overfit(dataloader, model, loss_fn, optimizer):
    batch = next(iter(dataloader))
    for _ in range(5):
        for _ in steps([batch], model, loss_fn, optimizer):
            pass


def far_too_fast(dataloader, model, loss_fn):
    for _ in steps(dataloader, model, loss_fn, optim.SGD(model.parameters(), lr=1e4)):
        pass


def negated(dataloader, model, loss_fn, optimizer):
    for _ in steps(dataloader, model, lambda scores, y: -loss_fn(scores, y), optimizer):
        pass


def negated_and_maximized(dataloader, model, loss_fn):
    optimizer = optim.SGD(model.parameters(), lr=0.1, maximize=True)
    for _ in steps(dataloader, model, lambda scores, y: -loss_fn(scores, y), optimizer):
        pass


def one_class_for_all(dataloader, model, loss_fn, optimizer):
    for _ in steps(dataloader, model, lambda scores, y: loss_fn(scores, 0 * y), optimizer):
        pass


def the_labels_of_the_batch(dataloader, model, loss_fn, optimizer):
    for _ in steps(dataloader, model, loss_fn, optimizer):
        pass


NOTED = [
    ("first batch", the_first_batch_again),
    ("The loss grows", far_too_fast),
    ("negated", negated),
    ("same class", one_class_for_all),
]


@pytest.mark.parametrize(("words", "loop"), NOTED, ids=[loop.__name__ for _, loop in NOTED])
def test_what_may_be_meant_is_noted(words: str, loop: Loop) -> None:
    report = check_loop(loop)
    assert report.ok, report
    assert any(words in note for note in report.notes), report


@pytest.mark.parametrize("loop", [one_batch_to_overfit, negated_and_maximized, the_labels_of_the_batch])
def test_an_ordinary_loop_has_no_such_note(loop: Loop) -> None:
    report = check_loop(loop)
    assert report.ok, report
    assert not any(words in note for words, _ in NOTED for note in report.notes), report


def test_an_accuracy_of_the_last_batch_alone() -> None:
    def loop(dataloader, model):
        model.eval()
        with no_grad():
            for X, y in dataloader:
                correct = (model(X).argmax(1) == y).sum().item()
        return correct / len(dataloader.dataset)

    assert names_of(loop) == ["last-batch-only"]

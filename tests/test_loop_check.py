"""check_loop: right loops, in the many ways people write them, are called right; each mistake in one is named."""

import copy
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minitrain as torch
from minitrain import nn, optim
from minitrain.autograd import check_loop
from minitrain.data.dataset import TensorDataset
from minitrain.data.loader import DataLoader
from minitrain.learn.checking import check
from minitrain.learn.exercises import EXERCISES
from minitrain.loops import test_loop as the_tutorials_test
from minitrain.loops import train_loop
from minitrain.nn import functional as F
from minitrain.optim.lr_scheduler import StepLR

Loop = Callable[..., Any]
RIGHT: list[Loop] = [train_loop]
WRONG: list[tuple[str, Loop]] = []


def right(loop: Loop) -> Loop:
    RIGHT.append(loop)
    return loop


def wrong(name: str) -> Callable[[Loop], Loop]:
    def add(loop: Loop) -> Loop:
        WRONG.append((name, loop))
        return loop

    return add


# --- right, as people write it ----------------------------------------------------------------------------------------


@right
def tutorial(dataloader, model, loss_fn, optimizer):
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader):
        pred = model(X)
        loss = loss_fn(pred, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if batch % 100 == 0:
            loss, current = loss.item(), batch * dataloader.batch_size + len(X)
            print(f"loss: {loss:>7f}  [{current:>5d}/{size:>5d}]")


@right
def zeroed_first(model, train_loader, criterion, optimizer, device, epoch):
    running_loss = 0.0
    for i, data in enumerate(train_loader, 0):
        inputs, labels = data
        inputs, labels = inputs.to(device), labels.to(device)
        optimizer.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 2 == 1:
            print(f"[{epoch + 1}, {i + 1:5d}] loss: {running_loss / 2:.3f}")
            running_loss = 0.0
    return running_loss


@right
def set_to_zero(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad(set_to_none=False)
        loss_fn(model(X), y).backward()
        optimizer.step()


@right
def by_the_model(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        model.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@right
def grad_is_none(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        for p in model.parameters():
            p.grad = None
        loss_fn(model(X), y).backward()
        optimizer.step()


@right
def zeroed_right_before_backward(a, b, c, d):
    for X, y in a:
        loss = c(b(X), y)
        d.zero_grad()
        loss.backward()
        d.step()


@right
def accumulating(dataloader, model, loss_fn, optimizer, accumulation_steps=2):
    optimizer.zero_grad()
    for i, (X, y) in enumerate(dataloader):
        loss = loss_fn(model(X), y) / accumulation_steps
        loss.backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()


@right
def accumulating_sixteen(dataloader, model, loss_fn, optimizer):
    for i, (X, y) in enumerate(dataloader):
        (loss_fn(model(X), y) * (1 / 16)).backward()
        if (i + 1) % 16 == 0 or i + 1 == len(dataloader):
            optimizer.step()
            optimizer.zero_grad()


@right
def accumulating_without_the_rest(dataloader, model, loss_fn, optimizer):
    for i, (X, y) in enumerate(dataloader):
        loss = loss_fn(model(X), y) / 32
        loss.backward()
        if (i + 1) % 32 == 0:
            optimizer.step()
            optimizer.zero_grad()


@right
def gradients_divided(dataloader, model, loss_fn, optimizer):
    for i, (X, y) in enumerate(dataloader):
        loss_fn(model(X), y).backward()
        if i % 2:
            for p in model.parameters():
                p.grad /= 2
            optimizer.step()
            optimizer.zero_grad()


@right
def losses_added_up_first(dataloader, model, loss_fn, optimizer):
    total = 0
    for X, y in dataloader:
        total = total + loss_fn(model(X), y) / len(dataloader)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()


@right
def sum_of_all_samples(dataloader, model, optimizer):
    optimizer.zero_grad()
    for X, y in dataloader:
        loss = F.cross_entropy(model(X), y, reduction="sum") / len(dataloader.dataset)
        loss.backward()
    optimizer.step()


@right
def clipped(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()


@right
def scheduled(dataloader, model, loss_fn, optimizer, scheduler):
    for X, y in dataloader:
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


@right
def with_adam_and_decay(dataloader, model):
    optimizer = optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for X, y in dataloader:
        loss = F.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@right
def with_momentum(dataloader, model):
    optimizer = optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, nesterov=True)
    for X, y in dataloader:
        loss = F.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@right
def by_hand(dataloader, model, loss_fn):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad
        model.zero_grad()


@right
def by_hand_and_zero(dataloader, model, loss_fn):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        for p in model.parameters():
            p.data.add_(p.grad.data, alpha=-0.01)
            p.grad.data.zero_()


@right
def with_accuracy_and_penalty(dataloader, model, loss_fn, optimizer):
    correct = total = 0
    for X, y in dataloader:
        pred = model(X)
        penalty = sum((p**2).sum() for p in model.parameters())
        loss = loss_fn(pred, y) + 1e-4 * penalty
        optimizer.zero_grad()
        loss.backward()
        correct += (pred.softmax(1).argmax(1) == y).sum().item()
        optimizer.step()
        total += len(y)
    return correct / total


@right
def two_losses_of_a_batch(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        loss_fn(model(X + 0.1), y).backward()
        optimizer.step()


@right
def log_softmax_and_nll(dataloader, model, optimizer):
    for X, y in dataloader:
        loss = F.nll_loss(F.log_softmax(model(X), dim=1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@right
def a_warm_up_step(dataloader, model, loss_fn, optimizer, scheduler):
    optimizer.zero_grad()
    optimizer.step()
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        optimizer.step()
        optimizer.zero_grad()
    scheduler.step()


@right
def shuffled_together(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        order = torch.randperm(len(X))
        optimizer.zero_grad()
        loss_fn(model(X[order]), y[order]).backward()
        optimizer.step()


@right
def step(X, y, model, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(X), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@right
def step_of_a_batch(model, batch, optimizer):
    images, labels = batch
    loss = F.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


@right
def epochs_and_a_validation(model, train_loader, val_loader, criterion, optimizer, num_epochs=20):
    for _ in range(num_epochs):
        model.train()
        for X, y in train_loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for X, y in val_loader:
                criterion(model(X), y).item()


@right
def weights_clipped_and_averaged(dataloader, model, loss_fn, optimizer):
    average = copy.deepcopy(model)
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()
        with torch.no_grad():
            for mean, p in zip(average.parameters(), model.parameters(), strict=True):
                p.clamp_(-0.5, 0.5)
                mean.mul_(0.9).add_(p, alpha=0.1)


@right
def losses_as_detached_tensors(dataloader, model, loss_fn, optimizer):
    losses = []
    for X, y in dataloader:
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean()


@right
def functional_gradients(dataloader, model, loss_fn):
    for X, y in dataloader:
        gradients = torch.autograd.grad(loss_fn(model(X), y), list(model.parameters()))
        with torch.no_grad():
            for p, grad in zip(model.parameters(), gradients, strict=True):
                p -= 0.01 * grad


@right
def the_tutorials_own_test(dataloader, model, loss_fn):
    size, num_batches = len(dataloader.dataset), len(dataloader)
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for X, y in dataloader:
            pred = model(X)
            test_loss += loss_fn(pred, y).item()
            correct += (pred.argmax(1) == y).type(torch.float).sum().item()
    test_loss /= num_batches
    correct /= size
    print(f"Test Error: \n Accuracy: {(100 * correct):>0.1f}%, Avg loss: {test_loss:>8f} \n")


@right
def a_test_weighted_by_samples(model, test_loader, criterion):
    model.eval()
    loss = correct = count = 0
    with torch.inference_mode():
        for images, labels in test_loader:
            outputs = model(images)
            loss += criterion(outputs, labels) * len(labels)
            correct += (outputs.argmax(dim=1) == labels).sum()
            count += labels.size(0)
    return {"loss": (loss / count).item(), "accuracy": 100 * correct / count}


@right
@torch.no_grad()
def a_decorated_test(net, testloader):
    net.eval()
    return sum((net(X).argmax(1) == y).sum().item() for X, y in testloader) / len(testloader.dataset)


@right
def a_test_of_a_list(dataloader, model):
    model.eval()
    with torch.no_grad():
        correct = sum((model(X).argmax(1) == y).sum().item() for X, y in list(dataloader))
    return correct / len(dataloader.dataset)


@right
def a_test_that_returns_the_sum(dataloader, model, loss_fn):
    model.eval()
    with torch.no_grad():
        return sum(loss_fn(model(X), y).item() for X, y in dataloader)


@right
def a_test_with_attacks(model, test_loader):
    model.eval()
    correct = 0
    for X, y in test_loader:
        X.requires_grad = True
        loss = F.cross_entropy(model(X), y)
        model.zero_grad()
        loss.backward()
        correct += (model(X + 0.1 * X.grad.sign()).argmax(1) == y).sum().item()
    return correct / len(test_loader.dataset)


@right
def loading_ahead(dataloader, model, loss_fn, optimizer):
    batches = iter(dataloader)
    batch = next(batches)
    while batch is not None:
        X, y = batch
        batch = next(batches, None)
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@right
def mixed_up_inside(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        order = torch.randperm(len(X))
        pred = model(X)
        pred = 0.7 * pred + 0.3 * pred[order]
        loss = 0.7 * loss_fn(pred, y) + 0.3 * loss_fn(pred, y[order])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("loop", RIGHT, ids=lambda loop: loop.__name__)
def test_a_right_loop_is_called_right(loop: Loop) -> None:
    report = check_loop(loop)
    assert report.ok, report
    assert report.batches >= 5
    assert str(report).startswith(f"The {report.kind} loop is right (")


def test_there_are_enough_of_both_kinds() -> None:
    assert len(RIGHT) >= 12
    assert len(WRONG) >= 16


# --- wrong ------------------------------------------------------------------------------------------------------------


@wrong("gradients-not-zeroed")
def never_zeroed(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("gradients-not-zeroed")
def zeroed_once_an_epoch(model, loader, criterion, opt):
    opt.zero_grad()
    for X, y in loader:
        criterion(model(X), y).backward()
        opt.step()


@wrong("gradients-not-zeroed")
def a_bias_is_never_zeroed(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        optimizer.step()
        for p in model.parameters():
            if p.ndim > 1:
                p.grad = None


@wrong("gradients-not-zeroed")
def by_hand_and_never_zeroed(dataloader, model, loss_fn):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.01 * p.grad


@wrong("gradients-not-zeroed")
def another_optimizer_zeroed(dataloader, model, loss_fn, optimizer):
    other = optim.SGD([torch.zeros(3, requires_grad=True)], lr=0.1)
    for X, y in dataloader:
        other.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("gradients-zeroed-too-early")
def zeroed_in_between(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()


@wrong("gradients-zeroed-too-early")
def zeroed_by_the_model_in_between(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        model.zero_grad(set_to_none=False)
        optimizer.step()


@wrong("step-before-backward")
def step_first(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = loss_fn(model(X), y)
        optimizer.step()
        loss.backward()
        optimizer.zero_grad()


@wrong("step-before-backward")
def step_first_with_the_last_gradient(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = loss_fn(model(X), y)
        optimizer.step()
        optimizer.zero_grad()
        loss.backward()


@wrong("step-before-backward")
def step_first_in_a_step(X, y, model, loss_fn, optimizer):
    optimizer.zero_grad()
    loss = loss_fn(model(X), y)
    optimizer.step()
    loss.backward()


@wrong("no-step")
def no_step(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss_fn(model(X), y).backward()
        optimizer.zero_grad()


@wrong("no-step")
def step_is_not_called(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step  # noqa: B018  the parentheses are missing


@wrong("no-backward")
def no_backward(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss_fn(model(X), y)
        optimizer.step()
        optimizer.zero_grad()


@wrong("no-backward")
def backward_of_a_copy(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = torch.tensor(loss_fn(model(X), y).item(), requires_grad=True)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("gradients-unused")
def step_once_an_epoch(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
    optimizer.step()


@wrong("step-twice")
def stepped_twice(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()
        optimizer.step()


@wrong("other-parameters")
def another_models_parameters(dataloader, model, loss_fn):
    optimizer = optim.SGD(nn.Linear(4, 2).parameters(), lr=0.1)
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("other-parameters")
def a_copy_is_trained(dataloader, model, loss_fn, optimizer):
    model = copy.deepcopy(model)
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("loss-not-divided")
def not_divided(dataloader, model, loss_fn, optimizer, accumulation_steps=2):
    for i, (X, y) in enumerate(dataloader):
        loss_fn(model(X), y).backward()
        if (i + 1) % accumulation_steps == 0:
            optimizer.step()
            optimizer.zero_grad()


@wrong("loss-not-divided")
def eight_not_divided(dataloader, model, loss_fn, optimizer):
    optimizer.zero_grad()
    for i, (X, y) in enumerate(dataloader):
        loss = loss_fn(model(X), y)
        loss.backward()
        if i % 8 == 7:
            optimizer.step()
            optimizer.zero_grad()


@wrong("loss-not-divided")
def added_up_and_not_divided(dataloader, model, loss_fn, optimizer):
    total = 0
    for X, y in dataloader:
        total = total + loss_fn(model(X), y)
    optimizer.zero_grad()
    total.backward()
    optimizer.step()


@wrong("mean-divided-again")
def mean_divided_again(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = loss_fn(model(X), y) / len(X)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("softmax-before-cross-entropy")
def softmax_first(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        loss = loss_fn(F.softmax(model(X), dim=1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("softmax-before-cross-entropy")
def softmax_by_hand_first(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        exp = model(X).exp()
        loss = loss_fn(exp / exp.sum(1, keepdim=True), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("softmax-before-nll")
def nll_of_probabilities(dataloader, model, optimizer):
    for X, y in dataloader:
        loss = F.nll_loss(model(X).softmax(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("log-softmax-missing")
def nll_of_scores(dataloader, model, optimizer):
    for X, y in dataloader:
        loss = F.nll_loss(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("sigmoid-before-bce-with-logits")
def sigmoid_first(dataloader, model, optimizer):
    for X, y in dataloader:
        loss = F.binary_cross_entropy_with_logits(model(X).sigmoid(), F.one_hot(y, 10).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("prediction-and-target-broadcast")
def column_against_row(dataloader, model, optimizer):
    for X, y in dataloader:
        pred = model(X)[:, :1]
        loss = ((pred - y.float()) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("labels-shuffled")
def labels_shuffled(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        y = y[torch.randperm(len(y))]
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("labels-shuffled")
def inputs_shuffled(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X[torch.randperm(len(X))]), y).backward()
        optimizer.step()


@wrong("training-in-evaluation-mode")
def trained_in_evaluation_mode(dataloader, model, loss_fn, optimizer):
    model.eval()
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("training-without-graph")
def trained_under_no_grad(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        with torch.no_grad():
            pred = model(X)
        loss = loss_fn(pred, y)
        loss.requires_grad_()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("evaluation-in-training-mode")
def validated_in_training_mode(model, train_loader, val_loader, criterion, optimizer):
    for X, y in train_loader:
        optimizer.zero_grad()
        criterion(model(X), y).backward()
        optimizer.step()
    with torch.no_grad():
        for X, y in val_loader:
            criterion(model(X), y).item()


@wrong("graph-kept")
def losses_added_up_as_tensors(dataloader, model, loss_fn, optimizer):
    total = 0
    for X, y in dataloader:
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        total += loss
    return total / len(dataloader)


@wrong("graph-kept")
def losses_in_a_list(dataloader, model, loss_fn, optimizer):
    losses = []
    for X, y in dataloader:
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return losses


@wrong("backward-twice")
def backward_twice(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss = loss_fn(model(X), y)
        loss.backward()
        loss.backward()
        optimizer.step()


@wrong("graph-of-earlier-batch")
def total_loss_differentiated(dataloader, model, loss_fn, optimizer):
    total = 0
    for X, y in dataloader:
        optimizer.zero_grad()
        total = total + loss_fn(model(X), y)
        total.backward()
        optimizer.step()


@wrong("loss-detached")
def loss_of_the_answers(dataloader, model, optimizer):
    for X, y in dataloader:
        answers = model(X).argmax(1).float()
        loss = F.mse_loss(answers, y.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@wrong("training-without-graph")
def everything_under_no_grad(dataloader, model, loss_fn, optimizer):
    with torch.no_grad():
        for X, y in dataloader:
            optimizer.zero_grad()
            loss_fn(model(X), y).backward()
            optimizer.step()


@wrong("training-in-evaluation-mode")
def never_back_in_training_mode(model, train_loader, val_loader, criterion, optimizer, epochs=10):
    for _ in range(epochs):
        for X, y in train_loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for X, y in val_loader:
                criterion(model(X), y).item()


@wrong("training-on-test-data")
def also_trained_on_the_validation_data(model, train_loader, val_loader, criterion, optimizer):
    for loader in (train_loader, val_loader):
        for X, y in loader:
            optimizer.zero_grad()
            criterion(model(X), y).backward()
            optimizer.step()


@wrong("optimizer-made-again")
def a_new_optimizer_for_each_batch(dataloader, model, loss_fn):
    for X, y in dataloader:
        optimizer = optim.Adam(model.parameters())
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


@wrong("graph-of-earlier-batch")
def the_sum_is_differentiated_again_and_again(dataloader, model, loss_fn, optimizer):
    total = 0
    for X, y in dataloader:
        total = total + loss_fn(model(X), y)
        optimizer.zero_grad()
        total.backward(retain_graph=True)
        optimizer.step()


def parts_of_a_test(dataloader, model, loss_fn, skip=False) -> Iterator[tuple[int, float, int]]:
    """The parts of a right test: correct answers, loss, and size of each batch."""
    model.eval()
    with torch.no_grad():
        for X, y in dataloader:
            if skip and len(X) < dataloader.batch_size:
                continue
            pred = model(X)
            yield (pred.argmax(1) == y).sum().item(), loss_fn(pred, y).item(), len(X)


@wrong("evaluation-in-training-mode")
def a_test_in_training_mode(dataloader, model, loss_fn):
    with torch.no_grad():
        return sum(loss_fn(model(X), y).item() for X, y in dataloader) / len(dataloader)


@wrong("no-grad-missing")
def a_test_with_gradients(dataloader, model, loss_fn):
    model.eval()
    return sum(loss_fn(model(X), y).item() for X, y in dataloader) / len(dataloader)


@wrong("no-grad-missing graph-kept")
def a_test_that_keeps_everything(dataloader, model, loss_fn):
    model.eval()
    return sum(loss_fn(model(X), y) for X, y in dataloader) / len(dataloader)


@wrong("samples-skipped")
def a_test_without_the_last_batch(dataloader, model, loss_fn):
    parts = list(parts_of_a_test(dataloader, model, loss_fn, skip=True))
    return sum(right for right, _, _ in parts) / sum(size for _, _, size in parts)


@wrong("accuracy-over-batches")
def a_test_that_divides_by_batches(dataloader, model, loss_fn):
    correct = sum(right for right, _, _ in parts_of_a_test(dataloader, model, loss_fn))
    print(f"Accuracy: {100 * correct / len(dataloader):.2f}%")


@wrong("loss-over-samples")
def a_test_that_divides_by_samples(dataloader, model, loss_fn):
    return sum(loss for _, loss, _ in parts_of_a_test(dataloader, model, loss_fn)) / len(dataloader.dataset)


@wrong("last-batch-only")
def a_test_of_the_last_batch(dataloader, model, loss_fn):
    return [loss for _, loss, _ in parts_of_a_test(dataloader, model, loss_fn)][-1]


@wrong("smallest-score")
def a_test_of_the_worst_class(dataloader, model, loss_fn):
    model.eval()
    with torch.no_grad():
        return sum((model(X).argmin(1) == y).sum().item() for X, y in dataloader) / len(dataloader.dataset)


@pytest.mark.parametrize(("names", "loop"), WRONG, ids=[loop.__name__ for _, loop in WRONG])
def test_a_mistake_is_named_and_nothing_else(names: str, loop: Loop) -> None:
    report = check_loop(loop)
    assert [mistake.name for mistake in report.mistakes] == names.split(), report
    assert str(report).startswith(f"The {report.kind} loop is wrong (")
    for mistake in report.mistakes:
        assert mistake.says.endswith(".")
        assert any(character.isdigit() for character in mistake.evidence) or "each row" in mistake.evidence


def test_several_mistakes_are_all_named() -> None:
    def loop(dataloader, model, loss_fn, optimizer):
        model.eval()
        for X, y in dataloader:
            loss_fn(model(X).softmax(1), y).backward()
            optimizer.step()

    names = [mistake.name for mistake in check_loop(loop).mistakes]
    assert names == ["gradients-not-zeroed", "softmax-before-cross-entropy", "training-in-evaluation-mode"]


def test_the_evidence_has_the_gradients_sizes() -> None:
    evidence = check_loop(never_zeroed).mistakes[0].evidence
    assert evidence.startswith("the step in batch 5 used the gradients of batches 1, 2, 3, 4 and 5. Its size is ")
    assert "of 2 of" not in evidence
    assert "(of 1.bias, 4.bias; the others are cleared)" in check_loop(a_bias_is_never_zeroed).mistakes[0].evidence


def test_a_test_is_checked_as_it_is_called() -> None:
    assert [mistake.name for mistake in check_loop(the_tutorials_test).mistakes] == ["no-grad-missing"]
    with torch.no_grad():
        assert check_loop(the_tutorials_test).ok


# --- the program's own objects ----------------------------------------------------------------------------------------


class Net(nn.Module):
    """A small network with batch normalization and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3)
        self.calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return self.last(F.dropout(self.norm(self.first(x)).relu(), 0.3, self.training))


def own(samples: int = 100, **options: Any) -> tuple[Any, ...]:
    torch.manual_seed(1)
    X, y = torch.randn(samples, 4), torch.randint(0, 3, (samples,))
    model = Net()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loader = DataLoader(TensorDataset(X, y), batch_size=8, shuffle=True, **options)
    return loader, model, nn.CrossEntropyLoss(), optimizer


def everything(loader: Any, model: Any, optimizer: Any) -> list[Any]:
    """All that a run could change, as plain values."""
    state = [value.array.copy() for value in model.state_dict().values()]
    momentum = [value.array.copy() for kept in optimizer.state.values() for value in kept.values()]
    grads = [None if p.grad is None else p.grad.array.copy() for p in model.parameters()]
    options = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    generator = None if loader.generator is None else loader.generator.get_state().array.copy()
    modes = [module.training for module in model.modules()]
    return [state, momentum, grads, options, generator, modes, model.calls, torch.get_rng_state().array.copy()]


@pytest.mark.parametrize("generator", [False, True])
@pytest.mark.parametrize("loop", [tutorial, never_zeroed, trained_in_evaluation_mode, backward_twice])
def test_the_programs_objects_are_left_as_they_were(loop: Loop, generator: bool) -> None:
    loader, model, loss_fn, optimizer = own(generator=torch.Generator().manual_seed(3) if generator else None)
    scheduler = StepLR(optimizer, 1)
    tutorial(loader, model, loss_fn, optimizer)  # so that there are states and buffers
    loss_fn(model(torch.ones(2, 4)), torch.tensor([0, 1])).backward()
    before, arrays = everything(loader, model, optimizer), [p.array for p in model.parameters()]
    assert check_loop(loop, loader, model, loss_fn, optimizer).ok == (loop is tutorial)
    np.testing.assert_equal(everything(loader, model, optimizer), before)
    assert all(p.array is array for p, array in zip(model.parameters(), arrays, strict=True))
    assert not model._forward_hooks
    assert scheduler.last_epoch == 0
    first = [X.array for X, _ in loader]
    torch.manual_seed(1)
    tutorial(loader, model, loss_fn, optimizer)  # and it goes on as usual
    assert len(first) == 13


def test_after_the_check_training_goes_on_as_if_there_had_been_none() -> None:
    weights = []
    for checked in (False, True):
        loader, model, loss_fn, optimizer = own()
        if checked:
            check_loop(never_zeroed, loader, model, loss_fn, optimizer)
        tutorial(loader, model, loss_fn, optimizer)
        weights.append(model.first.weight.array)
    np.testing.assert_array_equal(*weights)


def test_objects_in_any_order_and_by_name() -> None:
    loader, model, loss_fn, optimizer = own()

    def train_epoch(net: Any, opt: Any, *, data: Any, loss: Any) -> None:
        for X, y in data:
            loss(net(X), y).backward()
            opt.step()

    report = check_loop(train_epoch, model, optimizer, data=loader, loss=loss_fn)
    assert [mistake.name for mistake in report.mistakes] == ["gradients-not-zeroed"]
    assert report.batches == 5


def test_objects_of_an_enclosing_function() -> None:
    loader, model, loss_fn, optimizer = own()

    def train_one_epoch(epoch_index: int) -> float:
        last = 0.0
        for X, y in loader:
            loss = loss_fn(model(X), y)
            loss.backward()
            last = loss.item()
            optimizer.step()
        return last

    before = everything(loader, model, optimizer)
    report = check_loop(train_one_epoch, 0)
    assert [mistake.name for mistake in report.mistakes] == ["gradients-not-zeroed"]
    assert report.batches == 5
    np.testing.assert_equal(everything(loader, model, optimizer), before)


class Trainer:
    """Keeps what it needs on self."""

    def __init__(self) -> None:
        self.loader, self.model, self.loss_fn, self.optimizer = own()

    def fit(self, epochs: int) -> None:
        for _ in range(epochs):
            for X, y in self.loader:
                self.optimizer.zero_grad()
                self.step(X, y)

    def step(self, X: Any, y: Any) -> None:
        self.loss_fn(self.model(X).softmax(1), y).backward()
        self.optimizer.step()


def test_a_method_with_objects_on_self_and_many_epochs() -> None:
    trainer = Trainer()
    before, loader = everything(trainer.loader, trainer.model, trainer.optimizer), trainer.loader
    report = check_loop(trainer.fit, 1_000_000)
    assert [mistake.name for mistake in report.mistakes] == ["softmax-before-cross-entropy"]
    assert trainer.loader is loader
    np.testing.assert_equal(everything(trainer.loader, trainer.model, trainer.optimizer), before)


def test_a_step_with_a_batch_of_its_own() -> None:
    _, model, loss_fn, optimizer = own()
    X, y = torch.randn(8, 4), torch.randint(0, 3, (8,))
    assert check_loop(step, X, y, model, loss_fn, optimizer).ok
    assert check_loop(step_first_in_a_step, X, y, model, loss_fn, optimizer).mistakes[0].name == "step-before-backward"


def test_a_test_of_ones_own_model() -> None:
    loader, model, loss_fn, _ = own(samples=50)
    assert check_loop(the_tutorials_own_test, loader, model, loss_fn).ok
    model.eval()
    with torch.no_grad():
        assert check_loop(the_tutorials_test, loader, model, loss_fn).ok
    model.train()
    report = check_loop(a_test_in_training_mode, loader, model, loss_fn)
    assert [mistake.name for mistake in report.mistakes] == ["evaluation-in-training-mode"]
    assert "This changes what BatchNorm1d does." in report.mistakes[0].evidence


def test_a_replaced_layer_is_not_in_the_optimizer() -> None:
    loader, model, loss_fn, optimizer = own()
    model.last = nn.Linear(6, 3)
    report = check_loop(tutorial, loader, model, loss_fn, optimizer)
    assert [mistake.name for mistake in report.mistakes] == ["other-parameters"]
    assert "last.weight, last.bias of the model are not in the optimizer" in report.mistakes[0].evidence


def test_training_only_the_last_layer_is_right_but_noted_if_the_rest_is_not_frozen() -> None:
    loader, model, loss_fn, _ = own()
    optimizer = optim.SGD(model.last.parameters(), lr=0.1)
    report = check_loop(zeroed_first, model, loader, loss_fn, optimizer, "cpu", 0)
    assert report.ok
    assert report.notes == [
        "Backward also brings gradients to 4 parameters of the model; the optimizer has none of them."
    ]
    model.first.requires_grad_(False)
    model.norm.requires_grad_(False)
    assert check_loop(zeroed_first, model, loader, loss_fn, optimizer, "cpu", 0).notes == []


class OwnStep(optim.Optimizer):
    """An optimizer with a step of its own, as torch's tutorials write it."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Any = None) -> None:
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        p.add_(p.grad, alpha=-group["lr"])


class Plain:
    """An optimizer without groups."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        self.params, self.lr, self.count = list(params), lr, 0
        self.velocity = [np.zeros(p.shape, np.float32) for p in self.params]

    def zero_grad(self) -> None:
        for p in self.params:
            p.grad = None

    def step(self) -> None:
        self.count += 1
        for p, v in zip(self.params, self.velocity, strict=True):
            v *= 0.9
            v += p.grad.array if p.grad is not None else 0
            p.array -= self.lr * v


@pytest.mark.parametrize("made", [OwnStep, Plain])
def test_optimizers_that_people_write(made: Any) -> None:
    loader, model, loss_fn, _ = own()
    optimizer = made(model.parameters())
    before = [p.array.copy() for p in model.parameters()]
    for loop in (tutorial, never_zeroed, zeroed_in_between, step_first, stepped_twice, not_divided):
        names = {loop: name for name, loop in WRONG}
        report = check_loop(loop, loader, model, loss_fn, optimizer)
        assert [mistake.name for mistake in report.mistakes] == ([names[loop]] if loop in names else [])
    np.testing.assert_equal([p.array for p in model.parameters()], before)
    assert "step" not in vars(optimizer)
    if made is Plain:
        assert optimizer.count == 0
        assert not any(v.any() for v in optimizer.velocity)


def test_two_optimizers_of_an_adversarial_pair() -> None:
    loader, *_ = own()
    maker, judge = nn.Linear(2, 4), nn.Linear(4, 1)
    of_maker, of_judge = optim.Adam(maker.parameters()), optim.Adam(judge.parameters())
    loss_fn = nn.BCEWithLogitsLoss()

    def gan() -> None:
        for X, _ in loader:
            made = maker(torch.randn(len(X), 2))
            of_judge.zero_grad()
            loss_fn(judge(X), torch.ones(len(X), 1)).backward()
            loss_fn(judge(made.detach()), torch.zeros(len(X), 1)).backward()
            of_judge.step()
            of_maker.zero_grad()
            loss_fn(judge(made), torch.ones(len(X), 1)).backward()
            of_maker.step()

    report = check_loop(gan)
    assert report.ok, report
    assert report.steps == 10


def test_a_list_of_batches_and_sorted_classes() -> None:
    _, model, loss_fn, optimizer = own()
    batches = [(torch.randn(8, 4), torch.full((8,), label)) for label in (0, 1, 2)]
    report = check_loop(tutorial_without_sizes, batches, model, loss_fn, optimizer)
    assert report.ok
    assert report.notes[0].startswith("Each batch has samples of one class only: shuffle the data")


def test_data_in_a_list_is_left_as_it_was() -> None:
    _, model, loss_fn, optimizer = own()
    batches = [(torch.randn(8, 4), torch.randint(0, 3, (8,))) for _ in range(3)]
    before = [X.array.copy() for X, _ in batches]

    def loop(batches: Any, model: Any, loss_fn: Any, optimizer: Any) -> None:
        for X, y in batches:
            X.mul_(2)
            X.requires_grad = True
            optimizer.zero_grad()
            loss_fn(model(X), y).backward()
            optimizer.step()

    assert check_loop(loop, batches, model, loss_fn, optimizer).ok
    np.testing.assert_equal([X.array for X, _ in batches], before)
    assert all(X.grad is None and not X.requires_grad for X, _ in batches)


def tutorial_without_sizes(dataloader, model, loss_fn, optimizer):
    for X, y in dataloader:
        optimizer.zero_grad()
        loss_fn(model(X), y).backward()
        optimizer.step()


def test_scores_behind_a_relu_are_noted() -> None:
    def loop(dataloader: Any, model: Any, loss_fn: Any, optimizer: Any) -> None:
        for X, y in dataloader:
            optimizer.zero_grad()
            loss_fn(model(X).relu(), y).backward()
            optimizer.step()

    report = check_loop(loop)
    assert report.ok
    assert "leave out a ReLU after the last layer" in " ".join(str(report).split())


def test_one_batch_again_and_again() -> None:
    def loop(dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, clear: bool = False) -> None:
        X, y = next(iter(dataloader))
        for _ in range(4):
            loss_fn(model(X), y).backward()
            optimizer.step()
            if clear:
                optimizer.zero_grad()

    assert check_loop(loop, clear=True).ok
    (mistake,) = check_loop(loop).mistakes
    assert mistake.name == "gradients-not-zeroed"
    assert "used the gradients of 4 backwards" in mistake.evidence


def test_a_hidden_state_that_is_not_detached() -> None:
    cell = nn.Linear(5, 3)
    optimizer = optim.SGD(cell.parameters(), lr=0.1)
    batches = [(torch.randn(4, 2), torch.randn(4, 3)) for _ in range(4)]

    def recurrent(batches: Any, cell: Any, optimizer: Any) -> None:
        state = torch.zeros(4, 3)
        for X, y in batches:
            state = cell(torch.cat([X, state], 1)).tanh()
            optimizer.zero_grad()
            F.mse_loss(state, y).backward()
            optimizer.step()

    report = check_loop(recurrent, batches, cell, optimizer)
    assert [mistake.name for mistake in report.mistakes] == ["graph-of-earlier-batch"]


def test_an_unknown_argument_is_asked_for() -> None:
    def loop(dataloader: Any, model: Any, flavour: Any) -> None: ...

    with pytest.raises(TypeError, match=r"does not know what to pass as flavour.*check_loop\(loop, dataloader, model"):
        check_loop(loop)


def test_what_does_not_fit_a_small_problem_says_what_was_passed() -> None:
    def loop(one: Any, two: Any, three: Any, four: Any) -> None:
        for X, y in two:
            four(three(X), y)

    with pytest.raises(TypeError) as raised:
        check_loop(loop)
    assert "(one: DataLoader, two: Sequential, three: CrossEntropyLoss, four: SGD)" in raised.value.__notes__[0]


def test_nothing_to_see() -> None:
    with pytest.raises(ValueError, match="saw no batch, no backward and no step"):
        check_loop(lambda: None)


def test_anomaly_detection_inside_the_loop_is_reported() -> None:
    def loop(dataloader: Any, model: Any, loss_fn: Any, optimizer: Any) -> None:
        with torch.autograd.detect_anomaly():
            tutorial(dataloader, model, loss_fn, optimizer)

    with pytest.raises(ValueError, match="switches anomaly detection on"):
        check_loop(loop)
    with torch.autograd.detect_anomaly():
        assert check_loop(tutorial).notes == []


def test_a_small_problem_does_not_fit_a_loop_that_has_a_model_of_its_own() -> None:
    _, model, loss_fn, optimizer = own()

    def loop(dataloader: Any) -> None:
        for X, y in dataloader:
            loss_fn(model(X), y).backward()
            optimizer.step()

    with pytest.raises(TypeError, match=r"also uses objects that it is not given \(Net, SGD\)"):
        check_loop(loop)


def test_what_the_loop_raises_is_raised_and_everything_is_put_back() -> None:
    loader, model, loss_fn, optimizer = own()

    def loop(dataloader: Any, model: Any, loss_fn: Any, optimizer: Any) -> None:
        tutorial(dataloader, model, loss_fn, optimizer)
        raise ArithmeticError("later")

    before = everything(loader, model, optimizer)
    with pytest.raises(ArithmeticError, match="later"):
        check_loop(loop, loader, model, loss_fn, optimizer)
    np.testing.assert_equal(everything(loader, model, optimizer), before)


# --- in the exercises -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exercise", "body", "says"),
    [
        ("train-step", "loss.backward()\noptimizer.step()", "Likely: gradients-not-zeroed."),
        ("train-step", "optimizer.step()\nloss.backward()\noptimizer.zero_grad()", "Likely: step-before-backward."),
        ("train-step", "optimizer.step()\noptimizer.zero_grad()\nloss.backward()", "Likely: step-before-backward."),
        (
            "train-step",
            "loss.backward()\noptimizer.zero_grad()\noptimizer.step()",
            "Likely: gradients-zeroed-too-early.",
        ),
        ("train-step", "pass", "Likely: no-backward."),
        ("test-loop", "pass", "Is a return missing?"),
        ("test-loop", "return None, None", "Is a return missing?"),
    ],
)
def test_an_exercise_names_the_mistake(exercise: str, body: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "learners.py"
    path.write_text(EXERCISES[exercise].with_body(body), encoding="utf-8")
    last = list(check(EXERCISES[exercise], path, torch=False))[-1]
    assert not last.passed
    assert says in last.text.replace("\n", " ")


def test_the_readme_shows_what_its_program_prints(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(torch.__file__).parent.joinpath("diagnosis", "README.md").read_text(encoding="utf-8")
    (program,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "check_loop(" in block]
    exec(compile(program, "program.py", "exec", dont_inherit=True), {"__name__": "__main__"})
    assert textwrap.indent(capsys.readouterr().out, "    ") in page

"""The training loop and the test loop of the PyTorch tutorial, for minitrain's objects and for torch's alike."""

from __future__ import annotations

from typing import Any


class Observer:
    """What the loops tell of themselves, as it happens. This one prints the tutorial's lines.

    A subclass can record, show progress or save; it stops the loop by raising. `line` is where all lines go through.
    """

    def line(self, text: str) -> None:
        """Print one line of the log."""
        print(text, flush=True)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before an epoch, with its number from 1 up, and how many there are."""
        self.line(f"Epoch {epoch}\n-------------------------------")

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Called with the batch's loss before backward: raising here leaves the parameters as they are."""

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Called when the parameters are updated and current of the size samples have been seen."""
        if batch % 100 == 0:
            self.line(f"loss: {loss.item():>7f}  [{current:>5d}/{size:>5d}]")

    def settles_after(self, batch: int) -> bool:
        """Whether settled must be called after this batch.

        train_loop calls it after each. A loop that computes ahead of what it tells asks beforehand, and waits there.
        """
        return False

    def settled(self, batch: int) -> None:
        """Called after after_update, when model, optimizer and data loader are exactly as after this batch.

        So it is the moment to save them, or to stop by raising.
        """

    def after_test(self, accuracy: float, loss: float) -> None:
        """Called with the share of right answers, from 0 to 1, and the mean of the batches' losses."""
        self.line(f"Test Error: \n Accuracy: {(100 * accuracy):>0.1f}%, Avg loss: {loss:>8f} \n")


PRINT = Observer()


def train_loop(
    dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Observer = PRINT, first_batch: int = 0
) -> None:
    """One pass over the training data, an update of the parameters for each batch.

    dataloader: gives batches (X, y), and has .dataset and .batch_size.
    first_batch: the number of the first batch it gives; not 0 when a pass broken off goes on.
    """
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader, start=first_batch):
        # How far off is the model?
        pred = model(X)
        loss = loss_fn(pred, y)
        observer.before_update(batch, X, y, loss)

        # Which way does each parameter make it better? Go a step that way, then forget the gradients: the next
        # backward adds to what is there.
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

        observer.after_update(batch, loss, batch * dataloader.batch_size + len(X), size)
        observer.settled(batch)


def test_loop(dataloader: Any, model: Any, loss_fn: Any, observer: Observer = PRINT) -> tuple[float, float]:
    """One pass over the test data without updates; call it inside no_grad().

    Returns the share of right answers, from 0 to 1, and the mean of the batches' losses.
    Raises ValueError if there is no batch to test on.
    """
    size, num_batches = len(dataloader.dataset), len(dataloader)
    if num_batches == 0:
        raise ValueError("test_loop needs at least one batch, but the dataloader gives none: is its data set empty?")
    model.eval()
    test_loss, correct = 0.0, 0
    for X, y in dataloader:
        pred = model(X)
        test_loss += loss_fn(pred, y).item()
        correct += (pred.argmax(1) == y).sum().item()
    accuracy, test_loss = correct / size, test_loss / num_batches
    observer.after_test(accuracy, test_loss)
    return accuracy, test_loss

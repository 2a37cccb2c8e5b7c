"""The training loop and the test loop of the PyTorch tutorial. They work with minitrain's objects and with torch's."""

from __future__ import annotations

from typing import Any


class Observer:
    """Follows the loops: they call its methods as they run. This one prints the tutorial's lines.

    A subclass can record, show progress or save, and stops the loop by raising. All printing goes through `line`.
    """

    def line(self, text: str) -> None:
        """Print one line of the log."""
        print(text, flush=True)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch, with its number, counted from 1, and the number of epochs."""
        self.line(f"Epoch {epoch}\n-------------------------------")

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Called with the batch's loss before backward. Raising here leaves the parameters unchanged."""

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Called after the update; `current` of the `size` samples have been used so far."""
        if batch % 100 == 0:
            self.line(f"loss: {loss.item():>7f}  [{current:>5d}/{size:>5d}]")

    def settles_after(self, batch: int) -> bool:
        """Whether `settled` must be called after this batch.

        train_loop calls it after every batch anyway. A loop on a GPU runs ahead, and waits only if this is True.
        """
        return False

    def settled(self, batch: int) -> None:
        """Called after after_update, when model, optimizer and data loader are in their state after this batch.

        This is the moment to save them, or to stop by raising.
        """

    def after_test(self, accuracy: float, loss: float) -> None:
        """Called with the accuracy, from 0 to 1, and the mean of the batches' losses."""
        self.line(f"Test Error: \n Accuracy: {(100 * accuracy):>0.1f}%, Avg loss: {loss:>8f} \n")


PRINT = Observer()


def train_loop(
    dataloader: Any, model: Any, loss_fn: Any, optimizer: Any, observer: Observer = PRINT, first_batch: int = 0
) -> None:
    """Train for one pass over the data, with one update of the parameters per batch.

    dataloader: gives batches (X, y), and has .dataset and .batch_size.
    first_batch: the number of its first batch; not 0 when an interrupted pass is resumed.
    """
    size = len(dataloader.dataset)
    model.train()
    for batch, (X, y) in enumerate(dataloader, start=first_batch):
        # How wrong is the model?
        pred = model(X)
        loss = loss_fn(pred, y)
        observer.before_update(batch, X, y, loss)

        # In which direction does each parameter reduce the loss? Take a step that way. Then clear the gradients,
        # since the next backward would add to them.
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

        observer.after_update(batch, loss, batch * dataloader.batch_size + len(X), size)
        observer.settled(batch)


def test_loop(dataloader: Any, model: Any, loss_fn: Any, observer: Observer = PRINT) -> tuple[float, float]:
    """Test for one pass over the data, without updates. Call it inside no_grad().

    Returns the accuracy, from 0 to 1, and the mean of the batches' losses.
    Raises ValueError if the dataloader has no batches.
    """
    size, num_batches = len(dataloader.dataset), len(dataloader)
    if num_batches == 0:
        raise ValueError("test_loop needs at least one batch, but the dataloader has none: is its data set empty?")
    model.eval()
    test_loss, correct = 0.0, 0
    for X, y in dataloader:
        pred = model(X)
        test_loss += loss_fn(pred, y).item()
        correct += (pred.argmax(1) == y).sum().item()
    accuracy, test_loss = correct / size, test_loss / num_batches
    observer.after_test(accuracy, test_loss)
    return accuracy, test_loss

"""train_loop on a GPU, with the whole step captured once as a CUDA graph and replayed for every batch.

Replaying costs the processor one call for a step, where launching forward, loss, backward and update one by one costs
it dozens; with a small model that is nearly all of the time. A graph does the same to the same memory every time: so
what changes from step to step lies on the device, the order of the samples, the number of the batch, and the losses.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from minitrain.loops import Observer
from minitrain.runs.recorder import NonFiniteLossError
from minitrain.torchlike.random import default_generator

READ_EVERY = 100  # steps: reading losses makes the processor wait for the GPU
WARM_UPS = 3  # steps before the capture, in which libraries choose their algorithms and optimizers make their state


class CapturedLoop:
    """The steps of train_loop, for a model, a loss and an optimizer that stay the same from pass to pass.

    A step is captured anew when another data loader comes, when the optimizer's options have changed (a graph has
    the learning rate inside), or when its state was loaded.
    capture: False runs the very same steps one by one, on any device.
    """

    def __init__(self, model: Any, loss_fn: Any, optimizer: Any, *, capture: bool = True) -> None:
        self._model, self._loss_fn, self._optimizer, self._capture = model, loss_fn, optimizer, capture
        self._fused = all(group.get("fused") for group in optimizer.param_groups)
        self._known: tuple[Any, ...] | None = None
        self._replay: Callable[[], None] | None = None

    def is_for(self, model: Any, loss_fn: Any, optimizer: Any) -> bool:
        """Whether it trains these."""
        return self._model is model and self._loss_fn is loss_fn and self._optimizer is optimizer

    def train(self, dataloader: Any, observer: Observer, first_batch: int = 0) -> None:
        """One pass over the training data. The observer hears of the updates late, a hundred of them at a time.

        Nobody can look at a loss before the update without waiting for the GPU: before_update is called for one batch
        alone, that whose loss is nan or infinite, since its update was not made. The observer is asked beforehand
        after which batch it wants the model settled; there, and only there, everything waits.
        dataloader: of a data set with .tensors, images (n, ...) and labels (n,), on the model's device.
        first_batch: the number of the first batch that it gives.
        Raises NonFiniteLossError after a batch whose loss was nan or infinite.
        """
        indices = dataloader.indices()
        self._model.train()
        if self._known != self._what_it_depends_on(dataloader):
            self._lay_out(dataloader)
        self._known = None  # until the pass has gone well
        self._position.fill_(first_batch)
        told: Callable[[], None] | None = None
        with warnings.catch_warnings():
            # The short last batch is an update that is not captured, of an optimizer that could be.
            warnings.filterwarnings("ignore", message=".*capturable=True")
            begin, count = first_batch, len(dataloader)
            while begin < count:
                ahead = range(begin, min(begin + READ_EVERY, count))
                last = next((batch for batch in ahead if observer.settles_after(batch)), ahead[-1])
                back = _way_back(dataloader)
                self._run(begin, [*itertools.islice(indices, last + 1 - begin)])
                tell = self._reading(begin, last + 1, dataloader, back, observer)
                if told is not None:
                    told()  # of the hundred before these, while the GPU computes these
                told = tell
                if observer.settles_after(last):
                    tell()
                    told = None
                    observer.settled(last)
                begin = last + 1
            if told is not None:
                told()
        next(indices, None)  # the end of the pass, at which a loader's own generator draws
        self._optimizer.zero_grad()
        self._known = self._what_it_depends_on(dataloader)
        self._held = self._tensors()  # so that no other tensor can have the id, or the memory, of one of these

    def _run(self, begin: int, batches: list[Any]) -> None:
        """The steps of these batches, the first of which has the number begin."""
        rows = np.fromiter(itertools.chain.from_iterable(batches), np.int64)
        self._upload(begin * self._batch_size, rows)
        for number, batch in enumerate(batches, start=begin):
            if len(batch) == self._batch_size:
                if self._replay is None:
                    self._replay = self._captured_step()
                self._replay()
            else:
                first = number * self._batch_size
                self._losses[number] = self._step(self._order[first : first + len(batch)])

    def _what_it_depends_on(self, dataloader: Any) -> tuple[Any, ...]:
        options = [
            {name: value for name, value in group.items() if name != "params"} for group in self._optimizer.param_groups
        ]
        return id(dataloader), [id(tensor) for tensor in self._tensors()], options

    def _lay_out(self, dataloader: Any) -> None:
        """Make what lies on the device."""
        self._dataloader = dataloader  # held, as its memory is used
        self._images, self._labels = dataloader.dataset.tensors
        device, batches = self._images.device, len(dataloader)
        self._batch_size = dataloader.batch_size
        self._order = torch.zeros(batches * self._batch_size, dtype=torch.long, device=device)
        self._position = torch.zeros(1, dtype=torch.long, device=device)
        self._losses = torch.zeros(batches, device=device)
        self._one = torch.ones((), device=device)
        self._stopped = torch.zeros((), device=device)  # 1 from the first loss on that is not finite
        self._replay = None

    def _upload(self, first: int, rows: Any) -> None:
        """Put the samples' indices into the order from `first` on, without waiting for the GPU."""
        source = torch.from_numpy(rows)
        if self._order.is_cuda:
            source = source.pin_memory()
        self._order[first : first + len(rows)].copy_(source, non_blocking=True)

    def _captured_step(self) -> Callable[[], None]:
        """What makes a full batch's step: a graph's replay. The warm-ups leave no trace."""
        before, position = self._state(), self._position.clone()
        stream = torch.cuda.Stream() if self._capture else None  # type: ignore[no-untyped-call]
        if stream is not None:
            stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._full_step()
                self._position.copy_(position)
        replay = self._full_step
        if stream is not None:
            torch.cuda.current_stream().wait_stream(stream)
            self._optimizer.zero_grad()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                self._full_step()
            replay = graph.replay
        self._take_back(before, self._one)
        self._stopped.zero_()
        return replay

    def _full_step(self) -> None:
        """The step of the batch at _position; its loss is left in _losses."""
        rows = self._order.view(-1, self._batch_size).index_select(0, self._position)[0]
        self._losses.index_copy_(0, self._position, self._step(rows).reshape(1))
        self._position += 1

    def _step(self, rows: torch.Tensor) -> torch.Tensor:
        """Forward, loss, backward, update, as in train_loop; but no update once a loss was not finite."""
        X, y = self._images.index_select(0, rows), self._labels.index_select(0, rows)
        loss: torch.Tensor = self._loss_fn(self._model(X), y)
        self._optimizer.zero_grad()  # before, not after: a graph's gradients are made anew in memory of its own
        loss.backward(self._one)  # type: ignore[no-untyped-call]
        loss = loss.detach()
        self._stopped.masked_fill_(torch.isnan(loss - loss), 1)  # inf - inf is nan, too
        if self._fused:
            self._optimizer.found_inf = self._stopped  # torch's own word for: leave all as it is where this is 1
            self._optimizer.step()
            del self._optimizer.found_inf
        else:
            before = self._state()
            self._optimizer.step()
            self._take_back(before, self._stopped)
        return loss

    def _state(self) -> dict[torch.Tensor, torch.Tensor]:
        """Copies of the parameters and of the optimizer's state."""
        return {tensor: tensor.detach().clone() for tensor in self._tensors()}

    def _take_back(self, before: dict[torch.Tensor, torch.Tensor], where: torch.Tensor) -> None:
        """Where it is 1, put every parameter and state back to what it was; a state that was not there, to 0."""
        with torch.no_grad():
            mask = where.bool()
            for tensor in self._tensors():
                if tensor in before:
                    tensor.copy_(torch.where(mask, before[tensor], tensor))
                else:
                    tensor.masked_fill_(mask, 0)

    def _tensors(self) -> list[torch.Tensor]:
        params = [param for group in self._optimizer.param_groups for param in group["params"]]
        states = [value for state in self._optimizer.state.values() for value in state.values()]
        return params + [value for value in states if isinstance(value, torch.Tensor)]

    def _reading(
        self, begin: int, end: int, dataloader: Any, back: Callable[[], None], observer: Observer
    ) -> Callable[[], None]:
        """Begin to read the losses of these batches; the result waits for them and tells the observer.

        back: takes the data loader back to before them, for when one of them has gone wrong.
        """
        losses = self._losses[begin:end].to("cpu", non_blocking=True)  # torch makes it pinned memory
        read = torch.cuda.Event() if self._losses.is_cuda else None  # type: ignore[no-untyped-call]
        if read is not None:
            read.record()

        def tell() -> None:
            if read is not None:
                read.synchronize()
            size = len(dataloader.dataset)
            for batch, loss in enumerate(losses, start=begin):
                if not math.isfinite(loss):
                    first = batch * dataloader.batch_size
                    rows = self._order[first : min(first + dataloader.batch_size, size)]
                    X, y = self._images.index_select(0, rows), self._labels.index_select(0, rows)
                    back()
                    for _ in itertools.islice(dataloader.indices(), batch + 1 - begin):
                        pass
                    observer.before_update(batch, X, y, loss)
                    raise NonFiniteLossError(
                        f"the loss of batch {batch} is {loss.item()}; the parameters are those from before it. "
                        "Is the learning rate too high?"
                    )
                observer.after_update(batch, loss, min((batch + 1) * dataloader.batch_size, size), size)

        return tell


def _way_back(dataloader: Any) -> Callable[[], None]:
    """What takes the data loader, and the default generator that it draws from, back to where they are now."""
    loader, generator = dataloader.state_dict(), default_generator.get_state()

    def back() -> None:
        default_generator.set_state(generator)
        dataloader.load_state_dict(loader)

    return back

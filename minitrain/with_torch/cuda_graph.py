"""train_loop on a GPU, with the whole step captured once as a CUDA graph and replayed for each batch.

A replay costs the CPU one call per step, where launching forward, loss, backward and update costs dozens. With a small
model, that is nearly all of the time. A graph always does the same to the same memory. So everything that changes from
step to step lies on the device: the order of the samples, the batch's number, and the losses.
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

READ_EVERY = 100  # steps: reading losses makes the CPU wait for the GPU
WARM_UPS = 3  # steps before the capture, in which libraries choose algorithms and optimizers create their state


class CapturedLoop:
    """The steps of train_loop, for one model, loss and optimizer.

    A step is captured again for another data loader, after a change of the optimizer's options (a graph contains the
    learning rate), and after its state was loaded.
    capture: False runs the same steps one by one, on any device.
    """

    def __init__(self, model: Any, loss_fn: Any, optimizer: Any, *, capture: bool = True) -> None:
        self._model, self._loss_fn, self._optimizer, self._capture = model, loss_fn, optimizer, capture
        self._fused = all(group.get("fused") for group in optimizer.param_groups)
        self._known: tuple[Any, ...] | None = None
        self._replay: Callable[[], None] | None = None

    def is_for(self, model: Any, loss_fn: Any, optimizer: Any) -> bool:
        """Whether it was made for these."""
        return self._model is model and self._loss_fn is loss_fn and self._optimizer is optimizer

    def train(self, dataloader: Any, observer: Observer, first_batch: int = 0) -> None:
        """One pass over the training data. The observer is called late, for up to a hundred updates at a time.

        Reading a loss before the update would wait for the GPU. So before_update is called only for a batch whose loss
        is nan or infinite, which was not applied. The loop asks the observer in advance after which batch the model
        must be settled, and waits only there.
        dataloader: its data set has .tensors, images (n, ...) and labels (n,), on the model's device.
        first_batch: the number of the first batch that it gives.
        Raises NonFiniteLossError after a batch whose loss was nan or infinite.
        """
        indices = dataloader.indices()
        self._model.train()
        if self._known != self._captured_for(dataloader):
            self._allocate(dataloader)
        self._known = None  # unless the pass succeeds
        self._position.fill_(first_batch)
        report: Callable[[], None] | None = None
        with warnings.catch_warnings():
            # torch warns that the update of a short last batch is not captured.
            warnings.filterwarnings("ignore", message=".*capturable=True")
            begin, count = first_batch, len(dataloader)
            while begin < count:
                ahead = range(begin, min(begin + READ_EVERY, count))
                last = next((batch for batch in ahead if observer.settles_after(batch)), ahead[-1])
                rewind = _rewinder(dataloader)
                self._run(begin, [*itertools.islice(indices, last + 1 - begin)])
                previous, report = report, self._start_reading(begin, last + 1, dataloader, rewind, observer)
                if previous is not None:
                    previous()  # while the GPU computes the batches after those
                if observer.settles_after(last):
                    report()
                    report = None
                    observer.settled(last)
                begin = last + 1
            if report is not None:
                report()
        next(indices, None)  # ends the pass, where a loader with its own generator draws once more
        self._optimizer.zero_grad()
        self._known = self._captured_for(dataloader)
        self._held = self._tensors()  # so that no other tensor can get the id or the memory of one of these

    def _run(self, begin: int, batches: list[Any]) -> None:
        """Run the steps of these batches; begin is the number of the first."""
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

    def _captured_for(self, dataloader: Any) -> tuple[Any, ...]:
        options = [
            {name: value for name, value in group.items() if name != "params"} for group in self._optimizer.param_groups
        ]
        return id(dataloader), [id(tensor) for tensor in self._tensors()], options

    def _allocate(self, dataloader: Any) -> None:
        """Allocate what a graph uses on the device."""
        self._dataloader = dataloader  # keeps the memory that the graph reads
        self._images, self._labels = dataloader.dataset.tensors
        device, batches = self._images.device, len(dataloader)
        self._batch_size = dataloader.batch_size
        self._order = torch.zeros(batches * self._batch_size, dtype=torch.long, device=device)
        self._position = torch.zeros(1, dtype=torch.long, device=device)
        self._losses = torch.zeros(batches, device=device)
        self._one = torch.ones((), device=device)
        self._stopped = torch.zeros((), device=device)  # 1 from the first nan or infinite loss on
        self._replay = None

    def _upload(self, first: int, rows: Any) -> None:
        """Write the samples' indices into _order from `first` on, without waiting for the GPU."""
        source = torch.from_numpy(rows)
        if self._order.is_cuda:
            source = source.pin_memory()
        self._order[first : first + len(rows)].copy_(source, non_blocking=True)

    def _captured_step(self) -> Callable[[], None]:
        """Capture the step of a full batch, and return its replay. The warm-ups are undone."""
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
        self._restore(before, self._one)
        self._stopped.zero_()
        return replay

    def _full_step(self) -> None:
        """The step of the batch at _position; writes its loss into _losses."""
        rows = self._order.view(-1, self._batch_size).index_select(0, self._position)[0]
        self._losses.index_copy_(0, self._position, self._step(rows).reshape(1))
        self._position += 1

    def _step(self, rows: torch.Tensor) -> torch.Tensor:
        """A step as in train_loop, but without updates from the first nan or infinite loss on."""
        X, y = self._images.index_select(0, rows), self._labels.index_select(0, rows)
        loss: torch.Tensor = self._loss_fn(self._model(X), y)
        self._optimizer.zero_grad()  # before, not after: a graph creates its gradients in its own memory
        loss.backward(self._one)  # type: ignore[no-untyped-call]
        loss = loss.detach()
        self._stopped.masked_fill_(torch.isnan(loss - loss), 1)  # inf - inf is nan as well
        if self._fused:
            self._optimizer.found_inf = self._stopped  # torch skips the update where this is 1
            self._optimizer.step()
            del self._optimizer.found_inf
        else:
            before = self._state()
            self._optimizer.step()
            self._restore(before, self._stopped)
        return loss

    def _state(self) -> dict[torch.Tensor, torch.Tensor]:
        """Copies of the parameters and of the optimizer's state."""
        return {tensor: tensor.detach().clone() for tensor in self._tensors()}

    def _restore(self, before: dict[torch.Tensor, torch.Tensor], where: torch.Tensor) -> None:
        """If where is 1, restore every parameter and state; a state that did not exist before becomes 0."""
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

    def _start_reading(
        self, begin: int, end: int, dataloader: Any, rewind: Callable[[], None], observer: Observer
    ) -> Callable[[], None]:
        """Start to copy the losses of these batches; the returned function waits for them and calls the observer.

        rewind: returns the data loader to the first of them, for a nan or infinite loss.
        """
        losses = self._losses[begin:end].to("cpu", non_blocking=True)  # torch pins the memory
        read = torch.cuda.Event() if self._losses.is_cuda else None  # type: ignore[no-untyped-call]
        if read is not None:
            read.record()

        def report() -> None:
            if read is not None:
                read.synchronize()
            size = len(dataloader.dataset)
            for batch, loss in enumerate(losses, start=begin):
                if not math.isfinite(loss):
                    first = batch * dataloader.batch_size
                    rows = self._order[first : min(first + dataloader.batch_size, size)]
                    X, y = self._images.index_select(0, rows), self._labels.index_select(0, rows)
                    rewind()
                    for _ in itertools.islice(dataloader.indices(), batch + 1 - begin):
                        pass
                    observer.before_update(batch, X, y, loss)
                    raise NonFiniteLossError(
                        f"the loss of batch {batch} is {loss.item()}; its update was not made. Try a lower --lr"
                    )
                observer.after_update(batch, loss, min((batch + 1) * dataloader.batch_size, size), size)

        return report


def _rewinder(dataloader: Any) -> Callable[[], None]:
    """A function that returns the data loader, and the default generator that it uses, to where they are now."""
    loader, generator = dataloader.state_dict(), default_generator.get_state()

    def rewind() -> None:
        default_generator.set_state(generator)
        dataloader.load_state_dict(loader)

    return rewind

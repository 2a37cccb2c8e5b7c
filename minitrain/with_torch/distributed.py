"""Several processes train one model: torch's DistributedDataParallel on slices of minitrain's own batches.

torchrun starts the processes. All of them iterate over the same batches in the same order, and each computes a slice of
each batch. DistributedDataParallel averages their gradients, so that all take the same step. The losses of the slices
are weighted so that this average is exactly the gradient of the whole batch's mean, even if the slices are uneven:

    loss of slice r = P / n · Σ losses of its rows        (P processes, n rows in the batch)
    1/P · Σ_r (loss of slice r) = 1/n · Σ losses of all rows
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import zlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from minitrain.data.loader import DataLoader
from minitrain.loops import Observer
from minitrain.runs.interrupts import SIGNALS
from minitrain.runs.messages import say
from minitrain.runs.recorder import NonFiniteLossError, Stoppable
from minitrain.with_torch.torchrun import restart_count, world_size

TIMEOUT = timedelta(minutes=30)  # for a process that downloads or hangs; one that ended is noticed at once


class WorkerLostError(RuntimeError):
    """Another process of this run ended, or does not answer."""


class OutOfStepError(RuntimeError):
    """The processes of this run do not have the same weights. All of them raise it."""


class Processes:
    """The processes that train together; only this one without torchrun.

    rank: this process's number, from 0; process 0 prints and writes. count: the number of processes.
    rows: the rows of the current whole batch; set by Slices for WholeMean.
    agreed: the signal that all of them stop for; 0 for none.
    """

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        self.rank, self.count, self.device = rank, count, device
        self.rows = self.agreed = 0
        self._work: Any = None
        self._launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None

    @staticmethod
    def started(device: torch.device) -> Processes:
        """The processes that torchrun started, connected; only this one without torchrun."""
        if world_size() == 1:
            return Processes(0, 1, device)
        processes = Processes(int(os.environ["RANK"]), world_size(), device)
        if not dist.is_initialized():
            with processes.communicating():
                processes._connect()
        return processes

    def _connect(self) -> None:
        gpu = self.device.type == "cuda"
        store, rank, count = next(rendezvous("env://", timeout=TIMEOUT))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # After a restart, torchrun's store still holds the addresses of processes that ended
            # (https://github.com/pytorch/pytorch/issues/135712). Several machines count their restarts separately.
            store = PrefixStore(f"attempt {restart_count()}", store)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            timeout=TIMEOUT,
            store=store,
            rank=rank,
            world_size=count,
            device_id=self.device if gpu else None,
        )

    @contextlib.contextmanager
    def first_process_first(self) -> Iterator[None]:
        """Process 0 runs the block first, then all others."""
        if self.rank > 0:
            self._wait()
        yield
        if self.rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.count > 1:
            with self.communicating():
                self._hold(dist.barrier(async_op=True)).wait()

    def _hold(self, work: Any) -> Any:
        """Keep a reference to gloo's work, so that gloo's thread does not hold the last one.

        Freeing it needs Python's lock. A thread that waits for the lock while the interpreter exits is killed inside
        C++ code, which aborts the process.
        """
        self._work = work
        return work

    @contextlib.contextmanager
    def communicating(self) -> Iterator[None]:
        """Within it the processes exchange numbers. Raises WorkerLostError if one of them does not answer."""
        try:
            yield
        except RuntimeError as error:
            # gloo's errors have no class of their own.
            if self.count > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise WorkerLostError(
                    f"process {self.rank} of {self.count} stops: another process of this run ended or does not answer. "
                    "Its output, or torchrun's report below, says why. Resume the run."
                ) from error
            raise

    def slices(self, dataloader: DataLoader[Any]) -> Any:
        """The loader; with several processes, one that gives this process's slice of each batch."""
        return dataloader if self.count == 1 else Slices(dataloader, self)

    def averaging(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model; with several processes, its gradients are averaged over them."""
        if self.count == 1:
            return model
        with self.communicating():
            return torch.nn.parallel.DistributedDataParallel(model)

    def mean_loss(self, loss_class: Any) -> Any:
        """The mean loss; with several processes, one whose average over them is the mean over the whole batch."""
        return loss_class() if self.count == 1 else WholeMean(loss_class(reduction="sum"), self)

    def observer(self, dataloader: Any, observer: Stoppable) -> Observer:
        """The observer; with several processes, it is called for whole batches, not for slices."""
        return observer if self.count == 1 else _WholeBatches(self, dataloader, observer)

    def check_same(self, model: torch.nn.Module, *numbers: int) -> None:
        """Raise OutOfStepError unless all processes have the same parameters and the same numbers."""
        if self.count == 1:
            return
        weights = 0
        for param in model.parameters():
            weights = zlib.crc32(param.detach().cpu().contiguous().numpy().data, weights)
        mine = torch.tensor([*numbers, weights], dtype=torch.float64, device=self.device)
        largest = torch.stack([mine, -mine])  # the largest of the negated numbers is the smallest number
        self._hold(dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True)).wait()
        if not torch.equal(largest[0], -largest[1]):
            raise OutOfStepError(
                f"the {self.count} processes of this run do not have the same weights at the same place in the data: "
                "they resumed from different checkpoints; make all machines see the same run directory"
            )

    def launcher_is_gone(self) -> bool:
        """Whether torchrun has ended without this process."""
        return self._launcher is not None and os.getppid() != self._launcher

    def total(self, *numbers: Any) -> list[torch.Tensor]:
        """The sums of each number over all processes."""
        sums = torch.stack([torch.as_tensor(number, dtype=torch.float64).to(self.device) for number in numbers])
        self._hold(dist.all_reduce(sums, async_op=True)).wait()
        return list(sums)

    def disconnect(self, error: BaseException | None) -> None:
        """Disconnect from the others, all at the same moment if all stop here: gloo aborts if a peer closes first.

        error: what ended this process's part of the run; None for success. If all stop for the same reason, the first
        process reports it and the others exit here with status 0, so that torchrun does not kill one that still writes.
        """
        if not dist.is_initialized():
            return
        same_reason = self.agreed != 0 or isinstance(error, NonFiniteLossError | OutOfStepError)
        try:
            if error is None or same_reason:
                self._wait()
            dist.destroy_process_group()
        finally:
            if same_reason and self.rank > 0:
                self.end()

    def end(self) -> None:
        """Exit now with status 0, if there are several processes: the interpreter's own exit may abort, see _hold.

        The works of DistributedDataParallel cannot be held.
        """
        if self.count > 1:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(0)


class Slices:
    """This process's rows of each batch of a DataLoader; the slices are as equal as possible."""

    def __init__(self, dataloader: DataLoader[Any], processes: Processes) -> None:
        self.dataset, self.batch_size = dataloader.dataset, dataloader.batch_size
        self._dataloader, self._processes = dataloader, processes

    def __len__(self) -> int:
        return len(self._dataloader)

    def state_dict(self, *, again: bool = False) -> dict[str, Any]:
        return self._dataloader.state_dict(again=again)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._dataloader.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        rank, count = self._processes.rank, self._processes.count
        for indices in self._dataloader.indices():
            rows = len(indices)
            self._processes.rows = rows
            yield self.dataset.collated_batch(indices[rows * rank // count : rows * (rank + 1) // count])


class WholeMean:
    """Scales a loss summed over rows so that its average over the processes is the mean over the whole batch."""

    def __init__(self, summed: Any, processes: Processes) -> None:
        self._summed, self._processes = summed, processes

    def __call__(self, pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self._summed(pred, y) * (self._processes.count / self._processes.rows)
        return loss


class _WholeBatches(Observer):
    """Adds up what the loops report about slices, and reports whole batches to an observer.

    The processes also add up which signals they received, so that all of them stop after the same batch.
    """

    def __init__(self, processes: Processes, dataloader: Any, observer: Stoppable) -> None:
        self._processes, self._observer = processes, observer
        self._batch_size, self._size = dataloader.batch_size, len(dataloader.dataset)
        self._loss = torch.zeros(())
        observer.agreed = observer.agreed or 0

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """With the whole batch's loss and this process's slice; None for a slice that is not to blame for a nan."""
        (total,) = self._total(loss.detach())
        self._loss = total / self._processes.count
        elsewhere = bool(torch.isfinite(loss)) and not bool(torch.isfinite(total))
        self._observer.before_update(batch, None if elsewhere else X, y, self._loss)

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """With the whole batch's loss, and the rows that all processes have seen."""
        seen = min((batch + 1) * self._batch_size, size)
        self._observer.after_update(batch, self._loss, seen, size)

    def settled(self, batch: int) -> None:
        self._observer.settled(batch)

    def after_test(self, accuracy: float, loss: float) -> None:
        """accuracy: this process's right answers as a share of the whole data set."""
        right, total = self._total(round(accuracy * self._size), loss)
        self._observer.after_test(right.item() / self._size, total.item() / self._processes.count)

    def _total(self, *numbers: Any) -> list[torch.Tensor]:
        """The sums over all processes; also notes the first signal that any of them received."""
        interrupts = self._observer.interrupts
        if interrupts.signal == 0 and self._processes.launcher_is_gone():
            interrupts.signal = signal.SIGTERM
            if self._processes.rank == 0:
                say("minitrain: torchrun has ended; stopping after this batch, and saving")
        asked = [float(interrupts.signal == number) for number in SIGNALS]
        totals = self._processes.total(*numbers, *asked)
        came = [number for number, count in zip(SIGNALS, totals[len(numbers) :], strict=True) if count.item()]
        self._processes.agreed = self._observer.agreed = came[0] if came else 0
        return totals[: len(numbers)]

"""Several processes train one model together: torch's distributed engine on slices of minitrain's own batches.

torchrun starts the processes. All of them go through the same batches in the same order, and each computes a slice
of each batch; DistributedDataParallel averages their gradients, so that all take the same step. A slice's loss is
weighted such that this average is exactly the gradient of the whole batch's mean, however uneven the slices are:

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
from minitrain.runs.recorder import NonFiniteLossError, Stoppable

PATIENCE = timedelta(minutes=30)  # with a process that downloads, or is silent; one that ended is noticed at once


class WorkerLostError(RuntimeError):
    """Another process of this run has ended, or does not answer."""


class OutOfStepError(RuntimeError):
    """The processes of this run do not train the same model. All of them raise it."""


class Processes:
    """Those that train together; a single one, without torchrun.

    rank: this one's number, from 0; 0 prints and writes. count: how many there are.
    rows: how many the batch has, of which this process computes a slice; set by Slices for WholeMean.
    agreed: the signal that all of them stop for; 0 for none.
    """

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        self.rank, self.count, self.device = rank, count, device
        self.rows = self.agreed = 0
        self._work: Any = None
        self._launcher = os.getppid() if "TORCHELASTIC_RUN_ID" in os.environ else None

    @staticmethod
    def started(device: torch.device) -> Processes:
        """Those that torchrun has started, connected; this one alone if it has not."""
        if int(os.environ.get("WORLD_SIZE", 1)) == 1:
            return Processes(0, 1, device)
        processes = Processes(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), device)
        if not dist.is_initialized():
            with processes.together():
                processes._connect()
        return processes

    def _connect(self) -> None:
        gpu = self.device.type == "cuda"
        store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
        if os.environ.get("LOCAL_WORLD_SIZE") == os.environ["WORLD_SIZE"]:
            # torchrun's store is the same in all its attempts, and still holds the addresses of processes that have
            # ended (https://github.com/pytorch/pytorch/issues/135712). Of several machines each counts its own.
            store = PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            timeout=PATIENCE,
            store=store,
            rank=rank,
            world_size=count,
            device_id=self.device if gpu else None,
        )

    @contextlib.contextmanager
    def first_process_first(self) -> Iterator[None]:
        """Process 0 goes through the block first, then all others."""
        if self.rank > 0:
            self._wait()
        yield
        if self.rank == 0:
            self._wait()

    def _wait(self) -> None:
        if self.count > 1:
            with self.together():
                self._hold(dist.barrier(async_op=True)).wait()

    def _hold(self, work: Any) -> Any:
        """Keep what gloo is doing, so that it is not gloo's thread that lets go of it last.

        That takes Python's lock, and a thread that asks for it while the interpreter ends is ended amid C++, which
        aborts the process.
        """
        self._work = work
        return work

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Within it processes exchange numbers. Raises WorkerLostError when one of them does not answer any more."""
        try:
            yield
        except RuntimeError as error:
            # gloo's errors have no class of their own.
            if self.count > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error)):
                raise WorkerLostError(
                    f"process {self.rank} of {self.count} stops: another process of this run has ended or does not "
                    "answer. What that one printed, or torchrun's report below, says why. Start the run again."
                ) from error
            raise

    def shared(self, dataloader: DataLoader[Any]) -> Any:
        """The loader, of which this process gets its slice of each batch."""
        return dataloader if self.count == 1 else Slices(dataloader, self)

    def in_step(self, model: torch.nn.Module) -> torch.nn.Module:
        """The model, with its gradients averaged over all processes."""
        if self.count == 1:
            return model
        with self.together():
            return torch.nn.parallel.DistributedDataParallel(model)

    def mean_loss(self, loss_class: Any) -> Any:
        """The loss, the mean over a batch; of several processes, one whose average is the mean over the whole batch."""
        return loss_class() if self.count == 1 else WholeMean(loss_class(reduction="sum"), self)

    def observer(self, dataloader: Any, observer: Stoppable) -> Observer:
        """The observer, told of the whole batches instead of this process's slices."""
        return observer if self.count == 1 else _OfTheWhole(self, dataloader, observer)

    def check_same(self, model: torch.nn.Module, *numbers: int) -> None:
        """Raise OutOfStepError unless all processes have the same parameters and the same numbers."""
        if self.count == 1:
            return
        weights = 0
        for param in model.parameters():
            weights = zlib.crc32(param.detach().cpu().contiguous().numpy().data, weights)
        mine = torch.tensor([*numbers, weights], dtype=torch.float64, device=self.device)
        largest = torch.stack([mine, -mine])  # of the negative numbers, the largest is the smallest number's
        self._hold(dist.all_reduce(largest, dist.ReduceOp.MAX, async_op=True)).wait()
        if not torch.equal(largest[0], -largest[1]):
            raise OutOfStepError(
                f"the {self.count} processes of this run do not have the same weights at the same place in the data: "
                "they have gone on from different checkpoints. Let all of them see the same directory, as it is now"
            )

    def launcher_is_gone(self) -> bool:
        """Whether torchrun has ended, and left this process alone."""
        return self._launcher is not None and os.getppid() != self._launcher

    def total(self, *numbers: Any) -> list[torch.Tensor]:
        """The sums of each number over all processes."""
        sums = torch.stack([torch.as_tensor(number, dtype=torch.float64).to(self.device) for number in numbers])
        self._hold(dist.all_reduce(sums, async_op=True)).wait()
        return list(sums)

    def part(self, error: BaseException | None) -> None:
        """Let go of the others, all together if all of them end here: gloo aborts under a connection that ends.

        error: what has ended this process's part of the run; None if nothing has. Where all stop for the same reason,
        the first process tells it, and the others end here, well, so that torchrun disturbs none that still writes.
        """
        if not dist.is_initialized():
            return
        alike = self.agreed != 0 or isinstance(error, NonFiniteLossError | OutOfStepError)
        try:
            if error is None or alike:
                self._wait()
            dist.destroy_process_group()
        finally:
            if alike and self.rank > 0:
                self.end()

    def end(self) -> None:
        """End this process now, well, where there are several: its interpreter's own end could be aborted, see _hold.

        DistributedDataParallel's works cannot be held.
        """
        if self.count > 1:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(0)


class Slices:
    """The batches of a DataLoader, of each the rows that fall to one of several processes: nearly equally many."""

    def __init__(self, dataloader: DataLoader[Any], processes: Processes) -> None:
        self.dataset, self.batch_size = dataloader.dataset, dataloader.batch_size
        self._dataloader, self._processes = dataloader, processes

    def __len__(self) -> int:
        return len(self._dataloader)

    def state_dict(self, *, again: bool = False) -> dict[str, Any]:
        """The DataLoader's: where all processes are in the pass."""
        return self._dataloader.state_dict(again=again)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The DataLoader's."""
        self._dataloader.load_state_dict(state)

    def __iter__(self) -> Iterator[Any]:
        rank, count = self._processes.rank, self._processes.count
        for indices in self._dataloader.indices():
            rows = len(indices)
            self._processes.rows = rows
            yield self.dataset.collated_batch(indices[rows * rank // count : rows * (rank + 1) // count])


class WholeMean:
    """A loss that sums over rows, made one whose average over the processes is the mean over the whole batch's rows."""

    def __init__(self, summed: Any, processes: Processes) -> None:
        self._summed, self._processes = summed, processes

    def __call__(self, pred: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self._summed(pred, y) * (self._processes.count / self._processes.rows)
        return loss


class _OfTheWhole(Observer):
    """Tells an observer of whole batches what the loops tell of slices. All processes add up, whoever prints.

    With the losses they add up which signals have come, so that all of them stop after the same batch.
    """

    def __init__(self, processes: Processes, dataloader: Any, observer: Stoppable) -> None:
        self._processes, self._observer = processes, observer
        self._batch_size, self._size = dataloader.batch_size, len(dataloader.dataset)
        self._loss = torch.zeros(())
        observer.agreed = observer.agreed or 0

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """The whole batch's loss; this process's slice of the batch, None if its loss is finite and the whole's not."""
        (total,) = self._total(loss.detach())
        self._loss = total / self._processes.count
        elsewhere = bool(torch.isfinite(loss)) and not bool(torch.isfinite(total))
        self._observer.before_update(batch, None if elsewhere else X, y, self._loss)

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """The whole batch's loss, and the rows that all processes have seen."""
        seen = min((batch + 1) * self._batch_size, size)
        self._observer.after_update(batch, self._loss, seen, size)

    def settled(self, batch: int) -> None:
        """All processes have come here."""
        self._observer.settled(batch)

    def after_test(self, accuracy: float, loss: float) -> None:
        """Each process has counted its right answers against the whole data set."""
        right, total = self._total(round(accuracy * self._size), loss)
        self._observer.after_test(right.item() / self._size, total.item() / self._processes.count)

    def _total(self, *numbers: Any) -> list[torch.Tensor]:
        """The sums over all processes; and the signals that any of them has had."""
        interrupts = self._observer.interrupts
        if interrupts.signal == 0 and self._processes.launcher_is_gone():
            interrupts.signal = signal.SIGTERM
            if self._processes.rank == 0:
                print("minitrain: torchrun has ended; stopping after this batch, and saving", file=sys.stderr)
        asked = [float(interrupts.signal == number) for number in SIGNALS]
        totals = self._processes.total(*numbers, *asked)
        came = [number for number, count in zip(SIGNALS, totals[len(numbers) :], strict=True) if count.item()]
        self._processes.agreed = self._observer.agreed = came[0] if came else 0
        return totals[: len(numbers)]

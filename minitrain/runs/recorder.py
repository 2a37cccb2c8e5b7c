"""What a run does while it is trained: print the log, write the metrics, save its state, stop where it is to stop."""

from __future__ import annotations

import contextlib
import errno
import math
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minitrain.loops import Observer
from minitrain.runs.directory import RunDirectory, RunError, checkpoints, resume_command
from minitrain.runs.interrupts import Interrupted, Interrupts, discard_output
from minitrain.runs.nonfinite_loss import Explainer

PAUSES = (1, 2, 4, 8)  # seconds between the tries to save a state that must not be lost
SIGPIPE = getattr(signal, "SIGPIPE", 13)


class NonFiniteLossError(ArithmeticError):
    """A loss was nan or infinite; neither it nor any batch after it has changed the parameters."""


class Stoppable(Observer):
    """An observer that ends the loop, after a batch, when a signal has asked for it.

    epoch: the number of the one that is under way. on_nan: "stop" or "continue".
    agreed: among several processes, the signal that all of them know of; None for a process that trains alone.
    """

    def __init__(self, interrupts: Interrupts, epoch: int, on_nan: str) -> None:
        self.interrupts, self.epoch, self.on_nan = interrupts, epoch, on_nan
        self.agreed: int | None = None

    @property
    def signal(self) -> int:
        """The signal to stop for; 0 for none."""
        return self.interrupts.signal if self.agreed is None else self.agreed

    def settles_after(self, batch: int) -> bool:
        """Where it is to stop."""
        return self.signal != 0

    def settled(self, batch: int) -> None:
        """Stop."""
        self.stop_if_asked()

    def end_epoch(self) -> None:
        """Called after an epoch's test."""
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise Interrupted if a signal has come."""
        if self.signal:
            raise self.interruption()

    def interruption(self) -> Interrupted:
        """What says that a signal has ended the run."""
        return Interrupted(self.signal)

    def loss_error(self, batch: int, loss: float) -> NonFiniteLossError:
        """What says that a loss has ended the run."""
        return NonFiniteLossError(f"the loss of epoch {self.epoch}, batch {batch} is {loss}; stopped before the update")


class Silent(Stoppable):
    """Of a process that computes for another one, which prints and writes."""

    def line(self, text: str) -> None:
        """Print nothing."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Remember it."""
        self.epoch = epoch

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Stop at a loss that is not finite, as the process that writes does."""
        if self.on_nan == "stop" and not math.isfinite(loss.item()):
            raise self.loss_error(batch, loss.item())


class Recorder(Stoppable):
    """Prints the tutorial's lines, writes metrics and log into the run's directory, and saves the run's state.

    state: gives the state to save, of model, optimizer, generator and data loader; again: as before the last batch.
    position: where the run is: epoch, batches done in it, updates in all, and what else a resumed run needs to know.
    """

    def __init__(
        self,
        directory: RunDirectory,
        explainer: Explainer,
        interrupts: Interrupts,
        state: Callable[..., dict[str, Any]],
        position: dict[str, Any],
        progress: Any,
    ) -> None:
        super().__init__(interrupts, position["epoch"], explainer.config.on_nan)
        self._done = position["batch"]
        self._updates, self._losses = position["updates"], [*position["losses"]]  # the first loss and the last four
        self._under_way = position["under_way"]
        self._directory, self._explainer, self._state, self._progress = directory, explainer, state, progress
        self._every = explainer.config.checkpoint_every
        self._explained = self._printing_failed = False
        self._failing: dict[str, int | None] = {}  # what could not be written when it was tried last, and why not
        self._seen = position["batch"] * explainer.config.batch_size
        self._began = time.perf_counter() - position["seconds"]

    # --- what is told ---

    def line(self, text: str) -> None:
        """Print a line of the log, above the progress bar where there is one, and write it down."""
        self._directory.lines["log.txt"].append(text)
        if self._printing_failed:
            return
        try:
            with self._progress.external_write_mode(sys.stdout):
                super().line(text)
        except OSError as error:
            self._printing_failed = True
            discard_output()
            if isinstance(error, BrokenPipeError):
                self.interrupts.signal = self.interrupts.signal or SIGPIPE
                return
            log = self._directory.path / "log.txt"
            self.say(f"minitrain: cannot print ({error.strerror}); the lines are in {log}, to which more are added")

    def say(self, text: str) -> None:
        """Print on stderr."""
        with contextlib.suppress(OSError), self._progress.external_write_mode(sys.stderr):
            print(text, file=sys.stderr, flush=True)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Say which epoch begins, of how many; of one that goes on, nothing, as it was said."""
        self._progress.set_description(f"Epoch {epoch}/{epochs}", refresh=False)
        if self._under_way:
            return
        self.epoch, self._done, self._seen, self._under_way = epoch, 0, 0, True
        self._began = time.perf_counter()
        super().begin_epoch(epoch, epochs)

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """At a loss that is not finite, explain it, while the weights are those that gave it; save them, and stop."""
        value = loss.item()
        if math.isfinite(value):
            return
        if not self._explained:
            self._explained = True
            if X is None:
                text = self._explainer.elsewhere(self.epoch, batch, value)
            else:
                text = self._explainer.explain(self.epoch, batch, X, y, value, self._losses, self._updates)
            self.say(f"{text}\n")
        if self.on_nan == "stop":
            self.insist(lambda: self._save(batch, again=True))
            raise self.loss_error(batch, value)

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Print, record, show progress."""
        super().after_update(batch, loss, current, size)
        value = loss.item()
        self._updates += 1
        self._done = batch + 1
        self._losses.append(value)
        if len(self._losses) > 5:
            del self._losses[1]
        self._directory.lines["steps.csv"].append(f"{self.epoch},{batch},{current},{value}")
        if batch % 100 == 0:
            self._attempt("lines", self._flush)
        self._progress.update(current - self._seen)
        self._seen = current

    def settles_after(self, batch: int) -> bool:
        """Where the state is to be saved, or the run to stop."""
        updates = self._updates - self._done + batch + 1
        return super().settles_after(batch) or (self._every > 0 and updates % self._every == 0)

    def settled(self, batch: int) -> None:
        """Save the state where that is due; stop where it was asked for."""
        if self.signal:
            self.insist(lambda: self._save(batch + 1))
        elif self.settles_after(batch):
            self._attempt("state", lambda: self._save(batch + 1))
        self.stop_if_asked()

    def after_test(self, accuracy: float, loss: float) -> None:
        """Print, record."""
        super().after_test(accuracy, loss)
        seconds = round(time.perf_counter() - self._began, 6)
        self._directory.lines["epochs.csv"].append(f"{self.epoch},{accuracy},{loss},{seconds}")

    def end_epoch(self) -> None:
        """Save the state; stop where it was asked for."""
        self.epoch, self._done, self._under_way, self._seen = self.epoch + 1, 0, False, 0
        if self.signal:
            self.insist(lambda: self._save(0))
        else:
            self._attempt("state", lambda: self._save(0))
        self.stop_if_asked()

    def interruption(self) -> Interrupted:
        """What says that a signal has ended the run, whose state is saved."""
        where = f"after batch {self._done - 1} of epoch {self.epoch}" if self._done else f"after epoch {self.epoch - 1}"
        return Interrupted(self.signal, where, run=self._directory.path, saved=True)

    def loss_error(self, batch: int, loss: float) -> NonFiniteLossError:
        """What says that a loss has ended the run, and how it can go on."""
        path = self._directory.path
        *earlier, last = checkpoints(path)
        stopped = NonFiniteLossError(
            f"the loss of epoch {self.epoch}, batch {batch} is {loss}. The run has stopped before the update; the "
            f"state before it is saved in {last}, and gives this loss again."
        )
        if earlier:
            command = f"{resume_command(earlier[-1])} --override {self._explainer.remedy()}"
            stopped.add_note(f"To go back to the checkpoint before:\n    {command}")
        stopped.add_note(f"To go on all the same:\n    {resume_command(path)} --on-nan continue")
        return stopped

    # --- saving ---

    def save(self) -> Path:
        """Save the state as it is before the first batch of this session. Raises OSError."""
        return self._save(self._done)

    def _save(self, batch: int, *, again: bool = False) -> Path:
        position = {
            "epoch": self.epoch,
            "batch": batch,
            "updates": self._updates,
            "losses": self._losses,
            "under_way": self._under_way,
            "seconds": time.perf_counter() - self._began if self._under_way else 0.0,
        }
        self._recover()
        return self._directory.save_checkpoint({"position": position, **self._state(again=again)}, self._updates)

    def _recover(self) -> None:
        if self._directory.recover():
            self.say(f"minitrain: {self._directory.path} had vanished, and is made anew, with the state as it is now")

    def _flush(self) -> None:
        self._recover()
        for lines in self._directory.lines.values():
            lines.flush()

    def _attempt(self, what: str, write: Callable[[], Any]) -> None:
        """Write; where that fails, say so, once: the run goes on, and the next time it is tried again.

        what: the "state", or the "lines", which are written with every state, too.
        """
        try:
            write()
        except OSError as error:
            if what not in self._failing or self._failing[what] != error.errno:
                self.say(
                    f"minitrain: cannot write in {self._directory.path} ({self._reason(error)}). The run goes on and "
                    "tries again; the last checkpoint is untouched"
                )
            self._failing[what] = error.errno
        else:
            if what == "state" and self._failing:
                self.say(f"minitrain: {self._directory.path} can be written again; nothing is missing there")
                self._failing.clear()

    def insist(self, write: Callable[[], Any]) -> None:
        """Write what must not be lost: where that fails, wait, and try again for a while.

        Raises RunError when it could not be written in the end; a second signal ends the waiting.
        """
        for pause in (*PAUSES, None):
            try:
                write()
            except OSError as error:
                said = f"cannot save in {self._directory.path} ({self._reason(error)})"
                if pause is None:
                    raise RunError(
                        f"{said}. The checkpoint before is untouched; make room, then go on from it with "
                        f"{resume_command(self._directory.path)}"
                    ) from error
                before = self.interrupts.signal  # after this one, a signal is an answer to what is said now
                self.say(f"minitrain: {said}; make room. Trying again in {pause} s, Ctrl-C gives up")
                self._wait(pause, before)
            else:
                return

    def _wait(self, seconds: float, before: int) -> None:
        """Sleep, unless a signal comes, or has come, that is not the one before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.interrupts.signal != before:
                raise Interrupted(self.interrupts.signal)
            time.sleep(0.05)

    def _reason(self, error: OSError) -> str:
        """Why something could not be written, and how much room there is, if that is the reason."""
        reason = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror or error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return f"{reason}; {self._directory.room()} are free" if full else reason

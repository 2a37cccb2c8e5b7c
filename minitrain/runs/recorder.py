"""What happens while a run trains: print the log, write the metrics, save the state, stop after a signal or a nan."""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from minitrain.loops import Observer
from minitrain.runs.checkpoints import LOSSES, checkpoints
from minitrain.runs.directory import RunDirectory, VanishedError
from minitrain.runs.interrupts import Interrupted, Interrupts, discard_output
from minitrain.runs.layer_table import LayerTable
from minitrain.runs.messages import escaped
from minitrain.runs.nonfinite_loss import Explainer
from minitrain.runs.resume_command import resume_command
from minitrain.runs.run_files import RunError, UnreadableError

PAUSES = (1, 2, 4, 8)  # seconds between attempts to save a state that must not be lost
SIGPIPE = getattr(signal, "SIGPIPE", 13)


class NonFiniteLossError(ArithmeticError):
    """A loss was nan or infinite; neither it nor a later batch has changed the parameters."""


class Stoppable(Observer):
    """An observer that stops the loop after a batch once a signal has arrived.

    epoch: the current one. on_nan: "stop" or "continue".
    agreed: the signal that several processes have agreed on; None for a process that trains alone.
    """

    def __init__(self, interrupts: Interrupts, epoch: int, on_nan: str) -> None:
        self.interrupts, self.epoch, self.on_nan = interrupts, epoch, on_nan
        self.agreed: int | None = None
        self.test_loss = math.nan

    @property
    def signal(self) -> int:
        """The signal to stop for; 0 for none."""
        return self.interrupts.signal if self.agreed is None else self.agreed

    def settles_after(self, batch: int) -> bool:
        """True if a signal has arrived."""
        return self.signal != 0

    def settled(self, batch: int) -> None:
        """Stop if a signal has arrived."""
        self.stop_if_asked()

    def after_test(self, accuracy: float, loss: float) -> None:
        """Remember the loss, which a scheduler may need."""
        super().after_test(accuracy, loss)
        self.test_loss = loss

    def end_epoch(self) -> None:
        """Called after an epoch's test."""
        self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Raise Interrupted if a signal has arrived."""
        if self.signal:
            raise self.interruption()

    def interruption(self) -> Interrupted:
        """The exception that ends the run after a signal."""
        return Interrupted(self.signal)

    def loss_error(self, batch: int, loss: float) -> NonFiniteLossError:
        """The exception that ends the run at a nan or infinite loss."""
        return NonFiniteLossError(f"the loss of epoch {self.epoch}, batch {batch} is {loss}; stopped before the update")


class Silent(Stoppable):
    """The observer of a process that neither prints nor writes: among several, one does that for all."""

    def line(self, text: str) -> None:
        """Print nothing."""

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Remember the epoch."""
        self.epoch = epoch

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Stop at a nan or infinite loss, as the writing process does."""
        if self.on_nan == "stop" and not math.isfinite(loss.item()):
            raise self.loss_error(batch, loss.item())


class Recorder(Stoppable):
    """Prints the tutorial's log, writes tables and log into the run's directory, and saves the run's state.

    state: returns the state of model, optimizer, generator and data loader; with again=True, before the last batch.
    position: epoch, batches done in it, updates in all, and what else a resumed run needs to know.
    layers: gives the rows of layers.csv.
    """

    def __init__(
        self,
        directory: RunDirectory,
        explainer: Explainer,
        interrupts: Interrupts,
        state: Callable[..., dict[str, Any]],
        position: dict[str, Any],
        progress: Any,
        layers: LayerTable,
    ) -> None:
        super().__init__(interrupts, position["epoch"], explainer.config.on_nan)
        self._done = position["batch"]
        self._updates, self._losses = position["updates"], [*position["losses"]]  # the first loss and the last four
        self._under_way = position["under_way"]
        self._directory, self._explainer, self._state, self._progress = directory, explainer, state, progress
        self._layers = layers
        self._every = explainer.config.checkpoint_every
        self._explained = self._printing_failed = self._vanished = False
        self._failing: dict[str, int | None] = {}  # the writes that failed last time, and their errno
        self._seen = position["batch"] * explainer.config.batch_size
        self._began = time.perf_counter() - position["seconds"]

    # --- printing ---

    def line(self, text: str) -> None:
        """Print a line of the log, above the progress bar if there is one, and write it to log.txt."""
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
            self.say(f"minitrain: cannot print ({error.strerror}); the log continues in {log}")

    def say(self, text: str) -> None:
        """Print on stderr."""
        with contextlib.suppress(OSError), self._progress.external_write_mode(sys.stderr):
            print(escaped(text), file=sys.stderr, flush=True)

    # --- the loops ---

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Announce the epoch, unless it is being resumed."""
        self._progress.set_description(f"Epoch {epoch}/{epochs}", refresh=False)
        if self._under_way:
            return
        self.epoch, self._done, self._seen, self._under_way = epoch, 0, 0, True
        self._began = time.perf_counter()
        super().begin_epoch(epoch, epochs)

    def before_update(self, batch: int, X: Any, y: Any, loss: Any) -> None:
        """Explain a nan or infinite loss while the weights are still those that gave it; save the state and stop."""
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
            self.insist(lambda: self.save(batch, again=True))
            raise self.loss_error(batch, value)

    def after_update(self, batch: int, loss: Any, current: int, size: int) -> None:
        """Print and record the loss, and move the progress bar."""
        super().after_update(batch, loss, current, size)
        value = loss.item()
        self._updates += 1
        self._done = batch + 1
        self._losses.append(value)
        if len(self._losses) > LOSSES:
            del self._losses[1]
        self._directory.lines["steps.csv"].append(f"{self.epoch},{batch},{current},{value}")
        for row in self._layers.rows(self.epoch, batch):
            self._directory.lines["layers.csv"].append(row)
        if batch % 100 == 0:
            try:
                self._attempt("lines", lambda: self._directory.flush(sync=False))
            except VanishedError:  # stop at the next settled(): model and optimizer may be ahead of this batch
                self._vanished = True
        self._progress.update(current - self._seen)
        self._seen = current

    def settles_after(self, batch: int) -> bool:
        """True if the state is to be saved after this batch, or the run is to stop."""
        updates = self._updates - self._done + batch + 1
        return super().settles_after(batch) or self._vanished or (self._every > 0 and updates % self._every == 0)

    def settled(self, batch: int) -> None:
        """Save the state if that is due; stop if a signal has arrived."""
        if self.settles_after(batch):
            self._vanished = False  # unless saving finds it again
            self._save_and_stop_if_asked(batch + 1)

    def after_test(self, accuracy: float, loss: float) -> None:
        """Print and record the test."""
        super().after_test(accuracy, loss)
        seconds = round(time.perf_counter() - self._began, 6)
        self._directory.lines["epochs.csv"].append(f"{self.epoch},{accuracy},{loss},{seconds}")

    def end_epoch(self) -> None:
        """Save the state; stop if a signal has arrived."""
        self.epoch, self._done, self._under_way, self._seen = self.epoch + 1, 0, False, 0
        self._save_and_stop_if_asked(0)

    def finish(self, weights: Any) -> None:
        """Print the last line, and write it and the weights, which mark the run as complete."""
        self.line("Done!")
        with self._rescuing(lambda: self._at(0), weights):
            self.insist(self._directory.flush)
            self.insist(lambda: self._directory.save_weights(weights))

    def interruption(self) -> Interrupted:
        """The exception that ends the run after a signal, once its state is saved."""
        where = f"after batch {self._done - 1} of epoch {self.epoch}" if self._done else f"after epoch {self.epoch - 1}"
        return Interrupted(self.signal, where, run=self._directory.path, saved=True)

    def loss_error(self, batch: int, loss: float) -> NonFiniteLossError:
        """The exception that ends the run at a nan or infinite loss, with the commands that resume it."""
        path = self._directory.path
        try:
            *earlier, last = checkpoints(path) or [path]
        except UnreadableError:
            earlier, last = [], path
        stopped = NonFiniteLossError(
            f"the loss of epoch {self.epoch}, batch {batch} is {loss}. The run stopped before the update and saved its "
            f"state in {last}; resuming it gives this loss again."
        )
        if earlier:
            command = f"{resume_command(earlier[-1])} --override {self._explainer.too_high()[1]}"
            stopped.add_note(f"To return to the checkpoint before it:\n    {command}")
        stopped.add_note(f"To continue anyway:\n    {resume_command(path)} --on-nan continue")
        return stopped

    # --- saving ---

    def _at(self, batch: int, *, again: bool = False) -> dict[str, Any]:
        """The state after so many batches of the epoch."""
        position = {
            "epoch": self.epoch,
            "batch": batch,
            "updates": self._updates,
            "losses": self._losses,
            "under_way": self._under_way,
            "seconds": time.perf_counter() - self._began if self._under_way else 0.0,
        }
        return {"position": position, **self._state(again=again)}

    def save(self, batch: int, *, again: bool = False) -> Path:
        """Save the state after so many batches of the epoch; again: with the last batch drawn again. Raises OSError."""
        state = self._at(batch, again=again)
        with self._rescuing(lambda: state):
            return self._directory.save_checkpoint(state, self._updates)

    @contextlib.contextmanager
    def _rescuing(self, state: Callable[[], dict[str, Any]], weights: Any = None) -> Iterator[None]:
        """If the run's directory vanishes, save the run elsewhere, and raise VanishedError that says where.

        weights: those of a run that is complete.
        """
        try:
            yield
        except VanishedError as error:
            try:
                where = self._directory.rescue(state(), self._updates, weights)
            except (OSError, RunError) as failure:
                raise VanishedError(f"{error}. Its state could not be saved elsewhere ({failure})") from None
            if weights is not None:
                raise VanishedError(f"{error}. The complete run is saved in {where}") from None
            rescued = VanishedError(f"{error}. The run stopped; its state is saved in {where}")
            rescued.add_note(f"To resume it:\n    {resume_command(where)}")
            raise rescued from None

    def _save_and_stop_if_asked(self, batch: int) -> None:
        if self.signal:
            self.insist(lambda: self.save(batch))
        else:
            self._attempt("state", lambda: self.save(batch))
        self.stop_if_asked()

    def _attempt(self, what: str, write: Callable[[], Any]) -> None:
        """Write; if that fails, report it once, continue, and let the next call try again.

        what: the "state", or the "lines", which are written with each state, too.
        """
        path = self._directory.path
        try:
            write()
        except OSError as error:
            if what not in self._failing or self._failing[what] != error.errno:
                self.say(
                    f"minitrain: cannot write in {path} ({self._directory.reason(error)}). The run continues and will "
                    "try again; the last checkpoint is intact"
                )
            self._failing[what] = error.errno
        else:
            if what == "state" and self._failing:
                self.say(f"minitrain: {path} can be written again; nothing is missing there")
                self._failing.clear()

    def insist(self, write: Callable[[], Any]) -> None:
        """Write what must not be lost; if that fails, wait and try again, a few times.

        Raises RunError if the last attempt fails; a second signal ends the waiting.
        """
        for pause in (*PAUSES, None):
            try:
                write()
            except OSError as error:
                failure = f"cannot save in {self._directory.path} ({self._directory.reason(error)})"
                if pause is None:
                    raise RunError(
                        f"{failure}. The last checkpoint is intact; once that is fixed, resume with "
                        f"{resume_command(self._directory.path)}"
                    ) from error
                before = self.interrupts.signal  # a later signal answers the message below
                self.say(f"minitrain: {failure}. Trying again in {pause} s; Ctrl-C gives up")
                self._wait(pause, before)
            else:
                return

    def _wait(self, seconds: float, before: int) -> None:
        """Sleep, until a signal arrives that is not the one before."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.interrupts.signal != before:
                raise Interrupted(self.interrupts.signal)
            time.sleep(0.05)

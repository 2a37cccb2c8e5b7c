"""A whole run: begun from a configuration, or gone on with from a checkpoint, and the directory that it leaves.

A run that was broken off goes on as if nothing had been: the same bits, the same lines.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minitrain.runs.backend import Backend
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.directory import (
    CONFIG,
    WEIGHTS,
    Checkpoint,
    RunDirectory,
    RunError,
    check_out,
    launch,
    make_run_dir,
    open_run,
    read_sessions,
)
from minitrain.runs.environment import describe, differences
from minitrain.runs.interrupts import Interrupted, Interrupts
from minitrain.runs.nonfinite_loss import Explainer
from minitrain.runs.recipe import BEGINNING, Training
from minitrain.runs.recorder import Recorder, Silent
from minitrain.runs.resume import Resumption, training_from


def train(config: Config, out: str | os.PathLike[str] | None = None, backend: Backend | None = None) -> Path | None:
    """Run it: print the tutorial's log on stdout, and leave a directory with all there is to know about the run.

    The directory's files are those of rundir.py. The state is saved before the first batch, after each epoch, and
    every config.checkpoint_every steps. The first Ctrl-C, SIGTERM or SIGHUP saves it after the batch and ends the run.
    A loss that is not finite is explained on stderr; the run then stops before the update, or goes on, as
    config.on_nan says.
    out: the directory; None for runs/<dataset>-<n>. backend: what computes; minitrain itself, if None.
    Returns the directory; None in a process that does not write, where several train together.
    Raises DataError if there is no data, ConfigError if out holds a run or cannot be written, RunError if the run could
    not be saved, NonFiniteLossError, and Interrupted.
    """
    backend = backend or Backend()
    if backend.writes:
        check_out(out)  # before a long download
    training = Training(config, backend)
    with make_run_dir(out, config.dataset) if backend.writes else contextlib.nullcontext() as directory:
        return _session(training, directory)


def resume(resumption: Resumption, backend: Backend | None = None) -> Path | None:
    """Go on with a run, as train does; the directory is the run's own.

    Raises RunError as well for a run that is in use or damaged.
    """
    backend = backend or Backend()
    with open_run(resumption.run) if backend.writes else contextlib.nullcontext() as directory:
        last, faults = resumption.read()
        config = resumption.config
        training = Training(config, backend) if last is None else training_from(last, config, backend)
        return _session(training, directory, resumption, last, faults)


def _session(
    training: Training,
    directory: RunDirectory | None,
    resumption: Resumption | None = None,
    last: Checkpoint | None = None,
    faults: Sequence[str] = (),
) -> Path | None:
    """Train what is left, from the last checkpoint on."""
    config, backend = training.config, training.backend
    position = BEGINNING if last is None else last.state["position"]
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(says=backend.writes))
        if directory is None:
            training.run(Silent(interrupts, position["epoch"], config.on_nan), position)
            return None
        for text in _begin(directory, training, position, resumption, last, faults):
            print(f"minitrain: {text}", file=sys.stderr)
        explainer = Explainer(config, backend, training.build, training.model, training.optimizer)
        bar = stack.enter_context(_bar(training, position))
        recorder = Recorder(directory, explainer, interrupts, training.state, position, bar)
        try:
            if last is None:
                with _beginning(directory, discard=resumption is None):
                    directory.check_room(recorder.save())
            training.run(recorder, position)
            recorder.line("Done!")
            recorder.insist(directory.flush)  # before the weights, which say that the run is complete
            recorder.insist(lambda: directory.save_weights(backend.state_dict(training.model)))
        except Interrupted as error:
            error.run = directory.path
            raise
        return directory.path


def _begin(
    directory: RunDirectory,
    training: Training,
    position: Mapping[str, Any],
    resumption: Resumption | None,
    last: Checkpoint | None,
    faults: Sequence[str],
) -> list[str]:
    """Write down the configuration and this session, and open tables and log where the state belongs.

    Returns what there is to say about it.
    """
    environment = describe(training.backend.versions())
    said: list[str] = []
    session: dict[str, Any] = {"began": datetime.now(UTC).isoformat(timespec="seconds")}
    session |= {name: position[name] for name in ("epoch", "batch", "updates")}
    if (started_by := launch()) is not None:
        session["launch"] = started_by
    directory.clean()
    with _beginning(directory, discard=resumption is None):
        if resumption is not None:
            session["changes"] = resumption.changes
            try:
                sessions = read_sessions(directory.path)
                said += [f"not as before: {line}" for line in differences(sessions[-1]["environment"], environment)]
                directory.description = {"sessions": sessions}
            except RunError as error:
                kept = directory.set_aside(CONFIG)
                source = "" if last is None else f" from {last.path}"
                said.append(f"{error}; it is written anew{source}" + ("" if kept is None else f", and kept as {kept}"))
            where = (
                f"in epoch {position['epoch']}, batch {position['batch']}" if last is not None else "from its beginning"
            )
            said.append(f"going on with {directory.path} {where}")
            if resumption.checkpoint is not None:
                directory.forget_after(resumption.checkpoint)
        directory.describe(training.config, environment, session)
        # Of a complete run to which epochs are added: these weights are in its last checkpoint, too.
        (directory.path / WEIGHTS).unlink(missing_ok=True)
        said += [f"{fault}; taking the checkpoint before it" for fault in faults]
        said += directory.begin_lines(None if last is None else last.places)
    return said


@contextlib.contextmanager
def _beginning(directory: RunDirectory, *, discard: bool) -> Iterator[None]:
    """Within it a session first writes into a directory; discard: where that fails, nothing is left of it."""
    try:
        yield
    except OSError as error:
        room = directory.room()
        if discard:
            directory.discard()
        where = f": {error.filename}" if error.filename else ""
        remedy = "make room, or choose another --out" if discard else "make room"
        raise ConfigError(
            f"cannot write the run in {directory.path} ({error.strerror}{where}; {room} are free); {remedy}"
        ) from None


def _bar(training: Training, position: Mapping[str, Any]) -> Any:
    """A progress bar on stderr, where that is a terminal."""
    from tqdm import tqdm  # here, since importing minitrain should cost little more than importing NumPy

    done = (position["epoch"] - 1) * training.samples + position["batch"] * training.config.batch_size
    return tqdm(
        total=training.config.epochs * training.samples,
        initial=done,
        unit=" samples",
        unit_scale=True,
        disable=not sys.stderr.isatty(),
        leave=False,
        dynamic_ncols=True,
    )

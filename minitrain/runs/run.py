"""A whole run: started from a configuration or resumed from a checkpoint, and the directory that it leaves.

A resumed run continues as if it had never stopped: the same bits, the same lines.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minitrain.runs.backend import Backend
from minitrain.runs.checkpoints import Checkpoint, checkpoints, sessions_of
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import DamagedError, read_sessions
from minitrain.runs.directory import RunDirectory, is_full, make_run_dir, open_run
from minitrain.runs.environment import describe, differences
from minitrain.runs.interrupts import Interrupted, Interrupts
from minitrain.runs.messages import say
from minitrain.runs.nonfinite_loss import Explainer
from minitrain.runs.recipe import BEGINNING, Training
from minitrain.runs.recorder import Recorder, Silent
from minitrain.runs.resume import Resumption, training_from
from minitrain.runs.resume_command import launch
from minitrain.runs.run_files import CONFIG, check_out


def train(config: Config, out: str | os.PathLike[str] | None = None, backend: Backend | None = None) -> Path | None:
    """Train: print the tutorial's log on stdout, and write the run's directory (its files: see run_files.py).

    The state is saved before the first batch, after each epoch, and every config.checkpoint_every steps. The first
    Ctrl-C, SIGTERM or SIGHUP saves it after the batch and ends the run. A nan or infinite loss is explained on stderr;
    then the run stops before the update or continues, as config.on_nan says.

    out: the directory; None for runs/<dataset>-<n>. backend: None for NumPy.
    Returns the directory; None in a process that does not write, if several train together.
    Raises DataError if there is no data, ConfigError if out holds a run or cannot be written, RunError if the run could
    not be saved, NonFiniteLossError, and Interrupted.
    """
    backend = backend or Backend()
    if backend.writes:
        check_out(out)  # before a long download
    training = Training(config, backend, download=True)
    with make_run_dir(out, config.dataset) if backend.writes else contextlib.nullcontext() as directory:
        return _session(training, directory)


def resume(resumption: Resumption, backend: Backend | None = None) -> Path | None:
    """Resume a run in its own directory; otherwise as train.

    Raises RunError also for a run that is in use or damaged.
    """
    backend = backend or Backend()
    with open_run(resumption.run) if backend.writes else contextlib.nullcontext() as directory:
        last, faults = resumption.read()
        if directory is not None:
            directory.check_in_place()  # without it, the run would begin again
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
    """Train what is left after the last checkpoint."""
    config, backend = training.config, training.backend
    position = BEGINNING if last is None else last.state["position"]
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts(says=backend.writes))
        if directory is None:
            training.run(Silent(interrupts, position["epoch"], config.on_nan), position)
            return None
        with _beginning(directory, discard=resumption is None):
            for text in _begin(directory, training, position, resumption, last, faults):
                say(f"minitrain: {text}")
        explainer = Explainer(config, backend, training.build, training.model, training.optimizer)
        bar = stack.enter_context(_bar(training, position))
        layers = training.layer_table(position["updates"])
        recorder = Recorder(directory, explainer, interrupts, training.state, position, bar, layers)
        try:
            if last is None:
                with _beginning(directory, discard=resumption is None):
                    directory.check_room(recorder.save(position["batch"]))
            training.run(recorder, position)
            recorder.finish(backend.state_dict(training.model))
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
    """Write the configuration with this session, and open tables and log at the checkpoint's place in them.

    Returns the messages for the user.
    """
    environment = describe(training.backend.versions())
    messages: list[str] = []
    session: dict[str, Any] = {"id": secrets.token_hex(8), "began": datetime.now(UTC).isoformat(timespec="seconds")}
    session |= {name: position[name] for name in ("epoch", "batch", "updates")}
    if (started_by := launch()) is not None:
        session["launch"] = started_by
    directory.clean()
    if resumption is not None:
        session["changes"] = resumption.changes
        session["continues"] = [] if last is None else [last.session]
        try:
            sessions = read_sessions(directory.path)
            changes = differences(sessions[-1]["environment"], environment)
            messages += [f"changed since the last session: {change}" for change in changes]
            directory.description = {"sessions": sessions}
        except DamagedError as error:
            kept = directory.set_aside(CONFIG)
            source = "" if last is None else f" from {last.path}"
            messages.append(
                f"{error}; it is written again{source}" + (f", and {kept} keeps the old one" if kept else "")
            )
            session["continues"] = sessions_of(checkpoints(directory.path))
        where = "from its beginning"
        if last is not None:
            where = f"in epoch {position['epoch']}, batch {position['batch']}"
        messages += [f"resuming {directory.path} {where}", *resumption.notes]
        if resumption.checkpoint is not None:
            directory.forget_after(resumption.checkpoint)
    directory.describe(training.config, environment, session)
    # A complete run that trains further is no longer complete. The last checkpoint has these weights, too.
    directory.remove_weights()
    messages += [f"{fault}; using the checkpoint before it" for fault in faults]
    return messages + directory.begin_lines(None if last is None else last.places)


@contextlib.contextmanager
def _beginning(directory: RunDirectory, *, discard: bool) -> Iterator[None]:
    """Turn an error of the first writes into ConfigError; discard: also remove what they left."""
    try:
        yield
    except (OSError, ConfigError) as error:
        directory.check_in_place()
        if isinstance(error, ConfigError):
            raise
        reason = directory.reason(error)
        if discard:
            directory.discard()
        remedies = [*(["make room"] if is_full(error) else []), *(["choose another --out"] if discard else [])]
        remedy = ", or ".join(remedies) or "once that is fixed, resume it again"
        raise ConfigError(f"cannot write the run in {directory.path} ({reason}); {remedy}") from None


def _bar(training: Training, position: Mapping[str, Any]) -> Any:
    """A progress bar on stderr if that is a terminal."""
    from tqdm import tqdm  # here, so that importing minitrain costs little more than importing NumPy

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

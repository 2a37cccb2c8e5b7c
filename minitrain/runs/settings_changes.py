"""Which settings may change within a run, and which changes its sessions have recorded."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from minitrain.runs.checkpoints import Checkpoint
from minitrain.runs.config import Config

# Settings that do not change the run: where and how it is computed, and how long it trains.
FREE = {"data_dir", "epochs", "backend", "device", "compile", "checkpoint_every", "on_nan", "layers_every"}
# Settings that --override may change. All others define the run: data, order, shapes, the kind of optimizer.
OVERRIDABLE = {"lr", "momentum", "weight_decay", "precision"}


def expected_settings(checkpoint: Checkpoint, sessions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The checkpoint's settings, with the changes of later sessions.

    Such a session began at the checkpoint, or at a later one that is gone, and may have been killed before it saved.
    """
    expected = dict(vars(checkpoint.config))
    for changes in _changes_since(checkpoint, sessions):
        expected |= {name: new for name, (_, new) in changes.items()}
    return expected


def settings_before(checkpoint: Checkpoint, sessions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings that sessions after a checkpoint changed, as they were before."""
    before: dict[str, Any] = {}
    for changes in _changes_since(checkpoint, sessions):
        before = {**{name: was for name, (was, _) in changes.items()}, **before}
    return before


def unexplained(
    config: Config, checkpoint: Checkpoint, sessions: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[Any, Any]]:
    """The settings in config.json that differ from expected_settings: (config.json's, the expected one)."""
    pairs = {name: (getattr(config, name), value) for name, value in expected_settings(checkpoint, sessions).items()}
    return {name: (is_, expected) for name, (is_, expected) in pairs.items() if is_ != expected}


def _changes_since(checkpoint: Checkpoint, sessions: Sequence[Mapping[str, Any]]) -> list[dict[str, list[Any]]]:
    """What each session after a checkpoint changed: [before, after] by name; oldest first."""
    updates = checkpoint.state["position"]["updates"]
    later = itertools.takewhile(lambda session: session["updates"] >= updates, reversed(sessions))
    changes = [session.get("changes", {}) for session in later][::-1]
    return [{name: pair for name, pair in each.items() if name in FREE | OVERRIDABLE} for each in changes]

"""A run's trained weights, written to a file that torch can load."""

from __future__ import annotations

import os
from pathlib import Path

from minitrain.runs.config import ConfigError
from minitrain.runs.run_files import check_not_of_a_run
from minitrain.runs.trained import Trained, load_trained
from minitrain.serialization import save


def export(run: str | os.PathLike[str], file: str | os.PathLike[str], force: bool = False) -> Trained:
    """Write a run's weights for torch: model.load_state_dict(safetensors.torch.load_file(file)).

    force: replace an existing file.
    Returns what was written. Raises ConfigError if the file cannot be written, otherwise as load_trained does.
    """
    path = Path(file)
    if not str(file) or (path.exists() and not path.is_file()):
        raise ConfigError(f"cannot write weights to {str(file)!r}; name a file")
    check_not_of_a_run(path)
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{path} already exists; choose another name, or add --force to replace it")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"there is no directory {path.absolute().parent}; create it first")
    trained = load_trained(run)
    try:
        save(trained.model.state_dict(), path)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}); choose another place") from None
    return trained

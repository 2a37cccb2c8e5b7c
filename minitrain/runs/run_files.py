"""The files of a run's directory: their names, and which paths are, or can become, such a directory.

config.json          the configuration, the environment, and each session that trained the run
steps.csv            each update: epoch, batch, samples seen in the epoch, loss
epochs.csv           each test: epoch, accuracy, loss, seconds
layers.csv           each layer at every Nth update: norms of gradient, weight and change, or the share of zeros
log.txt              the printed log
checkpoints/         the two newest states to resume from, named after their number of updates
model.safetensors    the trained weights, once the run is complete
.lock                locked while a process trains the run; the system unlocks it however that process ends

A link to the directory is fine. None of the files may be a link: it could belong to another run, or be any other file.
"""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from minitrain.runs.config import ConfigError

FORMAT = 1  # of config.json and of checkpoints
CONFIG, WEIGHTS, CHECKPOINTS, LOCK = "config.json", "model.safetensors", "checkpoints", ".lock"
COLUMNS = {
    "steps.csv": "epoch,batch,samples,loss",
    "epochs.csv": "epoch,accuracy,loss,seconds",
    "layers.csv": "epoch,batch,layer,gradient_norm,weight_norm,change_norm,zeros",
}
LINES = (*COLUMNS, "log.txt")


class RunError(RuntimeError):
    """A run's directory is in use, damaged, or cannot be written."""


class UnreadableError(RunError):
    """A file exists, but there is no permission to read it, or the disk fails."""


def check_out(out: str | os.PathLike[str] | None) -> None:
    """Raise ConfigError if out cannot become a run's directory."""
    if out is None:
        return
    path = Path(out)
    if not str(out):
        raise ConfigError("--out is empty; name a directory for the run, or leave out --out")
    try:
        exists = path.exists()
    except OSError as error:  # for example, a name that is too long
        raise ConfigError(f"cannot use --out {str(out)!r} ({error.strerror}); choose another --out") from None
    if exists and not path.is_dir():
        raise ConfigError(f"{path} is a file; choose another --out")
    if any(os.path.lexists(path / name) for name in (CONFIG, WEIGHTS, CHECKPOINTS, *LINES)):
        raise ConfigError(
            f"{path} already holds a run; choose another --out, resume that run with --resume {path}, or delete it"
        )


def check_run(run: str | os.PathLike[str]) -> Path:
    """The path of a run's directory. Raises ConfigError if there is no run, UnreadableError without permission."""
    path = Path(run)
    if not str(run) or not os.path.isdir(path):
        why = "it is a file" if str(run) and os.path.lexists(path) else "no such directory"
        raise ConfigError(f"there is no run in {str(run)!r}: {why}; name the directory of a run")
    for folder in (path, path / CHECKPOINTS):
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise UnreadableError(f"cannot read {folder}: no permission")
    if not any(os.path.lexists(path / name) for name in (CONFIG, CHECKPOINTS)):
        raise ConfigError(f"there is no run in {path}: it has no {CONFIG}; name the directory of a run")
    check_links(path)
    return path


def check_links(run: Path) -> None:
    """Raise RunError if a file of the run is a link, or checkpoints/ is not a directory."""
    folder = run / CHECKPOINTS
    files = [run / name for name in (CONFIG, WEIGHTS, CHECKPOINTS, LOCK, *LINES)]
    for path in itertools.chain(files, _saved(folder) if is_own_folder(folder) else ()):
        if is_link(path):
            raise RunError(f"{path} is a link, but a run has its own files; replace the link by what it points to")
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise RunError(f"{folder} is not a directory; remove it, or put the run's checkpoints into a directory there")


def is_own_folder(path: Path) -> bool:
    """Whether there is a directory, and not a link to one."""
    return os.path.isdir(path) and not is_link(path)


def is_link(path: Path) -> bool:
    """Whether there is a link, also one of Windows to a directory, or one to nothing."""
    return os.path.islink(path) or getattr(os.path, "isjunction", lambda _: False)(path)


def check_not_of_a_run(path: str | os.PathLike[str]) -> None:
    """Raise ConfigError if a file at this path would be one of a run's own files."""
    file = Path(os.path.realpath(path))
    folder = file.parents[1] if file.parent.name == CHECKPOINTS else file.parent
    own = file.parent.name == CHECKPOINTS or file.name in (CONFIG, WEIGHTS, LOCK, *LINES)
    if own and (folder / CONFIG).exists():
        raise ConfigError(f"{path} belongs to the run in {folder}; choose another name")


def _saved(folder: Path) -> list[Path]:
    """The checkpoint files of a folder; [] if it vanishes meanwhile."""
    try:
        return [*folder.glob("*.safetensors")]
    except OSError:
        return []

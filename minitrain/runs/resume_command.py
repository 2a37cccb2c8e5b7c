"""The commands that resume a run, also under torchrun, and that show it."""

from __future__ import annotations

import os
import shlex
import shutil
import string
from pathlib import Path

_PLAIN = f"{string.ascii_letters}{string.digits}./-_ "


def resume_command(run: Path) -> str:
    """The command that resumes a run, or a checkpoint of it, in as many processes as torchrun has started."""
    command = _program()
    if launch() is not None:
        torchrun = "torchrun" if shutil.which("torchrun") else "python -m torch.distributed.run"
        here, everywhere = (int(os.environ.get(name, 1)) for name in ("LOCAL_WORLD_SIZE", "WORLD_SIZE"))
        options = f"--standalone --nproc-per-node {here}" if here == everywhere else "(on each machine, as before)"
        command = f"{torchrun} {options} -m minitrain"
    return f"{command} train --resume {_named(run)}"


def report_command(run: Path) -> str:
    """The command that shows a run in the browser."""
    return f"{_program()} report {_named(run)} --open"


def _program() -> str:
    return "minitrain" if shutil.which("minitrain") else "python -m minitrain"


def _named(run: Path) -> str:
    name = f"./{run}" if str(run).startswith("-") else str(run)  # or it would be read as an option
    if name.isprintable():
        return shlex.quote(name)
    plain = "".join(chr(byte) if chr(byte) in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(name))
    return f"$'{plain}'"  # as bash and zsh read it: a terminal would obey a control character


def launch() -> str | None:
    """An identifier of this launch of torchrun, the same in all its attempts; None without torchrun."""
    # torchrun's own run id may repeat, but each launch makes a new folder for the errors of its processes:
    # torchelastic_*/<id>_*/attempt_<n>/<process>/error.json
    errors = os.environ.get("TORCHELASTIC_ERROR_FILE")
    return None if errors is None else str(Path(errors).parents[2])

"""The files that options such as --json and --plot name: checked before a long computation, written after it."""

import io
import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minitrain.files import write_output
from minitrain.runs.config import ConfigError
from minitrain.runs.run_files import check_not_of_a_run


def check_writable(path: str | None, option: str) -> None:
    """Raise ConfigError if no file can be written at path, the value of this option; None if it is not given."""
    if path is None:
        return
    file = Path(path)
    if not path or file.is_dir():
        raise ConfigError(f"{option} must name a file, but got {path!r}")
    check_not_of_a_run(file)
    folder = Path(os.path.realpath(file)).parent  # of a link's target
    if not folder.is_dir():
        raise ConfigError(f"there is no directory {folder} for {option} {path}; create it first")
    if not os.access(file if file.exists() else folder, os.W_OK):
        raise ConfigError(f"no permission to write {path}; choose another {option}")


def check_plot(path: str) -> None:
    """Raise ConfigError if no PNG can be drawn at path, the value of --plot."""
    if find_spec("matplotlib") is None:
        raise ConfigError('plotting needs matplotlib: pip install -e ".[plot]"')
    check_writable(path, "--plot")
    if Path(path).suffix.lower() != ".png":
        raise ConfigError(f"the plot is a PNG file, but its name is {path!r}; end it in .png")


def write_json(path: str | None, figures: dict[str, Any]) -> None:
    """Write the figures as indented JSON, if a path is given."""
    if path is not None:
        write_output(path, (json.dumps(figures, indent=1) + "\n").encode())


def write_plot(path: str, figure: Any, **options: Any) -> None:
    """Write matplotlib's figure as PNG. options: of savefig."""
    content = io.BytesIO()
    figure.savefig(content, format="png", **options)
    write_output(path, content.getvalue())

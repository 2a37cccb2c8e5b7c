"""What README shows is what comes out."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.splitlines())


def test_print_tapes_picture_is_what_its_program_prints() -> None:
    program = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "print_tape" in block)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(program, {})
    assert f"```\n\n{indented(out.getvalue())}" in README


@pytest.mark.skipif("MINITRAIN_DATA" not in os.environ, reason="needs the genuine Fashion-MNIST in MINITRAIN_DATA")
def test_the_table_of_files_is_what_the_command_prints(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(Path(os.environ["MINITRAIN_DATA"]).absolute())
    environment = {key: value for key, value in os.environ.items() if key != "MINITRAIN_DATA"}
    command = [sys.executable, "-m", "minitrain", "data"]
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    assert f"    $ minitrain data\n{indented(printed)}" in README


def test_the_import_lines_are_those_that_the_tests_change() -> None:
    from benchmarks.programs import MINITRAIN_IMPORTS, TORCH_IMPORTS

    removed = "".join(f"-{line}\n" for line in TORCH_IMPORTS.splitlines())
    added = "".join(f"+{line}\n" for line in MINITRAIN_IMPORTS.splitlines())
    assert f"```diff\n{removed}{added}```" in README

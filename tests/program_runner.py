"""Runs programs one after the other in this process, on torch or on minitrain, and writes what each has printed.

    python -m tests.program_runner HOW FOLDER RESULT

HOW: torch; imports, for minitrain by changed import lines; or run, for both of minitrain's ways.
RESULT gets a JSON object: HOW -> the program's name -> its output, with the error that has stopped it as the last line.
"""

import contextlib
import io
import json
import random
import re
import sys
import traceback
import types
import warnings
from pathlib import Path

import numpy as np

from minitrain import programs
from minitrain.programs.finder import ROOTS

STOPPED = "stopped by "
ERROR = re.compile(r"\w*(Error|Exception|Exit|Interrupt)\b")  # the line of a traceback that names the error


def imports_changed(source: str) -> str:
    """The program with minitrain's modules in place of torch's in its import lines, and nothing else changed."""
    source = re.sub(r"^import torch$", "import minitrain as torch", source, flags=re.MULTILINE)
    for root, ours in ROOTS.items():
        source = re.sub(rf"^(import|from) {root}(?=[. ])", rf"\1 {ours}", source, flags=re.MULTILINE)
    return source


def run_with_changed_imports(path: Path) -> None:
    """Run the program as the main module, with its import lines changed."""
    main = types.ModuleType("__main__")
    sys.modules["__main__"], sys.argv = main, [str(path)]
    try:
        exec(compile(imports_changed(path.read_text()), str(path), "exec"), vars(main))
    except Exception:
        traceback.print_exc()


def output_of(path: Path, how: str) -> str:
    """What the program prints; if an error stops it, the error's last line, too."""
    random.seed(0)
    np.random.seed(0)
    printed, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        if how == "imports":
            run_with_changed_imports(path)
        else:
            programs.run(path, [], on="torch" if how == "torch" else "minitrain")
    stopped = [line for line in errors.getvalue().splitlines() if ERROR.match(line)]  # notes may stand below it
    return printed.getvalue() + "".join(f"{STOPPED}{line}\n" for line in stopped[-1:])


def main(how: str, folder: str, result: str) -> None:
    """Run every program of the folder."""
    warnings.simplefilter("ignore")
    if how == "torch":
        import torch

        torch.set_num_threads(1)
    ways = ["imports", "run"] if how == "run" else [how]  # in this order: `run` is for the rest of the process
    paths = sorted(Path(folder).glob("*.py"))
    outputs = {way: {path.stem: output_of(path, way) for path in paths} for way in ways}
    Path(result).write_text(json.dumps(outputs))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Beginners' programs print on minitrain what they print on torch, by changed imports and by `minitrain run`."""

import gzip
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from minitrain.programs import check
from minitrain.programs.compare import difference
from minitrain.runs.environment import THREADS
from tests.program_runner import STOPPED, imports_changed

PROGRAMS = Path(__file__).with_name("programs")
NAMES = sorted(path.stem for path in PROGRAMS.glob("*.py"))
DATA = os.environ.get("MINITRAIN_DATA")
NEED_DATA = {"basics_fashion"}
Outputs = dict[str, dict[str, str]]  # how it was run -> the program's name -> its output


def start(how: str, folder: Path, result: Path, data: Path) -> subprocess.Popen[bytes]:
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"MINITRAIN_DATA": str(data)}
    return subprocess.Popen([sys.executable, "-m", "tests.program_runner", how, folder, result], env=environment)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """What all programs print, on torch and both ways on minitrain: two processes, side by side."""
    work = tmp_path_factory.mktemp("programs")
    shutil.copytree(PROGRAMS, work / "programs", ignore=shutil.ignore_patterns("__pycache__"))
    if DATA:
        raw = work / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for packed in (Path(DATA) / "FashionMNIST" / "raw").glob("*.gz"):
            (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))  # as torchvision reads them
            shutil.copy(packed, raw)
    else:
        for name in NEED_DATA:
            (work / "programs" / f"{name}.py").unlink()
    sides = {how: start(how, work / "programs", work / f"{how}.json", work) for how in ("torch", "run")}
    for how, process in sides.items():
        assert process.wait(timeout=300) == 0, how
    return json.loads((work / "torch.json").read_text()) | json.loads((work / "run.json").read_text())


@pytest.mark.parametrize("how", ["imports", "run"])
@pytest.mark.parametrize("name", NAMES)
def test_a_program_prints_what_it_prints_on_torch(name: str, how: str, outputs: Outputs) -> None:
    if name in NEED_DATA and not DATA:
        pytest.skip("needs the genuine Fashion-MNIST in MINITRAIN_DATA")
    first, _ = difference(outputs["torch"][name], outputs[how][name])
    assert first is None, f"line {first[0]}:\ntorch     {first[1]}\nminitrain {first[2]}"


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_program_is_missing(name: str) -> None:
    assert check(PROGRAMS / f"{name}.py") == []


def test_programs_print_on_torch_without_an_error(outputs: Outputs) -> None:
    """An error that stops both sides alike would pass for the same output."""
    for name, output in outputs["torch"].items():
        assert output.count("\n") >= 4, name
        assert STOPPED not in output, name


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("xor", "lr=0.05", "lr=0.051"),  # a number
        ("xor", '"Accuracy:"', '"accuracy:"'),  # a word
        ("logistic_regression", "% 20 == 0", "% 20 == 1"),  # other lines
        ("schedules", "torch.ones(1)", "torch.oness(1)"),  # an error
    ],
)
def test_a_program_that_differs_is_found(name: str, old: str, new: str, outputs: Outputs, tmp_path: Path) -> None:
    text = (PROGRAMS / f"{name}.py").read_text()
    assert old in text
    changed = tmp_path / "program.py"
    changed.write_text(text.replace(old, new))
    first, _ = difference(outputs["torch"][name], minitrain_run(changed).stdout)
    assert first is not None


def minitrain_run(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "minitrain", "run", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("name", ["xor", "schedules", "basics_save_load"])
def test_the_command_prints_the_same_in_a_process_of_its_own(name: str, outputs: Outputs) -> None:
    done = minitrain_run(PROGRAMS / f"{name}.py")
    assert done.returncode == 0, done.stderr
    assert difference(outputs["torch"][name], done.stdout)[0] is None


def test_a_programs_own_options_reach_it(outputs: Outputs) -> None:
    done = minitrain_run(PROGRAMS / "mnist_cnn.py", "--epochs", "1", "--log-interval", "100")
    assert [line.split("[")[0] for line in done.stdout.splitlines() if "Train" in line] == ["Train Epoch: 1 "]


def test_only_import_lines_are_changed() -> None:
    text = "import torch\nimport torch.nn as nn\nfrom torch.utils import data\nfrom torchvision import io\nx = 'torch'"
    assert imports_changed(text) == (
        "import minitrain as torch\nimport minitrain.nn as nn\nfrom minitrain.utils import data\n"
        "from minitrain.vision import io\nx = 'torch'"
    )
    for name in NAMES:
        old = (PROGRAMS / f"{name}.py").read_text()
        new = imports_changed(old)
        changed = [a for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]
        assert changed, name
        assert all(line.startswith(("import ", "from ")) for line in changed)
        assert "import torch" not in new.replace("as torch", "")

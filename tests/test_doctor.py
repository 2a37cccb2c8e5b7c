"""minitrain doctor reports what is installed, missing or broken, with the remedy."""

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch

from minitrain.with_torch import doctor

TORCH = ("torch", "torchvision")
WITHOUT = """
import sys
for name in {names}:
    sys.modules[name] = None
from minitrain.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_doctor(folder: Path, *, without: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name not in (*doctor.THREADS, "MINITRAIN_DATA")}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT.format(names=without), "doctor"],
        cwd=folder,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def findings(report: str) -> dict[str, str]:
    """What was found under each name, with the remedy."""
    found: dict[str, str] = {}
    for line in report.splitlines():
        name = line[:12].strip() or [*found][-1]
        found[name] = f"{found.get(name, '')} {line[12:].strip()}".strip()
    return found


def test_it_tells_versions_threads_devices_and_data(tmp_path: Path) -> None:
    result = run_doctor(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    found = findings(result.stdout)
    assert found["NumPy"].startswith(np.__version__)
    assert " thread" in found["NumPy"]
    assert found["torch"].startswith(torch.__version__)
    assert found["devices"].startswith("cpu")
    assert found["torchvision"].startswith(metadata.version("torchvision"))
    assert found["threads"] == "not set: every library uses all CPUs"
    assert "no file -> to download it: minitrain data fetch" in found["data"]


def test_kernels_that_the_environment_chose_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert "-> OPENBLAS_CORETYPE=Haswell chose these kernels; unset it" in findings(doctor._numpy().text())["NumPy"]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "")
    assert "OPENBLAS_CORETYPE" not in findings(doctor._numpy().text())["NumPy"]


def test_without_torch_it_says_what_is_lacking_and_how_to_get_it(tmp_path: Path) -> None:
    result = run_doctor(tmp_path, without=(*TORCH, "matplotlib"))
    assert (result.returncode, result.stderr) == (0, "")
    found = findings(result.stdout)
    assert 'pip install -e ".[torch]"' in found["torch"]
    assert 'pip install -e ".[plot]"' in found["matplotlib"]
    assert not {"devices", "compiler", "torchvision"} & found.keys()


def test_unequal_threads_are_pointed_out(tmp_path: Path) -> None:
    equal = run_doctor(tmp_path, without=TORCH, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    assert "->" not in findings(equal.stdout)["threads"]
    assert "1 thread" in findings(equal.stdout)["NumPy"]
    unequal = run_doctor(tmp_path, without=TORCH, OMP_NUM_THREADS="2", OPENBLAS_NUM_THREADS="1")
    assert "-> set all of them to the same number" in findings(unequal.stdout)["threads"]


def test_damaged_data_is_a_fault(tmp_path: Path) -> None:
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not the genuine one")
    result = run_doctor(tmp_path, without=TORCH, MINITRAIN_DATA=str(tmp_path))
    assert result.returncode == 1
    assert "minitrain data fetch" in findings(result.stdout)["data"]


@pytest.mark.parametrize("written", ["torch==1.0.0", "torch (==1.0.0)"])
def test_a_torchvision_of_another_torch_is_a_fault(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not doctor._torchvision(torch.__version__).fault
    monkeypatch.setattr(metadata, "requires", lambda _: ["numpy", written, "torch; extra == 'x'"])
    finding = doctor._torchvision(torch.__version__)
    assert finding.fault
    assert "belongs to torch 1.0.0" in finding.says
    assert finding.remedy


def test_a_torchvision_whose_operators_do_not_load_does_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    for loads in (True, False):
        monkeypatch.setattr(torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda *_, loads=loads: loads)
        finding = doctor._torchvision(torch.__version__)
        assert ("matches torch" in finding.says) == loads
        assert ("from the same index" in finding.remedy) != loads
        assert not finding.fault


def test_a_finding_is_wrapped_under_its_own_column() -> None:
    finding = doctor.Finding("torch", "not installed: no --backend torch, no compare, no tests", "pip install it " * 4)
    assert finding.text().count("\n") == 1
    assert finding.text(50).splitlines() == [
        "torch        not installed: no --backend torch, no",
        "             compare, no tests",
        "             -> pip install it pip install it pip",
        "                install it pip install it",
    ]

"""examine: what is installed here, what it computes on, and how to repair or add the rest."""

from __future__ import annotations

import os
import platform
import re
import shutil
import textwrap
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from minitrain.data import datasets
from minitrain.runs.environment import THREADS, cpus, numpy_blas
from minitrain.runs.messages import counted
from minitrain.with_torch.import_torchvision import import_torchvision
from minitrain.with_torch.installed import find_compiler

REINSTALL = 'pip install --force-reinstall -e ".[torch]"'


class Finding(NamedTuple):
    """What was found about one thing.

    remedy: what to do, if anything. fault: whether it is broken, not just missing.
    """

    name: str
    says: str
    remedy: str = ""
    fault: bool = False

    def text(self, width: int | None = None) -> str:
        """The finding, and its remedy on a line of its own; wrapped to this many columns, if given."""
        lines = [(f"{self.name:<12} ", self.says), *([(f"{'':<12} -> ", self.remedy)] if self.remedy else [])]
        if width is None:
            return "\n".join(head + rest for head, rest in lines)
        return "\n".join(
            textwrap.fill(
                rest,
                max(width, 40),
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
                break_on_hyphens=False,
            )
            for head, rest in lines
        )


def examine(data_dir: str | None = None) -> Iterator[Finding]:
    """Examine Python, NumPy, threads, torch, its devices, the compiler, torchvision, matplotlib and the data.

    data_dir: the folder that holds FashionMNIST/raw; None for MINITRAIN_DATA, else ./data.
    """
    yield Finding("minitrain", f"{metadata.version('minitrain')}, in {os.path.dirname(os.path.dirname(__file__))}")
    machine = f"{platform.system()} {platform.machine()}, {counted(cpus(), 'CPU')}"
    yield Finding("Python", f"{platform.python_version()} on {machine}")
    yield _numpy()
    yield _threads()
    if find_spec("torch") is None:
        yield Finding(
            "torch",
            "not installed: no --backend torch, no compare, no tests, no benchmarks",
            'to add it: pip install -e ".[torch]", or ".[test]" for the tests',
        )
    else:
        yield from _torch()
    yield _matplotlib()
    yield _data(data_dir)


def _numpy() -> Finding:
    blas = numpy_blas()
    threads = f", {counted(blas.threads, 'thread')}" if blas.threads is not None else ""
    kernels = f", {blas.kernels} kernels" if blas.kernels else ""
    says = f"{np.__version__}; BLAS {blas.name} {blas.version}{kernels}{threads}"
    chosen = os.environ.get("OPENBLAS_CORETYPE")
    remedy = f"OPENBLAS_CORETYPE={chosen} chose these kernels; unset it for the best ones for this CPU"
    return Finding("NumPy", says, remedy if chosen else "")


def _threads() -> Finding:
    given = {name: os.environ[name] for name in THREADS if name in os.environ}
    if not given:
        return Finding("threads", "not set: every library uses all CPUs")
    unequal = len(set(given.values())) > 1
    remedy = "set all of them to the same number, or comparisons of speed are unfair" if unequal else ""
    return Finding("threads", ", ".join(f"{name}={value}" for name, value in given.items()), remedy)


def torch_blas() -> tuple[str, str]:
    """torch's library for matrix products, and the CPU's instructions that its own loops use; imports torch."""
    import torch

    mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    return "MKL" if mkl else "its own or OpenBLAS", torch.backends.cpu.get_cpu_capability()


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except Exception as error:
        says = f"{metadata.version('torch')} is installed, but its import fails: {error}"
        yield Finding("torch", says, REINSTALL, fault=True)
        return
    blas, capability = torch_blas()
    says = (
        f"{torch.__version__}; BLAS {blas}, {counted(torch.get_num_threads(), 'thread')}; CPU capability {capability}"
    )
    old = capability in ("DEFAULT", "NO AVX")
    yield Finding("torch", says, "without AVX2, torch's random numbers differ from minitrain's" if old else "")

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    devices = ["cpu", *(f"cuda:{number} ({name})" for number, name in enumerate(gpus))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    remedy = ""
    if not gpus and shutil.which("nvidia-smi"):
        remedy = "to use this machine's NVIDIA GPU, install a torch built for CUDA"
    yield Finding("devices", ", ".join(devices), remedy)
    compiler = find_compiler()
    yield Finding("compiler", compiler or "no C++ compiler", "" if compiler else "to use --compile, install g++")
    yield _torchvision(torch.__version__)


def _torchvision(torch_version: str) -> Finding:
    if find_spec("torchvision") is None:
        return Finding("torchvision", "not installed; only the tests and benchmarks use it", REINSTALL)
    version = metadata.version("torchvision")
    needs = "\n".join(metadata.requires("torchvision") or [])
    wanted = re.search(r"^torch\s*\(?==\s*([\w.]+)", needs, re.MULTILINE)
    if wanted is not None and wanted[1] != torch_version.partition("+")[0]:
        says = f"{version}, which belongs to torch {wanted[1]}, not {torch_version}"
        return Finding("torchvision", says, REINSTALL, fault=True)
    try:
        import torch

        import_torchvision()
    except Exception as error:
        return Finding("torchvision", f"{version} cannot be imported: {error}", REINSTALL, fault=True)
    if not torch._C._dispatch_has_kernel_for_dispatch_key("torchvision::nms", "CPU"):
        return Finding(
            "torchvision",
            f"{version}; its compiled operators do not load in torch {torch_version}: minitrain works with it, "
            "but `import torchvision` fails in your own programs",
            "install torch and torchvision from the same index: both for CPUs, or both for CUDA",
        )
    return Finding("torchvision", f"{version}, matches torch")


def _matplotlib() -> Finding:
    if find_spec("matplotlib") is None:
        return Finding("matplotlib", "not installed: no plots", 'to add it: pip install -e ".[plot]"')
    return Finding("matplotlib", metadata.version("matplotlib"))


def _data(data_dir: str | None) -> Finding:
    folder = datasets.raw_folder(data_dir)
    faults = {found.fault for found in datasets.status(data_dir) if found.fault is not None}
    if not faults:
        return Finding("data", f"Fashion-MNIST is in {folder}, intact")
    damaged = faults != {"no file"}
    says = f"Fashion-MNIST in {folder}: {', '.join(sorted(faults))}"
    return Finding("data", says, "to download it: minitrain data fetch; digits come with the package", fault=damaged)

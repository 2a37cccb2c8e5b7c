"""minitrain doctor: report what is installed, and how to repair or add the rest."""

from __future__ import annotations

import argparse

from minitrain.cli.options import add_options
from minitrain.cli.parser import Commands, add_command

EXAMPLES = {
    "versions, BLAS, threads, devices and data": "",
    "with the data in another folder": "--data-dir ~/data",
}


def add(commands: Commands) -> None:
    """Add the command."""
    doctor = add_command(
        commands,
        "doctor",
        run,
        "report what is installed here, and how to repair or add the rest",
        EXAMPLES,
        "0 unless something is broken, 1 if it is",
    )
    add_options(doctor, "data_dir")


def run(arguments: argparse.Namespace) -> int:
    """Print each finding; the exit status says whether something is broken."""
    from minitrain.with_torch.doctor import examine

    faults = 0
    for finding in examine(arguments.data_dir):
        print(finding, flush=True)
        faults += finding.fault
    return int(faults > 0)

"""minitrain doctor: report what is installed, and how to repair or add the rest."""

from __future__ import annotations

import argparse
import sys

from minitrain.cli.options import add_options
from minitrain.cli.parser import Commands, add_command
from minitrain.runs.messages import escaped

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
    from minitrain.learn.screen import columns
    from minitrain.with_torch.doctor import examine

    width = columns() if sys.stdout.isatty() else None  # a file keeps one line for each finding: it can be searched
    faults = 0
    for finding in examine(arguments.data_dir):
        print(escaped(finding.text(width)), flush=True)
        faults += finding.fault
    return int(faults > 0)

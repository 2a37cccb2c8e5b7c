"""minitrain data: show, download or verify the data sets' files."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from minitrain.cli.options import add_options
from minitrain.cli.parser import Commands, add_command

EXAMPLES = {
    "which files are here": "",
    "download Fashion-MNIST into ./data (30 MB)": "fetch --data-dir data",
    "fail unless every file is genuine": "verify",
}


def add(commands: Commands) -> None:
    """Add the command."""
    data = add_command(commands, "data", run, "show, download or verify the data sets' files", EXAMPLES)
    data.add_argument(
        "action",
        nargs="?",
        choices=["show", "fetch", "verify"],
        default="show",
        help="show: list the files (default). fetch: download missing files. verify: fail unless all are genuine",
    )
    add_options(data, "--data-dir")


def run(arguments: argparse.Namespace) -> int:
    """Print each file with its size and its state."""
    from minitrain.data import datasets

    root = arguments.data_dir
    if arguments.action == "fetch":
        datasets.fetch(root, progress=sys.stderr.isatty())
    if arguments.action == "verify":
        datasets.verify(root)
    print(f"fashion-mnist, in {datasets.raw_folder(root)}")
    for found in datasets.status(root):
        _print_file(os.path.basename(found.path), found.file, found.fault)
    datasets.Digits()  # raises if its file is not the genuine one
    print("digits, in the package")
    _print_file(datasets.DIGITS.name, datasets.DIGITS, None)
    return 0


def _print_file(name: str, genuine: Any, fault: str | None) -> None:
    state = f"ok, sha256 {genuine.sha256[:16]}" if fault is None else fault
    print(f"  {name:<26} {genuine.size:>11,} bytes  {state}")

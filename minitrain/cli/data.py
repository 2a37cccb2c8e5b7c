"""minitrain data: show, download or verify the data sets' files."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from minitrain.cli.options import add_options
from minitrain.cli.parser import Commands, add_command
from minitrain.runs.messages import escaped

EXAMPLES = {
    "which files are here": "",
    "download MNIST into ./data (12 MB)": "fetch --dataset mnist --data-dir data",
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
    data.add_argument(
        "--dataset",
        choices=["fashion-mnist", "mnist", "kmnist", "cifar10"],
        default="fashion-mnist",
        help="the data set to fetch or verify (default: fashion-mnist); show lists all",
    )
    add_options(data, "data_dir")


def run(arguments: argparse.Namespace) -> int:
    """Print each file with its size and its state."""
    from minitrain.data import datasets

    root, chosen = arguments.data_dir, datasets.COLLECTIONS[arguments.dataset]
    if arguments.action == "fetch":
        datasets.fetch(root, chosen, progress=sys.stderr.isatty())
    if arguments.action == "verify":
        datasets.verify(root, chosen)
    for name, collection in datasets.COLLECTIONS.items():
        found = datasets.status(root, collection)
        is_here = any(each.size is not None for each in found)
        print(escaped(f"{name}, in {datasets.raw_folder(root, collection)}{'' if is_here else ': not fetched'}"))
        for each in found if is_here or name == arguments.dataset else []:
            _print_file(os.path.basename(each.path), each.file, each.fault)
    datasets.Digits()  # raises if its file is not the genuine one
    print("digits, in the package")
    _print_file(datasets.DIGITS.name, datasets.DIGITS, None)
    return 0


def _print_file(name: str, genuine: Any, fault: str | None) -> None:
    algorithm, checksum = genuine.checksum
    state = f"ok, {algorithm.lower().replace('-', '')} {checksum[:16]}" if fault is None else fault
    print(f"  {name:<26} {genuine.size:>11,} bytes  {escaped(state)}")

"""The command `minitrain`: train, data. Each command parses its arguments and calls the library; no more."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 0, 1 for a failure, 2 for bad usage, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        print("minitrain: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("minitrain: stopped, since nobody reads its output any more", file=sys.stderr)
        return 1
    except Exception as error:
        if arguments.debug:
            raise
        print(f"minitrain: error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
        return 2 if _is_usage(error) else 1


def _is_usage(error: Exception) -> bool:
    from minitrain.training.run import ConfigError

    return isinstance(error, ConfigError)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="minitrain", description="The beginner's PyTorch training workflow, in NumPy.")
    parser.add_argument("--version", action="version", version=f"minitrain {version('minitrain')}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_train(commands)
    _add_data(commands)
    return parser


def _add_command(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False
    )
    command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    command.set_defaults(run=run)
    return command


# --- train ------------------------------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    train = _add_command(commands, "train", _train, "train the built-in model and print the tutorial's log")
    train.add_argument("--dataset", choices=["fashion-mnist", "digits"], default="fashion-mnist")
    train.add_argument(
        "--data-dir", metavar="DIR", help="the folder that holds FashionMNIST/raw (default: $MINITRAIN_DATA, or ./data)"
    )
    # Without a default here: those left out take their data set's own.
    train.add_argument("--epochs", type=int, metavar="N", help="passes over the training data (10; digits 30)")
    train.add_argument("--batch-size", type=int, metavar="N", help="samples in a batch (64; digits 16)")
    train.add_argument("--lr", type=float, metavar="RATE", help="the learning rate (1e-3; digits 0.1)")
    train.add_argument("--optimizer", choices=["sgd", "rmsprop", "adam"], help="the update rule (sgd)")
    train.add_argument("--momentum", type=float, metavar="M", help="of sgd and rmsprop (0)")
    train.add_argument("--weight-decay", type=float, metavar="D", help="the factor of the L2 penalty (0)")
    train.add_argument(
        "--hidden", type=int, nargs="*", metavar="SIZE", help="the sizes of the hidden layers (512 512; digits 64)"
    )
    train.add_argument("--seed", type=int, metavar="N", help="of the weights and the order of the data (0)")
    train.add_argument(
        "--shuffle", action=argparse.BooleanOptionalAction, help="a new order in each epoch (no; digits yes)"
    )
    train.add_argument("--out", metavar="DIR", help="the run's directory (default: runs/<dataset>-<n>)")


def _train(arguments: argparse.Namespace) -> int:
    from minitrain.training.run import Config, default_config, train

    given = {
        field.name: getattr(arguments, field.name)
        for field in dataclasses.fields(Config)
        if getattr(arguments, field.name) is not None
    }
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    directory = train(dataclasses.replace(default_config(arguments.dataset), **given), arguments.out)
    print(f"The run is in {directory}: config.json, steps.csv, epochs.csv, model.safetensors", file=sys.stderr)
    return 0


# --- data -------------------------------------------------------------------------------------------------------------


def _add_data(commands: Any) -> None:
    data = _add_command(commands, "data", _data, "show, fetch or verify the data sets' files")
    data.add_argument(
        "action",
        nargs="?",
        choices=["show", "fetch", "verify"],
        default="show",
        help="show what is there (default), download what is missing, or fail unless all is there and genuine",
    )
    data.add_argument("--data-dir", metavar="DIR", help="the folder to look in (default: $MINITRAIN_DATA, or ./data)")


def _data(arguments: argparse.Namespace) -> int:
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

"""The command `minitrain`: main runs one command and turns each error into a short message and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from minitrain.cli import compare, data, doctor, gradcheck, learn, report, run, runs, step, train
from minitrain.cli.parser import Parser, show_examples
from minitrain.files import NO_FORMULAS
from minitrain.runs.config import ConfigError
from minitrain.runs.interrupts import Interrupted, discard_output, end_at_once, ignore, stop_always, stop_at_once
from minitrain.runs.messages import one_line, say
from minitrain.runs.run_files import RunError

# Each has add(commands); in the order of --help.
COMMANDS = (train, run, runs, report, step, data, gradcheck, compare, doctor, learn)
EXAMPLES = {
    "a first run, in a few seconds": "train --dataset digits",
    "run a PyTorch program on NumPy, unmodified": "run program.py",
    "write backpropagation yourself": "learn",
}
FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns the exit status: 0, 1 after a failure, 2 for bad usage, 128 + n if signal n ended it. A command whose status
    1 has another meaning returns a further one after a failure.
    """
    debug, failure = False, 1
    try:
        stop_at_once()
        if argv is None:
            stop_always()
        with _printable_output():
            arguments = _parser().parse_args(argv)
            debug, failure = arguments.debug, arguments.failure
            _check_surroundings()
            return arguments.run(arguments) or 0
    except KeyboardInterrupt as error:
        ignore()  # an impatient user may press Ctrl-C again
        return _interrupted(error)
    except BrokenPipeError:  # the reader, such as head, has ended
        discard_output()
        say("minitrain: nobody reads the output any more: stopped")
        return failure
    except Exception as error:
        if debug:
            raise
        text = one_line(str(error)) or type(error).__name__
        if isinstance(error, OSError) and error.filename is None and error.errno in FULL:
            text = f"cannot write the output or a file ({error.strerror})"
        say(f"minitrain: error: {text}")
        for note in getattr(error, "__notes__", ()):  # how to continue
            say(note)
        return 2 if isinstance(error, ConfigError) else failure
    finally:
        if argv is None:  # the process is about to end; an exception raised there would print a traceback
            end_at_once()
            try:
                sys.stdout.flush()
            except (OSError, ValueError, AttributeError):  # what cannot be written has been reported
                discard_output()


def _parser() -> Parser:
    parser = Parser(
        prog="minitrain",
        description="The beginner's PyTorch training workflow, in NumPy.",
        epilog=show_examples("minitrain", EXAMPLES),
    )
    parser.add_argument("--version", action=_Version, help="show program's version number and exit")
    parser.set_defaults(debug=False, failure=1, run=lambda _: print(parser.format_help(), end=""))
    commands = parser.add_subparsers(title="commands", metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return parser


class _Version(argparse.Action):
    """Print the version of the installed package and exit."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version  # which takes a third of the time in which --help is printed

        print(f"minitrain {version('minitrain')}")
        parser.exit()


@contextlib.contextmanager
def _printable_output() -> Iterator[None]:
    """Inside it any text can be printed, in any encoding; at its end all that was printed has been written."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        with contextlib.suppress(ValueError, AttributeError):  # a program has closed or replaced it
            sys.stdout.flush()  # raises here what the interpreter's end could only complain about


def _check_surroundings() -> None:
    """Raise RunError in a folder that has been deleted, where all relative paths fail; mention python -OO."""
    try:
        os.getcwd()
    except OSError:
        raise RunError("the current directory has been deleted; change to another one, such as with cd ~") from None
    if NO_FORMULAS:
        say(f"minitrain: {NO_FORMULAS}")


def _open_closed_streams() -> None:
    """Replace streams that the caller closed (2>&-), so that no other file gets their numbers and is printed to."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115


def _interrupted(error: KeyboardInterrupt) -> int:
    """Say that a signal ended the command, and how to resume it; returns the exit status."""
    from minitrain.runs.resume_command import resume_command

    number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
    unread = number == getattr(signal, "SIGPIPE", None)
    text = "nobody reads the output any more: stopped" if unread else "interrupted"
    if isinstance(error, Interrupted) and error.run is not None:
        text += f" {error}, and saved. Resume with:" if error.saved else " at once. Resume the last checkpoint with:"
        text += f"\n    {resume_command(error.run)}"
    say(f"minitrain: {text}")
    return 1 if unread else 128 + number

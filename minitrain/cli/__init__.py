"""The command `minitrain`: main runs one command and turns each error into a short message and an exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version

from minitrain.cli import compare, data, doctor, gradcheck, learn, report, run, runs, step, train
from minitrain.cli.parser import Parser, show_examples
from minitrain.runs.config import ConfigError
from minitrain.runs.interrupts import Interrupted, discard_output, end_at_once, ignore, stop_at_once
from minitrain.runs.messages import one_line, say

# Each has add(commands); in the order of --help.
COMMANDS = (train, run, runs, report, step, data, gradcheck, compare, doctor, learn)
EXAMPLES = {
    "a first run, in a few seconds": "train --dataset digits",
    "run a PyTorch program on NumPy, unmodified": "run program.py",
    "write backpropagation yourself": "learn",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns the exit status: 0, 1 after a failure, 2 for bad usage, 128 + n if signal n ended it.
    """
    debug = False
    try:
        stop_at_once()
        _open_closed_streams()
        arguments = _parser().parse_args(argv)
        debug = arguments.debug
        return arguments.run(arguments) or 0
    except KeyboardInterrupt as error:
        ignore()  # an impatient user may press Ctrl-C again
        return _interrupted(error)
    except BrokenPipeError:  # the reader, such as head, has ended
        discard_output()
        say("minitrain: nobody reads the output any more: stopped")
        return 1
    except Exception as error:
        if debug:
            raise
        say(f"minitrain: error: {one_line(str(error)) or type(error).__name__}")
        for note in getattr(error, "__notes__", ()):  # how to continue
            say(note)
        return 2 if isinstance(error, ConfigError) else 1
    finally:
        if argv is None:  # the process is about to end; an exception raised there would print a traceback
            end_at_once()


def _parser() -> Parser:
    parser = Parser(
        prog="minitrain",
        description="The beginner's PyTorch training workflow, in NumPy.",
        epilog=show_examples("minitrain", EXAMPLES),
    )
    parser.add_argument("--version", action="version", version=f"minitrain {version('minitrain')}")
    parser.set_defaults(debug=False, run=lambda _: print(parser.format_help(), end=""))
    commands = parser.add_subparsers(title="commands", metavar="command")
    for command in COMMANDS:
        command.add(commands)
    return parser


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

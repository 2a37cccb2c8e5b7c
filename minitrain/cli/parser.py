"""The parser of the command line: help with examples, and errors in one line that suggest what was meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NoReturn

from minitrain.runs.messages import say

Commands = Any  # what add_subparsers returns: argparse has no public name for it
Run = Callable[[argparse.Namespace], int]


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples, and leaves enough room for the longest command."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):
            self._action_max_length += self._indent_increment  # by which commands are indented: argparse forgets it


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes options unabbreviated and suggests the nearest name for a mistyped one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Print the message and exit with status 2."""
        say(f"{self.prog}: error: {message} (see {self.prog} --help)")
        sys.exit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ArgumentParser's, but report unknown arguments here, where the command's own options are known."""
        arguments, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            given = next((word.partition("=")[0] for word in unknown if word.startswith("-")), "")
            self.error(f"unrecognized arguments: {' '.join(map(str.strip, unknown))}{_suggestion(given, options)}")
        return arguments, unknown

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:  # argparse would ignore that it cannot be written
            (file or sys.stderr).write(message)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            hint = _suggestion(str(value), choices) or f"; choose from {', '.join(choices)}"
            raise argparse.ArgumentError(action, f"invalid choice: {value!r}{hint}")


def _suggestion(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def add_command(
    commands: Commands, name: str, run: Run, help: str, examples: Mapping[str, str], status: str = "", failure: int = 1
) -> argparse.ArgumentParser:
    """Add a command that calls run, which returns the exit status.

    help: what it does, a phrase that begins with a verb. examples: two or three, a comment and the command's arguments.
    status: what exit status 0 and 1 mean, if not success and failure.
    failure: the exit status of a failure, if 1 has another meaning.
    """
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=f"{help[0].upper()}{help[1:]}.")
    command.epilog = show_examples(command.prog, examples)
    if status:
        failed = f", {failure} if the command fails" if failure != 1 else ""
        command.epilog += f"\nexit status:\n  {status}, 2 for bad usage{failed}"
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    command.set_defaults(run=run, failure=failure)
    return command


def show_examples(prog: str, examples: Mapping[str, str]) -> str:
    """The examples of a help: each command line below its comment."""
    lines = {comment: f"{prog} {line}".rstrip() for comment, line in examples.items()}
    return "examples:\n" + "\n".join(f"  # {comment}\n  {line}\n" for comment, line in lines.items())

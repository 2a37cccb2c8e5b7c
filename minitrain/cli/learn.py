"""minitrain learn: the exercises, each action a command of its own."""

from __future__ import annotations

import argparse
import functools

from minitrain.cli.parser import Commands, add_command

EXAMPLES = {
    "write the files of the exercises into ./minitrain-exercises": "start",
    "check an exercise each time you save its file": "watch",
    "see how far you are": "list",
}
IN = {"in this folder, or above": "", "in another folder": "--dir my-exercises"}


def add(commands: Commands) -> None:
    """Add the command and its actions."""
    learn = add_command(commands, "learn", run, "write parts of minitrain yourself, and have them checked", EXAMPLES)
    learn.set_defaults(action=None, name=None)
    learn.add_argument(
        "--dir", metavar="DIR", help="the exercises' folder (default: here, a parent, or ./minitrain-exercises)"
    )
    actions = learn.add_subparsers(title="actions", metavar="action")

    def action(name: str, help: str, examples: dict[str, str], status: str = "") -> argparse.ArgumentParser:
        added = add_command(actions, name, run, help, examples, status)
        added.set_defaults(action=name)
        # Without a default, which would replace a --dir given before the action.
        added.add_argument("--dir", metavar="DIR", default=argparse.SUPPRESS, help="the exercises' folder")
        return added

    start = action(
        "start",
        "write a file for each exercise, and show the first one",
        {"in ./minitrain-exercises": "", "in another folder": "my-exercises"},
    )
    start.add_argument("directory", nargs="?", metavar="DIR", help="the folder (default: minitrain-exercises)")
    action("list", "list the exercises and your progress", IN)
    action("next", "show which file to open next", IN)
    check = action(
        "check",
        "check an exercise",
        {"the next one": "", "one of your choice": "relu-backward", "everything you have written": "--all"},
        "0 if it passes, 1 if not",
    )
    check.add_argument("name", nargs="?", metavar="NAME", help="its name, the start of it, or its file (default: next)")
    check.add_argument("--all", action="store_true", help="check everything you have written")
    check.add_argument("--verbose", action="store_true", help="report everything that is wrong, not only the first")
    watch = action(
        "watch",
        "check an exercise each time its file is saved, then continue with the next",
        {"start with the next one": "", "start with one of your choice": "relu-backward"},
    )
    watch.add_argument("name", nargs="?", metavar="NAME", help="the exercise to start with (default: next)")
    hint = action(
        "hint", "show one more hint", {"the first hint": "relu-backward", "and the second one": "relu-backward"}
    )
    hint.add_argument("name", metavar="NAME", help="the exercise")
    solution = action(
        "solution",
        "print the library's own code, once yours has passed",
        {"after yours has passed": "relu-backward", "before that": "relu-backward --spoil"},
    )
    solution.add_argument("name", metavar="NAME", help="the exercise")
    solution.add_argument("--spoil", action="store_true", help="print it before yours has passed")
    zoo = action(
        "zoo",
        "diagnose every planted mistake, and show the diagnoses",
        {"the table of all mistakes": "", "one of them, explained": "relu-mask-inverted"},
    )
    zoo.add_argument("name", nargs="?", metavar="NAME", help="explain this one (default: all, in a table)")
    reset = action(
        "reset",
        "start an exercise again; your file is kept",
        {"your file gets another name": "relu-backward", "in another folder": "relu-backward --dir my-exercises"},
    )
    reset.add_argument("name", metavar="NAME", help="the exercise")


def run(arguments: argparse.Namespace) -> int:
    """Run one action; without one, show the overview."""
    if arguments.action == "zoo":
        return _zoo(arguments.name)
    from minitrain.learn import commands
    from minitrain.learn.checking import check
    from minitrain.learn.exercises import EXERCISES
    from minitrain.learn.screen import Screen
    from minitrain.learn.watch import watch
    from minitrain.learn.workspace import LearnUsageError, find

    folder, name, screen = arguments.dir, arguments.name, Screen()
    if arguments.action is None:
        commands.show_overview(folder, EXERCISES, screen)
        return 0
    if arguments.action == "start":
        if arguments.directory is not None and folder is not None:
            raise LearnUsageError(f"the folder is given twice, as {arguments.directory} and as --dir {folder}")
        commands.begin(arguments.directory if arguments.directory is not None else folder, EXERCISES, screen)
        return 0
    workspace = find(folder, EXERCISES)
    match arguments.action:
        case "list":
            commands.show_list(workspace, screen)
        case "next":
            commands.show_next(workspace, screen)
        case "check":
            if not arguments.all:
                reporting = functools.partial(check, verbose=arguments.verbose)
                return int(not commands.check_named(workspace, name, screen, reporting))
            if name is not None:
                raise LearnUsageError(f"--all checks every exercise; leave {name} out")
            return int(not commands.check_all(workspace, screen, check))
        case "watch":
            watch(workspace, name, screen, check)
        case "hint":
            commands.show_hint(workspace, name, screen)
        case "solution":
            commands.show_solution(workspace, name, screen, spoil=arguments.spoil)
        case "reset":
            commands.reset(workspace, name, screen)
    return 0


def _zoo(name: str | None) -> int:
    from minitrain.learn.workspace import LearnUsageError
    from minitrain.mistakes.table import describe, table

    try:
        for line in table() if name is None else [describe(name)]:
            print(line)
    except LookupError as error:
        raise LearnUsageError(str(error)) from None
    return 0

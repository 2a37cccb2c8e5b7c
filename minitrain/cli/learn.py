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

    def action(
        name: str,
        help: str,
        examples: dict[str, str],
        status: str = "",
        folder: str = "the exercises' folder",
    ) -> argparse.ArgumentParser:
        added = add_command(actions, name, run, help, examples, status)
        added.set_defaults(action=name)
        # Without a default, which would replace a --dir given before the action.
        added.add_argument("--dir", metavar="DIR", default=argparse.SUPPRESS, help=folder)
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
    notebook = action(
        "notebook",
        "write the exercises as notebooks, one for each track",
        {"all tracks": "", "one of them": "backward-passes", "in another folder": "training --dir my-exercises"},
    )
    notebook.add_argument("tracks", nargs="*", metavar="TRACK", help="its name, or the start of it (default: all)")
    assignment = action(
        "assignment",
        "write a folder of chosen exercises to hand out to a class",
        {
            "two exercises, one point each": "relu-backward mul-backward --dir homework-1",
            "three points each": "sgd momentum --dir homework-2 --points 3",
        },
        folder="the new folder",
    )
    assignment.add_argument("names", nargs="+", metavar="NAME", help="the exercises")
    assignment.add_argument("--points", type=int, default=1, metavar="N", help="points for each exercise (default: 1)")
    grade = add_command(
        actions,
        "grade",
        run,
        "check all that is in a student's folder, or in each folder of a class",
        {
            "a class, with a folder for each student": "handed-in --json grades.json",
            "an assignment of yours": "handed-in --assignment homework-1/assignment.json",
            "one submission, in Gradescope's autograder": "handed-in/ann --gradescope results.json",
        },
    )
    grade.set_defaults(action="grade")
    grade.add_argument("folder", metavar="DIR", help="a student's folder, or a folder of students' folders")
    grade.add_argument("--json", metavar="FILE", help="also write the results as JSON")
    grade.add_argument("--gradescope", metavar="FILE", help="also write them as Gradescope's results.json")
    grade.add_argument(
        "--assignment", metavar="FILE", help="the assignment.json that says which exercises count (default: all found)"
    )
    grade.add_argument(
        "--timeout", type=float, default=10.0, metavar="S", help="time limit of each stage, in seconds (default: 10)"
    )
    grade.add_argument("--no-torch", dest="torch", action="store_false", help="do not compare with torch: faster")


def run(arguments: argparse.Namespace) -> int:
    """Run one action; without one, show the overview."""
    if arguments.action == "zoo":
        return _zoo(arguments.name)
    if arguments.action == "grade":
        return _grade(arguments)
    if arguments.action == "assignment":
        return _assignment(arguments)
    from minitrain.learn import commands
    from minitrain.learn.assignment import exercises_in
    from minitrain.learn.checking import check
    from minitrain.learn.exercises import EXERCISES
    from minitrain.learn.screen import Screen
    from minitrain.learn.watch import watch
    from minitrain.learn.workspace import LearnUsageError, Workspace, find, find_or_start, named_or_found

    folder, name, screen = arguments.dir, arguments.name, Screen()
    if arguments.action is None:
        commands.show_overview(folder, exercises_in(named_or_found(folder, EXERCISES)), screen)
        return 0
    if arguments.action == "start":
        if arguments.directory is not None and folder is not None:
            raise LearnUsageError(f"the folder is given twice, as {arguments.directory} and as --dir {folder}")
        folder = arguments.directory if arguments.directory is not None else folder
        commands.begin(folder, exercises_in(named_or_found(folder, EXERCISES)), screen)
        return 0
    if arguments.action == "notebook":
        exercises = exercises_in(named_or_found(folder, EXERCISES))
        commands.make_notebooks(find_or_start(folder, exercises), arguments.tracks, screen)
        return 0
    place = find(folder, EXERCISES).folder
    workspace = Workspace(place, exercises_in(place))
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


def _grade(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from minitrain import __version__
    from minitrain.learn.assignment import read_assignment
    from minitrain.learn.exercises import EXERCISES
    from minitrain.learn.grade import as_gradescope, as_json, grade, show
    from minitrain.learn.screen import Screen
    from minitrain.learn.workspace import LearnUsageError
    from minitrain.runs.output_file import check_writable, write_json

    if arguments.dir is not None:
        raise LearnUsageError(f"grade takes the folder without --dir: minitrain learn grade {arguments.dir}")
    if not 0 < arguments.timeout <= 3600:
        raise LearnUsageError(f"--timeout must be a number of seconds up to 3600, but got {arguments.timeout:g}")
    check_writable(arguments.json, "--json")
    check_writable(arguments.gradescope, "--gradescope")
    points = None if arguments.assignment is None else read_assignment(Path(arguments.assignment))
    grades = grade(
        Path(arguments.folder),
        EXERCISES,
        points,
        limit=arguments.timeout,
        torch=arguments.torch,
        one=arguments.gradescope is not None,
    )
    show(grades, Screen())
    write_json(arguments.json, as_json(grades, __version__))
    if arguments.gradescope is not None:
        write_json(arguments.gradescope, as_gradescope(grades, EXERCISES))
    return 0


def _assignment(arguments: argparse.Namespace) -> int:
    from minitrain.learn.assignment import write_assignment
    from minitrain.learn.screen import Screen
    from minitrain.learn.workspace import LearnUsageError

    if arguments.dir is None:
        raise LearnUsageError("name the folder to write: minitrain learn assignment NAME ... --dir DIR")
    workspace = write_assignment(arguments.names, arguments.dir, arguments.points)
    count = len(workspace.exercises)
    Screen().print(
        f"{count} exercise{'s' * (count != 1)}, {count * arguments.points} points, in {arguments.dir}. Hand out this "
        f"folder;\nREADME.md tells students what to do. Then: minitrain learn grade FOLDER --assignment "
        f"{arguments.dir}/assignment.json"
    )
    return 0

"""The commands of `minitrain learn`: what each does with the learner's folder, and what it prints."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from minitrain.learn.screen import INDENT, Colour, Screen, fitted
from minitrain.learn.workspace import COMMANDS, LearnUsageError, Standing, Workspace, find, is_found_here, start
from minitrain.learn.write_notebook import write_notebooks

if TYPE_CHECKING:
    from minitrain.learn.checking import Stage
    from minitrain.learn.exercises import Exercise

Check = Callable[["Exercise", Path], Iterator["Stage"]]  # checking.check, or its replacement in a test

WIDEST = 110  # columns of the list
SHORTEST = 24  # columns of a title; a narrower list has none
BAR = 10  # columns of a progress bar
LEVELS = {1: "*", 2: "**", 3: "***"}
_COLOURS: dict[str, Colour] = {"done": "green", "tried": "yellow", "new": "dim"}


def show_overview(folder: str | None, exercises: Mapping[str, Exercise], screen: Screen) -> None:
    """Where the learner is and what to do next; then what the exercises are, and the commands."""
    try:
        workspace = find(folder, exercises)
    except LearnUsageError as error:
        if folder is not None:
            raise
        screen.print("Start with: minitrain learn start")
        screen.print(textwrap.fill(f"({error})", screen.width, break_on_hyphens=False))
    else:
        left = [exercises[name] for name, state in workspace.standings().items() if state.status != "done"]
        place, done = workspace.shown(workspace.folder), len(exercises) - len(left)
        screen.print(f"In {place}: {done} of {len(exercises)} done{_time_left(left)}.")
        if show_next(workspace, screen) is not None:
            screen.print("  watch  minitrain learn watch (checks on every save)")
    tracks = len({exercise.track for exercise in exercises.values()})
    about = (
        f"{len(exercises)} exercises in {tracks} tracks. Each is a piece of minitrain without its body. You write the "
        "body. The check runs it in place of the library's, and says what is wrong with it."
    )
    screen.print(f"\n{textwrap.fill(about, screen.width)}\n")
    for line in COMMANDS.splitlines():
        command, _, help_ = line.partition("   ")
        screen.print(
            textwrap.fill(help_.strip(), screen.width, initial_indent=f"  {command:<32}", subsequent_indent=" " * 34)
        )


def _time_left(exercises: Iterable[Exercise]) -> str:
    """How long these exercises take: ", 3 hours left"; "" if there are none."""
    minutes = sum(exercise.minutes for exercise in exercises)
    if not minutes:
        return ""
    return f", {minutes} min left" if minutes < 100 else f", {minutes / 60:.0f} h left"


def begin(folder: str | None, exercises: Mapping[str, Exercise], screen: Screen) -> None:
    """Make or complete the folder, and print what to do first."""
    workspace, made, aside = start(folder, exercises)
    place = workspace.shown(workspace.folder)
    kept = len(exercises) - made
    if aside is not None:
        screen.print(
            f"The progress file could not be read. It was renamed to\n  {workspace.shown(aside)}\n"
            "and replaced by a new one. minitrain learn check --all finds what passes.\n"
        )
    others = f"; {kept} existing files were not changed." if kept else ", one file for each."
    screen.print(textwrap.fill(f"{made} new exercises in {place}{others}", screen.width, break_on_hyphens=False))
    following = workspace.next()
    if following is None:
        _say_all_done(workspace, screen)
        return
    steps = [] if is_found_here(workspace) else [f"cd {place}"]
    steps += [
        f"open   {workspace.shown(workspace.file(following))}",
        "run    minitrain learn watch",
        "write  what its docstring asks for, and save; each save is checked",
    ]
    screen.print()
    _describe(workspace, following, screen, "First: ")
    screen.print()
    for number, step in enumerate(steps, 1):
        text = step if place in step else textwrap.fill(step, screen.width - 5, subsequent_indent=" " * 7)
        screen.print(f"  {number}. " + text.replace("\n", "\n" + " " * 5))


def show_list(workspace: Workspace, screen: Screen) -> None:
    """The tracks with their progress, and their exercises, a line each: status, name, level, minutes, title."""
    standings = workspace.standings()
    following = workspace.next()
    exercises = workspace.exercises.values()
    width = min(screen.columns, WIDEST)
    names, tracks = max(map(len, workspace.exercises)), max(len(exercise.track) for exercise in exercises)
    screen.print(f"The exercises in {workspace.shown(workspace.folder)}")
    for track in dict.fromkeys(exercise.track for exercise in exercises):
        of_track = [exercise for exercise in exercises if exercise.track == track]
        left = [exercise for exercise in of_track if standings[exercise.name].status != "done"]
        done = len(of_track) - len(left)
        bar = "#" * (BAR * done // len(of_track))
        heading = (
            f"{screen.paint(track, 'bold')}{' ' * (tracks - len(track))}  [{bar:.<{BAR}}] {done} of {len(of_track)}"
        )
        screen.print(f"\n{heading}{_time_left(left)}")
        for exercise in of_track:
            standing = standings[exercise.name]
            mark = screen.paint(">", "cyan") if exercise is following else " "
            state = screen.paint(f"{standing.status:<5}", _COLOURS[standing.status])
            facts = f"{exercise.name:<{names}}  {LEVELS[exercise.level]:<3} {exercise.minutes:>2} min  "
            room = width - len(facts) - len("> tried  ")
            title = textwrap.shorten(exercise.title, room, placeholder="...") if room >= SHORTEST else ""
            screen.print(f"{mark} {state}  {facts}{title}".rstrip())
            if notes := _notes(exercise, standing):
                text = textwrap.fill(notes, width, initial_indent=" " * 9, subsequent_indent=" " * 9)
                screen.print(screen.paint(text, "dim"))
    screen.print()
    if following is None:
        _say_all_done(workspace, screen)
        return
    remaining = [exercise for exercise in exercises if standings[exercise.name].status != "done"]
    legend = (
        f"{len(exercises) - len(remaining)} of {len(exercises)} done{_time_left(remaining)}. * is a first step, *** "
        "needs thought. > marks the next one; minitrain learn next describes it."
    )
    screen.print(textwrap.fill(legend, screen.width))


def _notes(exercise: Exercise, standing: Standing) -> str:
    notes = []
    if standing.missing:
        notes.append("file missing (minitrain learn start makes it)")
    if standing.changed:
        notes.append("changed since it passed")
    if standing.hints:
        notes.append(f"{standing.hints} of {len(exercise.hints)} hints shown")
    return ", ".join(notes)


def show_next(workspace: Workspace, screen: Screen, after: Exercise | None = None) -> Exercise | None:
    """Print which file to open next, and why; returns the exercise, or None if all are done."""
    following = workspace.next(after)
    if following is None:
        _say_all_done(workspace, screen)
        return None
    introduce(workspace, following, screen, "Next: ")
    return following


def introduce(workspace: Workspace, exercise: Exercise, screen: Screen, first: str = "") -> None:
    """Print what an exercise is about, which file to open, and how to check it. first: text before its name."""
    _describe(workspace, exercise, screen, first)
    screen.print(f"  open   {workspace.shown(workspace.file(exercise))}")
    screen.print(f"  check  minitrain learn check {exercise.name}")


def _describe(workspace: Workspace, exercise: Exercise, screen: Screen, first: str) -> None:
    standings = workspace.standings()
    of_track = [other for other in workspace.exercises.values() if other.track == exercise.track]
    passed = sum(standings[other.name].status == "done" for other in of_track)
    tried = "; you have tried this one" if standings[exercise.name].status == "tried" else ""
    name = screen.paint(exercise.name, "bold")
    screen.print(f"{first}{name} (level {exercise.level}, about {exercise.minutes} minutes)")
    lines = {
        "title": exercise.title,
        "track": f"{exercise.track}, {passed} of {len(of_track)} done{tried}",
        "why": exercise.why,
        "after": ", ".join(f"{name} ({standings[name].status})" for name in exercise.builds_on),
    }
    for label, text in [(label, text) for label, text in lines.items() if text]:
        screen.print(textwrap.fill(text, screen.width, initial_indent=f"  {label:<7}", subsequent_indent=" " * 9))


def _say_all_done(workspace: Workspace, screen: Screen) -> None:
    screen.print(screen.paint(f"All {len(workspace.exercises)} exercises are done.", "green"))


# --- check ------------------------------------------------------------------------------------------------------------


def check_named(workspace: Workspace, name: str | None, screen: Screen, check: Check) -> bool:
    """Check the named exercise, or the next one that is not done; returns whether it passed."""
    exercise = workspace.next() if name is None else workspace.resolve(name)
    if exercise is None:
        _say_all_done(workspace, screen)
        return True
    content = workspace.content(exercise)
    if content is None:
        file = workspace.shown(workspace.file(exercise))
        raise LearnUsageError(f"{file} does not exist; minitrain learn reset {exercise.name} makes it")
    passed = check_once(workspace, exercise, content, screen, check)
    if passed:
        screen.print()
        show_next(workspace, screen, after=exercise)
    return passed


def check_all(workspace: Workspace, screen: Screen, check: Check) -> bool:
    """Check every exercise whose file has been changed; returns whether all of those passed."""
    all_passed, unwritten = True, 0
    for exercise in workspace.exercises.values():
        content = workspace.content(exercise)
        if content is None or workspace.is_stub(exercise):
            unwritten += 1
            continue
        passed = all(stage.passed for stage in check(exercise, workspace.file(exercise)))
        workspace.record(exercise, content, passed)
        screen.print(f"  {_verdict(passed, screen)}  {exercise.name}")
        all_passed = all_passed and passed
    done = sum(standing.status == "done" for standing in workspace.standings().values())
    rest = f"; {unwritten} not written yet, so not checked" if unwritten else ""
    screen.print(f"{done} of {len(workspace.exercises)} done{rest}")
    return all_passed


def check_once(workspace: Workspace, exercise: Exercise, content: bytes, screen: Screen, check: Check) -> bool:
    """Check one exercise, show each stage as it finishes, and record the result; returns whether all passed.

    content: the content of the learner's file, recorded as the content that passed.
    """
    path = workspace.file(exercise)
    screen.print(f"{screen.paint(exercise.name, 'bold')}: {exercise.title}\n{workspace.shown(path)}\n")
    verdicts = []
    for stage in check(exercise, path):
        verdicts.append(stage.passed)
        screen.print(f"  {_verdict(stage.passed, screen)}  {stage.name}")
        if stage.text:
            screen.print(textwrap.indent(fitted(stage.text.rstrip("\n"), screen.width - INDENT), " " * INDENT))
        if stage.rest:
            count = f"{stage.rest} more line{'s' if stage.rest != 1 else ''}"
            more = fitted(f"({count}: minitrain learn check {exercise.name} --verbose)", screen.width - INDENT)
            screen.print(screen.paint(textwrap.indent(more, " " * INDENT), "dim"))
    passed = bool(verdicts) and all(verdicts)
    screen.print()
    if passed:
        told = textwrap.fill(f"Passed. {exercise.notice}", screen.width)
        screen.print(told.replace("Passed.", screen.paint("Passed.", "green"), 1))
        read = f"  read   the library's {exercise.target}: minitrain learn solution {exercise.name}"
        screen.print(textwrap.fill(read, screen.width, subsequent_indent=" " * 9, break_on_hyphens=False))
    else:
        left = len(exercise.hints) - workspace.standing(exercise).hints
        hints = f"{left} hint{'s' if left != 1 else ''} left" if left else "shows all hints again"
        told = textwrap.fill(
            f"Not yet. minitrain learn hint {exercise.name} ({hints})", screen.width, break_on_hyphens=False
        )
        screen.print(told.replace("Not yet.", screen.paint("Not yet.", "red"), 1))
    workspace.record(exercise, content, passed)
    return passed


def _verdict(passed: bool, screen: Screen) -> str:
    return screen.paint("pass", "green") if passed else screen.paint("FAIL", "red")


# --- hint, solution, reset --------------------------------------------------------------------------------------------


def show_hint(workspace: Workspace, name: str, screen: Screen) -> None:
    """Print the hints shown so far, and one more."""
    exercise = workspace.resolve(name)
    count = len(exercise.hints)
    shown = workspace.standing(exercise).hints
    for number, hint in enumerate(exercise.hints[: shown + 1], 1):
        text = textwrap.indent("\n".join(textwrap.wrap(hint, screen.width - 2)), "  ")
        screen.print(f"Hint {number} of {count}\n{text}\n")
    if shown < count - 1:
        more = f"{count - shown - 1} more, one at a time: minitrain learn hint {exercise.name}"
        screen.print(textwrap.fill(more, screen.width, break_on_hyphens=False))
    elif workspace.standing(exercise).status != "done":
        screen.print(f"That was the last hint. The solution:\n  minitrain learn solution {exercise.name} --spoil")
    else:
        screen.print(f"That was the last hint. The library's own body:\n  minitrain learn solution {exercise.name}")
    workspace.record_hint(exercise)


def show_solution(workspace: Workspace, name: str, screen: Screen, *, spoil: bool) -> None:
    """Print the file with the library's body.

    spoil: print it even if the exercise has not passed. Otherwise LearnUsageError is raised in that case.
    """
    exercise = workspace.resolve(name)
    standing = workspace.standing(exercise)
    if standing.status != "done" and not spoil:
        raise LearnUsageError(
            f"{exercise.name} has not passed yet; minitrain learn hint {exercise.name} gives a hint "
            f"({standing.hints} of {len(exercise.hints)} shown), and --spoil shows the solution anyway"
        )
    screen.print(exercise.solution().rstrip("\n"))


def reset(workspace: Workspace, name: str, screen: Screen) -> None:
    """Reset one exercise, and print where the learner's file is kept."""
    exercise = workspace.resolve(name)
    kept = workspace.reset(exercise)
    screen.print(f"{workspace.shown(workspace.file(exercise))} was reset, and so was its progress.")
    if kept is not None:
        screen.print(f"Your file is kept as {workspace.shown(kept)}")


# --- notebook ---------------------------------------------------------------------------------------------------------


def make_notebooks(workspace: Workspace, tracks: Sequence[str], screen: Screen) -> None:
    """Write a notebook for each of the tracks (none named: all), and print which and how to open one."""
    written, kept = write_notebooks(workspace, tracks)
    for path in written:
        screen.print(f"wrote  {workspace.shown(path)}")
    for path in kept:
        screen.print(f"kept   {workspace.shown(path)} (it exists: rename it to get a new one)")
    if written:
        screen.print("\nOpen one in Jupyter, VS Code or Colab. In Jupyter: jupyter lab " + workspace.shown(written[0]))

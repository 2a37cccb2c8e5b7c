"""minitrain run: run a PyTorch program unmodified, check which of its names are offered, or compare it with torch."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from minitrain.cli.parser import Commands, add_command
from minitrain.runs.messages import escaped, say

EXAMPLES = {
    "run a PyTorch program on NumPy": "program.py --epochs 3",
    "which names it uses that minitrain does not offer": "--check program.py",
    "compare its output on torch and on minitrain, then time both in five rounds": "--compare --repeat 5 program.py",
}


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(
        commands,
        "run",
        run,
        "run a PyTorch program unmodified: its imports of torch find minitrain",
        EXAMPLES,
        "the program's own; with --check 0 if all names are offered, with --compare 0 for the same output, 1 if not",
    )
    how = command.add_mutually_exclusive_group()
    how.add_argument("--check", action="store_true", help="do not run it; list the names that are not offered")
    how.add_argument("--compare", action="store_true", help="run it on torch and on minitrain, and compare the output")
    how.add_argument("--on", choices=["minitrain", "torch"], default="minitrain", help="run it on torch itself instead")
    command.add_argument("-m", dest="module", action="store_true", help="the program is a module, as with python -m")
    command.add_argument("--threads", type=int, metavar="N", help="with --compare: threads of each (default: all CPUs)")
    command.add_argument(
        "--repeat",
        type=int,
        metavar="N",
        help="with --compare: then time both in N rounds; shows the ratio only if the outputs are the same",
    )
    command.add_argument("--json", metavar="FILE", help="with --repeat: also write the times of all rounds as JSON")
    command.add_argument("program", type=Path, help="the program's file; with -m the module's name")
    rest = command.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="the program's own arguments"
    )
    rest.required = False  # argparse would report it as missing, with a missing program


def run(arguments: argparse.Namespace) -> int:
    """Do what the options say; returns the exit status."""
    from minitrain import programs

    if arguments.module and (arguments.check or arguments.compare):
        raise programs.ProgramError("--check and --compare take a program's file; leave out -m and name it")
    for option, needed in (("threads", "compare"), ("repeat", "compare"), ("json", "repeat")):
        given = getattr(arguments, option)
        if given is not None and not getattr(arguments, needed):
            raise programs.ProgramError(f"--{option} needs --{needed}")
        if isinstance(given, int) and given < 1:
            raise programs.ProgramError(f"--{option} must be at least 1, but got {given}")
    if arguments.check:
        missing = programs.check(arguments.program)
        for found in missing:
            print(escaped(f"{arguments.program}:{found.line}: {found.name}: {found.text}"))
        if not missing:
            print(escaped(f"{arguments.program}: every name of torch that it uses is offered"))
        return int(bool(missing))
    if arguments.compare:
        return _compare(arguments)
    return programs.run(arguments.program, arguments.arguments, on=arguments.on, module=arguments.module)


def _compare(arguments: argparse.Namespace) -> int:
    from minitrain import programs
    from minitrain.runs.output_file import check_writable, write_json
    from minitrain.with_torch.installed import require_installed_torch

    # Not imported here: a process's peak memory includes what its parent held when it was started.
    require_installed_torch("minitrain run --compare")
    check_writable(arguments.json, "--json")
    if sys.stderr.isatty():  # nothing else is printed until both have ended
        say(f"Running {arguments.program} on torch, then on minitrain. Its output is compared, not shown.")
    runner = programs.Runner(arguments.threads)
    if arguments.repeat is None:
        comparison = programs.compare(arguments.program, arguments.arguments, runner)
        print(escaped(str(comparison)))
        return int(not comparison.same)
    timing = programs.repeat(
        arguments.program,
        arguments.arguments,
        runner,
        rounds=arguments.repeat,
        report=lambda line: print(escaped(line), flush=True),
    )
    machine = programs.machine(runner.threads) if timing.rounds else ""
    print(escaped(str(timing)), *machine.splitlines(), sep="\n")
    program = [str(arguments.program), *arguments.arguments]
    write_json(arguments.json, {"program": program, "machine": machine.splitlines(), **timing.figures()})
    return int(not timing.same)

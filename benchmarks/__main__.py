"""python -m benchmarks: measure suites; print and save the results together with a description of the machine."""

import argparse
import dataclasses
import json
import math
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from benchmarks import cnn, ddp, epoch, gpu, gradcheck, imports, inference, loader, optimizers, scale, step, study
from benchmarks.measuring import MeasuringError, NoGpuError, Options, cpus, run_command, wait_until_quiet
from benchmarks.page import page
from benchmarks.plausibility import implausible, without
from benchmarks.plot import draw
from benchmarks.report import Refusal, Report, changes, differences, processor, refusals
from minitrain.data import DataError, datasets
from minitrain.files import write_output

SUITES: dict[str, Any] = {
    "step": step,
    "cnn": cnn,
    "epoch": epoch,
    "optimizers": optimizers,
    "gradcheck": gradcheck,
    "inference": inference,
    "loader": loader,
    "import": imports,
    "scale": scale,
    "study": study,
    "gpu": gpu,
    "ddp": ddp,
}
LEAST_LIMIT = 256  # MB
QUICK_SECONDS = 120  # in which --quick measures all suites on an idle machine; it measures again within them only
QUIET_SECONDS = 60  # the longest wait for a quiet moment before a suite is measured again
QUICK: dict[str, Any] = {
    "rounds": 1,
    "epochs": 1,
    "turn": 0.05,
    "turns": 1,
    "batch_sizes": (8, 64),
    "dtypes": ("float32",),
    "limit": LEAST_LIMIT,
}


class _Parser(argparse.ArgumentParser):
    """Reports bad arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"benchmarks: error: {message} (see python -m benchmarks --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        if message:  # argparse would ignore that it cannot be written
            print(message, end="", file=file or sys.stderr, flush=True)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, but got {text!r}")
    return int(text)


def _parser() -> _Parser:
    parser = _Parser(prog="python -m benchmarks", description=__doc__, allow_abbrev=False)
    parser.add_argument("suites", nargs="+", metavar="SUITE", help=f"{', '.join(SUITES)}, or all")
    add = parser.add_argument
    add("--rounds", type=_positive, metavar="N", help="how often everything is started and measured (5)")
    add("--threads", type=_positive, metavar="N", help=f"threads for each contender (the number of CPUs: {cpus()})")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        default=Path("runs/benchmarks"),
        help="the folder for JSON and plots (runs/benchmarks)",
    )
    add("--compare", type=Path, metavar="OLD.json", help="show what has changed since this report of the suite")
    add("--html", type=Path, metavar="FILE", help="also write one page with all tables and plots of this call")
    add("--quick", action="store_true", help="one small round: all suites in two minutes, if the machine is idle")
    add(
        "--peers",
        action="store_true",
        help="step: also NumPy by hand, and JAX, tinygrad, HIPS autograd, if installed",
    )
    add("--batch-sizes", type=_positive, nargs="+", metavar="N", help="step: batch sizes (1 8 64 512)")
    add("--dtypes", nargs="+", choices=["float32", "float64"], help="step: dtypes (both)")
    add("--epochs", type=_positive, metavar="N", help="epoch, ddp, gpu: epochs per process (2)")
    add("--processes", type=_positive, nargs="+", metavar="N", help="ddp: numbers of processes (1 2)")
    add("--limit", type=_positive, metavar="MB", help="scale: the memory limit; the data set is larger (512)")
    return parser


def _parsed(argv: Sequence[str] | None) -> tuple[list[str], Options, argparse.Namespace, Report | None]:
    """The suites, the options, all arguments, and the report to compare with. Exits with status 2 for bad arguments."""
    parser = _parser()
    given = parser.parse_args(argv)
    for suite in given.suites:
        if suite not in (*SUITES, "all"):
            parser.error(f"unknown suite {suite!r}: choose from {', '.join(SUITES)}, all")
    suites = [suite for suite in SUITES if suite in given.suites or "all" in given.suites]
    names = [field.name for field in dataclasses.fields(Options)]
    chosen = {name: getattr(given, name) for name in names if getattr(given, name, None) is not None}
    chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()}
    if given.limit is not None and given.limit < LEAST_LIMIT:
        parser.error(f"--limit must be at least {LEAST_LIMIT}, the memory that training needs, but got {given.limit}")
    if given.out.exists() and not given.out.is_dir():
        parser.error(f"--out {given.out} is not a directory")
    if given.html is not None and (given.html.is_dir() or not given.html.parent.is_dir()):
        parser.error(f"--html {given.html}: expected a file in a folder that exists")
    if given.html is not None and not os.access(given.html if given.html.exists() else given.html.parent, os.W_OK):
        parser.error(f"--html {given.html}: no permission to write it; choose another place")
    old = None
    if given.compare is not None:
        try:
            old = Report.from_json(given.compare.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            parser.error(f"--compare {given.compare}: {_reason(error)}")
        if old.suite not in suites:
            parser.error(
                f"--compare {given.compare} is a report of the suite {old.suite}, which is not among the suites to run"
            )
    return suites, Options(**{**(QUICK if given.quick else {}), **chosen}), given, old


def main(argv: Sequence[str] | None = None) -> int:
    """Run suites. Returns the exit status: 0, 1 for a failure, 2 for bad arguments, 130 after an interrupt.

    Without a GPU the gpu suite says so. This is a failure only if no other suite was requested.
    """
    try:
        suites, options, given, old = _parsed(argv)
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (or the interpreter's end would complain as well)
        return _failed(f"cannot write the help: {_reason(error)}")
    if not find_spec("torch"):
        return _failed('torch is not installed: pip install -e ".[torch]"')
    reports: list[Report] = []
    status = _run(suites, options, given.out, old, reports)
    if len(reports) > 1 and (lost := refusals(reports)):
        print(_wrapped(f"\nComparisons in all suites: {lost}."))
    if given.html is not None and reports:  # also those of a call that was interrupted
        about = {name: SUITES[name].__doc__.splitlines()[0] for name in suites}
        text = page(reports, sys.argv[1:] if argv is None else argv, about)
        try:
            write_output(given.html, text.encode())
        except OSError as error:
            return _failed(f"--html: {error}; the figures are saved in {given.out}")
        print(f"\nAll figures of this call are on one page: {given.html}")
    return status


def _run(suites: Sequence[str], options: Options, out: Path, old: Report | None, reports: list[Report]) -> int:
    """Measure, print and save each suite, and add its report to the reports. Returns the exit status."""
    try:
        machine = json.loads(
            run_command(["-m", "benchmarks.programs.machine"], threads=options.threads, folder=Path())[0]
        )
        _print_machine(machine)
        if {"epoch", "inference", "loader", "ddp"} & {*suites} or ("gpu" in suites and machine["gpu"] is not None):
            datasets.verify()  # fail now, not after hours of measuring
        for name in suites:
            report = Report(name, machine, SUITES[name].settings(options), options.rounds)
            if old is not None and old.suite == name and (reasons := differences(old, report)):
                return _failed(f"not comparable with the report of {old.date}: {'; '.join(reasons)}")
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return _failed(f"cannot create --out {out}: {_reason(error)}; choose another folder")
        if not os.access(out, os.W_OK):
            return _failed(f"--out {out} is not writable; choose another folder")
        began = time.monotonic()
        for number, name in enumerate(suites, 1):
            share = QUICK_SECONDS * number / len(suites) if options.quick else math.inf
            print(_wrapped(f"\n{name}: {SUITES[name].__doc__.splitlines()[0]}"), flush=True)
            try:
                report = _measured(name, machine, options, began + share)
            except NoGpuError as error:
                if suites == ["gpu"]:
                    raise
                print(error)
                continue
            print(_wrapped(report.text()))
            _keep(report, out)
            reports.append(report)
            if old is not None and old.suite == name:
                print(_wrapped(f"\n{changes(old, report)}"))
    except (DataError, ImportError, MeasuringError, OSError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("benchmarks: interrupted", file=sys.stderr)
        return 130
    return 0


def _measured(name: str, machine: dict[str, Any], options: Options, end: float) -> Report:
    """The report of a suite, measured again if comparisons are implausible. What stays implausible has no figure.

    end: the time, of time.monotonic(), after which nothing is measured again.
    """
    suite = SUITES[name]

    def measured() -> tuple[Report, list[Refusal]]:
        report = Report(name, machine, suite.settings(options), options.rounds)
        suite.measure(options, report)
        return report, implausible(report, getattr(suite, "PARTS", ()))

    began = time.monotonic()
    report, refused = measured()
    took = time.monotonic() - began
    if not refused:
        return report
    if time.monotonic() + took > end:
        return without(report, refused, "Not measured again, because --quick has two minutes for all suites. ")
    print(_wrapped(f"Measuring again, because in {refused[0].case} {refused[0].why}"), flush=True)
    if report.busy:
        wait_until_quiet(options.threads, min(QUIET_SECONDS, end - time.monotonic() - took))
    return without(*measured())


def _wrapped(text: str) -> str:
    """The text with its lines wrapped to the terminal; as it is, if it goes to a file or a pipe."""
    if not sys.stdout.isatty():
        return text
    width = max(shutil.get_terminal_size().columns, 40)
    lines = [(line, " " * (len(line) - len(line.lstrip()) + 2)) for line in text.splitlines()]
    return "\n".join(
        textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
        for line, indent in lines
    )


def _reason(error: Exception) -> str:
    """The error in words, without its number and the path, which the message around it names."""
    return getattr(error, "strerror", None) or str(error)


def _failed(message: str) -> int:
    print(f"benchmarks: error: {message}", file=sys.stderr)
    return 1


def _print_machine(machine: dict[str, Any]) -> None:
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    print(_wrapped(processor(machine)[0]))
    print(_wrapped(f"{machine['platform']}; Python {machine['python']}, {versions}"))
    print(_wrapped(f"BLAS of NumPy: {machine['blas']['numpy']}\nBLAS of torch: {machine['blas']['torch']}"))
    print(f"GPU: {machine['gpu'] or 'none'}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC")
    if kernels := os.environ.get("OPENBLAS_CORETYPE"):
        print(
            f"OPENBLAS_CORETYPE forces NumPy's BLAS to use its {kernels} kernels; torch is not affected. "
            "Unset it, unless you want to measure this."
        )


def _keep(report: Report, out: Path) -> None:
    """Write the JSON and the plot, and print where they are."""
    path = report.save(out)
    print(f"\nThe figures are in {path}")
    try:
        print(f"and their plot in {draw(report, path.with_suffix('.png'))}")
    except ImportError:
        print('For a plot: pip install -e ".[plot]"')


if __name__ == "__main__":
    sys.exit(main())

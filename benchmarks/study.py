"""The cost of looking: the table of the layers in a training step, the page of a step, the report of a run."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import Options, Worker, run_command, watched_rounds
from benchmarks.programs.studying import CONFIGS
from benchmarks.report import Report

EPOCHS = {"digits": 20, "fashion-mnist": 2}  # of a run by the clock
RUN = ("-m", "minitrain", "train", "--dataset", "digits", "--out", "digits")


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"cases": {case: config.sizes for case, config in cases(options).items()}, "seconds a turn": options.turn}


def cases(options: Options) -> dict[str, Any]:
    """The models and their runs; only the small one with --quick."""
    return dict(list(CONFIGS.items())[: 1 if options.quick else None])


def measure(options: Options, report: Report) -> None:
    """In every round, watched and other steps alternate in one process, and each page is written once.

    Then one process makes a run with the table, another one without it; which comes first alternates.
    """
    shares: dict[str, list[float]] = {case: [] for case in cases(options)}
    slower: dict[str, list[float]] = {case: [] for case in cases(options)}
    pages: dict[str, list[float]] = {case: [] for case in cases(options)}
    reports, sizes = [], {}
    enough = options.turn if options.quick else max(1.0, options.turn)
    with tempfile.TemporaryDirectory() as name:
        run_command(RUN, threads=options.threads, folder=Path(name))
        for turn in watched_rounds(options, report):
            with Worker("studying", name, threads=options.threads) as worker:
                for case in cases(options):
                    found = worker.measure("layers", case=case, seconds=enough)
                    share = (found["watched"] - found["step"]) / found["step"] / found["every"]
                    shares[case].append(100 * share)
                    page = worker.measure("step", case=case)
                    pages[case].append(page["seconds"])
                    sizes[case] = page["bytes"]
                written = worker.measure("report", seconds=options.turn)
                reports.append(written["seconds"])
            for case, config in cases(options).items():
                seconds = {}
                for watched in (True, False)[:: 1 if turn % 2 else -1]:
                    with Worker("studying", name, threads=options.threads) as worker:
                        epochs = 1 if options.quick else EPOCHS[config.dataset]
                        asked = {"case": case, "watched": watched, "epochs": epochs}
                        seconds[watched] = worker.measure("epoch", **asked)["seconds"]
                slower[case].append(100 * (seconds[True] / seconds[False] - 1))
    for case, config in cases(options).items():
        what = f"layers.csv, a row each {config.layers_every} steps: share of a step"
        report.add(case, what, "minitrain", "%", shares[case])
        report.add(case, "a run with layers.csv: slower by the clock", "minitrain", "%", slower[case])
        report.add(case, "recording a step and writing its page", "minitrain", "s", pages[case])
    report.add("digits, 30 epochs", "reading a run and making its report", "minitrain", "s", reports)
    report.notes += [
        "The table: a step that is watched against the step after it, which is not, in CPU time; the difference is "
        "divided by the number of steps for each watched one.",
        "By the clock: an epoch of a run with the table against one without it, in processes of their own.",
        "The pages of a step: " + ", ".join(f"{case} {size / 1e6:.2f} MB" for case, size in sizes.items()) + "; the "
        f"report: {written['bytes'] / 1e6:.2f} MB.",
    ]

"""SGD, momentum, RMSprop and Adam on the tutorial's 669,706 parameters, against each form of torch.optim."""

import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measuring import Options, Worker, alternating, ratios, require_close, started, watched_rounds
from benchmarks.report import Report
from benchmarks.step import LOSSES, SIZES, TOLERANCE, add_caches, begin, cache_slowdown, write_case

BATCH_SIZE = 64
UPDATES = 10  # with given gradients, before the parameters are compared
SAME = 1e-6

# name -> class, options
RULES: dict[str, tuple[str, dict[str, float]]] = {
    "SGD": ("SGD", {"lr": 0.01}),
    "momentum": ("SGD", {"lr": 0.01, "momentum": 0.9}),
    "RMSprop": ("RMSprop", {"lr": 1e-4}),
    "Adam": ("Adam", {"lr": 1e-3}),
}
CONTENDERS = {
    "torch default": ("steps", "torch"),
    "torch foreach": ("steps", "torch", '{"foreach": true}'),
    "torch fused": ("steps", "torch", '{"fused": true}'),
    "minitrain": ("steps", "minitrain"),  # must be the last
}
NOT_OFFERED = {("torch fused", "RMSprop")}
WHATS = ("step alone", "whole training step")
PARTS = [((WHATS[0], who), (WHATS[1], who)) for who in CONTENDERS]


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"sizes": SIZES, "batch size": BATCH_SIZE, "rules": rules(options), "seconds a turn": options.turn}


def rules(options: Options) -> dict[str, Any]:
    """The rules by name; with --quick only the simplest and the one with the most arithmetic."""
    return {name: RULES[name] for name in (("SGD", "Adam") if options.quick else RULES)}


def measure(options: Options, report: Report) -> None:
    """Compare the parameters after some updates, then time the update and the whole step."""
    times: dict[tuple[str, str, str], list[float]] = {}
    slowdowns: list[float | None] = []
    with tempfile.TemporaryDirectory() as folder:
        case = write_case(Path(folder, "case.npz"), BATCH_SIZE, "float32")
        for number in watched_rounds(options, report):
            slowdowns.append(cache_slowdown())
            with started(CONTENDERS, options.threads) as workers:
                for rule in rules(options):
                    there = {who: worker for who, worker in workers.items() if (who, rule) not in NOT_OFFERED}
                    _compare(there, rule, case, Path(folder))
                    for (who, what), seconds in _one_round(there, options, number).items():
                        times.setdefault((rule, who, what), []).append(seconds)
    add_caches(report, slowdowns)
    for rule in rules(options):
        there = [who for who in CONTENDERS if (rule, who, WHATS[0]) in times]
        for who in there:
            for what in WHATS:
                report.add(rule, what, who, "ms", [1e3 * t for t in times[rule, who, what]])
        for what in WHATS:
            for who in there:
                if who != "minitrain":
                    values = ratios(times[rule, who, what], times[rule, "minitrain", what])
                    report.add(rule, f"{what}: {who} / minitrain", "", "times", values)
        fastest = {what: min(there[:-1], key=lambda who: median(times[rule, who, what])) for what in WHATS}
        report.notes.append(
            f"Fastest form of torch, {rule}: " + ", ".join(f"{who} ({what})" for what, who in fastest.items())
        )
    report.notes += [
        f"The parameters after {UPDATES} updates with given gradients are equal within {SAME:g}, the losses of the "
        f"first {LOSSES} whole steps within {TOLERANCE['float32']:g}.",
        "torch has no fused RMSprop. The step alone is repeated with the same gradients, which stay in the cache.",
    ]


def _compare(workers: dict[str, Worker], rule: str, case: Path, folder: Path) -> None:
    """Raise UnequalError unless losses and updated parameters are equal. The contenders are then ready to be timed."""
    optimizer, options = RULES[rule]
    file = folder / "updated.npz"
    updated = {}
    for who, worker in workers.items():
        worker.ask("begin", case=str(case), optimizer=optimizer, options=options, losses=0)
        worker.ask("updated", updates=UPDATES, file=str(file))
        with np.load(file) as arrays:
            updated[who] = np.concatenate([arrays[name].ravel() for name in arrays.files])
    require_close(rule, updated, SAME, "updated parameters")
    begin(workers, rule, case, TOLERANCE["float32"], optimizer, **options)


def _one_round(workers: dict[str, Worker], options: Options, number: int) -> dict[tuple[str, str], float]:
    """The median seconds of the whole step and of the update alone, with contenders alternating."""
    times: dict[tuple[str, str], float] = {}
    for what, request in ((WHATS[1], "whole"), (WHATS[0], "update")):
        turns: dict[str, list[float]] = {who: [] for who in workers}
        for worker in workers.values():
            worker.ask(request, seconds=options.turn / 3)  # a warm-up
        for i in range(options.turns):
            for who in alternating(list(workers), number + i):
                turns[who].append(workers[who].measure(request, seconds=options.turn)["seconds"])
        times.update({(who, what): median(values) for who, values in turns.items()})
    return times

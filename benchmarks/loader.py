"""One pass over Fashion-MNIST's training images without training: torch's DataLoader and minitrain's."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.epoch import with_data
from benchmarks.measuring import Options, UnequalError, alternating, ratios, started, watched_rounds
from benchmarks.report import Report

CONTENDERS = {
    "torch": ("torch", "0"),
    "torch, num_workers=2": ("torch", "2"),
    "minitrain": ("minitrain", "0"),
}
ORDERS = {"sequential": False, "shuffled": True}


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"batch size": 64, "images": 60_000, **({"orders": [*orders(options)]} if options.quick else {})}


def orders(options: Options) -> dict[str, bool]:
    """Whether to shuffle, by name; only that with --quick."""
    return {"shuffled": True} if options.quick else ORDERS


def require_same_checksum(order: str, checksums: Mapping[str, str]) -> None:
    """Raise UnequalError unless all contenders return the same batches in the same order."""
    if len(set(checksums.values())) > 1:
        listed = ", ".join(f"{who} {checksum}" for who, checksum in checksums.items())
        raise UnequalError(f"not comparable: the {order} batches have different checksums: {listed}")


def measure(options: Options, report: Report) -> None:
    """Compare the batches of one pass by checksum, then time more passes."""
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        root = str(with_data(Path(name)) / "data")
        whos = [who for who in CONTENDERS if not options.quick or "num_workers" not in who]
        contenders = {who: ("loading", CONTENDERS[who][0], root, CONTENDERS[who][1]) for who in whos}
        for number in watched_rounds(options, report):
            with started(contenders, options.threads) as workers:
                for order, shuffle in orders(options).items():
                    if number == 0:
                        answers = {who: worker.ask("checksum", shuffle=shuffle) for who, worker in workers.items()}
                        require_same_checksum(order, {who: answer["checksum"] for who, answer in answers.items()})
                    for who in alternating(list(workers), number):
                        workers[who].ask("begin", shuffle=shuffle)
                        seconds = workers[who].measure("whole")["seconds"]
                        times.setdefault((order, who), []).append(seconds)
    for order in orders(options):
        for who in whos:
            report.add(order, "one pass", who, "s", times[order, who])
        for who in whos:
            if who != "minitrain":
                values = ratios(times[order, who], times[order, "minitrain"])
                report.add(order, f"one pass: {who} / minitrain", "", "times", values)
    report.notes.append("All batches are equal, by a checksum of dtypes, shapes and values in order.")
    if not options.quick:
        report.notes.append(
            "With num_workers, a pass includes the start of the worker processes, because a DataLoader starts new ones "
            "for each pass by default."
        )

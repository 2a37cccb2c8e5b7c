"""Evaluation of Fashion-MNIST's 10,000 test images, and prediction of all of them in one call, or of one image."""

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.epoch import with_data
from benchmarks.measuring import Contenders, Options, alternating, ratios, require_close, started, watched_rounds
from benchmarks.report import Report

BATCH_SIZES = (64, 1000)
COUNTS = (10_000, 1)
TOLERANCE = 1e-5


def contenders(root: str) -> Contenders:
    """torch and minitrain, each with its DataLoader, and with batches from memory."""
    return {
        "torch": ("predicting", "torch", root, "loader"),
        "torch from memory": ("predicting", "torch", root, "memory"),
        "minitrain from memory": ("predicting", "minitrain", root, "memory"),
        "minitrain": ("predicting", "minitrain", root, "loader"),
    }


# The ratios. In the second, only minitrain's time includes the scaling of each batch.
PAIRS = (
    ("torch", "minitrain"),
    ("torch from memory", "minitrain"),
    ("torch from memory", "minitrain from memory"),
)


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"batch sizes": BATCH_SIZES, "images": COUNTS, "seconds a turn": options.turn}


def measure(options: Options, report: Report) -> None:
    """Evaluate and predict alternately; the mean losses and the accuracies must agree."""
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        all_of_them = contenders(str(with_data(Path(name)) / "data"))
        whos = {who: how for who, how in all_of_them.items() if not (options.quick and how[-1] == "memory")}
        for number in watched_rounds(options, report):
            with started(whos, options.threads) as workers:
                for worker in workers.values():
                    worker.ask("evaluate", batch_size=BATCH_SIZES[-1])  # a warm-up
                for batch_size in BATCH_SIZES:
                    case = f"evaluation in batches of {batch_size:,}"
                    order = alternating(list(whos), number)
                    answers = {who: workers[who].measure("evaluate", batch_size=batch_size) for who in order}
                    results = {who: [answer["loss"], answer["accuracy"]] for who, answer in answers.items()}
                    require_close(case, results, TOLERANCE, "losses and accuracies")
                    for who, answer in answers.items():
                        times.setdefault((case, who), []).append(answer["seconds"])
                for count in COUNTS:
                    case = f"prediction of {count:,} in one call"
                    for who in alternating([who for who in whos if "memory" not in who], number):
                        seconds = workers[who].measure("predict", count=count, seconds=options.turn)["seconds"]
                        times.setdefault((case, who), []).append(seconds)
    for case in dict.fromkeys(case for case, _ in times):
        there = {who: times[case, who] for who in whos if (case, who) in times}
        for who, seconds in there.items():
            report.add(case, "time", who, "ms", [1e3 * t for t in seconds])
        for theirs, ours in PAIRS:
            if theirs in there and ours in there:
                report.add(case, f"{theirs} / {ours}", "", "times", ratios(there[theirs], there[ours]))
    report.notes.append(
        "The model is the tutorial's, 784-512-512-10, in no_grad() and eval(). Evaluation is the tutorial's test_loop, "
        f"with its loading; the mean losses and accuracies agree within {TOLERANCE:g}."
    )

"""gradcheck on torch and on minitrain: the same functions entry by entry, a large model, and all of ops.py."""

from collections.abc import Mapping
from typing import Any

from benchmarks.measuring import Options, UnequalError, Worker, in_turn, ratios, started
from benchmarks.programs.gradchecks import BATCH_SIZE, CASES, LARGE, MODEL, ON_ARRAYS
from benchmarks.report import Report

CONTENDERS = {"torch": ("gradchecks", "torch"), "minitrain": ("gradchecks", "minitrain")}
ARRAYS = "minitrain, on arrays"  # the operation itself
ROWS = "minitrain, independent_rows"  # where the caller may say so
ONLY = {ARRAYS: (*ON_ARRAYS,), ROWS: ("ReLU, (16, 16)", "tanh, (16, 16)", "log-softmax, (16, 10)")}
NO_WRONG = ("torch", LARGE)  # where its fast_mode fails, torch checks every entry to tell why, which takes for ever
OPERATIONS = "every operation of minitrain's ops.py, in one process"


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"cases": [*CASES, LARGE], "model": MODEL, "batch size": BATCH_SIZE, "seconds a turn": options.turn}


def require_same_verdicts(case: str, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UnequalError unless all compute in float64, pass the right gradient, and fail the wrong one."""
    for who, answer in answers.items():
        if answer["dtype"] != "float64":
            raise UnequalError(f"not comparable: {case}: {who} computes in {answer['dtype']}, not in float64")
        if not answer["right passes"]:
            raise UnequalError(f"not comparable: {case}: {who} fails the right gradient")
        if answer["wrong passes"]:
            raise UnequalError(f"not comparable: {case}: {who} passes a gradient that is too large by a hundredth")


def require_all_entries(case: str, answers: Mapping[str, Mapping[str, int]]) -> int:
    """How many entries the inputs have. Raises UnequalError unless every contender moves each of them."""
    for who, answer in answers.items():
        if answer["entries"] != answer["inputs"]:
            raise UnequalError(
                f"not comparable: {case}: {who} moves {answer['entries']} of the {answer['inputs']} entries"
            )
    (count,) = {answer["inputs"] for answer in answers.values()}
    return count


def _compare(workers: dict[str, Worker], case: str, entries: dict[str, int]) -> None:
    """Raise UnequalError unless all judge alike and move every entry; leaves them ready to be timed."""
    answers = {who: worker.ask("begin", case=case, wrong=(who, case) != NO_WRONG) for who, worker in workers.items()}
    require_same_verdicts(case, answers)
    if case != LARGE:  # which is checked in directions, as independent rows are moved all at once
        one_by_one = {who: worker.ask("entries") for who, worker in workers.items() if who != ROWS}
        entries[case] = require_all_entries(case, one_by_one)


def measure(options: Options, report: Report) -> None:
    """Require equal verdicts on equally many entries, then time each case, in every round, then add the figures."""
    times: dict[tuple[str, str], list[float]] = {}
    entries: dict[str, int] = {}
    checked: dict[str, Any] = {}
    everyone = {
        **CONTENDERS,
        ARRAYS: (*CONTENDERS["minitrain"], '{"arrays": true}'),
        ROWS: (*CONTENDERS["minitrain"], '{"independent_rows": true}'),
    }
    for number in range(options.rounds):
        with started(everyone, options.threads) as workers:
            for case in [*CASES, LARGE]:
                there = {who: worker for who, worker in workers.items() if case in ONLY.get(who, (case,))}
                _compare(there, case, entries)
                for who in in_turn(list(there), number):
                    times.setdefault((case, who), []).append(
                        there[who].measure("whole", seconds=options.turn)["seconds"]
                    )
        with Worker(*CONTENDERS["minitrain"], threads=options.threads) as worker:
            checked = worker.ask("operations")
            times.setdefault((OPERATIONS, "minitrain"), []).append(checked["seconds"])
    for case, count in entries.items():
        timed = [who for who in everyone if (case, who) in times]
        for who in timed:
            report.add(case, "time an entry", who, "us", [1e6 * t / count for t in times[case, who]])
        for who in timed[1:]:
            report.add(case, f"torch / {who}", "", "times", ratios(times[case, "torch"], times[case, who]))
    large = f"{LARGE}, fast_mode"
    for who in CONTENDERS:
        report.add(large, "whole check", who, "s", times[LARGE, who])
    report.add(large, "torch / minitrain", "", "times", ratios(times[LARGE, "torch"], times[LARGE, "minitrain"]))
    report.add(OPERATIONS, "whole check", "minitrain", "s", times[OPERATIONS, "minitrain"])
    report.notes += [
        "Both pass the right gradient and fail one that is too large by a hundredth; both move every entry of every "
        "input by itself (" + ", ".join(f"{count:,}" for count in entries.values()) + "). Defaults of each, float64.",
        "fast_mode moves all of an input at once: torch in one random direction, minitrain in three. Only minitrain "
        "was given the wrong gradient there: torch explains a failure by checking entry by entry, 669,706 here.",
        f"{ARRAYS}: the same operation's forward and backward in ops.py, where the others check a function of Tensors.",
        f"{ROWS}: where the caller has said that row r of the result depends on row r of the input alone, all rows are "
        "moved at once.",
        f"ops.py: {checked['operations']} operations, {checked['entries']:,} entries, all right.",
    ]

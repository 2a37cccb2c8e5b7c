"""gradcheck on torch and on minitrain: the same functions entry by entry, a large model, and every operation."""

from collections.abc import Mapping
from typing import Any

from benchmarks.measuring import Options, UnequalError, Worker, alternating, ratios, started, watched_rounds
from benchmarks.programs.gradchecks import BATCH_SIZE, CASES, LARGE, MODEL, ON_ARRAYS
from benchmarks.report import Report

CONTENDERS = {"torch": ("gradchecks", "torch"), "minitrain": ("gradchecks", "minitrain")}
ARRAYS = "minitrain, on arrays"  # the operation without Tensors
ROWS = "minitrain, independent_rows"  # for functions whose rows are independent
ONLY = {ARRAYS: (*ON_ARRAYS,), ROWS: ("ReLU, (16, 16)", "tanh, (16, 16)", "log-softmax, (16, 10)")}
NO_WRONG = ("torch", LARGE)  # torch explains a failure of fast_mode by checking every entry, which takes forever
OPERATIONS = "every operation of minitrain.ops, in one process"
DIAGNOSIS = "one operation with a planted mistake, with its diagnosis"


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    return {"cases": [*cases(options), LARGE], "model": MODEL, "batch size": BATCH_SIZE, "seconds a turn": options.turn}


def cases(options: Options) -> list[str]:
    """The cases whose inputs are checked entry by entry; every third one with --quick."""
    return [*CASES][:: 3 if options.quick else 1]


def require_same_verdicts(case: str, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise UnequalError unless all compute in float64, accept the right gradient, and reject the wrong one."""
    for who, answer in answers.items():
        if answer["dtype"] != "float64":
            raise UnequalError(f"not comparable: {case}: {who} computes in {answer['dtype']}, not in float64")
        if not answer["right passes"]:
            raise UnequalError(f"not comparable: {case}: {who} rejects the right gradient")
        if answer["wrong passes"]:
            raise UnequalError(f"not comparable: {case}: {who} accepts a gradient that is 1 % too large")


def require_all_entries(case: str, answers: Mapping[str, Mapping[str, int]]) -> int:
    """The number of entries of the inputs. Raises UnequalError unless every contender moves each of them."""
    for who, answer in answers.items():
        if answer["entries"] != answer["inputs"]:
            raise UnequalError(
                f"not comparable: {case}: {who} moves {answer['entries']} of the {answer['inputs']} entries"
            )
    (count,) = {answer["inputs"] for answer in answers.values()}
    return count


def _compare(workers: dict[str, Worker], case: str, entries: dict[str, int]) -> None:
    """Raise UnequalError unless all reach the same verdicts and move every entry. They are then ready to be timed."""
    answers = {who: worker.ask("begin", case=case, wrong=(who, case) != NO_WRONG) for who, worker in workers.items()}
    require_same_verdicts(case, answers)
    if case != LARGE:  # which is checked in random directions; independent rows are also moved together
        one_by_one = {who: worker.ask("entries") for who, worker in workers.items() if who != ROWS}
        entries[case] = require_all_entries(case, one_by_one)


def measure(options: Options, report: Report) -> None:
    """In every round, require equal verdicts on equally many entries, and time each case. Then add the figures."""
    times: dict[tuple[str, str], list[float]] = {}
    entries: dict[str, int] = {}
    checked: dict[str, Any] = {}
    diagnosed: dict[str, Any] = {}
    everyone = {
        **CONTENDERS,
        ARRAYS: (*CONTENDERS["minitrain"], '{"arrays": true}'),
        ROWS: (*CONTENDERS["minitrain"], '{"independent_rows": true}'),
    }
    for number in watched_rounds(options, report):
        with started(everyone, options.threads) as workers:
            for case in [*cases(options), LARGE]:
                there = {who: worker for who, worker in workers.items() if case in ONLY.get(who, (case,))}
                _compare(there, case, entries)
                for who in alternating(list(there), number):
                    times.setdefault((case, who), []).append(
                        there[who].measure("whole", seconds=options.turn)["seconds"]
                    )
        with Worker(*CONTENDERS["minitrain"], threads=options.threads) as worker:
            checked = worker.ask("operations")
            times.setdefault((OPERATIONS, "minitrain"), []).append(checked["seconds"])
            diagnosed = worker.ask("diagnose", seconds=options.turn, least=1 if options.quick else 5)
            for figure in ("seconds", "longest"):
                times.setdefault((DIAGNOSIS, figure), []).append(diagnosed[figure])
    for case, count in entries.items():
        timed = [who for who in everyone if (case, who) in times]
        for who in timed:
            report.add(case, "time per entry", who, "us", [1e6 * t / count for t in times[case, who]])
        for who in timed[1:]:
            report.add(case, f"torch / {who}", "", "times", ratios(times[case, "torch"], times[case, who]))
    large = f"{LARGE}, fast_mode"
    for who in CONTENDERS:
        report.add(large, "whole check", who, "s", times[LARGE, who])
    report.add(large, "torch / minitrain", "", "times", ratios(times[LARGE, "torch"], times[LARGE, "minitrain"]))
    report.add(OPERATIONS, "whole check", "minitrain", "s", times[OPERATIONS, "minitrain"])
    report.add(DIAGNOSIS, "whole check, median", "minitrain", "ms", [1e3 * t for t in times[DIAGNOSIS, "seconds"]])
    report.add(DIAGNOSIS, "whole check, longest", "minitrain", "ms", [1e3 * t for t in times[DIAGNOSIS, "longest"]])
    report.notes += [
        "Both accept the right gradient and reject one that is 1 % too large; both move every entry of every input "
        "on its own (" + ", ".join(f"{count:,}" for count in entries.values()) + "). Each with its defaults, float64.",
        "fast_mode moves all entries of an input at once: torch in one random direction, minitrain in three. Only "
        "minitrain gets the wrong gradient there, because torch then checks all 669,706 entries one by one.",
        f"{ARRAYS}: the forward and backward of the same operation in ops/; the others check a function of Tensors.",
        f"{ROWS}: the caller promises that row r of the result depends only on row r of the input, so all rows are "
        "moved at once.",
        f"{DIAGNOSIS}: the {diagnosed['specimens']} wrong backwards of the zoo (`minitrain learn zoo`).",
        f"ops: {checked['operations']} operations, {checked['entries']:,} entries, all right.",
    ]

"""How time and memory grow with batch size, width, depth and data, and with the number of operations, layers, steps."""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.measuring import (
    MeasuringError,
    Options,
    alternating,
    exponent,
    require_close,
    run_command,
    started,
    watched_rounds,
)
from benchmarks.programs.growing import BATCH_SIZE, FEATURES
from benchmarks.report import Report
from benchmarks.step import CONTENDERS, LOSSES, TOLERANCE, begin, write_case

SERIES: dict[str, tuple[int, ...]] = {
    "batch size": (1, 4, 16, 64, 256, 1024),
    "width": (64, 128, 256, 512, 1024, 2048),
    "depth": (1, 2, 4, 8, 16, 32),
}
STEPS_TURN = 0.15  # seconds
OPERATIONS = (1_000, 10_000, 100_000)  # of a graph
LAYERS = (100, 300, 1_000)  # of a model
BLOCKS, BLOCK = 10, 2_000  # of a long training in each round: blocks, and steps in a block
CHAINS = {who: ("chains", who) for who in CONTENDERS}


def case_of(series: str, x: int) -> tuple[int, tuple[int, ...]]:
    """The batch size and the layer sizes of a series at x."""
    if series == "batch size":
        return x, (784, 512, 512, 10)
    if series == "width":
        return 64, (784, x, x, 10)
    return 64, (784, *[256] * x, 10)  # x hidden layers


def series(options: Options) -> dict[str, tuple[int, ...]]:
    """The values of each series; fewer with --quick."""
    return {name: values[1:5:2] if options.quick else values for name, values in SERIES.items()}


def counts(options: Options) -> list[int]:
    """Sizes of the data set, up to 1.25 times the memory limit."""
    most = int(1.25 * options.limit * 2**20 / FEATURES)
    return [most // 4, most] if options.quick else [most // 16, most // 4, most]


def chains(options: Options) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Operations of graphs, layers of models, and the steps in a block of the training; fewer with --quick."""
    return (OPERATIONS[:2], LAYERS[:2], BLOCK // 10) if options.quick else (OPERATIONS, LAYERS, BLOCK)


def settings(options: Options) -> dict[str, Any]:
    """What reports must have in common to be compared."""
    operations, layers, block = chains(options)
    return {
        "series": series(options),
        "operations": operations,
        "layers": layers,
        "steps in a block": block,
        "images": counts(options),
        "limit in MB": options.limit,
    }


def measure(options: Options, report: Report) -> None:
    """Measure steps, graphs, models and a long training on both frameworks, then passes over a data set in a file."""
    _measure_steps(options, report)
    measure_growth(options, report)
    if sys.platform == "linux":
        _measure_data_set(options, report)
    else:
        report.notes.append(
            "The memory-mapped data set is measured on Linux only, which can limit and report a process's memory."
        )


def _measure_steps(options: Options, report: Report) -> None:
    times: dict[tuple[str, int, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in watched_rounds(options, report):
            with started(CONTENDERS, options.threads) as workers:
                for name, values in series(options).items():
                    for x in values:
                        batch_size, sizes = case_of(name, x)
                        case = write_case(Path(folder, "case.npz"), batch_size, "float32", sizes)
                        begin(workers, f"{name} {x}", case, TOLERANCE["float32"])
                        for who in alternating(list(workers), number):
                            turn = workers[who].measure("whole", seconds=min(options.turn, STEPS_TURN))
                            times.setdefault((name, x, who), []).append(turn["seconds"])
    for name, values in series(options).items():
        for x in values:
            for who in CONTENDERS:
                report.add(name, name, who, "ms", [1e3 * t for t in times[name, x, who]], x)
        for who in CONTENDERS:
            rounds = list(zip(*(times[name, x, who] for x in values), strict=True))
            what = f"{who}: the time of a step grows as {name} to the power"
            report.add(name, what, "", "", [exponent(values, seconds) for seconds in rounds])
            ends = [exponent(values[-2:], seconds[-2:]) for seconds in rounds]
            report.add(name, f"  at the end, from {values[-2]:,} to {values[-1]:,}", "", "", ends)
    report.notes.append(
        f"Steps: float32, with batch 64 and the layers 784-512-512-10 unless varied; depth is the number of hidden "
        f"layers of 256. The losses of the first {LOSSES} steps are equal within {TOLERANCE['float32']:g}."
    )


def measure_growth(options: Options, report: Report) -> None:
    """Measure long graphs, deep models and a long training on both frameworks."""
    _measure_chains(options, report)
    _measure_training(options, report)


def _measure_chains(options: Options, report: Report) -> None:
    operations, layers, _ = chains(options)
    graphs: dict[tuple[str, str, int], list[float]] = {}
    models: dict[tuple[str, str, int], list[float]] = {}
    for number in watched_rounds(options, report):
        with started(CHAINS, options.threads) as workers:
            for count in reversed(operations):  # the largest graph first, while no freed memory can be used again
                answers = {who: workers[who].measure("graph", count=count) for who in alternating(list(CHAINS), number)}
                gradients = {who: [answer["gradient"]] for who, answer in answers.items()}
                require_close(f"a graph of {count:,} operations", gradients, TOLERANCE["float32"], "gradients")
                for who, answer in answers.items():
                    for what, value in answer.items():
                        graphs.setdefault((what, who, count), []).append(value)
            for count in layers:
                for who in alternating(list(CHAINS), number):
                    for what, value in workers[who].measure("layers", count=count).items():
                        models.setdefault((what, who, count), []).append(value)
    for what in ("forward", "backward", "freeing"):
        _add_growth(report, f"graph: {what}", "operations", what, operations, graphs)
    most = operations[-1]
    for who in CHAINS:
        case = f"graph of {most:,} operations"
        size = [2**20 * memory / most for memory in graphs["memory", who, most]]
        report.add(case, "own memory of an operation", who, "bytes", size)
        report.add(case, "own memory left after freeing", who, "MB", graphs["left", who, most])
    for what in dict.fromkeys(what for what, _, _ in models):
        _add_growth(report, f"model: {what}", "layers", what, layers, models)
    report.notes.append(
        "Graphs and models: CPU time per operation or layer, which is constant if the cost is linear. A graph is a "
        "chain of products of 4 numbers; what is freed has not been used by backward. The layers are Linear, of 8 "
        "features; larger models leave the processor's caches. Python's cycle collector is off."
    )


def _add_growth(
    report: Report,
    case: str,
    name: str,
    what: str,
    counts: tuple[int, ...],
    seconds: dict[tuple[str, str, int], list[float]],
) -> None:
    """Add the time of each of what is counted, and the growth of their total with their number."""
    for count in counts:
        for who in CHAINS:
            report.add(case, name, who, "us", [1e6 * t / count for t in seconds[what, who, count]], count)
    for who in CHAINS:
        rounds = zip(*(seconds[what, who, count] for count in counts), strict=True)
        text = f"{who}: the time of all grows as the number of {name} to the power"
        report.add(case, text, "", "", [exponent(counts, took) for took in rounds])


def _measure_training(options: Options, report: Report) -> None:
    """One process per contender for all rounds, so that more rounds are a longer training."""
    _, _, block = chains(options)
    seconds: dict[str, list[list[float]]] = {who: [] for who in CONTENDERS}  # a list of blocks for each round
    memory: dict[str, list[list[float]]] = {who: [] for who in CONTENDERS}
    with tempfile.TemporaryDirectory() as folder, started(CONTENDERS, options.threads) as workers:
        begin(workers, "training", write_case(Path(folder, "case.npz"), 4, "float32", (4, 8, 3)), TOLERANCE["float32"])
        for worker in workers.values():
            worker.ask("many", count=block)  # a warm-up
        for number in range(options.rounds):
            for who in alternating(list(workers), number):
                blocks = [workers[who].ask("many", count=block) for _ in range(BLOCKS)]
                seconds[who].append([answer["seconds"] for answer in blocks])
                memory[who].append([answer["memory"] for answer in blocks])
    case = f"training of {options.rounds * BLOCKS * block:,} steps in one process"
    for who in CONTENDERS:
        report.add(case, "step", who, "us", [1e6 * median(blocks) for blocks in seconds[who]])
        report.add(case, "own memory", who, "MB", [blocks[-1] for blocks in memory[who]])
    for who in CONTENDERS:
        halves = [median(blocks[BLOCKS // 2 :]) / median(blocks[: BLOCKS // 2]) for blocks in seconds[who]]
        report.add(case, f"{who}: a step of a round's second half / first half", "", "times", halves)
        ends = median(seconds[who][-1]) / median(seconds[who][0])
        report.add(case, f"{who}: a step of the last round / first round", "", "times", [ends])
        grown = memory[who][-1][-1] - memory[who][0][0]
        report.add(case, f"{who}: own memory, last block minus first", "", "MB", [grown])
    report.notes.append(
        f"Training: CPU time of steps at batch 4 with the layers 4-8-3, in {BLOCKS} blocks of {block:,} for each "
        f"round, after a block that does not count; --rounds {10**6 // (BLOCKS * BLOCK)} trains for 10^6 steps."
    )


def _measure_data_set(options: Options, report: Report) -> None:
    sizes = counts(options)
    seconds: dict[int, list[float]] = {count: [] for count in sizes}
    memory: dict[int, list[float]] = {count: [] for count in sizes}
    with tempfile.TemporaryDirectory() as folder:
        path = _write_images(Path(folder, "images"), sizes[-1])
        for _ in range(options.rounds):
            command = ["-m", "benchmarks.programs.growing", str(path), str(options.limit), *map(str, sizes)]
            measured = json.loads(run_command(command, threads=options.threads, folder=Path(folder))[0])
            if measured["fits"]:
                raise MeasuringError(
                    f"the limit of {options.limit} MB has no effect: all {sizes[-1]:,} images fit into memory"
                )
            for count, run in zip(sizes, measured["runs"], strict=True):
                seconds[count].append(run["seconds"])
                memory[count].append(run["memory"])
    for what, unit, values in (("one pass", "s", seconds), ("own memory", "MB", memory)):
        for count in sizes:
            report.add(f"data set size: {what}", "images", "minitrain", unit, values[count], count)
    rounds = zip(*(seconds[count] for count in sizes), strict=True)
    what = "minitrain: the time of a pass grows as the data set size to the power"
    report.add("data set size: one pass", what, "", "", [exponent(sizes, took) for took in rounds])
    grown = [last - first for first, last in zip(memory[sizes[0]], memory[sizes[-1]], strict=True)]
    report.add("data set size: own memory", "own memory: largest data set minus smallest", "", "MB", grown)
    report.notes.append(
        f"Data set: a memory-mapped file of {sizes[-1] * FEATURES / 2**20:,.0f} MB, in batches of {BATCH_SIZE}, with "
        f"the model 784-32-10, in a process limited to {options.limit} MB (RLIMIT_DATA). Reading the whole file at "
        "once fails there."
    )


def _write_images(path: Path, count: int) -> Path:
    """Write a file of this many images: a block of random bytes, repeated."""
    block = np.random.RandomState(0).bytes(4096 * FEATURES)
    with path.open("wb") as file:
        for _ in range(count // 4096):
            file.write(block)
        file.write(block[: count % 4096 * FEATURES])
    return path

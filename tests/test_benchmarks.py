"""The benchmarks compare only equal work, count correctly, and save their results. Nothing is timed here."""

import errno
import io
import itertools
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import ddp, epoch, gpu, gradcheck, imports, loader, scale, step
from benchmarks.__main__ import SUITES, _wrapped, main
from benchmarks.measuring import (
    PAUSE,
    MeasuringError,
    Options,
    UnequalError,
    Worker,
    alternating,
    exponent,
    ratios,
    require_close,
    require_equal,
    started,
    wait_until_quiet,
    watched_rounds,
)
from benchmarks.page import page
from benchmarks.plausibility import implausible, without
from benchmarks.plot import COLOURS, colours_of, draw, drawings, panels
from benchmarks.programs import by_hand, tutorial
from benchmarks.programs.caches import slowdown
from benchmarks.programs.chains import Chains
from benchmarks.programs.gemms import floating_point_operations, products
from benchmarks.programs.gradchecks import CASES, ON_ARRAYS, Gradchecks, GradchecksOnArrays, operations
from benchmarks.programs.peers import answer_with
from benchmarks.report import Figure, Refusal, Report, brief, changes, differences
from minitrain.programs.busy import fixed_work
from tests.test_ops import OPERATIONS

MACHINE = {"cpu": "a CPU", "cpus": 2, "threads": 1, "gpu": None, "versions": {"numpy": "2.4.6", "torch": "2.13.0"}}


def a_report(*, milliseconds: tuple[float, ...] = (2.0, 2.1, 2.2)) -> Report:
    report = Report("step", MACHINE, {"batch sizes": (8,)}, len(milliseconds), "2026-01-02T03:04:05+00:00")
    report.add("batch 8", "whole step", "minitrain", "ms", milliseconds)
    report.add("batch 8", "whole step: torch / minitrain", "", "times", [1.0] * len(milliseconds))
    report.notes.append("A note.")
    return report


# --- only equals are compared -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workers() -> Iterator[dict[str, Worker]]:
    """A process of torch and one of minitrain."""
    with started(step.CONTENDERS, threads=1) as both:
        yield both


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Equal batches and weights for both, by dtype."""
    folder = tmp_path_factory.mktemp("cases")
    return {dtype: step.write_case(folder / f"{dtype}.npz", 4, dtype, (6, 5, 3)) for dtype in step.TOLERANCE}


def first_steps(worker: Worker, case: Path, lr: float = step.LR) -> dict[str, Any]:
    return worker.ask("begin", case=str(case), optimizer="SGD", options={"lr": lr}, losses=step.LOSSES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_minitrain_takes_torchs_steps(dtype: str, workers: dict[str, Worker], cases: dict[str, Path]) -> None:
    answers = {who: first_steps(worker, cases[dtype]) for who, worker in workers.items()}
    assert {answer["dtype"] for answer in answers.values()} == {dtype}
    require_equal("a batch of 4", answers, step.TOLERANCE[dtype])


@pytest.mark.parametrize("how", by_hand.MAKERS)
def test_the_step_by_hand_is_minitrains(how: str, workers: dict[str, Worker], cases: dict[str, Path]) -> None:
    request = {"do": "begin", "case": str(cases["float64"]), "options": {"lr": step.LR}, "losses": step.LOSSES}
    answers = {
        "minitrain": first_steps(workers["minitrain"], cases["float64"]),
        "NumPy by hand": answer_with(by_hand.MAKERS[how])(request),
    }
    require_equal("a batch of 4", answers, step.TOLERANCE["float64"])


def test_a_contender_with_another_rate_is_refused(workers: dict[str, Worker], cases: dict[str, Path]) -> None:
    case = cases["float32"]
    answers = {
        "torch": first_steps(workers["torch"], case),
        "minitrain": first_steps(workers["minitrain"], case, 0.011),
    }
    with pytest.raises(UnequalError, match=r"not comparable: a batch of 4: the losses of minitrain differ from those"):
        require_equal("a batch of 4", answers, step.TOLERANCE["float32"])


def test_a_contender_with_another_dtype_is_refused(workers: dict[str, Worker], cases: dict[str, Path]) -> None:
    answers = {
        "torch": first_steps(workers["torch"], cases["float32"]),
        "minitrain": first_steps(workers["minitrain"], cases["float64"]),
    }
    with pytest.raises(UnequalError, match="minitrain computes in float64, torch in float32"):
        require_equal("a batch of 4", answers, step.TOLERANCE["float32"])


def test_the_command_prints_no_ratio_of_unequal_contenders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(step.CONTENDERS, "minitrain", ("steps", "minitrain", '{"lr": 0.02}'))
    assert main(["step", "--quick", "--batch-sizes", "8", "--threads", "1", "--out", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith("benchmarks: error: not comparable: batch 8, float32: the losses of minitrain differ")
    assert "/ minitrain" not in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("values", [[1.0], [1.0, 2.0, 3.0], [1.0, 2.1], [1.0, math.nan]])
def test_fewer_more_or_other_numbers_are_unequal(values: list[float]) -> None:
    with pytest.raises(UnequalError):
        require_close("numbers", {"one": [1.0, 2.0], "other": values}, tolerance=0.05)
    require_close("numbers", {"one": [1.0, 2.0], "other": [1.04, 1.96]}, tolerance=0.05)


def test_loaders_that_give_other_batches_are_refused() -> None:
    loader.require_same_checksum("shuffled", {"torch": "00c0ffee", "minitrain": "00c0ffee"})
    with pytest.raises(UnequalError, match="have different checksums: torch 00c0ffee, minitrain decade00"):
        loader.require_same_checksum("shuffled", {"torch": "00c0ffee", "minitrain": "decade00"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float32"}, "a case: minitrain computes in float32, not in float64"),
        ({"right passes": False}, "a case: minitrain rejects the right gradient"),
        ({"wrong passes": True}, "a case: minitrain accepts a gradient that is 1 % too large"),
    ],
)
def test_gradchecks_that_judge_otherwise_are_refused(change: dict[str, Any], message: str) -> None:
    judged = {"dtype": "float64", "right passes": True, "wrong passes": False}
    gradcheck.require_same_verdicts("a case", {"torch": judged, "minitrain": judged})
    with pytest.raises(UnequalError, match=message):
        gradcheck.require_same_verdicts("a case", {"torch": judged, "minitrain": {**judged, **change}})


def test_a_gradcheck_of_fewer_entries_is_refused() -> None:
    whole, part = {"entries": 20, "inputs": 20}, {"entries": 19, "inputs": 20}
    assert gradcheck.require_all_entries("a case", {"torch": whole, "minitrain": whole}) == 20
    with pytest.raises(UnequalError, match="a case: torch moves 19 of the 20 entries"):
        gradcheck.require_all_entries("a case", {"torch": part, "minitrain": whole})


@pytest.mark.parametrize("framework", ["torch", "minitrain"])
@pytest.mark.parametrize("case", CASES)
def test_each_gradcheck_judges_rightly_and_moves_every_entry(framework: str, case: str) -> None:
    checks = Gradchecks(framework, case)
    assert (checks.gradcheck(checks.function), checks.gradcheck(checks.wrong())) == (True, False)
    assert checks.entries_moved() == sum(tensor.numel() for tensor in checks.inputs)


@pytest.mark.parametrize("case", ON_ARRAYS)
def test_each_gradcheck_on_arrays_judges_rightly_and_moves_every_entry(case: str) -> None:
    checks = GradchecksOnArrays(case)
    assert (checks.gradcheck(checks.function), checks.gradcheck(checks.wrong())) == (True, False)
    assert checks.entries_moved() == checks.numel()


def test_every_operation_is_gradchecked() -> None:
    assert set(operations()) == {operation.__name__ for operation in OPERATIONS}


def test_a_contenders_failure_is_reported_in_its_own_words() -> None:
    with Worker("steps", "minitrain", threads=1) as worker, pytest.raises(MeasuringError, match=r"no_such_case\.npz"):
        worker.ask("begin", case="no_such_case.npz", optimizer="SGD", options={}, losses=1)


# --- the arithmetic ---------------------------------------------------------------------------------------------------


def test_quartiles_of_known_values() -> None:
    assert Figure("", "", "", "ms", (5.0, 1.0, 3.0, 2.0, 4.0)).quartiles == (2.0, 3.0, 4.0)
    assert Figure("", "", "", "ms", (1.0, 2.0)).quartiles == (1.25, 1.5, 1.75)
    assert Figure("", "", "", "ms", (7.0,)).quartiles == (7.0, 7.0, 7.0)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=9))
def test_quartiles_stand_in_order_and_within_the_values(values: list[float]) -> None:
    low, middle, high = Figure("", "", "", "ms", tuple(values)).quartiles
    assert min(values) <= low <= middle <= high <= max(values)


def test_a_ratio_is_taken_in_each_round_before_the_median() -> None:
    slow, fast = [2.0, 30.0, 8.0], [1.0, 10.0, 1.0]
    assert ratios(slow, fast) == [2.0, 3.0, 8.0]
    assert Figure("", "", "", "times", tuple(ratios(slow, fast))).median == 3.0  # of the medians: 8
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_the_order_alternates() -> None:
    assert [alternating(["a", "b"], number) for number in range(3)] == [["a", "b"], ["b", "a"], ["a", "b"]]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads cannot be kept on a core here")
def test_what_cores_share_is_measured_where_there_are_two_and_leaves_them_all() -> None:
    cores = os.sched_getaffinity(0)
    with started({"two": ("caches",)}, threads=1) as workers:
        message = workers["two"].ask("measure")["slowdown"]
        assert message > 0 if len(cores) > 1 else message is None
    slowdown()
    assert os.sched_getaffinity(0) == cores
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert slowdown() is None
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.skipif(slowdown() is None, reason="there is one core, or threads cannot be kept on one")
def test_the_slowdown_is_of_what_the_other_core_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of two turns the second is of memory that was read: a clock by which the first takes 1 second and the second 3.
    ticks = itertools.accumulate(itertools.cycle([0, 1, 0, 3]))
    monkeypatch.setattr("benchmarks.programs.caches.time.perf_counter", lambda: next(ticks))
    assert slowdown() == 3


def test_whoever_was_measured_before_falls_asleep_first(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[Any] = []
    monkeypatch.setattr("benchmarks.measuring.time.sleep", order.append)
    monkeypatch.setattr(Worker, "ask", lambda self, do, **request: order.append((do, request)) or {})
    with Worker("gemms", threads=1) as worker:
        assert worker.measure("whole", seconds=1) == {}
    assert order == [PAUSE, ("whole", {"seconds": 1})]


@pytest.mark.parametrize(
    ("slowdowns", "lines", "notes"), [([1.3, None], 0, 0), ([1.3, 1.9], 1, 0), ([1.3, step.APART + 1, 1.9], 1, 1)]
)
def test_cores_that_share_no_cache_are_reported(slowdowns: list[float | None], lines: int, notes: int) -> None:
    report = Report("step", MACHINE, {}, len(slowdowns))
    step.add_caches(report, slowdowns)
    assert (len(report.figures), len(report.notes)) == (lines, notes)


@given(st.floats(-2, 3), st.floats(0.01, 100))
def test_the_exponent_of_a_power_law_is_found(power: float, factor: float) -> None:
    x = [1, 4, 16, 64]
    assert exponent(x, [factor * value**power for value in x]) == pytest.approx(power, abs=1e-9)


def test_the_floor_is_the_eight_products_of_the_tutorials_step() -> None:
    work = products(64, list(step.SIZES), "float32")
    assert len(work) == 8
    assert all(array.flags.c_contiguous for product in work for array in product)
    operations = sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in work)
    assert operations == floating_point_operations(64, list(step.SIZES)) == 205_389_824


def test_the_model_of_more_processes_is_its_formula() -> None:
    assert ddp.GRADIENT == 669_706
    latency, bandwidth = ddp.fitted(one=0.001, gradient=0.003, size=4e6)
    assert (latency, bandwidth) == (0.001, pytest.approx(2e9))
    assert ddp.step_model(1, 0.008, latency, bandwidth, size=4e6) == 0.008
    assert ddp.step_model(2, 0.008, latency, bandwidth, size=4e6) == pytest.approx(0.004 + 0.003)
    assert ddp.step_model(4, 0.008, latency, bandwidth, size=4e6) == pytest.approx(0.002 + 0.001 + 1.5 * 0.002)


# --- reports ----------------------------------------------------------------------------------------------------------


def test_a_report_comes_back_from_its_json() -> None:
    report = a_report()
    again = Report.from_json(report.json())
    assert again.figures == report.figures
    assert again.json() == report.json()
    assert again.text() == report.text()


def test_the_json_gives_the_spread_plainly() -> None:
    figure = json.loads(a_report().json())["figures"][0]
    assert figure == {
        "case": "batch 8",
        "what": "whole step",
        "who": "minitrain",
        "unit": "ms",
        "x": None,
        "values": [2.0, 2.1, 2.2],
        "median": 2.1,
        "low": 2.05,
        "high": 2.1500000000000004,
        "n": 3,
    }


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "another"}', '{"format": "minitrain benchmarks 1"}'])
def test_what_is_no_report_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a report of these benchmarks"):
        Report.from_json(text)


@pytest.mark.parametrize(
    ("part", "damaged"),
    [
        ("machine", []),
        ("machine", {}),
        ("machine", {"versions": None}),
        ("settings", None),
        ("figures", [{}]),
        ("figures", [{"case": "", "what": "", "who": "", "unit": "", "x": None, "values": []}]),
        ("figures", [{"case": "", "what": "", "who": "", "unit": "", "x": None, "values": ["x"]}]),
    ],
)
def test_a_damaged_report_is_refused_when_it_is_read(part: str, damaged: Any) -> None:
    content = {**json.loads(a_report().json()), part: damaged}
    with pytest.raises(ValueError, match="not a report of these benchmarks"):
        Report.from_json(json.dumps(content))


def test_no_report_overwrites_another(tmp_path: Path) -> None:
    paths = [a_report().save(tmp_path / "out") for _ in range(3)]
    assert len(set(paths)) == 3
    assert {path.name for path in paths} == {
        "step-20260102-030405.json",
        "step-20260102-030405-1.json",
        "step-20260102-030405-2.json",
    }


def test_a_change_is_reported_with_both_quartile_ranges() -> None:
    text = changes(a_report(), a_report(milliseconds=(4.0, 4.2, 4.4)))
    whole = (
        "batch 8, minitrain, whole step: 2.10 [2.05 to 2.15] -> 4.20 [4.10 to 4.30] ms, +100.0 %, beyond the quartiles"
    )
    assert whole in text
    assert "whole step: torch / minitrain: 1.00 [1.00 to 1.00] -> 1.00 [1.00 to 1.00] times, +0.0 %, within" in text


def test_a_change_after_one_round_is_reported_without_a_judgement() -> None:
    text = changes(a_report(milliseconds=(2.0,)), a_report())
    assert "2.00 -> 2.10 [2.05 to 2.15] ms, +5.0 % (one round: spread unknown)" in text


@pytest.mark.parametrize(("then", "now", "when"), [(4.5, 1.0, "On 2026-01-02T03:04:05+00:00"), (1.0, 4.5, "Now")])
def test_no_change_is_shown_if_the_machine_was_busy(then: float, now: float, when: str) -> None:
    text = changes(replace(a_report(), slowdowns=[then]), replace(a_report(milliseconds=(4.0,)), slowdowns=[now]))
    assert text.endswith(f"{when} the machine was busy: fixed work took 4.5 times its best time.")
    assert "%" not in text


def test_another_version_is_reported_and_compared() -> None:
    newer = replace(a_report(), machine={**MACHINE, "versions": {"numpy": "2.5.0", "torch": "2.13.0"}})
    assert differences(a_report(), newer) == []
    assert "numpy was 2.4.6, is now 2.5.0" in changes(a_report(), newer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"machine": {**MACHINE, "threads": 2}}, "threads was 1, is now 2"),
        ({"machine": {**MACHINE, "cpu": "another"}}, "cpu was a CPU, is now another"),
        ({"settings": {"batch sizes": (64,)}}, "batch sizes was [8], is now [64]"),
        ({"suite": "epoch"}, "suite was step, is now epoch"),
    ],
)
def test_other_machines_threads_and_shapes_are_not_compared(change: dict[str, object], message: str) -> None:
    old = Report.from_json(a_report().json())
    assert differences(old, a_report()) == []
    assert differences(old, replace(a_report(), **change)) == [message]


# --- what a busy machine makes of them --------------------------------------------------------------------------------


def judged(
    ratios: tuple[float, ...] = (1.4, 1.5, 1.6), phase: float = 0.5, slowdowns: tuple[float, ...] = (1.0, 1.1, 1.0)
) -> tuple[Report, list[str]]:
    """A made-up report of a step of 2 ms after its implausible comparisons were removed, and why they were."""
    report = Report("step", MACHINE, {}, len(ratios), slowdowns=list(slowdowns))
    for who in ("torch", "minitrain"):
        report.add("batch 8", "backward", who, "ms", [phase] * len(ratios))
        report.add("batch 8", "whole step", who, "ms", [2.0] * len(ratios))
    report.add("batch 8", "whole step: torch / minitrain", "", "times", ratios)
    report.add("batch 64", "whole step: torch / minitrain", "", "times", [1.0, 1.01])
    report.add("caches", "writing memory that another core has read / other memory", "", "", [1.0, 9.0])
    refused = implausible(report, step.PARTS)
    return without(report, refused), [f"{lost.case}: {lost.why}" for lost in refused]


def test_a_sound_report_stays_as_it_is() -> None:
    report, why = judged()
    assert (why, report.refused, report.notes) == ([], [], [])
    assert "whole step: torch / minitrain: 1.50 [1.45 to 1.55]\n" in report.text()
    assert "no figure" not in report.text()


def test_a_part_that_took_longer_than_the_whole_leaves_its_case_without_a_ratio() -> None:
    report, why = judged(phase=2.5)
    reason = "a part took longer than the whole: minitrain, backward: 2.50 [2.50 to 2.50] ms; "
    assert why == [f"batch 8: {reason}minitrain, whole step: 2.00 [2.00 to 2.00] ms"]
    assert f"whole step: torch / minitrain: no figure: {reason}" in report.text()
    assert "1.50" not in report.text()
    assert [title for title, _ in panels(report)] == ["batch 8\nwhole step\n(not comparable: see the report)"]
    assert "Comparisons without a figure: 1." in report.notes[-1]


def test_other_processes_leave_no_ratio_of_the_suite() -> None:
    report, why = judged(slowdowns=(2.0, 1.0, 2.1))
    assert [line.partition(": ")[2] for line in why] == [
        "the machine was busy: fixed work took 2.0 times its best time"
    ] * 2
    assert [figure.case for figure in report.figures if not figure.who] == ["caches"]
    assert judged(slowdowns=(1.0, 9.0, 1.1))[1] == []  # a short disturbance


@pytest.mark.parametrize(
    ("ratios", "refused", "undecided"),
    [
        ((0.97, 1.01, 1.05), False, True),  # about equally fast
        ((1.01, 1.02, 1.03), False, False),
        ((1.9, 2.0, 2.9), False, False),  # wide, but at least 1.9
        ((0.7, 1.2, 1.4), True, None),
        ((1 / 0.7, 1 / 1.2, 1 / 1.4), True, None),  # the same, with the contenders exchanged
        ((1.02, 1.1, 1.6), True, None),
        ((0.5,), False, False),  # one round has no spread
    ],
)
def test_a_spread_larger_than_the_difference_is_no_ratio(
    ratios: tuple[float, ...], refused: bool, undecided: bool | None
) -> None:
    report, why = judged(ratios=ratios)
    assert bool(why) == refused
    if refused:
        assert why[0].startswith("batch 8: the rounds differ by more than the contenders do: ")
    else:
        line = next(line for line in report.comparisons("batch 8"))
        assert line.endswith("(undecided: the quartiles lie on both sides of 1)") == undecided


def test_a_refusal_is_saved_and_read() -> None:
    report, _ = judged(phase=2.5)
    again = Report.from_json(report.json())
    assert (again.refused, again.slowdowns, again.text()) == (report.refused, report.slowdowns, report.text())
    older = {name: part for name, part in json.loads(report.json()).items() if name not in ("refused", "slowdowns")}
    assert Report.from_json(json.dumps(older)).refused == []


@pytest.mark.parametrize(("seconds", "printed"), [([2.5, 0.5], "1.50"), ([2.5, 2.5], "no figure: a part took longer")])
def test_a_suite_with_nonsense_is_measured_once_more(
    seconds: list[float],
    printed: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left = iter(seconds)
    monkeypatch.setattr(step, "measure", lambda _, report: report.figures.extend(judged_figures(next(left))))
    monkeypatch.setattr("benchmarks.__main__.run_command", lambda *_, **__: (json.dumps(FULL_MACHINE), ""))
    assert main(["step", "--quick", "--out", str(tmp_path / "out"), "--html", str(tmp_path / "page.html")]) == 0
    out = capsys.readouterr().out
    assert "Measuring again, because in batch 8 a part took longer than the whole" in out
    assert f"  whole step: torch / minitrain: {printed}" in out
    assert next(left, None) is None
    (path,) = (tmp_path / "out").glob("*.json")
    assert len(Report.from_json(path.read_text(encoding="utf-8")).refused) == ("no figure" in printed)
    assert f"whole step: torch / minitrain: {printed}" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("suites", "spent", "measured"), [(1, 50, 2), (1, 70, 1), (4, 10, 2), (4, 20, 1)])
def test_quick_measures_again_only_within_the_suites_share_of_two_minutes(
    suites: int, spent: float, measured: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, calls = [0.0], []

    def measure(_: Options, report: Report) -> None:
        clock[0] += spent
        calls.append(report.suite)
        report.figures.extend(judged_figures(2.5))

    names = [*SUITES][:suites]
    for name in names[1:]:
        monkeypatch.setattr(SUITES[name], "measure", lambda _, report: calls.append(report.suite))
    monkeypatch.setattr(step, "measure", measure)
    monkeypatch.setattr("benchmarks.__main__.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("benchmarks.__main__.run_command", lambda *_, **__: (json.dumps(FULL_MACHINE), ""))
    monkeypatch.setattr("benchmarks.__main__.datasets.verify", lambda: None)
    assert main([*names, "--quick", "--out", str(tmp_path)]) == 0
    assert calls == [*["step"] * measured, *names[1:]]
    (path,) = tmp_path.glob("step-*.json")
    note = Report.from_json(path.read_text(encoding="utf-8")).notes[-1]
    assert ("Not measured again, because --quick has two minutes" in note) == (measured == 1)


def test_a_suite_is_measured_again_when_the_machine_is_quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    seconds, left = iter([(2.0, 1.0)] * 6 + [(1.0, 1.0)] * 3), iter([3.0, 1.0])

    def measure(_: Options, report: Report) -> None:
        order.append("measure")
        report.figures.extend(judged_figures(0.5))
        report.slowdowns.append(next(left))

    monkeypatch.setattr(step, "measure", measure)
    monkeypatch.setattr("benchmarks.measuring.fixed_work", lambda _: order.append("work") or next(seconds))
    monkeypatch.setattr("benchmarks.measuring.time.sleep", lambda _: None)
    monkeypatch.setattr("benchmarks.__main__.run_command", lambda *_, **__: (json.dumps(FULL_MACHINE), ""))
    assert main(["step", "--out", str(tmp_path)]) == 0
    assert order == ["measure", *["work"] * 9, "measure"]
    (path,) = tmp_path.glob("step-*.json")
    assert Report.from_json(path.read_text(encoding="utf-8")).refused == []


def test_the_wait_for_a_quiet_moment_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr("benchmarks.measuring.fixed_work", lambda _: (2.0, 1.0))
    monkeypatch.setattr("benchmarks.measuring.time.sleep", lambda _: None)
    monkeypatch.setattr("benchmarks.measuring.time.monotonic", lambda: next(clock))
    wait_until_quiet(threads=1, seconds=10)
    assert 10 <= next(clock) <= 12


def test_every_table_of_a_busy_machine_says_so(tmp_path: Path, drawn: dict[Any, tuple[str, Any]]) -> None:
    quiet, busy = a_large_report(), replace(a_large_report(), slowdowns=[2.0, 2.2])
    warning = "Measured on a busy machine, so times are too long (fixed work took 2.1 times its best time)"
    tables = len([case for case in busy.cases() if busy.table(case)])
    lines = busy.text().splitlines()
    after = [lines[number + 1] for number, line in enumerate(lines) if line == f"  {warning}:"]
    assert len(after) == tables > 1
    assert all("torch" in line or "quantity" in line for line in after)  # the heads of the tables
    assert (json.loads(busy.json())["busy"], json.loads(quiet.json())["busy"]) == (warning, "")
    assert Report.from_json(busy.json()).busy == warning
    about = {"cnn": "About it."}
    assert page([busy], ["cnn"], about).count(f'<p class="busy">{warning}:</p>') == tables
    drawn.clear()  # the page's
    draw(busy, tmp_path / "plot.png")
    plotted = [" ".join(words.split()) for words, _ in drawn.values()]
    assert sum("(measured on a busy machine)" in words for words in plotted) == len(panels(busy))
    assert any(warning in words for words in plotted)
    assert "busy machine" not in quiet.text() + page([quiet], ["cnn"], about) + str(panels(quiet))


def test_the_page_and_the_end_of_the_text_count_the_refused_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counted = "1 of 2 without a figure, because the machine was busy (step 1)"
    monkeypatch.setattr(step, "measure", lambda _, report: report.figures.extend(judged_figures(2.5)))
    monkeypatch.setattr(imports, "measure", lambda _, report: report.add("a case", "a / b", "", "times", [1.5]))
    monkeypatch.setattr("benchmarks.__main__.run_command", lambda *_, **__: (json.dumps(FULL_MACHINE), ""))
    html = tmp_path / "page.html"
    assert main(["step", "import", "--out", str(tmp_path / "out"), "--html", str(html)]) == 0
    assert f"\nComparisons in all suites: {counted}.\n" in capsys.readouterr().out
    assert f"<dt>Comparisons</dt><dd>{counted}</dd>" in html.read_text(encoding="utf-8")
    monkeypatch.setattr(step, "measure", lambda _, report: report.figures.extend(judged_figures(0.5)))
    assert main(["step", "import", "--out", str(tmp_path / "out"), "--html", str(html)]) == 0
    assert "Comparisons" not in capsys.readouterr().out
    assert "<dt>Comparisons</dt><dd>all have a figure</dd>" in html.read_text(encoding="utf-8")


def test_a_disk_that_fills_up_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    old = tmp_path / "page.html"
    old.write_text("an older page")
    monkeypatch.setattr(step, "measure", lambda _, report: report.figures.extend(judged_figures(0.5)))
    monkeypatch.setattr("benchmarks.__main__.run_command", lambda *_, **__: (json.dumps(FULL_MACHINE), ""))
    monkeypatch.setattr("minitrain.files.os.fsync", full)
    out = tmp_path / "out"
    assert main(["step", "--out", str(out), "--html", str(old)]) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert [*out.iterdir()] == []
    with pytest.raises(OSError, match="No space left on device"):
        draw(a_large_report(), out / "plot.png")
    assert main(["step", "--out", str(out), "--html", str(old)]) == 1
    assert [*out.iterdir()] == []
    assert (old.read_text(), [*tmp_path.glob("page*")]) == ("an older page", [old])


def judged_figures(phase: float) -> list[Figure]:
    return [
        Figure("batch 8", "loss", "torch", "ms", (phase,)),
        Figure("batch 8", "whole step", "torch", "ms", (2.0,)),
        Figure("batch 8", "whole step: torch / minitrain", "", "times", (1.5,)),
    ]


def test_how_busy_the_machine_is_is_measured_around_each_round(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, cpu = fixed_work(threads=2)
    assert seconds > 0
    assert cpu > 0
    done = iter([(0.1, 0.1), (0.4, 0.2), (0.2, 0.15)])
    monkeypatch.setattr("benchmarks.measuring.fixed_work", lambda threads: next(done))
    report = a_report()
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr("sys.stderr", shown)
    assert list(watched_rounds(Options(rounds=2), report)) == [0, 1]
    assert [part.rstrip() for part in shown.getvalue().split("\r") if part] == ["round 1 of 2", "round 2 of 2", ""]
    assert report.slowdowns == pytest.approx([1, 4, 2])
    assert "fixed work between them took 2.00 [1.50 to 3.00] times its best time" in report.text()


def test_quick_measures_less_and_says_what_it_leaves_out() -> None:
    quick, full = Options(quick=True), Options()
    assert epoch.settings(quick)["contenders"] == ["torch", "minitrain"]
    assert {*epoch.PROGRAMS} - {epoch.COMPILED} < {*epoch.settings(full)["contenders"]}
    for suite in (gradcheck, loader):
        assert suite.settings(quick) != suite.settings(full)  # so that --compare does not mix them up


def test_every_part_is_a_quantity_of_its_suite() -> None:
    assert {suite for suite, module in SUITES.items() if hasattr(module, "PARTS")} == {
        *("step", "cnn", "epoch", "optimizers", "import")
    }
    assert (("forward", "minitrain"), ("whole step", "minitrain")) in step.PARTS


# --- plots and the page -----------------------------------------------------------------------------------------------

FULL_MACHINE = {
    **MACHINE,
    "platform": "Linux",
    "python": "3.13",
    "blas": {
        "numpy": "OpenBLAS 0.3.31 USE64BITINT DYNAMIC_ARCH Haswell MAX_THREADS=64; kernels: SkylakeX; threads: 1",
        "torch": "Intel(R) oneAPI Math Kernel Library Version 2024.2-Product, AVX512; threads: 1",
    },
}


def a_large_report() -> Report:
    """Bars and lines, with long names and more contenders than have a colour."""
    report = Report("cnn", FULL_MACHINE, {}, 3)
    whos = ["torch", "minitrain", "products alone", "<one>", "another"]
    for case in ("a case whose name is much longer than the plot of its figures is wide", "short", "third", "fourth"):
        for who in whos:
            report.add(case, "a quantity that takes many words as well, and then some more", who, "ms", [1.0, 2.0, 3.0])
    for x in (1, 8, 64):
        for who in whos[:2]:
            report.add("growth", "batch size", who, "ms", [1.0 * x, 1.1 * x, 1.2 * x], x)
    report.add("short", "torch / minitrain", "", "times", [1.0, 1.0, 1.0])
    return report


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[Any, tuple[str, Any]]:
    """Each text that was drawn since, where it was drawn last: its words and its box in pixels."""
    text = pytest.importorskip("matplotlib.text").Text
    boxes: dict[Any, tuple[str, Any]] = {}
    write = text.draw

    def watched(self: Any, renderer: Any, *rest: Any) -> None:
        if self.get_text().strip() and self.get_visible():
            boxes[self] = self.get_text(), self.get_window_extent(renderer)
        write(self, renderer, *rest)

    monkeypatch.setattr(text, "draw", watched)
    return boxes


def test_no_text_of_a_plot_overlaps_another_or_leaves_it(tmp_path: Path, drawn: dict[Any, tuple[str, Any]]) -> None:
    draw(a_large_report(), tmp_path / "plot.png")
    width = int.from_bytes((tmp_path / "plot.png").read_bytes()[16:20])
    assert len(drawn) > 40
    assert all(box.x0 >= 0 and box.x1 <= width for _, box in drawn.values())
    for (words, box), (others, its) in itertools.combinations(drawn.values(), 2):
        apart = box.x1 <= its.x0 or its.x1 <= box.x0 or box.y1 <= its.y0 or its.y1 <= box.y0
        assert apart, f"{words!r} overlaps {others!r}"


def test_report_plot_and_page_name_the_processor(tmp_path: Path, drawn: dict[Any, tuple[str, Any]]) -> None:
    report = a_large_report()
    draw(report, tmp_path / "plot.png")
    plotted = " ".join(words for words, _ in drawn.values())
    for text in (report.text(), plotted, page([report], ["cnn"], {"cnn": "About it."})):
        for part in ("a CPU, 2 CPUs", "threads for each contender: 1", "SkylakeX", "MKL 2024.2, AVX512, threads: 1"):
            assert part in " ".join(text.split())
    assert json.loads(report.json())["machine"] == FULL_MACHINE


@pytest.mark.parametrize("name", ["MKL 2024.2, AVX512; threads: 2", "Accelerate; kernels: unknown; threads: unknown"])
def test_a_blas_of_another_kind_keeps_its_name(name: str) -> None:
    assert brief(name) == name.replace(";", ",")


def test_a_contender_has_the_same_colour_everywhere() -> None:
    colours = colours_of(a_large_report())
    assert {who: colours[who] for who in ("torch", "minitrain")} == {
        who: COLOURS[who] for who in ("torch", "minitrain")
    }
    assert len(set(colours.values())) == len(colours)
    for module in SUITES.values():
        for who in getattr(module, "CONTENDERS", ()):
            assert who in COLOURS


def test_the_page_needs_nothing_else_and_no_script() -> None:
    pytest.importorskip("matplotlib")
    report = a_large_report()
    text = page([report], ["cnn", "--quick"], {"cnn": "About it."})
    assert text.count("<svg") == len(drawings(report)) == 5
    assert "python -m benchmarks cnn --quick" in text
    assert "&lt;one&gt;" in text
    assert "<one>" not in text
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"<script|<link|@import|url\(h|src=|DejaVu Sans[^ ]*'", text)
    assert "currentColor" in text
    assert text.count("torch / minitrain: 1.00 [1.00 to 1.00]") == 1


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required"),
        (["speed"], "unknown suite 'speed': choose from step, cnn, epoch,"),
        (["step", "--rounds", "0"], "argument --rounds: expected an integer of at least 1, but got '0'"),
        (["step", "--threads", "two"], "argument --threads: expected an integer of at least 1, but got 'two'"),
        (["step", "--batch-sizes", "8", "-1"], "-1"),
        (["step", "--dtypes", "float16"], "invalid choice: 'float16'"),
        (["step", "--compare", "no_such.json"], "--compare no_such.json: "),
        (["step", "--out", __file__], "is not a directory"),
        (
            ["step", "--html", "no_such_folder/page.html"],
            "page.html: expected a file in a folder",
        ),
        (["scale", "--limit", "1"], "--limit must be at least 256, the memory that training needs, but got 1"),
    ],
)
def test_bad_arguments_are_reported_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("option", "message"),
    [("--compare", "Is a directory"), ("--html", "expected a file in a folder")],
)
def test_a_folder_instead_of_a_file_is_reported_in_words(
    option: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["step", option, str(tmp_path)])
    err = capsys.readouterr().err
    assert message in err
    assert "Errno" not in err
    assert err.count(str(tmp_path)) == 1


def test_a_folder_that_cannot_be_created_is_reported_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "folder"
    assert main(["step", "--quick", "--threads", "1", "--out", str(out)]) == 1
    printed = capsys.readouterr()
    assert f"cannot create --out {out}: Not a directory; choose another folder" in printed.err
    assert "One training step" not in printed.out


def test_a_full_disk_loses_the_page_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    figure = "a case", "whole step", "torch", "ms", [1.0]
    monkeypatch.setattr(step, "measure", lambda options, report: report.add(*figure))
    assert main(["step", "--threads", "1", "--out", str(tmp_path), "--html", "/dev/full"]) == 1
    assert (
        "--html: cannot write /dev/full (No space left on device); choose another place; "
        f"the figures are saved in {tmp_path}" in capsys.readouterr().err
    )
    assert len([*tmp_path.glob("*.json")]) == 1


def test_a_help_that_cannot_be_written_is_a_failure() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--help"],
            cwd=Path(__file__).parent.parent,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.stderr == "benchmarks: error: cannot write the help: No space left on device\n"
    assert ended.returncode == 1


def test_an_interrupt_during_the_imports_prints_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise KeyboardInterrupt\n")
    root = Path(__file__).parent.parent
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "step"],
        cwd=root,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.stdout, ended.stderr) == ("", "benchmarks: interrupted\n")
    assert ended.returncode in (130, -signal.SIGINT)


def test_comparisons_refused_for_one_reason_take_one_line() -> None:
    report = replace(a_report(), refused=[Refusal("c", "a / b", "busy"), Refusal("c", "a / d", "busy")])
    assert report.comparisons("c") == ["2 comparisons: no figure: busy"]
    report = replace(report, refused=[*report.refused, Refusal("c", "b / d", "a part took longer")])
    assert report.comparisons("c")[-1] == "b / d: no figure: a part took longer"


def test_lines_are_wrapped_for_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "one\n\n  a comparison that is much longer than the terminal"
    assert _wrapped(text) == text
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    assert _wrapped(text) == "one\n\n  a comparison that is much longer than\n    the terminal"


def test_no_line_of_the_command_is_wider_than_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(imports, "measure", lambda _, report: report.add("a case", "a / b", "", "times", [1.5]))
    monkeypatch.setattr("benchmarks.__main__.run_command", lambda *_, **__: (json.dumps(FULL_MACHINE), ""))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.chdir(tmp_path)
    assert main(["import", "--out", "."]) == 0
    out = capsys.readouterr().out
    assert "import: The cost of imports" in out
    assert max(map(len, out.splitlines())) <= 50


def test_an_older_report_of_another_suite_is_a_bad_argument(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = a_report().save(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["import", "--compare", str(old)])
    assert exit_.value.code == 2
    assert "is a report of the suite step, which is not among the suites to run" in capsys.readouterr().err


def test_an_older_report_of_another_machine_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = a_report().save(tmp_path / "old")
    assert main(["step", "--quick", "--threads", "1", "--out", str(tmp_path / "new"), "--compare", str(old)]) == 1
    assert (
        "not comparable with the report of 2026-01-02T03:04:05+00:00: cpu was a CPU, is now " in capsys.readouterr().err
    )
    assert not (tmp_path / "new").exists()


def test_without_a_gpu_the_gpu_suite_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert main(["gpu", "--threads", "1", "--out", str(tmp_path)]) == 1
    assert "benchmarks: error: no GPU here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_gpu_the_other_suites_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    figure = "a case", "whole step", "torch", "ms", [1.0]
    monkeypatch.setattr(step, "measure", lambda options, report: report.add(*figure))
    assert main(["gpu", "step", "--threads", "1", "--out", str(tmp_path)]) == 0
    assert "\nno GPU here" in capsys.readouterr().out
    assert [path.name.partition("-")[0] for path in tmp_path.glob("*.json")] == ["step"]


def test_on_a_gpu_the_program_differs_by_where_its_model_and_batches_are() -> None:
    plain, moved = tutorial("torch"), tutorial("torch", changes=gpu.ON_GPU)
    new = [line.strip() for line in moved.splitlines() if line not in plain.splitlines()]
    assert new == ['model = NeuralNetwork().to("cuda")', *2 * ['X, y = X.to("cuda"), y.to("cuda")']]
    compile(tutorial("torch", changes={**gpu.ON_GPU, **epoch.timed("torch.cuda.synchronize(); ")}), "", "exec")


def test_the_step_suite_runs_and_then_shows_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["step", "--rounds", "1", "--quick", "--batch-sizes", "8", "--threads", "1", "--out", str(tmp_path)]
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setattr("benchmarks.__main__.implausible", lambda *_: [])  # however busy the machine is
    monkeypatch.setattr("benchmarks.report.busy", lambda _: "")
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "OPENBLAS_CORETYPE forces NumPy's BLAS to use its Haswell kernels" in out
    assert re.search(r"^  whole step: torch / minitrain: [\d.]+$", out, re.MULTILINE)
    assert "The losses of the first 10 steps are equal within 2e-05 (float32)" in out
    (path,) = tmp_path.glob("step-*.json")
    report = Report.from_json(path.read_text(encoding="utf-8"))
    assert report.machine["threads"] == 1
    assert set(report.machine["blas"]) == {"numpy", "torch"}
    assert "kernels: " in report.machine["blas"]["numpy"]
    whats = {(figure.who, figure.what) for figure in report.figures}
    assert {(who, phase) for who in ("torch", "minitrain") for phase in (*step.PHASES, "whole step")} <= whats
    assert ("products alone", "whole step") in whats
    tiny = {figure.what for figure in report.figures if figure.case == "layers of 4 numbers, batch 1, float32"}
    assert tiny == {*step.PHASES, "whole step", "whole step: torch / minitrain"}
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")

    monkeypatch.setattr(step, "measure", lambda options, new: new.figures.extend(report.figures))
    assert main([*command, "--compare", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"Changes since step of {report.date}:" in out
    assert "batch 8, float32, minitrain, whole step: " in out
    assert len(list(tmp_path.glob("step-*.json"))) == 2


def test_both_frameworks_build_the_same_graphs_and_models(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    mine, torchs = Chains("minitrain"), Chains("torch")
    graphs = [chains.graph(500) for chains in (mine, torchs)]
    assert graphs[0]["gradient"] == graphs[1]["gradient"] == pytest.approx(1.00001**500, rel=1e-4)
    assert all(seconds > 0 for what, seconds in graphs[0].items() if what in ("forward", "backward"))
    assert mine.layers(3).keys() == torchs.layers(3).keys()


def test_the_growth_of_graphs_models_and_trainings_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "OPERATIONS", (20, 40))
    monkeypatch.setattr(scale, "LAYERS", (2, 4))
    monkeypatch.setattr(scale, "BLOCK", 5)
    monkeypatch.setattr(scale, "CHAINS", {"minitrain": ("chains", "minitrain")})
    monkeypatch.setattr(scale, "CONTENDERS", {"minitrain": ("steps", "minitrain")})
    report = Report("scale", MACHINE, {}, 1)
    scale.measure_growth(Options(rounds=1, threads=1), report)
    series = {figure.case: figure.what for figure in report.figures if figure.x is not None}
    assert {"graph: backward": "operations", "model: deepcopy": "layers"}.items() <= series.items()
    text = report.text()
    assert "training of 50 steps in one process" in text
    assert len(re.findall(r"^  minitrain: the time of all grows as the number of layers", text, re.MULTILINE)) == 8


@pytest.mark.slow  # half a minute
def test_the_gradcheck_suite_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gradcheck, "CASES", ["MSE, (16, 16)"])
    monkeypatch.setattr("benchmarks.__main__.implausible", lambda *_: [])  # however busy the machine is
    assert main(["gradcheck", "--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"^  torch / minitrain: [\d.]+$", out, re.MULTILINE)) == 2
    assert "both move every entry of every input on its own (256)" in out
    assert f"ops: {len(operations())} operations, " in out

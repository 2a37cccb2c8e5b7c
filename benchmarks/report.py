"""A suite's results as text and JSON, and what has changed since an older report.

The JSON of a report is one object:

    format    "minitrain benchmarks 1"
    suite     the suite's name
    date      the start of the measurement, ISO 8601 in UTC
    machine   cpu, cpus, threads (for each contender), platform, python, versions, blas (numpy's and torch's), gpu
    settings  shapes and sizes: reports are comparable if these, the hardware and the threads are equal
    rounds    how often everything was measured
    figures   a list of {case, what, who, unit, x, values, median, low, high, n}: one quantity (what) of one contender
              (who) in one case. values has one value per round; low and high are the quartiles. In a series, x is
              the number that is varied. If who is empty, the figure compares contenders, and what says which.
    notes     explanations of the figures
    slowdowns how much longer fixed work took before, between and after the rounds than at its best: above 1 if other
              processes used the CPUs
    busy      why the absolute figures are too large, if the machine was busy; else ""
    refused   a list of {case, what, why}: the comparisons that have no figure, because the machine was busy
"""

import json
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minitrain.files import write_output
from minitrain.programs.busy import busy

FORMAT = "minitrain benchmarks 1"
TIMES = "times"  # the unit of a ratio of contenders


@dataclass(frozen=True)
class Figure:
    """One measured quantity: a value per round. See the top of the file for the fields."""

    case: str
    what: str
    who: str
    unit: str
    values: tuple[float, ...]
    x: float | None = None

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median, upper quartile; all three are the value if there is only one."""
        if len(self.values) == 1:
            return (self.values[0],) * 3
        low, middle, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, middle, high

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return self.quartiles[1]

    @property
    def compares(self) -> bool:
        """Whether it compares contenders. Without a unit it is an exponent, or describes the machine."""
        return not self.who and self.unit != ""

    @property
    def undecided(self) -> bool:
        """Whether this is a ratio of contenders whose quartiles lie on both sides of 1."""
        low, _, high = self.quartiles
        return self.unit == TIMES and low < 1 < high

    def __str__(self) -> str:
        low, middle, high = map(short, self.quartiles)
        return middle if len(self.values) == 1 else f"{middle} [{low} to {high}]"


@dataclass(frozen=True)
class Refusal:
    """A comparison that has no figure, and the reason."""

    case: str
    what: str
    why: str


def short(value: float) -> str:
    """Three significant digits, without an exponent."""
    size = abs(value)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


@dataclass
class Report:
    """The figures of one suite, and everything they depend on. See the top of the file for the fields."""

    suite: str
    machine: dict[str, Any]
    settings: dict[str, Any]
    rounds: int
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    slowdowns: list[float] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def add(self, case: str, what: str, who: str, unit: str, values: Iterable[float], x: float | None = None) -> Figure:
        """Add a figure and return it."""
        figure = Figure(case, what, who, unit, tuple(values), x)
        self.figures.append(figure)
        return figure

    # --- as text ---

    def cases(self) -> list[str]:
        """The cases in the order in which they were added."""
        return list(dict.fromkeys(part.case for part in (*self.figures, *self.refused)))

    def table(self, case: str) -> list[list[str]]:
        """A row per contender and a column per quantity; in a series, a row per x and a column per contender.

        The first row and column are headings. Empty if the case only has comparisons.
        """
        cells = [figure for figure in self.figures if figure.case == case and figure.who]
        return _table(cells) if cells else []

    @property
    def busy(self) -> str:
        """A line that warns of the figures of a busy machine; "" if it was not busy."""
        why = busy(self.slowdowns)
        return f"Measured on a busy machine, so times are too long ({why.partition(': ')[2]})" if why else ""

    def comparisons(self, case: str) -> list[str]:
        """A line for each comparison, and for each reason why some were refused."""
        lines = []
        for figure in self.figures:
            if figure.case == case and not figure.who:
                undecided = " (undecided: the quartiles lie on both sides of 1)" if figure.undecided else ""
                unit = "" if figure.unit in ("", TIMES) else f" {figure.unit}"
                lines.append(f"{figure.what}: {figure}{unit}{undecided}")
        lost: dict[str, list[str]] = {}
        for refusal in self.refused:
            if refusal.case == case:
                lost.setdefault(refusal.why, []).append(refusal.what)
        for why, comparisons in lost.items():
            what = comparisons[0] if len(comparisons) == 1 else f"{len(comparisons)} comparisons"
            lines.append(f"{what}: no figure: {why}")
        return lines

    def conditions(self) -> list[str]:
        """What every figure depends on: processor, threads, BLAS kernels, rounds, and how busy the machine was."""
        rounds = f"{self.rounds} rounds: medians [quartiles]" if self.rounds > 1 else "1 round: spread unknown"
        if not self.slowdowns:
            return [*processor(self.machine), rounds]
        slowdown = Figure("", "", "", "", tuple(self.slowdowns))
        return [*processor(self.machine), f"{rounds}; fixed work between them took {slowdown} times its best time"]

    def text(self) -> str:
        """Tables of the figures, the comparisons, the conditions, and the notes."""
        lines = []
        for case in self.cases():
            grid = self.table(case)
            lines += ["", case, *([f"  {self.busy}:"] if grid and self.busy else []), *(_aligned(grid) if grid else [])]
            lines += [f"  {line}" for line in self.comparisons(case)]
        return "\n".join([*lines, "", *self.conditions(), *self.notes])

    # --- as JSON ---

    def json(self) -> str:
        """The report in the format at the top of the file."""
        content = {"format": FORMAT, **asdict(self), "busy": self.busy}
        for figure, plain in zip(self.figures, content["figures"], strict=True):
            low, median, high = figure.quartiles
            plain.update(median=median, low=low, high=high, n=len(figure.values))
        return json.dumps(content, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> "Report":
        """Read what json() wrote. Raises ValueError for anything else."""
        try:
            content = json.loads(text)
            if not isinstance(content, dict) or content.pop("format") != FORMAT:
                raise ValueError("unknown format")
            for part in (content["machine"], content["machine"]["versions"], content["settings"]):
                if not isinstance(part, dict):
                    raise ValueError("machine, versions or settings missing")
            names = ("case", "what", "who", "unit", "x")
            content["figures"] = [
                Figure(**{name: plain[name] for name in names}, values=tuple(map(float, plain["values"])))
                for plain in content["figures"]
            ]
            if not all(figure.values for figure in content["figures"]):
                raise ValueError("a figure has no values")
            content.pop("busy", None)  # computed from the slowdowns
            content["refused"] = [Refusal(**plain) for plain in content.get("refused", [])]
            return Report(**content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a report of these benchmarks ({type(error).__name__}: {error})") from None

    def save(self, folder: Path) -> Path:
        """Write the JSON to a new file named after suite and date, and return its path. Never overwrites a file."""
        folder.mkdir(parents=True, exist_ok=True)
        stamp = self.date[:19].replace("-", "").replace(":", "").replace("T", "-")
        for number in range(1000):
            path = folder / f"{self.suite}-{stamp}{f'-{number}' if number else ''}.json"
            try:
                path.touch(exist_ok=False)  # from now on the name is taken
            except FileExistsError:
                continue
            try:
                write_output(path, self.json().encode())
            except BaseException:
                path.unlink()
                raise
            return path
        raise FileExistsError(f"{folder} already holds a thousand reports of {stamp}; choose another --out")


def refusals(reports: Sequence[Report]) -> str:
    """How many comparisons of these reports have no figure, in words, by suite; "" if all have one."""
    refused = sum(len(report.refused) for report in reports)
    compared = sum(figure.compares for report in reports for figure in report.figures)
    suites = ", ".join(f"{report.suite} {len(report.refused)}" for report in reports if report.refused)
    return (
        f"{refused} of {refused + compared} without a figure, because the machine was busy ({suites})"
        if refused
        else ""
    )


def processor(machine: dict[str, Any]) -> list[str]:
    """Lines that name the processor, the threads, and the BLAS of each side with its kernels."""
    blas = machine.get("blas", {})
    name = f"{machine.get('cpu', 'unknown processor')}, {machine.get('cpus', '?')} CPUs"
    return [
        f"{name}; threads for each contender: {machine.get('threads', '?')}",
        f"BLAS of NumPy: {brief(blas.get('numpy', 'unknown'))}; of torch: {brief(blas.get('torch', 'unknown'))}",
    ]


def brief(blas: str) -> str:
    """A BLAS by name, version, kernels and threads, without vendors and the options it was built with."""
    name, *rest = blas.split("; ")
    name = re.sub(r"^(OpenBLAS \S+).*", r"\1", name)
    name = re.sub(r"Intel\(R\) oneAPI Math Kernel Library Version (\d[\d.]*)(-Product)?", r"MKL \1", name)
    return ", ".join([name, *rest])


def _table(figures: Sequence[Figure]) -> list[list[str]]:
    if figures[0].x is None:
        rows = list(dict.fromkeys(figure.who for figure in figures))
        columns = list(dict.fromkeys(f"{figure.what}, {figure.unit}" for figure in figures))
        cells = {(figure.who, f"{figure.what}, {figure.unit}"): str(figure) for figure in figures}
        corner = ""
    else:
        rows = [f"{x:,g}" for x in dict.fromkeys(figure.x for figure in figures) if x is not None]
        columns = list(dict.fromkeys(f"{figure.who}, {figure.unit}" for figure in figures))
        cells = {(f"{figure.x:,g}", f"{figure.who}, {figure.unit}"): str(figure) for figure in figures}
        corner = figures[0].what
    return [[corner, *columns], *([row, *(cells.get((row, column), "-") for column in columns)] for row in rows)]


def _aligned(grid: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in grid) for i in range(len(grid[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in grid
    ]


# --- what changed -----------------------------------------------------------------------------------------------------

_HARDWARE = ("cpu", "cpus", "threads", "gpu")


def differences(old: Report, new: Report) -> list[str]:
    """The reasons why two reports cannot be compared: different suite, hardware, threads or settings."""
    pairs = [("suite", old.suite, new.suite)]
    pairs += [(name, old.machine.get(name), new.machine.get(name)) for name in _HARDWARE]
    names = dict.fromkeys([*old.settings, *new.settings])
    pairs += [(name, _plain(old.settings.get(name)), _plain(new.settings.get(name))) for name in names]
    return [f"{name} was {before}, is now {now}" for name, before, now in pairs if before != now]


def _plain(value: Any) -> Any:
    """The value after a round trip through JSON, which has lists for tuples."""
    return json.loads(json.dumps(value))


def changes(old: Report, new: Report) -> str:
    """For each figure of both reports: the medians, the change, and whether the quartile ranges overlap.

    If the machine was busy during either, no changes: they would be its own.
    """
    for report, when in ((old, f"On {old.date}"), (new, "Now")):
        if why := busy(report.slowdowns):
            return f"No changes since {old.suite} of {old.date} are shown. {when} {why}."
    lines = [f"Changes since {old.suite} of {old.date}:"]
    for name in dict.fromkeys([*old.machine["versions"], *new.machine["versions"]]):
        before, now = old.machine["versions"].get(name), new.machine["versions"].get(name)
        if before != now:
            lines.append(f"  {name} was {before}, is now {now}")
    known = {(figure.case, figure.what, figure.who, figure.x): figure for figure in old.figures}
    missing = dict(known)
    for figure in new.figures:
        place = (figure.case, figure.what, figure.who, figure.x)
        name = ", ".join(
            part for part in (figure.case, f"{figure.x:,g}" if figure.x else "", figure.who, figure.what) if part
        )
        if place not in known:
            lines.append(f"  {name}: new, {figure} {figure.unit}")
            continue
        before = missing.pop(place)
        lines.append(f"  {name}: {before} -> {figure} {figure.unit}, {_change(before, figure)}")
    lines += [f"  {', '.join(part for part in place[:3] if part)}: no longer measured" for place in missing]
    return "\n".join(lines)


def _change(before: Figure, now: Figure) -> str:
    percent = 100 * (now.median / before.median - 1) if before.median else float("nan")
    if min(len(before.values), len(now.values)) < 2:
        return f"{percent:+.1f} % (one round: spread unknown)"
    apart = before.quartiles[2] < now.quartiles[0] or now.quartiles[2] < before.quartiles[0]
    return f"{percent:+.1f} %, {'beyond' if apart else 'within'} the quartiles"

"""The reports of one call as one HTML file without scripts: machine, tables, comparisons, plots and notes."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources

from benchmarks.plot import drawings
from benchmarks.report import Report, brief, refusals

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
CSS = """
main { max-width: 1080px }
section { margin-top: 32px }
.suite { border-top: 1px solid var(--line2); padding-top: 20px }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 400px), 1fr)); gap: 14px 24px }
.plots svg { max-width: 520px }
.plots text { font-family: inherit; fill: currentColor }
.conditions { margin-top: 16px }
.case { margin-top: 18px; break-inside: avoid }
.busy { margin: 6px 0; font-size: 14px; font-weight: 600 }
.list { width: auto }
.list th, .list td { padding-right: 22px }
a { color: inherit }
ul { margin: 6px 0 0; padding-left: 20px; font-size: 14px }
li { overflow-wrap: anywhere }
@media print { .suite { break-inside: auto } .scroll { overflow: visible } h2, h3 { break-after: avoid } }
"""


def page(reports: Sequence[Report], arguments: Sequence[str], about: Mapping[str, str]) -> str:
    """The page of these reports of one machine.

    arguments: those of the command that measured them. about: what each suite measures, in a sentence.
    """
    css = resources.files("minitrain.study").joinpath("report.css").read_text(encoding="utf-8")
    suites = [_suite(report, about[report.suite]) for report in reports]
    body = "\n".join([_head(reports, arguments), *suites])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>minitrain's benchmarks</title><style>\n{css}{CSS}</style></head><body><main>\n{body}\n"
        "</main></body></html>\n"
    )


def _head(reports: Sequence[Report], arguments: Sequence[str]) -> str:
    """What all figures depend on."""
    machine = reports[0].machine
    rows = {
        "Processor": f"{machine['cpu']}, {machine['cpus']} CPUs",
        "Threads": f"{machine['threads']} for each contender",
        "BLAS of NumPy": brief(machine["blas"]["numpy"]),
        "BLAS of torch": brief(machine["blas"]["torch"]),
        "GPU": machine["gpu"] or "none",
        "System": f"{machine['platform']}, Python {machine['python']}",
        "Versions": ", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        "Measured": f"{reports[0].date[:16].replace('T', ' ')} UTC",
        "Comparisons": refusals(reports) or "all have a figure",
        "Command": f"python -m benchmarks {shlex.join(arguments)}",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(str(value))}</dd>" for name, value in rows.items())
    spread = (
        "Each figure is the median of its rounds, with the quartiles in brackets."
        if reports[0].rounds > 1
        else "Everything was measured once, so the spread is unknown."
    )
    links = ", ".join(f'<a href="#{report.suite}">{report.suite}</a>' for report in reports)
    return (
        "<header><div><h1>minitrain's benchmarks</h1>"
        f'<p class="sub">minitrain against torch, each in its own process, with equal threads. {spread} In '
        "torch / minitrain, a ratio above 1 means that minitrain is faster.</p></div></header>"
        f'<section><dl class="settings">{listed}<dt>Suites</dt><dd>{links}</dd></dl></section>'
    )


def _suite(report: Report, about: str) -> str:
    cases = "".join(_case(report, case) for case in report.cases())
    conditions = escape(" · ".join(report.conditions()))
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f'<section class="suite" id="{report.suite}"><h2>{report.suite}</h2><p class="note">{escape(about)}</p>'
        f'{_plots(report)}{cases}<p class="note conditions">{conditions}</p><ul class="note">{notes}</ul></section>'
    )


def _plots(report: Report) -> str:
    try:
        return f'<div class="plots">{"".join(drawings(report))}</div>'
    except ImportError:
        return '<p class="note">Without plots, because matplotlib is not installed: pip install -e ".[plot]"</p>'


def _case(report: Report, case: str) -> str:
    compared = "".join(f"<li>{escape(line)}</li>" for line in report.comparisons(case))
    grid = report.table(case)
    warning = f'<p class="busy">{escape(report.busy)}:</p>' if grid and report.busy else ""
    return (
        f'<div class="case"><h3>{escape(case)}</h3>{warning}{_table(grid)}'
        f"{f'<ul>{compared}</ul>' if compared else ''}</div>"
    )


def _table(grid: Sequence[Sequence[str]]) -> str:
    if not grid:
        return ""
    (corner, *columns), *rows = grid
    head = _cells(columns, 'th scope="col"')
    body = "".join(f'<tr><th scope="row">{escape(row[0])}</th>{_cells(row[1:], "td")}</tr>' for row in rows)
    return (
        f'<div class="scroll"><table class="list wide"><thead><tr><th scope="col" class="left">{escape(corner)}</th>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(texts: Iterable[str], tag: str) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag.split()[0]}>" for text in texts)

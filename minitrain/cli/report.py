"""minitrain report: the page of a run, or of several compared; a single picture as PNG."""

from __future__ import annotations

import argparse
from pathlib import Path

from minitrain.cli.options import LARGE
from minitrain.cli.parser import Commands, add_command
from minitrain.cli.runs import DATA_DIR
from minitrain.runs.config import ConfigError
from minitrain.runs.messages import escaped

EXAMPLES = {
    "loss, layers, mistakes and first weights, in the browser": "runs/digits-0 --open",
    "what does the learning rate change?": "runs/lr-0.1 runs/lr-0.01 -o rates.html",
    "a single picture for a text": "runs/digits-0 --plot loss.png",
}
FIGURES = ("loss", "accuracy", "gradients", "weights", "updates", "zeros", "confusion", "first-layer")


def add(commands: Commands) -> None:
    """Add the command."""
    report = add_command(commands, "report", run, "write a page that shows a run, or compares several", EXAMPLES)
    report.add_argument("directories", metavar="RUN", nargs="+", help="the run's directory; several are overlaid")
    report.add_argument("-o", "--output", metavar="FILE", help="the page (default: report.html)")
    report.add_argument("--open", action="store_true", help="open the page in the browser")
    report.add_argument("--data-dir", metavar="DIR", help=DATA_DIR)
    report.add_argument("--large", action="store_true", help=LARGE)
    report.add_argument("--plot", metavar="FILE.png", help="draw a single picture instead of the page")
    report.add_argument("--figure", choices=FIGURES, help="with --plot: the picture (default: loss)")


def run(arguments: argparse.Namespace) -> int:
    """Write the page or the picture, and print its place."""
    from minitrain.files import write_output
    from minitrain.runs.output_file import check_plot, check_writable
    from minitrain.study.report_page import report_page
    from minitrain.study.run_record import check_comparable, read_run

    if arguments.figure is not None and arguments.plot is None:
        raise ConfigError(f"--figure {arguments.figure} chooses the picture of --plot FILE.png; add that")
    if arguments.plot is not None and (arguments.output is not None or arguments.open):
        raise ConfigError("--plot draws a picture instead of the page; leave out -o and --open")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    if arguments.plot is None:
        check_writable(arguments.output or "report.html", "-o")
    records = [read_run(directory, arguments.data_dir, arguments.large) for directory in arguments.directories]
    check_comparable(records)
    if arguments.plot is not None:
        from minitrain.study.run_plots import plot

        plot(records, arguments.figure or "loss", arguments.plot)
        print(escaped(f"The picture is in {arguments.plot}"))
        return 0
    path = Path(arguments.output or "report.html")
    write_output(path, report_page(records).encode())
    print(escaped(f"The report is in {path}"))
    if arguments.open:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    return 0

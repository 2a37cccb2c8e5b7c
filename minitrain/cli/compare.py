"""minitrain compare: train on NumPy and on torch in lock step, and compare every number."""

from __future__ import annotations

import argparse
import dataclasses

from minitrain.cli.options import add_options, configuration, given_settings
from minitrain.cli.parser import Commands, add_command
from minitrain.runs.config import Config, ConfigError

EXAMPLES = {
    "do NumPy and torch compute the same?": "--dataset digits",
    "plant a mistake, and see where the two first differ": "--dataset digits --inject relu-mask-inverted --stop",
    "how fast float32 drifts away from float64": "--dataset digits --drift --plot drift.png",
}


def add(commands: Commands) -> None:
    """Add the command."""
    compare = add_command(
        commands,
        "compare",
        run,
        "train on NumPy and on torch in lock step and compare every number",
        EXAMPLES,
        "0 if they agree, 1 if they differ",
        failure=3,
    )
    add_options(compare, "dataset", "data_dir", "batch_size", "lr", "optimizer", "momentum", "weight_decay")
    add_options(compare, "hidden", "seed", "shuffle")
    compare.add_argument(
        "--steps", type=int, metavar="N", help="the number of updates (default: 10; with --drift: 500)"
    )
    compare.add_argument(
        "--dtype", choices=["float32", "float64"], help="the dtype of both sides (default: float64, the sharper test)"
    )
    compare.add_argument(
        "--rtol",
        type=float,
        metavar="R",
        help="equal if within atol + rtol · |torch| (default: 1e-10; float32: 1e-4)",
    )
    compare.add_argument("--atol", type=float, metavar="A", help="see --rtol (default: 1e-12; float32: 1e-5)")
    compare.add_argument("--stop", action="store_true", help="stop after the first step in which they differ")
    compare.add_argument("--inject", metavar="NAME", help="plant a mistake on the NumPy side, to see it found")
    compare.add_argument("--list-faults", action="store_true", help="list the mistakes that can be planted")
    compare.add_argument(
        "--drift", action="store_true", help="show how far float32 runs drift from a float64 run instead"
    )
    compare.add_argument("--plot", metavar="FILE.png", help="draw the drift")
    compare.add_argument("--json", metavar="FILE", help="write all the figures to this file")


def run(arguments: argparse.Namespace) -> int:
    """Print the comparison, or the drift; the exit status says whether the two sides agree."""
    from minitrain.runs.output_file import check_writable, write_json
    from minitrain.with_torch import compare_recipe, faults
    from minitrain.with_torch.installed import require_torch

    if arguments.list_faults:
        print("\n\n".join(str(fault) for fault in faults.FAULTS.values()))
        return 0
    given = given_settings(arguments)
    config = configuration(given)
    require_torch("minitrain compare")
    check_writable(arguments.json, "--json")
    if arguments.drift:
        return _drift(arguments, config)
    if arguments.plot is not None:
        raise ConfigError("--plot draws the drift; add --drift")
    fault = None
    if arguments.inject is not None:
        fault = faults.find_fault(arguments.inject)
        config = fault.adapt(config, given)
    result, found = compare_recipe.compare_recipe(
        config,
        steps=arguments.steps if arguments.steps is not None else 10,
        dtype=arguments.dtype or "float64",
        fault=fault,
        rtol=arguments.rtol,
        atol=arguments.atol,
        stop=arguments.stop,
    )
    print(f"{' against '.join(result.sides)}: {compare_recipe.describe(config)}\n")
    if fault is not None:
        print(f"Planted on the NumPy side: {fault}\n")
    print(result)
    if fault is not None:
        print(found)
    write_json(arguments.json, {"config": dataclasses.asdict(config), **result.as_dict()})
    return 0 if result.agrees else 1


def _drift(arguments: argparse.Namespace, config: Config) -> int:
    from minitrain.runs.output_file import check_plot, write_json
    from minitrain.with_torch import drift

    for name in ("inject", "dtype", "rtol", "atol", "stop"):
        if getattr(arguments, name) is not None and getattr(arguments, name) is not False:
            raise ConfigError(f"--drift compares float32 with float64 and finds no mistakes; leave out --{name}")
    if arguments.plot is not None:
        check_plot(arguments.plot)
    measured = drift.measure_drift(config, arguments.steps if arguments.steps is not None else 500)
    print(measured)
    if arguments.plot is not None:
        drift.plot_drift(measured, arguments.plot)
    write_json(arguments.json, measured.as_dict())
    return 0

"""minitrain gradcheck: check the built-in model's gradients on real data."""

from __future__ import annotations

import argparse

from minitrain.cli.options import add_options, configuration, given_settings
from minitrain.cli.parser import Commands, add_command
from minitrain.runs.config import ConfigError

EXAMPLES = {
    "every entry of every gradient of a small model": "--dataset digits",
    "plant a mistake, and see it found and named": "--dataset digits --inject weight-gradient-sign",
    "the error against the step of the differences, as a picture": "--dataset digits --eps-sweep --plot sweep.png",
}


def add(commands: Commands) -> None:
    """Add the command."""
    gradcheck = add_command(
        commands,
        "gradcheck",
        run,
        "check the built-in model's gradients on real data",
        EXAMPLES,
        "0 if all gradients are right, 1 if not",
    )
    add_options(gradcheck, "dataset", "data_dir", "batch_size", "hidden", "seed")
    gradcheck.add_argument(
        "--mode",
        choices=["full", "directional"],
        help="check every entry, or random directions of each parameter (default: full up to 10,000 parameters)",
    )
    gradcheck.add_argument("--eps", type=float, metavar="E", help="the step of the differences (default: 1e-6)")
    gradcheck.add_argument(
        "--rtol", type=float, metavar="R", help="right if within atol + rtol · |numeric| (default: 1e-4)"
    )
    gradcheck.add_argument("--atol", type=float, metavar="A", help="see --rtol (default: 1e-8)")
    gradcheck.add_argument("--eps-sweep", action="store_true", help="show the error for many steps eps instead")
    gradcheck.add_argument("--plot", metavar="FILE.png", help="draw the sweep")
    gradcheck.add_argument("--inject", metavar="NAME", help="plant a mistake, to see it found")
    gradcheck.add_argument("--list-faults", action="store_true", help="list the mistakes that can be planted")


def run(arguments: argparse.Namespace) -> int:
    """Print the table of parameters, or the sweep; the exit status says whether all gradients are right."""
    from minitrain.runs import check_gradients as gradients
    from minitrain.runs.output_file import check_plot
    from minitrain.with_torch.faults import GRADIENT_FAULTS, find_gradient_fault

    if arguments.list_faults:
        print("\n\n".join(str(fault) for fault in GRADIENT_FAULTS.values()))
        return 0
    fault = None if arguments.inject is None else find_gradient_fault(arguments.inject)
    config = configuration(given_settings(arguments))
    plant = None if fault is None else fault.plant
    limits = {name: value for name in ("eps", "rtol", "atol") if (value := getattr(arguments, name)) is not None}
    if arguments.eps_sweep:
        for name in ("mode", *limits):
            if getattr(arguments, name) is not None:
                raise ConfigError(f"--eps-sweep tries every eps on a sample of entries; leave out --{name}")
        if arguments.plot is not None:
            check_plot(arguments.plot)
        swept = gradients.sweep_eps(config, plant)
        print(swept)
        if arguments.plot is not None:
            from minitrain.runs.eps_sweep import plot_sweep

            plot_sweep(swept, arguments.plot)
        return 0 if swept.ok else 1
    if arguments.plot is not None:
        raise ConfigError("--plot draws the sweep; add --eps-sweep")
    if fault is not None:
        print(f"Planted: {fault}\n")
    checked = gradients.check_model(config, mode=arguments.mode, plant=plant, **limits)
    print(checked)
    return 0 if checked.ok else 1

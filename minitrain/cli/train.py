"""minitrain train: train the built-in model, or resume a run."""

from __future__ import annotations

import argparse
import os

from minitrain.cli.options import HELP, LARGE, add_options, configuration, given_settings
from minitrain.cli.parser import Commands, add_command
from minitrain.runs.config import ConfigError
from minitrain.runs.messages import say

EXAMPLES = {
    "handwritten digits, in a few seconds": "--dataset digits",
    "a learning rate that falls every 10 epochs": "--dataset digits --scheduler step --gamma 0.5 --out runs/step",
    "resume that run and train on to epoch 40": "--resume runs/step --epochs 40",
}


def add(commands: Commands) -> None:
    """Add the command."""
    train = add_command(commands, "train", run, "train the built-in model and print the tutorial's log", EXAMPLES)
    add_options(train, *HELP)
    train.add_argument("--out", metavar="DIR", help="the run's directory (default: runs/<dataset>-<n>)")
    train.add_argument("--resume", metavar="RUN", help="resume the run in this directory, or from this checkpoint")
    train.add_argument(
        "--override", action="store_true", help="with --resume: change --lr, --momentum, --weight-decay or --precision"
    )

    train.add_argument("--large", action="store_true", help=f"with --resume: {LARGE}")


def run(arguments: argparse.Namespace) -> int:
    """Train or resume; the log goes to stdout, the run's directory to stderr."""
    from minitrain.data.datasets import data_root
    from minitrain.runs.resume import plan_resumption
    from minitrain.runs.resume_command import report_command
    from minitrain.runs.run import resume, train
    from minitrain.with_torch.choose_backend import choose_backend
    from minitrain.with_torch.torchrun import earlier_attempt

    given = given_settings(arguments)
    if "data_dir" in given or (arguments.resume is None and arguments.dataset != "digits"):
        # A resumed run may have another current directory and another environment.
        given["data_dir"] = os.path.abspath(data_root(given.get("data_dir")))
    resumed = arguments.resume
    if resumed is None:
        if arguments.override:
            raise ConfigError("--override needs --resume RUN: it changes the settings of a resumed run")
        resumed = earlier_attempt(arguments.out, arguments.dataset or "fashion-mnist")
    elif arguments.out is not None:
        raise ConfigError(f"--resume continues in {resumed}; leave out --out {arguments.out}")
    if resumed is None:
        config = configuration(given)
        with choose_backend(config) as backend:
            directory = train(config, arguments.out, backend)
    else:
        large = arguments.large or arguments.resume is None  # torchrun restarts what its user started
        resumption = plan_resumption(resumed, given, override=arguments.override, large=large)
        with choose_backend(resumption.config) as backend:
            directory = resume(resumption, backend)
    if directory is not None:
        say(f"The run is in {directory}: config.json, steps.csv, epochs.csv, layers.csv, log.txt, model.safetensors")
        say(f"To see it: {report_command(directory)}")
    backend.end()
    return 0

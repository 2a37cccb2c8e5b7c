"""minitrain step: one training step of a run as a page on which every number can be clicked."""

from __future__ import annotations

import argparse
from pathlib import Path

from minitrain.cli.options import LARGE
from minitrain.cli.parser import Commands, add_command
from minitrain.cli.runs import DATA_DIR
from minitrain.runs.config import ConfigError
from minitrain.runs.messages import escaped

EXAMPLES = {
    "the next step of a run, as step.html": "runs/digits-0",
    "another one, and open the page": "runs/digits-0 --epoch 3 --batch 40 --open",
    "plant a mistake in its backward, and see it found": "runs/digits-0 --inject weight-gradient-sign",
}


def add(commands: Commands) -> None:
    """Add the command."""
    command = add_command(
        commands, "step", run, "write a page that explains every number of one training step of a run", EXAMPLES
    )
    command.add_argument("run_dir", metavar="RUN", help="the run's directory")
    command.add_argument(
        "--step", type=int, metavar="N", help="the step after N updates (default: the last checkpoint's)"
    )
    command.add_argument("--epoch", type=int, metavar="E", help="the epoch, from 1")
    command.add_argument("--batch", type=int, metavar="B", help="with --epoch: the batch, from 0 (default: 0)")
    command.add_argument("--sample", type=int, metavar="I", help="show this sample of the batch first, from 0")
    command.add_argument("--layer", metavar="NAME", help="scroll to this layer first, such as linear_relu_stack.0")
    command.add_argument("--inject", metavar="NAME", help="plant a mistake of minitrain gradcheck --list-faults")
    command.add_argument("--open", action="store_true", help="open the page in the browser")
    command.add_argument("-o", "--output", metavar="FILE", default="step.html", help="the page (default: step.html)")
    command.add_argument("--large", action="store_true", help=LARGE)
    command.add_argument("--data-dir", metavar="DIR", help=DATA_DIR)


def run(arguments: argparse.Namespace) -> int:
    """Write the page, and say where it is."""
    from minitrain.runs.output_file import check_writable
    from minitrain.study.replay_step import replay_step
    from minitrain.study.step_page import Fault, write_page

    fault = None
    if arguments.inject is not None:
        from minitrain.with_torch.faults import find_gradient_fault

        fault = find_gradient_fault(arguments.inject)
    output = Path(arguments.output)
    check_writable(arguments.output, "-o")
    replayed = replay_step(
        arguments.run_dir,
        step=arguments.step,
        epoch=arguments.epoch,
        batch=arguments.batch,
        data_dir=arguments.data_dir,
        large=arguments.large,
        plant=None if fault is None else fault.plant,
    )
    samples = replayed.step.tensors[0].value.shape[0]
    if arguments.sample is not None and not 0 <= arguments.sample < samples:
        raise ConfigError(f"this batch has the samples 0 to {samples - 1}, but --sample is {arguments.sample}")
    layers = sorted({operation.layer for operation in replayed.step.ops if operation.layer})
    if arguments.layer is not None and arguments.layer not in layers:
        raise ConfigError(f"the step has no layer {arguments.layer!r}; choose one of {', '.join(layers)}")
    diagnosis = None
    if fault is not None:
        from minitrain.runs.check_gradients import check_model

        checked = check_model(replayed.config, plant=fault.plant)
        diagnosis = Fault(fault.name, fault.explanation, str(checked), fault.specimen.body, replayed.planted)
        print(f"Planted: {fault}\n")
    write_page(
        replayed.step,
        output,
        about=replayed.about,
        classes=replayed.classes,
        sample=arguments.sample,
        layer=arguments.layer,
        fault=diagnosis,
    )
    print(escaped(f"{output}: {replayed.place} of {arguments.run_dir}"))
    if arguments.open:
        import webbrowser

        if not webbrowser.open(output.resolve().as_uri()):
            print(escaped(f"no browser could be started; open {output} yourself"))
    return 0

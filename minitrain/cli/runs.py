"""minitrain evaluate, predict, export and verify: what can be done with a trained run."""

from __future__ import annotations

import argparse
from typing import Any

from minitrain.cli.options import LARGE
from minitrain.cli.parser import Commands, add_command
from minitrain.runs.messages import escaped, say

EVALUATE = {
    "accuracy, precision and recall of each class, confusion matrix": "runs/digits-0",
    "all the figures, for another program": "runs/digits-0 --json digits.json",
}
PREDICT = {
    "a picture that is light on black, like the training images": "runs/digits-0 seven.png",
    "scans of dark ink on white paper": "runs/digits-0 --invert page-1.png page-2.png",
}
EXPORT = {
    "the weights, for safetensors.torch.load_file": "runs/digits-0 digits.safetensors",
    "again, after more training": "runs/digits-0 digits.safetensors --force",
}
VERIFY = {
    "repeat the steps between the last two checkpoints": "runs/digits-0",
    "repeat the whole run": "runs/digits-0 --from-start",
}
DATA_DIR = "the folder that holds FashionMNIST/raw (default: where it was when the run trained)"


def add(commands: Commands) -> None:
    """Add the four commands."""

    def on_run(*command: Any) -> argparse.ArgumentParser:
        added = add_command(commands, *command)
        added.add_argument("directory", metavar="RUN", help="the run's directory")
        return added

    evaluate = on_run("evaluate", run_evaluate, "test a trained model, class by class", EVALUATE)
    evaluate.add_argument("--data-dir", metavar="DIR", help=DATA_DIR)
    evaluate.add_argument("--large", action="store_true", help=LARGE)
    evaluate.add_argument("--json", metavar="FILE", help="write all the figures to this file")

    status = "0 if all pictures could be read, 1 if not"
    predict = on_run("predict", run_predict, "classify pictures with a trained model", PREDICT, status)
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="a PNG, JPEG, GIF, BMP or WEBP file")
    predict.add_argument(
        "--invert", action="store_true", help="for pictures that are dark on white (training images: light on black)"
    )

    export = on_run("export", run_export, "write trained weights for torch", EXPORT)
    export.add_argument("file", metavar="FILE", help="the file to write, such as model.safetensors")
    export.add_argument("--force", action="store_true", help="replace an existing file")

    status = "0 if every bit is the same, 1 if not"
    verify = on_run("verify", run_verify, "repeat a part of a run and compare every bit", VERIFY, status)
    verify.add_argument(
        "--from-start", action="store_true", help="repeat the whole run (default: between the last two checkpoints)"
    )
    verify.add_argument("--data-dir", metavar="DIR", help=DATA_DIR)
    verify.add_argument("--large", action="store_true", help=LARGE)


def run_evaluate(arguments: argparse.Namespace) -> int:
    """Print the test results; write them as JSON if asked to."""
    from minitrain.runs.evaluate import evaluate
    from minitrain.runs.output_file import check_writable, write_json

    check_writable(arguments.json, "--json")
    evaluation = evaluate(arguments.directory, arguments.data_dir, large=arguments.large)
    print(escaped(str(evaluation)))
    write_json(arguments.json, {"run": arguments.directory, **evaluation.as_dict()})
    return 0


def run_predict(arguments: argparse.Namespace) -> int:
    """Print a line for each picture; errors and warnings about pictures go to stderr."""
    from minitrain.runs.pictures import PictureError
    from minitrain.runs.predict import one_line, predict

    width = max(len(one_line(file)) for file in arguments.images)
    failures = 0
    for answer in predict(arguments.directory, arguments.images, arguments.invert):
        if isinstance(answer, PictureError):
            failures += 1
            say(f"minitrain: error: {answer}")
            continue
        print(f"{one_line(answer.file):<{width}}  {answer}", flush=True)
        for note in answer.notes:
            say(f"minitrain: warning: {one_line(answer.file)}: {note}")
    return int(failures > 0)


def run_export(arguments: argparse.Namespace) -> int:
    """Write the weights, and print the line of Python that loads them."""
    from minitrain.runs.export import export

    export(arguments.directory, arguments.file, arguments.force)
    print(escaped(f"The weights are in {arguments.file}.") + " To load them into the same model in torch:")
    print(f"    model.load_state_dict(safetensors.torch.load_file({arguments.file!r}))")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Repeat a part of the run; print what differs."""
    from minitrain.runs.verify import find_stretch, verify
    from minitrain.with_torch.choose_backend import choose_backend

    stretch = find_stretch(arguments.directory, from_start=arguments.from_start)
    with choose_backend(stretch.config) as backend:
        verified = verify(stretch, backend, arguments.data_dir, large=arguments.large)
    print(escaped(str(verified)))
    return 0 if verified.ok else 1

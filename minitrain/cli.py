"""The command `minitrain`: train, data, gradcheck, compare, doctor, learn. Each parses arguments, calls the library."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from minitrain.runs.interrupts import Interrupted, discard_output, end_at_once, ignore, stop_at_once


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the arguments in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit status: 0, 1 for a failure, 2 for bad usage, 128 + n when ended by signal n."""
    debug = False
    try:
        stop_at_once()
        _open_closed_streams()
        arguments = _parser().parse_args(argv)
        debug = arguments.debug
        return int(arguments.run(arguments))
    except KeyboardInterrupt as error:
        ignore()  # more of them, of an impatient user
        return _interrupted(error)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        discard_output()
        _say("minitrain: nobody reads the output any more: stopped")
        return 1
    except Exception as error:
        if debug:
            raise
        text = " ".join(filter(None, map(str.strip, str(error).splitlines())))  # not within: a name may have two spaces
        _say(f"minitrain: error: {text or type(error).__name__}")
        for note in getattr(error, "__notes__", ()):  # how to go on
            _say(note)
        return 2 if _is_usage(error) else 1
    finally:
        if argv is None:  # the process is about to end, and an exception in that would be a traceback
            end_at_once()


def _open_closed_streams() -> None:
    """Let what is printed go nowhere where the caller has closed a stream (2>&-), and no other file take its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115


def _interrupted(error: KeyboardInterrupt) -> int:
    """Say that a signal has ended the command, and how to go on; returns the exit status."""
    from minitrain.runs.directory import resume_command

    number = error.signal if isinstance(error, Interrupted) else signal.SIGINT
    unread = number == getattr(signal, "SIGPIPE", None)
    text = "nobody reads the output any more: stopped" if unread else "interrupted"
    if isinstance(error, Interrupted) and error.run is not None:
        text += f" {error}, and saved. Go on with:" if error.saved else " at once. Go on from the last checkpoint with:"
        text += f"\n    {resume_command(error.run)}"
    _say(f"minitrain: {text}")
    return 1 if unread else 128 + number


def _say(text: str) -> None:
    """Print on stderr, if it can be written."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _is_usage(error: Exception) -> bool:
    from minitrain.runs.config import ConfigError

    return isinstance(error, ConfigError)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="minitrain", description="The beginner's PyTorch training workflow, in NumPy.")
    parser.add_argument("--version", action="version", version=f"minitrain {version('minitrain')}")
    parser.set_defaults(debug=False)
    commands = parser.add_subparsers(metavar="command", required=True)
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_export(commands)
    _add_verify(commands)
    _add_data(commands)
    _add_gradcheck(commands)
    _add_compare(commands)
    _add_doctor(commands)
    _add_learn(commands)
    return parser


def _add_command(commands: Any, name: str, run: Any, help: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", allow_abbrev=False
    )
    command.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
    )
    command.set_defaults(run=run)
    return command


def _given(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those of a Config's values that the command line gives."""
    from minitrain.runs.config import Config

    names = [field.name for field in dataclasses.fields(Config)]
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name, None) is not None}
    if "hidden" in given:
        given["hidden"] = tuple(given["hidden"])
    return given


# --- train ------------------------------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    train = _add_command(commands, "train", _train, "train the built-in model and print the tutorial's log")
    train.add_argument("--dataset", choices=["fashion-mnist", "digits"], help="what to train on (fashion-mnist)")
    train.add_argument(
        "--data-dir", metavar="DIR", help="the folder that holds FashionMNIST/raw (default: $MINITRAIN_DATA, or ./data)"
    )
    # Without a default here: those left out take their data set's own.
    train.add_argument("--epochs", type=int, metavar="N", help="passes over the training data, in all (10; digits 30)")
    train.add_argument("--batch-size", type=int, metavar="N", help="samples in a batch (64; digits 16)")
    train.add_argument("--lr", type=float, metavar="RATE", help="the learning rate (1e-3; digits 0.1)")
    train.add_argument("--optimizer", choices=["sgd", "rmsprop", "adam"], help="the update rule (sgd)")
    train.add_argument("--momentum", type=float, metavar="M", help="of sgd and rmsprop (0)")
    train.add_argument("--weight-decay", type=float, metavar="D", help="the factor of the L2 penalty (0)")
    train.add_argument(
        "--hidden", type=int, nargs="*", metavar="SIZE", help="the sizes of the hidden layers (512 512; digits 64)"
    )
    train.add_argument("--seed", type=int, metavar="N", help="of the weights and the order of the data (0)")
    train.add_argument(
        "--shuffle", action=argparse.BooleanOptionalAction, help="a new order in each epoch (no; digits yes)"
    )
    train.add_argument("--out", metavar="DIR", help="the run's directory (default: runs/<dataset>-<n>)")
    train.add_argument(
        "--checkpoint-every", type=int, metavar="N", help="save the state every N steps, too (after each epoch)"
    )
    train.add_argument(
        "--resume", metavar="RUN", help="go on with the run in this directory, or from this checkpoint of it"
    )
    train.add_argument(
        "--override", action="store_true", help="with --resume: change --lr, --momentum, --weight-decay or --precision"
    )
    train.add_argument(
        "--on-nan", choices=["stop", "continue"], help="at a loss that is not finite, once it is explained (stop)"
    )
    train.add_argument("--backend", choices=["numpy", "torch"], help="what computes (numpy)")
    train.add_argument(
        "--device", choices=["auto", "cpu", "cuda", "mps"], help="torch's; auto takes the fastest that is there (auto)"
    )
    train.add_argument("--compile", action=argparse.BooleanOptionalAction, help="have torch compile the model (no)")
    train.add_argument("--precision", choices=["float32", "tf32", "bf16"], help="of torch's matrix products (float32)")


def _train(arguments: argparse.Namespace) -> int:
    from minitrain.data.datasets import data_root
    from minitrain.runs.config import ConfigError, default_config
    from minitrain.runs.resume import plan_resumption
    from minitrain.runs.run import resume, train
    from minitrain.with_torch.choose_backend import choose_backend, earlier_attempt

    given = _given(arguments)
    if "data_dir" in given or (arguments.resume is None and arguments.dataset != "digits"):
        # Where a run goes on, the current directory and the environment may be others.
        given["data_dir"] = os.path.abspath(data_root(given.get("data_dir")))
    dataset = arguments.dataset or "fashion-mnist"
    run = arguments.resume
    if run is None:
        if arguments.override:
            raise ConfigError("--override changes a run that goes on; add --resume RUN")
        run = earlier_attempt(arguments.out, dataset)
    elif arguments.out is not None:
        raise ConfigError(f"--resume goes on in {run}; leave --out {arguments.out} away")
    if run is None:
        config = dataclasses.replace(default_config(dataset), **given)
        with choose_backend(config) as backend:
            directory = train(config, arguments.out, backend)
    else:
        resumption = plan_resumption(run, given, override=arguments.override)
        with choose_backend(resumption.config) as backend:
            directory = resume(resumption, backend)
    if directory is not None:
        _say(f"The run is in {directory}: config.json, steps.csv, epochs.csv, log.txt, model.safetensors")
    backend.end()
    return 0


# --- evaluate, predict, export ----------------------------------------------------------------------------------------


def _add_evaluate(commands: Any) -> None:
    evaluate = _add_command(commands, "evaluate", _evaluate, "test what a run has trained, class by class")
    evaluate.add_argument("directory", metavar="RUN", help="the run's directory")
    evaluate.add_argument("--data-dir", metavar="DIR", help="as for train (default: where the run had it)")
    evaluate.add_argument("--json", metavar="FILE", help="write all the figures")


def _evaluate(arguments: argparse.Namespace) -> int:
    from minitrain.runs.evaluate import evaluate
    from minitrain.with_torch.choose_backend import check_writable

    if arguments.json is not None:
        check_writable(arguments.json, "--json")
    evaluation = evaluate(arguments.directory, arguments.data_dir)
    print(evaluation)
    _write_json(arguments.json, {"run": arguments.directory, **evaluation.as_dict()})
    return 0


def _add_predict(commands: Any) -> None:
    predict = _add_command(commands, "predict", _predict, "tell what pictures show, by what a run has trained")
    predict.epilog = "Exit status: 1 if a picture cannot be read (or for a failure, said on stderr), 2 for bad usage."
    predict.add_argument("directory", metavar="RUN", help="the run's directory")
    predict.add_argument("images", metavar="IMAGE", nargs="+", help="a PNG, JPEG, GIF, BMP or WEBP file")
    predict.add_argument(
        "--invert", action="store_true", help="the pictures are dark on white (the training images: light on black)"
    )


def _predict(arguments: argparse.Namespace) -> int:
    from minitrain.runs.evaluate import one_line, predict
    from minitrain.runs.pictures import PictureError

    width = max(len(one_line(file)) for file in arguments.images)
    failures = 0
    for answer in predict(arguments.directory, arguments.images, arguments.invert):
        if isinstance(answer, PictureError):
            failures += 1
            print(f"minitrain: error: {answer}", file=sys.stderr)
            continue
        print(f"{one_line(answer.file):<{width}}  {answer}", flush=True)
        for note in answer.notes:
            print(f"minitrain: warning: {one_line(answer.file)}: {note}", file=sys.stderr)
    return int(failures > 0)


def _add_export(commands: Any) -> None:
    export = _add_command(commands, "export", _export, "write what a run has trained as a file that torch loads")
    export.add_argument("directory", metavar="RUN", help="the run's directory")
    export.add_argument("file", metavar="FILE", help="the file to write, such as model.safetensors")
    export.add_argument("--force", action="store_true", help="replace a file that is there")


def _export(arguments: argparse.Namespace) -> int:
    from minitrain.runs.evaluate import export

    export(arguments.directory, arguments.file, arguments.force)
    print(f"The weights are in {arguments.file}. With safetensors, torch loads them into the same model by")
    print(f"    model.load_state_dict(safetensors.torch.load_file({arguments.file!r}))")
    return 0


# --- verify -----------------------------------------------------------------------------------------------------------


def _add_verify(commands: Any) -> None:
    verify = _add_command(commands, "verify", _verify, "run a stretch of a run again, and compare every bit")
    verify.epilog = "Exit status: 0 if all are the same, 1 if not (or for a failure, said on stderr), 2 for bad usage."
    verify.add_argument("run_dir", metavar="RUN", help="the directory that train has left")
    verify.add_argument(
        "--from-start", action="store_true", help="the whole run (from its last checkpoint but one to its last)"
    )
    verify.add_argument("--data-dir", metavar="DIR", help="where the data is, if not where the run had it")


def _verify(arguments: argparse.Namespace) -> int:
    from minitrain.runs.verify import find_stretch, verify
    from minitrain.with_torch.choose_backend import choose_backend

    stretch = find_stretch(arguments.run_dir, from_start=arguments.from_start)
    with choose_backend(stretch.config) as backend:
        verified = verify(stretch, backend, arguments.data_dir)
    print(verified)
    return 0 if verified.ok else 1


# --- data -------------------------------------------------------------------------------------------------------------


def _add_data(commands: Any) -> None:
    data = _add_command(commands, "data", _data, "show, fetch or verify the data sets' files")
    data.add_argument(
        "action",
        nargs="?",
        choices=["show", "fetch", "verify"],
        default="show",
        help="show what is there (default), download what is missing, or fail unless all is there and genuine",
    )
    data.add_argument(
        "--dataset",
        choices=["fashion-mnist", "mnist", "kmnist", "cifar10"],
        default="fashion-mnist",
        help="the data set to fetch or verify (default: fashion-mnist; show lists all)",
    )
    data.add_argument("--data-dir", metavar="DIR", help="the folder to look in (default: $MINITRAIN_DATA, or ./data)")


def _data(arguments: argparse.Namespace) -> int:
    from minitrain.data import datasets

    root, chosen = arguments.data_dir, datasets.COLLECTIONS[arguments.dataset]
    if arguments.action == "fetch":
        datasets.fetch(root, chosen, progress=sys.stderr.isatty())
    if arguments.action == "verify":
        datasets.verify(root, chosen)
    for name, collection in datasets.COLLECTIONS.items():
        found = datasets.status(root, collection)
        is_here = any(each.size is not None for each in found)
        print(f"{name}, in {datasets.raw_folder(root, collection)}{'' if is_here else ': not fetched'}")
        for each in found if is_here or name == arguments.dataset else []:
            _print_file(os.path.basename(each.path), each.file, each.fault)
    datasets.Digits()  # raises if its file is not the genuine one
    print("digits, in the package")
    _print_file(datasets.DIGITS.name, datasets.DIGITS, None)
    return 0


def _print_file(name: str, genuine: Any, fault: str | None) -> None:
    algorithm, checksum = genuine.checksum
    state = f"ok, {algorithm.lower().replace('-', '')} {checksum[:16]}" if fault is None else fault
    print(f"  {name:<26} {genuine.size:>11,} bytes  {state}")


# --- gradcheck --------------------------------------------------------------------------------------------------------


def _add_gradcheck(commands: Any) -> None:
    gradcheck = _add_command(commands, "gradcheck", _gradcheck, "check the built-in model's gradients on real data")
    gradcheck.epilog = "Exit status: 0 if they are right, 1 if not (or for a failure, said on stderr), 2 for bad usage."
    gradcheck.add_argument("--dataset", choices=["fashion-mnist", "digits"], default="fashion-mnist")
    gradcheck.add_argument("--data-dir", metavar="DIR", help="as for train")
    gradcheck.add_argument("--batch-size", type=int, metavar="N", help="samples in the batch (64; digits 16)")
    gradcheck.add_argument(
        "--hidden", type=int, nargs="*", metavar="SIZE", help="the hidden layers (512 512; digits 64)"
    )
    gradcheck.add_argument("--seed", type=int, metavar="N", help="of the weights and the order of the data (0)")
    gradcheck.add_argument(
        "--mode",
        choices=["full", "directional"],
        help="every entry, or a few random directions of each parameter (full up to 10,000 parameters)",
    )
    gradcheck.add_argument("--eps", type=float, metavar="E", help="the step of the differences (1e-6)")
    gradcheck.add_argument("--rtol", type=float, metavar="R", help="allowed: atol + rtol · |numeric| (1e-4)")
    gradcheck.add_argument("--atol", type=float, metavar="A", help="(1e-8)")
    gradcheck.add_argument("--eps-sweep", action="store_true", help="the error against the step eps, instead")
    gradcheck.add_argument("--plot", metavar="FILE.png", help="draw the sweep")
    gradcheck.add_argument("--inject", metavar="NAME", help="plant a known fault, to see it found")
    gradcheck.add_argument("--list-faults", action="store_true", help="say which faults can be planted, and end")


def _gradcheck(arguments: argparse.Namespace) -> int:
    from minitrain.runs import check_gradients as gradients
    from minitrain.runs.config import ConfigError, default_config
    from minitrain.with_torch.choose_backend import check_writable
    from minitrain.with_torch.faults import FAULTS

    faults = {name: fault for name, fault in FAULTS.items() if (fault.step, fault.phase) == (1, "gradient")}
    if arguments.list_faults:
        print("\n\n".join(str(fault) for fault in faults.values()))
        return 0
    if arguments.inject is not None and arguments.inject not in faults:
        raise ConfigError(f"there is no fault {arguments.inject!r} of a gradient; choose one of {', '.join(faults)}")
    config = dataclasses.replace(default_config(arguments.dataset), **_given(arguments))
    plant = None if arguments.inject is None else faults[arguments.inject].plant
    if arguments.eps_sweep:
        for name in ("mode", "eps", "rtol", "atol"):
            if getattr(arguments, name) is not None:
                raise ConfigError(f"--eps-sweep measures a sample with every eps; leave --{name} out")
        if arguments.plot is not None:
            check_writable(arguments.plot, "--plot")
            gradients.check_plot(arguments.plot)
        swept = gradients.sweep_eps(config, plant)
        print(swept)
        if arguments.plot is not None:
            gradients.plot_sweep(swept, arguments.plot)
        return 0 if swept.ok else 1
    if arguments.plot is not None:
        raise ConfigError("--plot draws the sweep; add --eps-sweep")
    limits = {
        name: getattr(arguments, name) for name in ("eps", "rtol", "atol") if getattr(arguments, name) is not None
    }
    if arguments.inject is not None:
        print(f"Planted: {faults[arguments.inject]}\n")
    checked = gradients.check_model(config, mode=arguments.mode, plant=plant, **limits)
    print(checked)
    return 0 if checked.ok else 1


# --- compare ----------------------------------------------------------------------------------------------------------


def _add_compare(commands: Any) -> None:
    compare = _add_command(commands, "compare", _compare, "train on NumPy and on torch in lock step, number by number")
    compare.epilog = "Exit status: 0 if they agree, 1 if they part (or for a failure, said on stderr), 2 for bad usage."
    compare.add_argument("--dataset", choices=["fashion-mnist", "digits"], default="fashion-mnist")
    compare.add_argument("--data-dir", metavar="DIR", help="as for train")
    compare.add_argument("--steps", type=int, metavar="N", help="how many updates (10; with --drift 500)")
    compare.add_argument(
        "--dtype", choices=["float32", "float64"], help="of both sides (float64, which tells faults best)"
    )
    compare.add_argument("--batch-size", type=int, metavar="N", help="samples in a batch (64; digits 16)")
    compare.add_argument("--lr", type=float, metavar="RATE", help="the learning rate (1e-3; digits 0.1)")
    compare.add_argument("--optimizer", choices=["sgd", "rmsprop", "adam"], help="the update rule (sgd)")
    compare.add_argument("--momentum", type=float, metavar="M", help="of sgd and rmsprop (0)")
    compare.add_argument("--weight-decay", type=float, metavar="D", help="the factor of the L2 penalty (0)")
    compare.add_argument("--hidden", type=int, nargs="*", metavar="SIZE", help="the hidden layers (512 512; digits 64)")
    compare.add_argument("--seed", type=int, metavar="N", help="of the weights and the order of the data (0)")
    compare.add_argument("--shuffle", action=argparse.BooleanOptionalAction, help="shuffle the data (no; digits yes)")
    compare.add_argument("--rtol", type=float, metavar="R", help="allowed: atol + rtol · |torch| (1e-10; float32 1e-4)")
    compare.add_argument("--atol", type=float, metavar="A", help="(1e-12; float32 1e-5)")
    compare.add_argument("--stop", action="store_true", help="end with the step in which they part")
    compare.add_argument("--inject", metavar="NAME", help="plant a known fault on the NumPy side, to see it found")
    compare.add_argument("--list-faults", action="store_true", help="say which faults can be planted, and end")
    compare.add_argument("--drift", action="store_true", help="how far float32 runs drift from float64, instead")
    compare.add_argument("--plot", metavar="FILE.png", help="draw the drift")
    compare.add_argument("--json", metavar="FILE", help="write all the figures")


def _compare(arguments: argparse.Namespace) -> int:
    from minitrain.runs.config import ConfigError, default_config
    from minitrain.with_torch import compare, drift, faults
    from minitrain.with_torch.choose_backend import check_writable, require_torch

    if arguments.list_faults:
        print("\n\n".join(str(fault) for fault in faults.FAULTS.values()))
        return 0
    given = _given(arguments)
    config = dataclasses.replace(default_config(arguments.dataset), **given)
    require_torch("minitrain compare")
    if arguments.json is not None:
        check_writable(arguments.json, "--json")
    if arguments.drift:
        for name in ("inject", "dtype", "rtol", "atol", "stop"):
            if getattr(arguments, name) is not None and getattr(arguments, name) is not False:
                raise ConfigError(f"--drift compares float32 with float64 and finds no faults; leave --{name} out")
        if arguments.plot is not None:
            drift.check_plot(arguments.plot)
        measured = drift.measure_drift(config, arguments.steps if arguments.steps is not None else 500)
        print(measured)
        if arguments.plot is not None:
            drift.plot_drift(measured, arguments.plot)
        _write_json(arguments.json, measured.as_dict())
        return 0
    if arguments.plot is not None:
        raise ConfigError("--plot draws the drift; add --drift")
    fault = None
    if arguments.inject is not None:
        fault = faults.find_fault(arguments.inject)
        config = fault.adapt(config, given)
    result, found = compare.compare_recipe(
        config,
        steps=arguments.steps if arguments.steps is not None else 10,
        dtype=arguments.dtype or "float64",
        fault=fault,
        rtol=arguments.rtol,
        atol=arguments.atol,
        stop=arguments.stop,
    )
    print(f"{' against '.join(result.sides)}: {compare.describe(config)}\n")
    if fault is not None:
        print(f"Planted on the NumPy side: {fault}\n")
    print(result)
    if fault is not None:
        print(found)
    _write_json(arguments.json, {"config": dataclasses.asdict(config), **result.as_dict()})
    return 0 if result.agrees else 1


def _write_json(path: str | None, figures: dict[str, Any]) -> None:
    if path is not None:
        import json

        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(figures, indent=1) + "\n")


# --- doctor -----------------------------------------------------------------------------------------------------------


def _add_doctor(commands: Any) -> None:
    doctor = _add_command(commands, "doctor", _doctor, "tell what is installed here, and what to do about what is not")
    doctor.epilog = "Exit status: 1 if something is broken; what is merely not installed does not count."
    doctor.add_argument("--data-dir", metavar="DIR", help="as for train")


def _doctor(arguments: argparse.Namespace) -> int:
    from minitrain.with_torch.doctor import examine

    faults = 0
    for finding in examine(arguments.data_dir):
        print(finding, flush=True)
        faults += finding.fault
    return int(faults > 0)


# --- learn ------------------------------------------------------------------------------------------------------------


def _add_learn(commands: Any) -> None:
    learn = _add_command(commands, "learn", _learn, "write pieces of minitrain yourself, and have them checked")
    learn.epilog = (
        "Exit status: 0 if all is well, 1 for a failed check (or a failure, said on stderr), 2 for bad usage."
    )
    learn.add_argument("--dir", metavar="DIR", help="the exercises' folder (here, above, or ./minitrain-exercises)")
    actions = learn.add_subparsers(metavar="action")

    def add(name: str, run: Any, help: str) -> argparse.ArgumentParser:
        action = _add_command(actions, name, run, help)
        # Without a default here, which would undo a --dir before the action's name.
        action.add_argument("--dir", metavar="DIR", default=argparse.SUPPRESS, help="as for learn")
        return action

    start = add("start", _learn_start, "make a file for each exercise, and say what to do first")
    start.add_argument("directory", nargs="?", metavar="DIR", help="where (default: minitrain-exercises)")
    add("list", _learn_list, "list the exercises, and how far you are")
    add("next", _learn_next, "say which file to open next")
    check = add("check", _learn_check, "check an exercise")
    check.add_argument("name", nargs="?", metavar="NAME", help="its name, how that begins, or its file (the next one)")
    check.add_argument("--all", action="store_true", help="check all that you have written, and say which pass")
    watch = add("watch", _learn_watch, "check an exercise each time its file is saved, and go on after a pass")
    watch.add_argument("name", nargs="?", metavar="NAME", help="where to begin (with the next one)")
    add("hint", _learn_hint, "show one hint more").add_argument("name", metavar="NAME")
    solution = add("solution", _learn_solution, "print the file with the library's own body, once yours has passed")
    solution.add_argument("name", metavar="NAME")
    solution.add_argument("--spoil", action="store_true", help="before it has passed, too")
    zoo = add("zoo", _learn_zoo, "examine the planted mistakes, and say what each is taken for")
    zoo.add_argument("name", nargs="?", metavar="NAME", help="explain one of them (all, in a table)")
    add("reset", _learn_reset, "begin an exercise anew; your file is kept").add_argument("name", metavar="NAME")


def _learn(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import show_overview
    from minitrain.learn.exercises import EXERCISES
    from minitrain.learn.screen import Screen

    show_overview(arguments.dir, EXERCISES, Screen())
    return 0


def _learn_start(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import begin
    from minitrain.learn.exercises import EXERCISES
    from minitrain.learn.screen import Screen
    from minitrain.learn.workspace import LearnUsageError

    if arguments.directory is not None and arguments.dir is not None:
        raise LearnUsageError(f"the folder is given twice, as {arguments.directory} and as --dir {arguments.dir}")
    begin(arguments.directory if arguments.directory is not None else arguments.dir, EXERCISES, Screen())
    return 0


def _workspace(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """The learner's folder, and where to print."""
    from minitrain.learn.exercises import EXERCISES
    from minitrain.learn.screen import Screen
    from minitrain.learn.workspace import find

    return find(arguments.dir, EXERCISES), Screen()


def _learn_list(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import show_list

    show_list(*_workspace(arguments))
    return 0


def _learn_next(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import show_next

    show_next(*_workspace(arguments))
    return 0


def _learn_check(arguments: argparse.Namespace) -> int:
    from minitrain.learn.checking import check
    from minitrain.learn.commands import check_all, check_named
    from minitrain.learn.workspace import LearnUsageError

    workspace, screen = _workspace(arguments)
    if not arguments.all:
        return int(not check_named(workspace, arguments.name, screen, check))
    if arguments.name is not None:
        raise LearnUsageError(f"--all checks every exercise; leave {arguments.name} out")
    return int(not check_all(workspace, screen, check))


def _learn_watch(arguments: argparse.Namespace) -> int:
    from minitrain.learn.checking import check
    from minitrain.learn.watch import watch

    workspace, screen = _workspace(arguments)
    watch(workspace, arguments.name, screen, check)
    return 0


def _learn_hint(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import show_hint

    workspace, screen = _workspace(arguments)
    show_hint(workspace, arguments.name, screen)
    return 0


def _learn_solution(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import show_solution

    workspace, screen = _workspace(arguments)
    show_solution(workspace, arguments.name, screen, spoil=arguments.spoil)
    return 0


def _learn_reset(arguments: argparse.Namespace) -> int:
    from minitrain.learn.commands import reset

    workspace, screen = _workspace(arguments)
    reset(workspace, arguments.name, screen)
    return 0


def _learn_zoo(arguments: argparse.Namespace) -> int:
    from minitrain.learn.workspace import LearnUsageError
    from minitrain.mistakes.table import describe, table

    try:
        for line in table() if arguments.name is None else [describe(arguments.name)]:
            print(line)
    except LookupError as error:
        raise LearnUsageError(str(error)) from None
    return 0

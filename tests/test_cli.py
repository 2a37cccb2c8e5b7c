"""The command `minitrain` as a user types it: what it prints, where, and with which exit status."""

import argparse
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from minitrain.cli import _parser, main
from minitrain.learn.exercises import EXERCISES

SHORT = ["train", "--dataset", "digits", "--epochs", "1"]


def minitrain(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {key: value for key, value in os.environ.items() if key != "MINITRAIN_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "minitrain", *arguments],
        cwd=cwd,
        env={**env, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_train_prints_the_log_on_stdout_and_says_on_stderr_where_the_run_is(tmp_path: Path) -> None:
    result = minitrain(*SHORT, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("Epoch 1\n-------------------------------\nloss: ")
    assert result.stdout.endswith("Done!\n")
    assert result.stderr == (
        "The run is in runs/digits-0: config.json, steps.csv, epochs.csv, layers.csv, log.txt, model.safetensors\n"
        "To see it: minitrain report runs/digits-0 --open\n"
    )
    assert sorted(path.name for path in (tmp_path / "runs" / "digits-0").iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "epochs.csv",
        "layers.csv",
        "log.txt",
        "model.safetensors",
        "steps.csv",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["fly"], 2, "minitrain: error: argument command: invalid choice: 'fly'; choose from train, run, evaluate, "),
        (["trian"], 2, "minitrain: error: argument command: invalid choice: 'trian'; did you mean train? (see"),
        (["learn", "chek"], 2, "minitrain learn: error: argument action: invalid choice: 'chek'; did you mean check?"),
        (
            ["train", "--optimizer", "adma"],
            2,
            "minitrain train: error: argument --optimizer: invalid choice: 'adma'",
        ),
        (["train", "--epochs", "many"], 2, "minitrain train: error: argument --epochs: invalid int value: 'many'"),
        (["train", "--epochs", "0"], 2, "minitrain: error: epochs must be at least 1, but got 0"),
        (["train", "--lr", "nan"], 2, "minitrain: error: lr must be a finite number from 0 up, but got nan"),
        (["train", "--optimizer", "adam", "--momentum", "0.9"], 2, "minitrain: error: adam has no momentum option"),
        (
            ["train", "--epoch", "3"],
            2,
            "minitrain train: error: unrecognized arguments: --epoch 3; did you mean",
        ),
        (["train", "--lrr=3"], 2, "minitrain train: error: unrecognized arguments: --lrr=3; did you mean --lr?"),
        (["data", "--data-dir", "nowhere", "verify"], 1, "minitrain: error: nowhere/FashionMNIST/raw/train-images"),
    ],
)
def test_a_mistake_gets_one_line_and_no_traceback(
    arguments: list[str], status: int, message: str, tmp_path: Path
) -> None:
    result = minitrain(*arguments, cwd=tmp_path)
    assert result.returncode == status
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_alone_it_shows_the_help(tmp_path: Path) -> None:
    alone, asked = minitrain(cwd=tmp_path), minitrain("--help", cwd=tmp_path)
    assert (alone.returncode, alone.stdout, alone.stderr) == (0, asked.stdout, "")
    assert alone.stdout.startswith("usage: minitrain ")
    assert re.search(r"^    gradcheck +check the", alone.stdout, re.MULTILINE)


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser, and those of all commands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers(below)


def examples(parser: argparse.ArgumentParser) -> list[list[str]]:
    """The arguments of the commands that a help shows."""
    return [line.split()[1:] for line in parser.format_help().splitlines() if line.startswith("  minitrain ")]


@pytest.mark.parametrize("parser", [*parsers(_parser())], ids=lambda parser: parser.prog)
def test_every_help_shows_two_or_three_examples_that_can_be_parsed(parser: argparse.ArgumentParser) -> None:
    assert 2 <= len(examples(parser)) <= 3
    for line in examples(parser):
        assert ["minitrain", *line][: len(parser.prog.split())] == parser.prog.split()
        with contextlib.suppress(SystemExit) if "--help" in line else contextlib.nullcontext():
            _parser().parse_args(line)


@pytest.mark.slow
def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for picture in ("seven.png", "page-1.png", "page-2.png"):
        Image.new("L", (8, 8), 255 * picture.startswith("page")).save(picture)
    (tmp_path / "handed-in" / "ann").mkdir(parents=True)
    (tmp_path / "handed-in" / "ann" / "relu_backward.py").write_text(EXERCISES["relu-backward"].solution())
    endless_or_from_the_network = (["learn", "watch"], ["data", "fetch"], ["data", "verify"])
    for parser in parsers(_parser()):
        for line in examples(parser):
            if line[:2] in endless_or_from_the_network or "--help" in line:
                continue
            expected = {1} if "--inject" in line else {0, 1} if line[:2] == ["learn", "check"] else {0}
            unsolved = line == ["learn", "solution", "relu-backward"]
            assert main(line) in ({2} if unsolved else expected), line


def on_a_terminal(*arguments: str, columns: int, cwd: Path) -> str:
    """What the command prints on stderr, a terminal with so many columns."""
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    subprocess.run([sys.executable, "-m", "minitrain", *arguments], cwd=cwd, env=env, stderr=stderr, check=False)
    os.close(stderr)
    printed = os.read(terminal, 10_000).decode().replace("\r\n", "\n")
    os.close(terminal)
    return printed


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_a_message_is_wrapped_to_the_terminal_and_one_line_elsewhere(columns: int, tmp_path: Path) -> None:
    mistake = ["train", "--optimizer", "adam", "--momentum", "0.9"]
    wrapped = on_a_terminal(*mistake, columns=columns, cwd=tmp_path)
    assert 1 < wrapped.count("\n") <= 4
    assert max(map(len, wrapped.splitlines())) <= columns
    piped = minitrain(*mistake, cwd=tmp_path).stderr
    assert piped.count("\n") == 1
    assert piped.split() == wrapped.split()


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = minitrain("data", "verify", "--debug", cwd=tmp_path)
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "DataError" in result.stderr


def test_no_network_and_no_data_gets_one_line_with_the_way_out(tmp_path: Path) -> None:
    # Through a proxy that is not there, every download fails at once, as without a network.
    dead = "http://127.0.0.1:9"
    result = minitrain("train", "--data-dir", "here", cwd=tmp_path, http_proxy=dead, https_proxy=dead)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for part in ("here/FashionMNIST/raw", "train-images-idx3-ubyte.gz", "--dataset digits"):
        assert part in result.stderr
    assert not (tmp_path / "runs").exists()


def test_an_out_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    assert minitrain(*SHORT, "--out", "mine", cwd=tmp_path).returncode == 0
    again = minitrain(*SHORT, "--out", "mine", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == (
        "minitrain: error: mine already holds a run; choose another --out, resume that run with --resume mine, "
        "or delete it\n"
    )


def test_data_shows_every_file_with_size_and_state(tmp_path: Path) -> None:
    result = minitrain("data", "--data-dir", "here", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.count("no file") == 4
    assert "26,421,880 bytes" in result.stdout
    assert "digits.npz" in result.stdout


@pytest.mark.skipif("MINITRAIN_DATA" not in os.environ, reason="needs the genuine Fashion-MNIST in MINITRAIN_DATA")
def test_data_verifies_the_genuine_files_where_the_environment_points(tmp_path: Path) -> None:
    result = minitrain("data", "verify", cwd=tmp_path, MINITRAIN_DATA=os.environ["MINITRAIN_DATA"])
    assert result.returncode == 0
    assert result.stdout.count("ok") == 5


def test_ctrl_c_ends_the_run_after_the_batch_and_says_how_to_go_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "minitrain", "train", "--dataset", "digits", "--epochs", "100000", "--out", "run"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Epoch 3"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    stopping, ended, command_again = errors.strip().splitlines()
    assert stopping == "minitrain: stopping after this batch and saving; Ctrl-C again stops at once"
    assert ended.startswith("minitrain: interrupted after batch ")
    assert ended.endswith(", and saved. Resume with:")
    assert command_again.endswith("minitrain train --resume run")
    assert (tmp_path / "run" / "epochs.csv").read_text().count("\n") >= 3


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m minitrain train --dataset digits --epochs 20 | head -n 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert (result.returncode, result.stdout) == (1, "Epoch 1\n")
    # At the second line or, where head was slow to leave, at the next one.
    assert re.match(
        r"minitrain: nobody reads the output any more: stopped after (batch 0 of )?epoch 1, and saved. Resume "
        r"with:\n    .*minitrain train --resume runs/digits-0\n$",
        result.stderr,
    )


def test_on_a_terminal_stderr_has_a_progress_bar_with_rate_and_time_left(tmp_path: Path) -> None:
    terminal, stderr = pty.openpty()
    fcntl.ioctl(stderr, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    command = [sys.executable, "-m", "minitrain", "train", "--dataset", "digits", "--epochs", "20", "--out", "run"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        os.close(stderr)
        seen = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                chunk = os.read(terminal, 4096)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            seen += chunk
        output, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert b"samples/s" in seen
    assert b"Epoch 1/20" in seen
    assert output.startswith("Epoch 1\n----")
    assert "samples/s" not in output


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    import minitrain as package

    assert minitrain("--version", cwd=tmp_path).stdout == f"minitrain {package.__version__}\n"


def test_importing_minitrain_imports_no_torch_and_nothing_slow(tmp_path: Path) -> None:
    program = (
        "import sys, minitrain; "
        "print([name for name in ('torch', 'pooch', 'requests', 'tqdm', 'safetensors', 'hashlib', 'gzip', 'argparse') "
        "if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


def test_help_and_the_list_of_exercises_import_little() -> None:
    program = "import sys, minitrain.cli; import minitrain.learn.exercises; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"importlib.metadata", "minitrain.diagnosis.gradcheck", "minitrain.diagnosis.loopcheck", "torch", "tqdm"}
    assert heavy.isdisjoint(found)

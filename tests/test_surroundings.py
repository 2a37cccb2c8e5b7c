"""The command in hostile surroundings: ASCII terminals, Ctrl-C at any instant, deleted folders, unwritable outputs."""

import contextlib
import errno
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from minitrain import cli, files
from minitrain.learn.screen import Screen
from minitrain.with_torch import installed
from tests import harness
from tests.fault_table import record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, exercises, and a picture whose name is not ASCII."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("surroundings")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "stdout", io.StringIO())
        patch.setattr(sys, "stderr", io.StringIO())
        assert (
            cli.main(
                [
                    "train",
                    "--dataset",
                    "digits",
                    "--epochs",
                    "1",
                    "--hidden",
                    "4",
                    "--batch-size",
                    "500",
                    "--out",
                    "run",
                ]
            )
            == 0
        )
        assert cli.main(["learn", "start", "übungen"]) == 0
        Image.new("L", (8, 8)).save("ü.png")
        Path("program.py").write_text("print('ü', chr(0xD800))\n", encoding="utf-8")
        Path("broken.py").write_text("import torch\ntorch.no_such_name\n", encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def _as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test in that folder; signals, arguments and path as before, whatever a command does to them."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def in_encoding(encoding: str, line: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    """The command's status and output, where stdout and stderr have this encoding and refuse other characters."""
    with monkeypatch.context() as patch:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding, "strict") for _ in range(2)]
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        try:
            status = cli.main(line)
        except SystemExit as end:
            status = int(str(end.code))
        for stream in streams:
            stream.flush()
        out, err = (stream.buffer.getvalue().decode(encoding) for stream in streams)  # type: ignore[attr-defined]
    return status, out, err


# --- encodings --------------------------------------------------------------------------------------------------------

LINES = [
    "--help",
    "train --dataset digits --epochs 1 --hidden 4 --batch-size 500 --out läufe/{}",
    "train --dataset digits --epochs 1 --out run",
    "evaluate run",
    "predict run ü.png nowhere-ü.png",
    "export run ü-{}.safetensors",
    "verify run",
    "report run -o ü.html",
    "step run -o ü.html",
    "data --data-dir ü",
    "data verify --data-dir ü",
    "gradcheck --dataset digits --hidden 4",
    "gradcheck --dataset digits --hidden 4 --eps-sweep",
    "gradcheck --list-faults",
    "compare --dataset digits --hidden 4 --steps 2",
    "compare --dataset digits --hidden 4 --steps 2 --inject relu-mask-inverted",
    "compare --list-faults",
    "run program.py",
    "run --check broken.py",
    "learn --dir übungen",
    "learn list --dir übungen",
    "learn next --dir übungen",
    "learn solution softmax-backward --spoil --dir übungen",
    "learn zoo relu-mask-inverted",
    "learn zoo ü",
]


@pytest.mark.parametrize("line", LINES)
def test_a_terminal_of_ascii_changes_neither_the_result_nor_the_status(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    utf8, ascii = (
        in_encoding(encoding, line.replace("{}", encoding).split(), monkeypatch) for encoding in ("utf-8", "ascii")
    )
    assert ascii[0] == utf8[0]
    if not line.startswith(("train", "learn", "evaluate", "export", "report")):  # with seconds, names, or wrapped
        for printed, expected in zip(ascii[1:], utf8[1:], strict=True):
            assert printed == expected.encode("ascii", "backslashreplace").decode()
    assert [text.count("\n") for text in ascii[1:]] == [text.count("\n") for text in utf8[1:]]
    record("outputs to a terminal of ASCII", 1, 0)


def test_compare_has_a_status_of_its_own_for_what_is_no_difference(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["compare", "--dataset", "digits", "--hidden", "4", "--steps", "2"]
    assert cli.main(line) == 0
    assert cli.main([*line, "--inject", "relu-mask-inverted"]) == 1
    assert cli.main([*line, "--inject", "nothing"]) == 2
    assert cli.main([*line, "--json", "/dev/full"]) == 3
    assert "cannot write /dev/full (No space left on device)" in capsys.readouterr().err
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    assert cli.main(line) == 2
    with pytest.raises(SystemExit):
        cli.main(["compare", "--help"])
    assert "0 if they agree, 1 if they differ, 2 for bad usage, 3 if the command fails" in capsys.readouterr().out


# --- interrupts -------------------------------------------------------------------------------------------------------

COMMANDS = ["train --dataset digits --epochs 3000 --out {}", "report run -o {}.html", "learn list --dir übungen"]
COMMANDS += ["compare --dataset digits --steps 100000 --hidden 4"]
# Python starts, and says when it has come to minitrain's first line; then the command goes on as always.
STARTED = """
import runpy, sys
sys.argv = ["-m", *sys.argv[1:]]
sys.orig_argv = [sys.executable, "-m", "minitrain", *sys.argv[1:]]
print("started", flush=True)
runpy.run_module("minitrain", run_name="__main__", alter_sys=True)
"""


def interrupted_after(seconds: float, line: list[str], folder: Path) -> harness.Ended:
    """A command that gets SIGINT so long after its first line."""
    process = harness.child(
        [sys.executable, "-c", STARTED, *line], folder, preexec_fn=harness.default_signals, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    ended = harness.wait(process, traceback=True)
    deadline = time.monotonic() + 5
    while is_alive(process.pid):  # a compiler that was stopped is still to be buried by the system
        assert time.monotonic() < deadline, "a process of the command's group is left"
        time.sleep(0.05)
    return ended


def is_alive(group: int) -> bool:
    """Whether a process of this group is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return True
    return False


def check_interrupts(command: str, instants: list[float], folder: Path) -> None:
    for instant in instants:
        line = command.replace("{}", f"x{instant:.3f}").split()
        ended = interrupted_after(instant, line, folder)
        assert "Traceback" not in ended.err, (instant, ended)
        assert ended.status in (0, 130, -signal.SIGINT), (instant, ended)
        if ended.status == 130:
            assert "minitrain: interrupted" in ended.err, (instant, ended)
            # On a fast machine a training has begun by then: its message starts on a new line, below the terminal's ^C.
            assert ended.err.removeprefix("\n").startswith("minitrain: "), (instant, ended)
        record("Ctrl-C in the first instants", 1, 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_in_the_first_instants_gets_one_line(command: str, folder: Path) -> None:
    check_interrupts(command, [0.01, 0.05, 0.1, 0.2, 1.0], folder)


@pytest.mark.slow
@pytest.mark.parametrize("command", [*COMMANDS, "compare --dataset digits --hidden 4 --drift --steps 50"])
def test_ctrl_c_at_many_instants_gets_one_line(command: str, folder: Path) -> None:
    last = 8.0 if "--drift" in command else 0.8
    check_interrupts(command, [0.004 + last * i / 60 for i in range(60)], folder)


def test_a_program_that_imports_the_library_keeps_its_handlers(tmp_path: Path) -> None:
    program = "import signal, sys; before = signal.getsignal(signal.SIGINT); {}; import minitrain; print(before is "
    program += "signal.getsignal(signal.SIGINT))"
    for name, kept in {"x.py": True, "minitrain.py": True, "-c": True, "/usr/bin/minitrain": False}.items():
        line = [sys.executable, "-c", program.format(f"sys.argv[0] = {name!r}")]
        process = harness.child(line, tmp_path, preexec_fn=harness.default_signals)
        assert harness.wait(process).out == f"{kept}\n", name
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text(program.format("pass"))
    (tmp_path / "package" / "train.py").write_text("")
    process = harness.child([sys.executable, "-m", "package.train", "minitrain"], tmp_path)
    assert harness.wait(process).out == "True\n"


def test_an_interrupt_that_python_would_ignore_ends_the_command(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, time\n"
        "from minitrain import cli\n"
        "class Ends:\n"
        "    def __del__(self): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)\n"
        "cli.data.run.__code__ = (lambda _: [Ends()].clear()).__code__\n"
        "cli.data.Ends = Ends\n"
        "sys.argv = ['minitrain', 'data']\n"
        "sys.exit(cli.main())\n"
    )
    ended = harness.wait(harness.child([sys.executable, "-c", program], tmp_path, preexec_fn=harness.default_signals))
    assert (ended.status, ended.err) == (130, "minitrain: interrupted\n")


# --- folders and files ------------------------------------------------------------------------------------------------


def test_in_a_deleted_folder_every_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    for command in cli.COMMANDS:
        name = command.__name__.rpartition(".")[2]
        line = {"runs": "evaluate x", "run": "run x.py", "step": "step x", "report": "report x"}.get(name, name)
        gone.mkdir()
        monkeypatch.chdir(gone)
        gone.rmdir()
        status = cli.main(line.split())
        monkeypatch.chdir(tmp_path)
        assert (status, capsys.readouterr()) == (
            3 if name == "compare" else 1,
            (
                "",
                "minitrain: error: the current directory has been deleted; change to another one, such as with cd ~\n",
            ),
        ), line
        record("commands in a deleted folder", 1, 0)


@pytest.mark.parametrize(
    "line",
    [
        "evaluate run --json {}",
        "report run -o {}",
        "report run --plot {}.png",
        "step run -o {}",
        "gradcheck --dataset digits --hidden 4 --eps-sweep --plot {}.png",
        "compare --dataset digits --hidden 4 --steps 1 --json {}",
        "learn grade übungen --no-torch --json {}",
    ],
)
def test_a_file_that_cannot_be_written_is_named(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"{path}.part")

    file = tmp_path / "file"
    line = line.replace("{}", str(file))
    assert cli.main(line.split()) in (0, 1)
    (written,) = tmp_path.iterdir()
    before = written.read_bytes()
    capsys.readouterr()
    monkeypatch.setattr(files, "write_atomically", fails)
    assert cli.main(line.split()) == (3 if line.startswith("compare") else 1)
    printed = capsys.readouterr()
    assert printed.err == f"minitrain: error: cannot write {written} (No space left on device); choose another place\n"
    assert bool(printed.out) == (not line.startswith(("report", "step")))  # the results come first
    assert written.read_bytes() == before
    record("outputs that cannot be written", 1, 0)


@pytest.mark.parametrize(
    ("line", "exists"),
    [
        ("export run {} --force", True),
        ("export run {} --force", False),
        ("evaluate run --json {}", True),
        ("evaluate run --json {}", False),
        ("report run -o {}", True),
    ],
)
def test_what_is_written_to_a_link_goes_to_its_target(line: str, exists: bool, tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "target", tmp_path / "link"
    target.parent.mkdir()
    if exists:
        target.write_text("old")
    link.symlink_to("elsewhere/target")
    assert cli.main(line.replace("{}", str(link)).split()) == 0
    assert os.readlink(link) == "elsewhere/target"
    assert len(target.read_bytes()) > 100
    assert [*target.parent.iterdir()] == [target]
    record("outputs to a link", 1, 0)


def test_figures_can_go_to_a_pipe(folder: Path) -> None:
    ended = harness.shell(
        f"{' '.join(harness.command('evaluate', 'run', '--json', '/dev/stdout'))} | grep -c accuracy", folder
    )
    assert (ended.status, ended.out) == (0, "1\n")


def test_an_output_that_cannot_be_written_is_said_once(folder: Path) -> None:
    for line in ("evaluate run", "learn list --dir übungen", "compare --list-faults", "--help", "train --help"):
        with open("/dev/full", "w") as full:
            ended = harness.wait(harness.start(*line.split(), cwd=folder, stdout=full))
        assert ended.status == (3 if "compare" in line else 1)
        assert ended.err == "minitrain: error: cannot write the output or a file (No space left on device)\n"


def test_a_list_whose_reader_has_left_ends_with_one_line(folder: Path) -> None:
    for line in ("learn list --dir übungen", "gradcheck --list-faults"):
        read, write = os.pipe()
        os.close(read)
        process = harness.start(*line.split(), cwd=folder, stdout=write)
        os.close(write)
        ended = harness.wait(process)
        assert (ended.status, ended.err) == (1, "minitrain: nobody reads the output any more: stopped\n"), line


@pytest.mark.parametrize("line", ["train", "data fetch", "data fetch --dataset cifar10"])
def test_a_mistyped_data_dir_makes_no_folders(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*line.split(), "--data-dir", "no/where"]) == 1
    assert f"there is no folder {tmp_path / 'no'}: create it" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_without_docstrings_it_is_said_that_formulas_are_missing(folder: Path) -> None:
    def python(*line: str) -> harness.Ended:
        return harness.wait(harness.child([sys.executable, "-OO", *line], folder))

    program = "import minitrain as t; t.print_tape((t.ones(1, requires_grad=True) * 2).sum())"
    assert python("-c", program).out.count("python -OO has removed the docstrings") == 1
    for line in ("learn list --dir übungen", "gradcheck --dataset digits --hidden 4"):
        ended = python("-m", "minitrain", *line.split())
        assert (ended.status, ended.err.count("python -OO has removed the docstrings")) == (0, 1), ended
    assert files.NO_FORMULAS == ""


def test_the_numbers_of_a_step_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "train --dataset digits --momentum 5 --lr 2 --batch-size 300 --epochs 20"
    assert cli.main([*line.split(), "--out", "nan"]) == 1
    printed = capsys.readouterr().err
    (checkpoint,) = [path for path in (folder / "nan" / "checkpoints").iterdir() if f"{path.name}; resuming" in printed]
    updates = int(checkpoint.stem)
    epoch, batch = divmod(updates, 5)
    assert f"the loss of epoch {epoch + 1}, batch {batch} is nan" in printed
    assert f", step {updates}\n" in printed
    assert cli.main(["step", "nan", "-o", "step.html"]) == 0
    assert f"step {updates}, epoch {epoch + 1}, batch {batch} of nan" in capsys.readouterr().out
    *_, last = (folder / "nan" / "steps.csv").read_text().splitlines()
    before_epoch, before_batch = divmod(updates - 1, 5)
    assert last.startswith(f"{before_epoch + 1},{before_batch},")


def test_the_step_after_the_last_epoch_is_not_said_to_be_in_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["step", "run", "-o", "next.html"]) == 0
    assert capsys.readouterr().out.endswith(", the next one after 1 epoch of run\n")
    page = (folder / "next.html").read_text(encoding="utf-8")
    assert "of a run on digits: the next one after its 1 epoch. The network is" in page
    assert "epoch 2" not in page


def test_what_commands_write_into_the_clone_is_ignored_by_git() -> None:
    root = Path(__file__).parent.parent
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is not a clone")
    written = ["data/x", "runs/x", "report.html", "step.html", "loss.png", "digits.safetensors"]
    written.append("minitrain-exercises/x")
    ignored = subprocess.run(["git", "check-ignore", *written], cwd=root, capture_output=True, text=True, check=False)
    assert ignored.stdout.split() == written


# --- control characters, which a terminal would obey ------------------------------------------------------------------


def test_control_characters_from_outside_are_printed_escaped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "run\x1b[31m").symlink_to("run")
    (folder / "bad\x1b[2J.py").write_text("import torch\ntorch.no_such_thing\n")
    for line in (
        ["evaluate", "run\x1b[31m"],
        ["step", "run\x1b[31m", "-o", "\x9bstep.html"],
        ["report", "run\x1b[31m", "-o", "\x1breport.html"],
        ["export", "run\x1b[31m", "\x1b.safetensors"],
        ["verify", "run\x1b[31m"],
        ["verify", "no run\x1b[31m"],
        ["run", "--check", "bad\x1b[2J.py"],
        ["data", "--data-dir", "data\x1b[31m"],
        ["doctor", "--data-dir", "data\x1b[31m"],
        ["learn", "list", "--dir", "no\x1b[31m"],
        ["train", "--\x1b[31m"],
    ):
        with contextlib.suppress(SystemExit):
            cli.main(line)
        printed = "".join(capsys.readouterr())
        assert not {*printed} & {"\x1b", "\x9b"}, line
    cli.main(["train", "--dataset", "digits", "--epochs", "1", "--hidden", "4", "--out", "it's\x1b[31m"])
    printed = capsys.readouterr().err
    assert "\x1b" not in printed
    command = printed.partition("To see it: ")[2].partition(" --open")[0]
    bash = shutil.which("bash")
    if bash is not None:
        echoed = subprocess.run(
            [bash, "-c", f"printf %s {command.split('report ')[1]}"], capture_output=True, text=True
        )
        assert echoed.stdout == "it's\x1b[31m"


def test_a_screen_prints_its_own_colours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    screen = Screen(stream)
    screen.print(f"{screen.paint('passed', 'green')} \x1b[2J\x1b]0;title\x07")
    assert stream.getvalue() == "\x1b[32mpassed\x1b[0m \\x1b[2J\\x1b]0;title\\x07\n"

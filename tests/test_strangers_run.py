"""A run's folder that someone else sends: links, other runs' checkpoints, and any configuration harm nothing."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain.cli import main
from minitrain.files import write_atomically
from minitrain.runs.checkpoints import checkpoints
from minitrain.runs.config import MOST_LAYERS, Config
from minitrain.runs.directory import open_run
from minitrain.runs.run_files import RunError
from tests.fault_table import record
from tests.harness import outcome

SHORT = ("train", "--dataset", "digits", "--epochs", "2", "--batch-size", "100", "--hidden", "8", "--layers-every", "5")


def made(folder: Path, *options: str) -> Path:
    assert main([*SHORT, *options, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs a and b, which have the same settings; copy them, do not change them."""
    folder = tmp_path_factory.mktemp("runs")
    made(folder / "a")
    made(folder / "b")
    return folder


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    """A copy of the run a."""
    return Path(shutil.copytree(runs / "a", tmp_path / "run"))


def seal(run: Path, **settings: Any) -> None:
    """Change config.json as whoever knows its checksum would."""
    content = json.loads((run / "config.json").read_text())
    del content["checksum"]
    content |= settings
    content["checksum"] = f"{zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"
    (run / "config.json").write_text(json.dumps(content))


def begun(run: Path) -> None:
    """Leave only what a run has before its first checkpoint."""
    shutil.rmtree(run / "checkpoints")
    (run / "model.safetensors").unlink()


def contents(folder: Path) -> dict[str, bytes | str]:
    """All files and links under a folder, without the lock."""
    found = (path for path in sorted(folder.rglob("*")) if path.name != ".lock" or path.is_symlink())
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in found
        if path.is_symlink() or path.is_file()
    }


def commands(run: Path) -> list[list[str]]:
    """Every command on a run; what they write lies beside it."""
    out = run.parent / "written"
    out.mkdir(exist_ok=True)
    return [
        ["train", "--resume", str(run), "--epochs", "3"],
        ["evaluate", str(run)],
        ["verify", str(run)],
        ["verify", str(run), "--from-start"],
        ["report", str(run), "-o", str(out / "report.html")],
        ["step", str(run), "-o", str(out / "step.html")],
        ["export", str(run), str(out / "model.safetensors"), "--force"],
    ]


# --- links ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["checkpoints", "config.json", "steps.csv", "layers.csv", "log.txt", "model.safetensors", ".lock", "newest"]
)
@pytest.mark.parametrize("dangling", [False, True])
def test_a_file_of_a_run_that_is_a_link_is_refused_by_every_command(
    name: str, dangling: bool, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = checkpoints(run)[-1] if name == "newest" else run / name
    moved = run.parent / "elsewhere"
    path.rename(moved)
    path.symlink_to("nowhere" if dangling else moved)
    before = contents(run.parent)
    for command in commands(run):
        assert main(command) == 1
        assert f"{path} is a link" in capsys.readouterr().err
    assert contents(run.parent) == before
    record("a file of a run that is a link", len(commands(run)), 0)


def test_a_run_does_not_begin_where_the_lock_is_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    assert main([*SHORT, "--out", str(tmp_path / "run")]) == 1
    assert f"{tmp_path}/run/.lock is a link, or not a file" in capsys.readouterr().err
    assert contents(tmp_path) == {"precious": b"mine", "run/.lock": str(tmp_path / "precious")}


def test_checkpoints_that_are_a_file_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(run / "checkpoints")
    (run / "checkpoints").write_text("")
    assert main(["train", "--resume", str(run), "--epochs", "3"]) == 1
    assert "checkpoints is not a directory" in capsys.readouterr().err


def test_two_paths_to_one_run_have_one_lock(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = run.parent / "link"
    link.symlink_to(run)
    with open_run(run):
        assert main(["train", "--resume", str(link), "--epochs", "3"]) == 1
        assert "is in use by another process" in capsys.readouterr().err
    with open_run(link), pytest.raises(RunError, match="in use"):
        open_run(run)
    assert main(["train", "--resume", str(link), "--epochs", "3"]) == 0


def test_a_new_file_does_not_follow_a_link_that_has_its_temporary_name(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / f"new.{os.getpid()}.part").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "new", b"data")
    assert contents(tmp_path) == {"new": b"data", "precious": b"mine"}


# --- whose checkpoint -------------------------------------------------------------------------------------------------


def test_another_runs_checkpoint_is_refused_by_name(run: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both runs have the same settings and the same number of steps."""
    for path in checkpoints(run):
        shutil.copy(runs / "b" / "checkpoints" / path.name, path)
    newest = checkpoints(run)[-1]
    before = contents(run)
    reading = [command for command in commands(run) if command[0] in ("train", "verify", "step")]
    for command in [*reading, ["train", "--resume", str(newest), "--epochs", "3"]]:
        assert main(command) == 1
        assert f"{newest} is a checkpoint of another run" in capsys.readouterr().err
    (run / "model.safetensors").unlink()
    assert main(["evaluate", str(run)]) == 1
    assert f"{newest} is a checkpoint of another run" in capsys.readouterr().err
    del before["model.safetensors"]
    assert contents(run) == before
    record("a checkpoint of another run", len(reading) + 2, 0)


def test_a_copy_that_is_resumed_is_another_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(run, run.parent / "copy"))
    for each in (run, copy):
        assert main(["train", "--resume", str(each), "--epochs", "3"]) == 0
    assert outcome(copy) == outcome(run)
    newest = checkpoints(copy)[-1]
    shutil.copy(newest, run / "checkpoints" / "000000099.safetensors")
    assert main(["train", "--resume", str(run), "--epochs", "4"]) == 1
    assert "000000099.safetensors is a checkpoint of another run" in capsys.readouterr().err


def test_a_checkpoint_stays_the_runs_own_when_the_configuration_is_written_again(run: Path) -> None:
    assert main(["train", "--resume", str(run), "--epochs", "3"]) == 0  # two sessions have one checkpoint each
    (run / "config.json").write_text("damaged")
    assert main(["train", "--resume", str(run), "--epochs", "4"]) == 0
    (run / "config.json").write_text("damaged")
    assert main(["train", "--resume", str(run), "--epochs", "5", "--checkpoint-every", "1000"]) == 0
    for path in checkpoints(run):
        assert main(["train", "--resume", str(path), "--epochs", "6"]) == 0
    assert main(["verify", str(run)]) == 0


def test_a_run_of_an_old_minitrain_which_had_no_ids_is_resumed(run: Path) -> None:
    sessions = json.loads((run / "config.json").read_text())["sessions"]
    seal(run, sessions=[{name: value for name, value in each.items() if name != "id"} for each in sessions])
    for path in checkpoints(run):
        state = minitrain.load(path)
        del state["session"]
        minitrain.save(state, path)
    assert main(["verify", str(run)]) == 0
    assert main(["train", "--resume", str(run), "--epochs", "3"]) == 0
    old, _ = checkpoints(run)
    assert main(["verify", str(run)]) == 0
    assert main(["train", "--resume", str(old), "--epochs", "4"]) == 0


# --- data and memory --------------------------------------------------------------------------------------------------


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("a connection")


def test_no_command_on_a_run_downloads_or_makes_a_folder(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(socket.socket, "connect", refuse)
    begun(run)
    seal(run, dataset="fashion-mnist", data_dir=str(run.parent / "elsewhere"), hidden=[4], shuffle=False)
    assert main(["train", "--resume", str(run)]) == 1
    err = capsys.readouterr().err
    assert f"fashion-mnist, is not in its folder, '{run.parent}/elsewhere' (" in err
    assert "--data-dir" in err
    assert not (run.parent / "elsewhere").exists()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"hidden": [30_000, 6_000]}, "needs about 8,"),
        ({"hidden": [1, 60_000, 1], "batch_size": 1500}, "needs about 1,"),
        ({"hidden": [2**62] * 3}, "MB of memory, but it has no checkpoint"),
        ({"hidden": [1] * 10**5}, f"hidden can have {MOST_LAYERS:,} layers"),
    ],
)
def test_a_run_without_checkpoints_takes_no_more_memory_than_its_files_show(
    settings: dict[str, Any], told: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun(run)
    seal(run, **settings)
    with little_memory():
        assert main(["train", "--resume", str(run)]) == 1
    assert told in capsys.readouterr().err


def test_large_batches_of_a_narrow_model_are_refused_unless_large_allows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = made(tmp_path / "run", "--hidden", "1", "9000", "1", "--batch-size", "1500", "--layers-every", "0")
    resume, evaluate, verify, *_ = commands(run)
    for command in (resume, verify):
        assert main(command) == 1
        assert "add --large" in capsys.readouterr().err
        assert main([*command, "--large"]) == 0
    assert main(evaluate) == 0  # the test images are few


def test_a_process_with_little_memory_refuses_a_large_run(run: Path) -> None:
    begun(run)
    seal(run, hidden=[30_000, 6_000])
    limited = f"import resource, sys; resource.setrlimit(resource.RLIMIT_AS, ({2**30},) * 2); " + (
        "from minitrain.cli import main; sys.exit(main(['train', '--resume', sys.argv[1]]))"
    )
    ended = subprocess.run([sys.executable, "-c", limited, run], capture_output=True, text=True, check=False)
    assert (ended.returncode, "add --large" in ended.stderr) == (1, True), ended


@contextlib.contextmanager
def little_memory(most: int = 200_000_000) -> Iterator[None]:
    """Fail if this takes more than so many bytes at a time."""
    tracemalloc.start(1)
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def test_a_message_is_short_whatever_the_run_holds(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dataset", "data_dir", "optimizer", "device"):
        for number, command in enumerate(commands(tmp_path / "run")):
            run = shutil.copytree(runs / "a", tmp_path / "run", dirs_exist_ok=number > 0)
            seal(run, **{"dataset": "fashion-mnist", name: "A" * 100_000})
            main(command)
            assert len(capsys.readouterr().err) < 3000
        shutil.rmtree(tmp_path / "run")


# --- a folder under a watcher -----------------------------------------------------------------------------------------

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
ONE, TWO = ("os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.chmod"), ("os.rename", "os.link", "os.symlink")
allowed: list[Path] = []  # the folders to which may be written; [] if nobody watches
outside: list[str] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook, which can never be removed: note what is written outside the allowed folders."""
    if not allowed:
        return
    opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
    paths = arguments[: 1 if opened or event in ONE else 2 if event in TWO else 0]
    if event == "socket.connect":
        outside.append(event)
    for path in paths:
        if isinstance(path, str | bytes | os.PathLike) and os.fsdecode(path) != os.devnull:
            whole = Path(os.path.abspath(os.fsdecode(path)))
            real = Path(os.path.realpath(whole)) if opened else Path(os.path.realpath(whole.parent), whole.name)
            if not any(real.is_relative_to(folder) for folder in allowed):
                outside.append(f"{event} {whole}")


sys.addaudithook(watch)

numbers = st.integers(-1, 5) | st.sampled_from([10**4, 10**9, 2**62, 2**64, 10**400, -(2**63)])
anything = st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=5) | st.just([]) | st.just({"a": [1]})
texts = st.sampled_from(["A" * 3000, "\0", "\ud800", "\x1b[31m", "/", "//host/share", "../..", "~root/x"])
settings = st.fixed_dictionaries(
    {},
    optional={
        "hidden": st.lists(st.sampled_from([0, 1, 8, 3000, 30_000, 2**40]), max_size=4) | st.just([1] * 1500),
        "dataset": st.sampled_from(["fashion-mnist", "mnist"]) | texts,
        "data_dir": texts,
        "optimizer": st.sampled_from(["adam", "sgd", "adadelta"]) | texts,
        "scheduler": st.sampled_from(["step", "cosine", "onecycle", "plateau"]) | texts,
        "backend": texts,
        **dict.fromkeys(("batch_size", "step_size", "patience", "layers_every", "checkpoint_every", "seed"), numbers),
        "lr": st.floats() | st.just(1e308),
        "sessions": st.lists(anything, max_size=2) | st.just([{"updates": 0, "environment": {"A" * 3000: "\x1b[31m"}}]),
    },
)
wrong = st.dictionaries(
    st.sampled_from([*Config.__dataclass_fields__, "sessions", "environment"]), anything, max_size=2
)
links = st.dictionaries(
    st.sampled_from(["steps.csv", "log.txt", "config.json", "checkpoints", ".lock", "model.safetensors", "x.part"]),
    st.sampled_from(["precious", "folder", "nowhere"]),
    max_size=1,
)


@given(settings | wrong, links, st.booleans(), st.integers(0, 6))
def test_whatever_a_strangers_run_holds_nothing_outside_it_changes(
    runs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    changes: dict[str, Any],
    linked: dict[str, str],
    is_begun: bool,
    number: int,
) -> None:
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "folder").mkdir()
    for name in ("precious", "folder/precious"):
        (folder / name).write_text("mine")
    run = Path(shutil.copytree(runs / "a", folder / "run"))
    if is_begun:
        begun(run)
    seal(run, **changes)
    for name, target in linked.items():
        path = run / (f"steps.csv.{os.getpid()}.part" if name == "x.part" else name)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(folder / target)
    command = commands(run)[number]
    if type(changes.get("epochs")) is int:
        command = commands(run)[1]  # it could train for ever
    outside.clear()
    allowed[:] = [run, folder / "written"]
    try:
        with pytest.MonkeyPatch.context() as patch, little_memory():
            patch.setattr(socket.socket, "connect", refuse)
            patch.delenv("MINITRAIN_DATA", raising=False)
            patch.chdir(folder)
            status = main(command)
    finally:
        allowed.clear()
    record("a stranger's run", 1, 0)
    assert status in (0, 1, 2)
    assert outside == []
    assert {(folder / name).read_text() for name in ("precious", "folder/precious")} == {"mine"}
    assert sorted(path.name for path in folder.iterdir()) == ["folder", "precious", "run", "written"]

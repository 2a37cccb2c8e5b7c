"""A run's folder, or a file in it, goes at every instant at which the run touches the disk: the run stops cleanly.

The faults come just before the k-th call of a function that touches the disk, in the process itself. Whatever the run
then says, its state is where it says, and resuming from there gives the bits and the lines of an undisturbed run.
"""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minitrain.cli import main
from minitrain.runs import recorder
from minitrain.runs.config import ConfigError
from minitrain.runs.run_files import RunError
from tests.fault_table import record
from tests.harness import outcome

EPOCHS = 2
TRAIN = (
    *("train", "--dataset", "digits", "--epochs", str(EPOCHS), "--batch-size", "750", "--hidden", "4"),
    *("--momentum", "0.9", "--checkpoint-every", "1", "--layers-every", "1", "--out", "run", "--debug"),
)
RESUME = ("train", "--resume", "run", "--epochs", str(EPOCHS), "--debug")
TOUCHING = {
    pathlib.Path: ("open", "replace", "rename", "unlink", "rmdir", "mkdir", "stat", "lstat", "read_bytes"),
    os: ("fsync", "listdir", "scandir", "open", "fstat", "ftruncate"),
    os.path: ("lexists",),
}


Fault = Callable[[int, Any], None]


class Straight(NamedTuple):
    """An undisturbed run: what it leaves, its folder after the first epoch, and how often each way touches the disk."""

    outcome: dict[str, str]
    half: Path
    calls: dict[tuple[str, ...], int]


@contextlib.contextmanager
def touching(fault: Fault) -> Iterator[list[int]]:
    """Inside it, the fault is called with the number of each call that touches the disk, and its path, before that."""
    calls, busy = [0], [False]

    def telling(owner: Any, usual: Any) -> Any:
        def touch(*args: Any, **kwargs: Any) -> Any:
            if not busy[0]:  # the fault touches the disk, too
                busy[0] = True
                calls[0] += 1
                try:
                    fault(calls[0] - 1, args[0])
                except OSError:
                    if owner is not os.path:
                        raise
                    return False
                finally:
                    busy[0] = False
            return usual(*args, **kwargs)

        return touch

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in TOUCHING.items():
            for name in names:
                patch.setattr(owner, name, telling(owner, getattr(owner, name)))
        yield calls


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    """The undisturbed run."""
    folder, calls = tmp_path_factory.mktemp("straight"), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with touching(lambda *_: None) as count:
            assert main([*TRAIN]) == 0
        calls[TRAIN] = count[0]
        assert main([*TRAIN, "--epochs", "1", "--out", "half"]) == 0
        shutil.copytree("half", "resumed/run")
        patch.chdir(folder / "resumed")
        with touching(lambda *_: None) as count:
            assert main([*RESUME]) == 0
        calls[RESUME] = count[0]
    assert outcome(folder / "resumed" / "run") == outcome(folder / "run")
    return Straight(outcome(folder / "run"), folder / "half", calls)


# --- faults -----------------------------------------------------------------------------------------------------------


def there(path: str) -> bool:
    return os.path.islink(path) or os.path.exists(path)


def gone() -> None:
    shutil.rmtree("run", ignore_errors=True)


def moved() -> None:
    if os.path.isdir("run") and not there("moved"):
        os.rename("run", "moved")


def replaced_by_a_file() -> None:
    gone()
    Path("run").write_text("mine")


def replaced_by_a_link_to_nothing() -> None:
    gone()
    os.symlink("nowhere", "run")


def replaced_by_a_loop() -> None:
    gone()
    os.symlink("run", "run")


def replaced_by_an_empty_folder() -> None:
    gone()
    os.mkdir("run")


def replaced_by_a_copy() -> None:
    if os.path.isdir("run") and not there("moved"):
        os.rename("run", "moved")
        shutil.copytree("moved", "run")


def all_gone() -> None:
    for path in Path().glob("run*"):
        shutil.rmtree(path, ignore_errors=True)


def without(name: str) -> Callable[[], None]:
    def fault() -> None:
        shutil.rmtree(f"run/{name}", ignore_errors=True)
        with contextlib.suppress(OSError):
            os.remove(f"run/{name}")

    fault.__name__ = f"without {name}"
    return fault


def linked(name: str) -> Callable[[], None]:
    def fault() -> None:
        if there(f"run/{name}") and not there("moved"):
            os.rename(f"run/{name}", "moved")
            os.symlink("../moved", f"run/{name}")

    fault.__name__ = f"linked {name}"
    return fault


def replace_links() -> None:
    """Replace a link in the run's folder by what it points to, as the message about it says."""
    for path in Path("run").iterdir():
        if path.is_symlink():
            path.unlink()
            os.rename("moved", path)


FILES = ("config.json", "steps.csv", "epochs.csv", "log.txt", ".lock", "model.safetensors")
FAULTS = [
    *(gone, moved, replaced_by_a_file, replaced_by_a_link_to_nothing, replaced_by_a_loop, replaced_by_an_empty_folder),
    *(replaced_by_a_copy, all_gone),
    *(make(name) for name in (*FILES, "checkpoints") for make in (without, linked)),
]


def attempt(
    folder: Path, straight: Straight, command: tuple[str, ...], fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run a command with a fault; check what it says, and that what it left is as good as an undisturbed run."""
    folder.mkdir()
    if command is RESUME:
        shutil.copytree(straight.half, folder / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "PAUSES", (0.001,))
        patch.chdir(folder)
        temporary = folder / "temporary"
        temporary.mkdir()
        patch.setattr("tempfile.tempdir", str(temporary))
        capsys.readouterr()
        try:
            with touching(fault):
                assert main([*command]) == 0
            said = ""
        except (RunError, ConfigError) as error:  # with --debug, all others come up here
            said = str(error)
        out, err = capsys.readouterr()
        if "loss: " in out and "removed, moved or replaced" in said:  # else nothing was trained
            assert "saved in " in said
        for words in ("its state is saved in ", "The complete run is saved in "):
            if words in said:
                saved = said.partition(words)[2]
                if words.startswith("its"):
                    assert main(["train", "--resume", saved, "--debug"]) == 0
                assert outcome(Path(saved)) == straight.outcome
        assert "could not be saved" not in said
        if not said and os.path.isdir("run") and not os.path.islink("run") and os.listdir("run"):
            assert_same(_left(Path("run")), straight, err)
        if said.startswith("cannot") and there("run/config.json"):  # and can again now
            replace_links()
            left = resumed("run")
            assert_same(left, straight, capsys.readouterr().err)
        if os.path.isdir("moved/checkpoints") and os.listdir("moved/checkpoints"):
            assert resumed("moved") == straight.outcome


def assert_same(left: dict[str, str], straight: Straight, err: str) -> None:
    """What is left is as in the undisturbed run, except a file that was gone before a session, which reports that."""
    begun = {name for name in left if f"{name} is not as the run left it; it starts again" in err}
    assert {name: content for name, content in left.items() if name not in begun}.items() <= straight.outcome.items()


def resumed(run: str) -> dict[str, str]:
    """What a run has once it is resumed, or was complete."""
    with contextlib.suppress(ConfigError):
        assert main(["train", "--resume", run, "--epochs", str(EPOCHS), "--debug"]) == 0
    return outcome(Path(run))


def _left(run: Path) -> dict[str, str]:
    try:
        return outcome(run)
    except OSError:  # a file of the complete run was removed after the run's last look at it
        return {}


def at(k: int, fault: Callable[[], None]) -> Fault:
    """The fault at the k-th call."""
    return lambda n, _: fault() if n == k else None


def refused(first: int, last: float) -> Fault:
    """From the first call to the last, nothing in the run's folder can be used: the system refuses it."""

    def fault(n: int, path: Any) -> None:
        if first <= n < last and not isinstance(path, int) and "run" in Path(path).parts:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    return fault


def tried(straight: Straight, command: tuple[str, ...], number: int) -> list[int]:
    """Some of the calls, other ones for each fault."""
    return [*range(number * 7 % 53, straight.calls[command], 173)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_folder_that_goes_at_any_call_loses_nothing(
    fault: Callable[[], None], straight: Straight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (TRAIN, RESUME):
        for k in tried(straight, command, FAULTS.index(fault)):
            attempt(tmp_path / f"{command[1]}-{k}", straight, command, at(k, fault), capsys)
            record("a folder that vanishes, at any call", 1, 0)


def test_checkpoints_that_go_once_they_are_read_are_written_again(
    straight: Straight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(58, 82):  # the run begins there
        attempt(tmp_path / str(k), straight, RESUME, at(k, without("checkpoints")), capsys)
        record("a folder that vanishes, at any call", 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_folder_that_goes_at_each_call_loses_nothing(
    fault: Callable[[], None], straight: Straight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (TRAIN, RESUME):
        for k in range(straight.calls[command] + 1):
            attempt(tmp_path / f"{command[1]}-{k}", straight, command, at(k, fault), capsys)
            shutil.rmtree(tmp_path / f"{command[1]}-{k}")
            record("a folder that vanishes, at any call", 1, 0)


@pytest.mark.parametrize("calls", [1, 2, 20, 100, float("inf")])
def test_a_folder_that_cannot_be_used_for_a_while_loses_nothing(
    calls: float, straight: Straight, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (TRAIN, RESUME):
        for k in tried(straight, command, int(min(calls, 7))):
            attempt(tmp_path / f"{command[1]}-{k}", straight, command, refused(k, k + calls), capsys)
            record("a folder that cannot be used, at any call", 1, 0)

"""verify vouches for everything that later commands read, and raises no false alarm."""

import contextlib
import dataclasses
import io
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import minitrain
from minitrain.cli import main
from minitrain.runs.checkpoints import checkpoints
from minitrain.runs.config import Config, ConfigError
from minitrain.runs.config_file import config_json
from minitrain.runs.directory import RunDirectory
from minitrain.runs.interrupts import Interrupted
from minitrain.runs.recorder import NonFiniteLossError, Recorder
from minitrain.runs.resume import plan_resumption
from minitrain.runs.run import resume, train
from minitrain.runs.run_files import RunError
from minitrain.runs.trained import load_trained
from minitrain.runs.verify import Verification, find_stretch, verify
from minitrain.study.run_record import read_run
from minitrain.torchlike.random import default_generator
from minitrain.with_torch.choose_backend import choose_backend
from tests.fault_table import record

SHORT: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 2,
    "batch_size": 128,
    "hidden": (8,),
    "lr": 0.1,
    "shuffle": True,
}
BATCHES = 12
FILES = ("config.json", "steps.csv", "epochs.csv", "layers.csv", "log.txt", "model.safetensors")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two complete runs, `run` and `other`; copy them, do not change them."""
    folder = tmp_path_factory.mktemp("runs")
    with contextlib.redirect_stdout(io.StringIO()):
        train(Config(**SHORT, layers_every=5), folder / "run")
        train(Config(**{**SHORT, "seed": 1, "lr": 0.01}, layers_every=5), folder / "other")
    return folder


@pytest.fixture
def path(runs: Path, tmp_path: Path) -> Path:
    """A copy of the run."""
    return Path(shutil.copytree(runs / "run", tmp_path / "run"))


def verified(run: Path, *, from_start: bool = False) -> Verification:
    stretch = find_stretch(run, from_start=from_start)
    with choose_backend(stretch.config) as backend:
        return verify(stretch, backend)


def wrong(found: Verification) -> list[str]:
    assert found.repeated, str(found)
    return [finding.name for finding in found.record if not finding.same]


def faults_of(run: Path) -> list[str]:
    """The file that verify names, in its report or its error."""
    try:
        return wrong(verified(run))
    except RunError as error:
        return [name for name in FILES if name in str(error)]


def sealed(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change config.json as someone would who knows its checksum."""
    content = json.loads((run / "config.json").read_text())
    change(content)
    del content["checksum"]
    (run / "config.json").write_bytes(config_json(content))


def saved(file: Path, change: Callable[[Any], Any]) -> None:
    """Change a checkpoint or the weights, and save them with their checksum."""
    state = minitrain.load(file)
    change(state)
    minitrain.save(state, file)


def first(state: Any) -> Any:
    return next(iter(state.values())).array


# --- model.safetensors ------------------------------------------------------------------------------------------------


def exchange_weights(run: Path, runs: Path) -> None:
    shutil.copy(runs / "other" / "model.safetensors", run)


def make_nan(run: Path, runs: Path) -> None:
    saved(run / "model.safetensors", lambda state: first(state).__setitem__((0, 0), np.nan))


def scale(run: Path, runs: Path) -> None:
    saved(run / "model.safetensors", lambda state: first(state).__imul__(1.001))


def leave_out(run: Path, runs: Path) -> None:
    saved(run / "model.safetensors", lambda state: state.popitem())


def remove(run: Path, runs: Path) -> None:
    (run / "model.safetensors").unlink()


def empty(run: Path, runs: Path) -> None:
    (run / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (exchange_weights, "4 of 4 arrays differ from those in"),
        (make_nan, "1 of 4 arrays differ from those in .*; 1 weight is nan or infinite"),
        (scale, "1 of 4 arrays differ from those in"),
        (leave_out, "the arrays have other names than those in"),
        (remove, "is missing, but the run is complete"),
        (empty, "is damaged"),
    ],
)
@pytest.mark.parametrize("from_start", [False, True])
def test_weights_that_are_not_those_of_the_run_are_named(
    change: Callable[[Path, Path], None], told: str, from_start: bool, path: Path, runs: Path
) -> None:
    change(path, runs)
    found = verified(path, from_start=from_start)
    assert (found.ok, wrong(found)) == (False, ["model.safetensors"])
    assert told.split(".*")[0] in str(found)
    assert told.split(".*")[-1] in str(found)
    # The remedy that it names writes them again.
    resume(plan_resumption(path, {}))
    assert verified(path).ok
    assert (path / "model.safetensors").read_bytes() == (runs / "run" / "model.safetensors").read_bytes()
    assert (path / "log.txt").read_bytes() == (runs / "run" / "log.txt").read_bytes()
    record("weights exchanged or edited", 1, 0)


def test_the_command_fails_and_ends_with_what_is_not_as_the_run_left_it(
    path: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange_weights(path, runs)
    assert main(["verify", str(path)]) == 1
    assert capsys.readouterr().out.endswith(
        "The repeated steps gave the same bits, but the run did not leave model.safetensors like this.\n"
    )


@pytest.mark.parametrize("command", ["evaluate", "export", "predict", "report"])
def test_other_commands_say_that_the_weights_are_not_those_of_the_last_checkpoint(
    command: str, path: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.radial_gradient("L").point(lambda value: 255 - value).save(tmp_path / "spot.png")
    options = {
        "evaluate": [],
        "export": [str(tmp_path / "x.safetensors"), "--force"],
        "predict": [str(tmp_path / "spot.png")],
        "report": ["-o", str(tmp_path / "page.html")],
    }
    assert main([command, str(path), *options[command]]) == 0
    assert "warning" not in capsys.readouterr().err
    exchange_weights(path, runs)
    assert main([command, str(path), *options[command]]) == 0
    err = capsys.readouterr().err
    assert f"minitrain: warning: {path}/model.safetensors: not what the run has trained: 4 of 4 arrays" in err
    scale(path, runs)
    saved(path / "model.safetensors", lambda state: first(state).fill(np.inf))
    main([command, str(path), *options[command]])
    assert "512 weights are nan or infinite" in capsys.readouterr().err
    checkpoints(path)[-1].write_bytes(b"")
    main([command, str(path), *options[command]])
    assert "cannot be compared with the last checkpoint" in capsys.readouterr().err


# --- tables, log, configuration ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["steps.csv", "epochs.csv", "layers.csv", "log.txt"])
def test_a_line_after_the_end_and_every_edit_before_it_are_named(name: str, path: Path) -> None:
    content = (path / name).read_bytes()
    (path / name).write_bytes(content + b"4,0.99,0.01,1.0\n")
    found = verified(path)
    assert wrong(found) == [name]
    assert "after the last checkpoint, not written by the run: " in str(found)
    lines = content.splitlines(keepends=True)
    for n in {0, 1, len(lines) - 1}:
        before, line, after = lines[:n], lines[n], lines[n + 1 :]
        for edited in ([*before, *after], [*before, line, line, *after], [*before, b"1", line, *after]):
            (path / name).write_bytes(b"".join(edited))
            assert faults_of(path) == [name]
    (path / name).unlink()
    with pytest.raises(RunError, match=rf"there is no .*{name}"):
        verified(path)
    record("a line of a table added or edited", 10, 0)


def test_the_repeated_lines_of_the_log_are_compared_too(path: Path) -> None:
    log = path / "log.txt"
    log.write_text(log.read_text()[::-1].replace("Accuracy: "[::-1], "Accuracy:1"[::-1], 1)[::-1])
    content = log.read_bytes().removesuffix(b"Done!\n")
    last = checkpoints(path)[-1]
    saved(last, lambda state: state["lines"].update({"log.txt": [len(content), zlib.crc32(content)]}))
    found = verified(path)
    assert found.lines["log.txt"][1] is not None
    assert not found.ok


CONFIG_EDITS: dict[str, Any] = {
    "lr": 0.5,
    "momentum": 0.9,
    "weight_decay": 0.1,
    "epochs": 9,
    "seed": 7,
    "hidden": [9],
    "batch_size": 64,
    "shuffle": False,
    "optimizer": "adam",
    "checkpoint_every": 3,
    "on_nan": "continue",
    "layers_every": 1,
    "data_dir": "/elsewhere",
    "backend": "torch",
    "scheduler": "exponential",
}


@pytest.mark.parametrize("name", CONFIG_EDITS)
def test_settings_other_than_the_checkpoints_are_named(name: str, path: Path) -> None:
    sealed(path, lambda content: content.update({name: CONFIG_EDITS[name]}))
    try:
        named = wrong(verified(path))
    except RunError as error:
        named = ["config.json"] if name in str(error) else []
    assert named == ["config.json"]
    record("a setting edited, with the checksum", 1, 0)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"lr": 1}, "has 1 for lr, which must be float"),
        ({"lr": -1.0}, "lr must be a finite number"),
        ({"epochs": 2.0}, "has 2.0 for epochs, which must be int"),
        ({"hidden": "8"}, "has '8' for hidden"),
        ({"more": 1}, "has 'more', which is not a setting"),
        ({"lr": None}, "for lr"),
        ({"format": 2}, "its format is 2, but this minitrain reads 1"),
        ({"sessions": []}, "its sessions are not what minitrain writes"),
    ],
)
def test_a_wrong_configuration_is_refused_by_every_command_in_the_same_words(
    values: dict[str, Any], told: str, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed(path, lambda content: content.update(values))
    before = (path / "config.json").read_bytes()
    errors = set()
    run, out = str(path), str(tmp_path / "out")
    newest = str(checkpoints(path)[-1])
    for command in (
        ["evaluate", run],
        ["predict", run, "x.png"],
        ["export", run, out],
        ["verify", run],
        ["report", run, "-o", out],
        ["step", run],
        ["train", "--resume", run],
        ["train", "--resume", newest],
        ["train", "--resume", run, "--epochs", "9", "--lr", "0.2", "--override"],
    ):
        assert main(command) == 1, command
        errors.add(capsys.readouterr().err)
    assert len(errors) == 1
    assert told in next(iter(errors))
    assert (path / "config.json").read_bytes() == before
    # The remedy that it names.
    (path / "config.json").rename(path / "config.old")
    assert main(["train", "--resume", run]) == 0
    assert verified(path).ok
    record("a setting mistyped, unknown or out of range", 9, 0)


def test_a_missing_setting_is_refused_by_name(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed(path, lambda content: content.pop("momentum"))
    for command in (["evaluate", str(path)], ["train", "--resume", str(path), "--epochs", "5"], ["verify", str(path)]):
        assert main(command) == 1
        assert "has no momentum" in capsys.readouterr().err


# --- resuming and going back ------------------------------------------------------------------------------------------


def quiet(*arguments: str) -> int:
    with contextlib.redirect_stdout(io.StringIO()):
        return main([*arguments])


def test_a_run_returns_to_before_an_override_with_what_held_there(
    path: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = Path(shutil.copytree(path, tmp_path / "straight"))
    assert quiet("train", "--resume", str(straight), "--epochs", "3") == 0
    assert quiet("train", "--resume", str(path), "--epochs", "3", "--lr", "5e-4", "--override") == 0
    capsys.readouterr()
    checkpoint = str(path / "checkpoints" / f"{2 * BATCHES:09d}.safetensors")
    assert quiet("train", "--resume", checkpoint) == 0
    assert "minitrain: lr 0.1 as in this checkpoint; config.json has 0.0005\n" in capsys.readouterr().err
    for name in ("model.safetensors", "steps.csv", "log.txt"):
        assert (path / name).read_bytes() == (straight / name).read_bytes()
    assert json.loads((path / "config.json").read_text())["lr"] == 0.1
    assert verified(path).ok
    # Given again, it is an override again.
    assert quiet("train", "--resume", checkpoint, "--lr", "5e-4") == 2
    assert "run was started with lr 0.1, not 0.0005" in capsys.readouterr().err
    assert quiet("train", "--resume", checkpoint, "--lr", "5e-4", "--override") == 0
    assert "as in this checkpoint" not in capsys.readouterr().err
    assert verified(path).ok


def test_settings_that_no_session_has_changed_are_not_trained_with(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sealed(path, lambda content: content.update(lr=0.5))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert quiet("train", "--resume", str(path), "--epochs", "4") == 1
    err = capsys.readouterr().err
    assert "config.json has lr 0.5, not 0.1 as in the last checkpoint, but no session of the run changed that" in err
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    command = err.rpartition("use the checkpoint's settings: minitrain ")[2].split()
    assert quiet(*command) == 0
    assert "lr 0.1 as in this checkpoint; config.json has 0.5" in capsys.readouterr().err
    assert verified(path).ok
    record("a setting edited, with the checksum", 1, 0)


def killed(run: Path, after: int, *arguments: str) -> None:
    """Train as a process that is killed after so many updates of this session would: nothing is written after that."""

    class Killed(BaseException):
        pass

    def update(self: Any, *given: Any, **named: Any) -> None:
        if after <= 0:
            raise Killed
        count[0] += 1
        original(self, *given, **named)
        if count[0] == after:
            self._directory.flush(sync=False)
            raise Killed

    count, original = [0], Recorder.after_update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "after_update", update)
        with pytest.raises(Killed):
            quiet("train", "--resume", str(run), *arguments)


def test_an_override_that_was_killed_before_it_saved_anything_is_no_fault(path: Path) -> None:
    killed(path, 0, "--epochs", "3", "--lr", "0.01", "--override")
    found = verified(path)
    assert found.ok
    assert "a session has changed epochs from 2 to 3, lr from 0.1 to 0.01 since" in str(found)
    killed(path, 0, "--lr", "0.02", "--override")
    assert verified(path).ok
    assert quiet("train", "--resume", str(path)) == 0
    assert json.loads((path / "config.json").read_text())["lr"] == 0.02
    assert verified(path).ok


def test_lines_after_the_last_checkpoint_of_an_unfinished_run_are_counted_and_no_fault(path: Path) -> None:
    killed(path, 7, "--epochs", "3")
    found = verified(path)
    assert found.ok
    assert "25 lines are as the run wrote them; 7 after the last checkpoint are not verified" in str(found)
    assert verified(path, from_start=True).ok


def test_a_run_that_is_being_trained_is_verified_at_any_moment(tmp_path: Path) -> None:
    found = []

    def look(self: Any, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        if self._updates in (9, 13, 24):
            state = default_generator.get_state()
            found.append(verified(self._directory.path).ok)
            default_generator.set_state(state)

    def about_to_end(self: Any, weights: Any) -> None:
        found.append(verified(self.path).ok)
        save_weights(self, weights)

    original, save_weights = Recorder.after_update, RunDirectory.save_weights
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "after_update", look)
        patch.setattr(RunDirectory, "save_weights", about_to_end)
        train(Config(**SHORT, checkpoint_every=4), tmp_path / "run")
    assert found == [True] * 4
    assert verified(tmp_path / "run").ok


def test_a_run_stopped_by_a_nan_under_new_settings_is_verified_with_those_that_trained_it(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError):
        train(Config(**{**SHORT, "lr": 1e25}), tmp_path / "run")
    assert verified(tmp_path / "run").ok
    for lr in ("0.1", "0.2"):
        assert quiet("train", "--resume", str(tmp_path / "run"), "--lr", lr, "--override") == 1
        assert verified(tmp_path / "run").ok
    assert quiet("train", "--resume", str(tmp_path / "run"), "--on-nan", "continue") == 0
    assert verified(tmp_path / "run").ok


@pytest.mark.parametrize(
    "options",
    [
        {"checkpoint_every": 5},
        {"scheduler": "plateau", "gamma": 0.5, "patience": 0},
        {"scheduler": "onecycle"},
        {"optimizer": "adam", "lr": 0.001, "checkpoint_every": 7},
        {"layers_every": 0},
        {"shuffle": False},
        {"backend": "torch", "device": "cpu"},
        {"backend": "torch", "device": "cpu", "optimizer": "adam", "scheduler": "cosine"},
    ],
)
def test_no_false_alarm(options: dict[str, Any], tmp_path: Path) -> None:
    config = Config(**{**SHORT, **options})
    run, after = tmp_path / "run", 20

    def stop(self: Any, *given: Any, **named: Any) -> None:
        original(self, *given, **named)
        if self._updates == after:
            self.interrupts.signal = 2

    original = Recorder.after_update
    with choose_backend(config) as backend:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Interrupted):
            patch.setattr(Recorder, "after_update", stop)
            train(config, run, backend)
        assert verified(run).ok
        assert verified(run, from_start=True).ok
        resume(plan_resumption(run, {}), backend)
    for from_start in (False, True):
        found = verified(run, from_start=from_start)
        assert found.ok, str(found)
    record("verify of an untouched run", 4, 0)


# --- a search ---------------------------------------------------------------------------------------------------------


class Uses(NamedTuple):
    """What later commands give, as checksums; 0 for a run that is refused."""

    weights: int
    evaluation: int
    tables: int
    resumed: int
    returned: int


def crc(value: object) -> int:
    return zlib.crc32(repr(value).encode())


def uses(run: Path, scratch: Path) -> Uses:
    """What evaluate, export, report, resuming and returning to the older checkpoint give."""
    model = load_trained(run)
    found = read_run(run)
    assert found.tested is not None
    layers = [[*map(str, dataclasses.astuple(layer))] for layer in found.layers]
    tables = [found.steps.tolist(), found.epochs[:, :3].tolist(), layers]
    longer = [trained_on(run, scratch / "resumed", "", "--epochs", "3")]
    older = checkpoints(run)[0].name
    longer.append(trained_on(run, scratch / "returned", f"checkpoints/{older}"))
    weights = {name: tensor.array.tobytes() for name, tensor in model.model.state_dict().items()}
    return Uses(crc(weights), crc(str(found.tested.evaluation)), crc(tables), *longer)


def trained_on(run: Path, copy: Path, at: str, *options: str) -> int:
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(run, copy)
    if quiet("train", "--resume", str(copy / at), *options) != 0:
        return 0
    seconds = b"\n".join(line.rpartition(b",")[0] for line in (copy / "epochs.csv").read_bytes().splitlines())
    return crc([seconds, *((copy / name).read_bytes() for name in FILES[1:] if name != "epochs.csv")])


@pytest.fixture(scope="module")
def usual(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Uses:
    """What later commands give for the untouched run."""
    found = uses(runs / "run", tmp_path_factory.mktemp("usual"))
    assert found.resumed
    assert found.returned
    return found


NAMES = (*FILES, *(f"checkpoints/{updates:09d}.safetensors" for updates in (BATCHES, 2 * BATCHES)))
STATE_EDITS: list[Callable[[Any], Any]] = [
    lambda state: first(state["model"]).__imul__(1.01),
    lambda state: first(state["model"]).__setitem__((0, 0), np.nan),
    lambda state: state["model"].popitem(),
    lambda state: state["position"].update(updates=state["position"]["updates"] + 1),
    lambda state: state["position"].update(epoch=state["position"]["epoch"] + 1),
    lambda state: state["position"].update(losses=[1.0]),
    lambda state: state["position"].update(batch=3, under_way=True),
    lambda state: state["config"].update(lr=0.3),
    lambda state: state["config"].update(epochs=5),
    lambda state: state["config"].update(batch_size=64),
    lambda state: state["config"].update(checkpoint_every=4),
    lambda state: state["generator"].array.__setitem__(20, state["generator"].array[20] ^ 1),
    lambda state: state["lines"].update({"steps.csv": [26, zlib.crc32(b"epoch,batch,samples,loss\n1")]}),
    lambda state: state["lines"].update({"log.txt": [0, 0]}),
    lambda state: state["lines"].update({"layers.csv": [0, 0]}),
    lambda state: state["loader"].update({"pass": None}),
    lambda state: state["optimizer"].update(state={0: {"momentum_buffer": minitrain.ones(8, 64)}}),
    lambda state: state.update(schedule={"lr": [0.5], "progress": {}}),
    lambda state: state.pop("schedule"),
]
SESSION_EDITS: list[Callable[[Any], Any]] = [
    lambda content: content["sessions"].clear(),
    lambda content: content["sessions"][0].update(updates=99),
    lambda content: content["sessions"][0].update(changes={"lr": [0.1, 0.5]}),
    lambda content: content["sessions"].append(content["sessions"][0]),
    lambda content: content.update(lr=0.5, sessions=[{**content["sessions"][0], "changes": {"lr": [0.1, 0.5]}}]),
    lambda content: content.pop("lr"),
    lambda content: content.update(lr=1, more=[]),
]


class Edit(NamedTuple):
    """An edit of a run's folder. place: from 0 to 1, where in the file. number: what to write, or which edit."""

    kind: str
    name: str
    place: float
    number: int

    def make(self, run: Path, other: Path) -> None:
        """Change the folder."""
        file = run / self.name
        content = file.read_bytes() if file.is_file() else b""
        at = int(self.place * len(content))
        lines = content.splitlines(keepends=True)
        line = int(self.place * len(lines))
        if self.kind == "flip":
            file.write_bytes(
                content[:at] + bytes([content[at] ^ (self.number % 255 + 1)]) + content[at + 1 :] if content else b""
            )
        elif self.kind == "cut":
            file.write_bytes(content[:at])
        elif self.kind == "append":
            file.write_bytes(content + [b"\n", b"1,1,1,1\n", b"x", b"Done!\n", b"\0"][self.number % 5])
        elif self.kind == "leave out a line":
            file.write_bytes(b"".join(lines[:line] + lines[line + 1 :]))
        elif self.kind == "repeat a line":
            file.write_bytes(b"".join(lines[: line + 1] + lines[line:]))
        elif self.kind == "change a digit":
            digits = [n for n, byte in enumerate(content) if chr(byte).isdigit()]
            if digits:
                n = digits[int(self.place * len(digits))]
                file.write_bytes(content[:n] + str(self.number % 10).encode() + content[n + 1 :])
        elif self.kind == "remove":
            file.unlink(missing_ok=True)
        elif self.kind == "exchange":
            shutil.copy(other / self.name, file)
        elif self.kind == "copy over":
            if content:
                (run / NAMES[self.number % len(NAMES)]).write_bytes(content)
        elif self.kind == "another checkpoint":
            shutil.copy(run / NAMES[-1 - self.number % 2], run / f"checkpoints/{int(100 * self.place):09d}.safetensors")
        elif self.kind == "settings":
            name = [*CONFIG_EDITS][self.number % len(CONFIG_EDITS)]
            sealed(run, lambda content: content.update({name: CONFIG_EDITS[name]}))
        elif self.kind == "sessions":
            sealed(run, SESSION_EDITS[self.number % len(SESSION_EDITS)])
        elif self.kind == "state":
            saved(run / NAMES[-1 - int(2 * self.place)], STATE_EDITS[self.number % len(STATE_EDITS)])
        elif self.kind == "weights":
            change = [scale, make_nan, leave_out][self.number % 3]
            change(run, other)


KINDS = (
    *(
        "flip",
        "cut",
        "append",
        "leave out a line",
        "repeat a line",
        "change a digit",
        "remove",
        "exchange",
        "copy over",
    ),
    *("another checkpoint", "settings", "sessions", "state", "weights"),
)
EDITS = st.builds(
    Edit,
    st.sampled_from(KINDS),
    st.sampled_from(NAMES),
    st.floats(0, 1, exclude_max=True),
    st.integers(0, 1000),
)


def check_edits(edits: list[Edit], from_start: bool, runs: Path, usual: Uses, scratch: Path) -> None:
    """Fail if verify says the same, and a later command gives something else without an error."""
    run = scratch / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(runs / "run", run)
    for edit in edits:
        # A file that is gone, or that an earlier edit has damaged.
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            edit.make(run, runs / "other")
    record("any edit of a run's folder", 1, 0)
    try:
        report = verified(run, from_start=from_start)
    except (RunError, ConfigError):
        return
    if not report.ok:
        return
    found = uses(run, scratch)
    if "not verified" in str(report):  # the weights and the last lines are gone: it is like a run that was killed
        assert found.resumed == usual.resumed
        return
    assert found in (usual, usual._replace(returned=0))  # the older checkpoint may be gone


SEARCH = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}


@example(
    edits=[Edit("remove", "model.safetensors", 0, 0), Edit("remove", "checkpoints/000000024.safetensors", 0, 0)],
    from_start=False,
)
@example(edits=[Edit("copy over", "checkpoints/000000012.safetensors", 0, 5)], from_start=False)
@given(edits=st.lists(EDITS, min_size=1, max_size=2), from_start=st.booleans())
@settings(max_examples=60, **SEARCH)
def test_whatever_is_edited_verify_says_the_same_only_if_all_is_the_same(
    edits: list[Edit], from_start: bool, runs: Path, usual: Uses, tmp_path: Path
) -> None:
    check_edits(edits, from_start, runs, usual, tmp_path)


@pytest.mark.slow
@given(edits=st.lists(EDITS, min_size=1, max_size=3), from_start=st.booleans())
@settings(max_examples=2000, **SEARCH)
def test_whatever_is_edited_verify_says_the_same_only_if_all_is_the_same_longer(
    edits: list[Edit], from_start: bool, runs: Path, usual: Uses, tmp_path: Path
) -> None:
    check_edits(edits, from_start, runs, usual, tmp_path)


@pytest.mark.parametrize("name", NAMES[-2:])
@pytest.mark.parametrize("number", range(len(STATE_EDITS)))
def test_an_edited_state_is_named_or_makes_no_difference(
    name: str, number: int, runs: Path, usual: Uses, tmp_path: Path
) -> None:
    edit = Edit("state", name, 0.5 * (name == NAMES[-2]), number)
    check_edits([edit], number % 2 == 1, runs, usual, tmp_path)

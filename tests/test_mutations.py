"""Every kind of file that minitrain reads is damaged at random; each case ends in a clean error or in a right read.

A clean error is of the type that the reader documents, fits on a line and names the file. A right read gives what the
good file held. Anything else is a loss: another exception, a wrong result, memory out of proportion, a case that does
not end. Thousands of cases for each kind: pytest -m slow tests/test_mutations.py
"""

import contextlib
import faulthandler
import json
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import safetensors.numpy

import minitrain
from minitrain import nn, optim
from minitrain.data import DataError, datasets
from minitrain.data.datasets import read_digits
from minitrain.learn import workspace
from minitrain.learn.workspace import LearnError, Workspace
from minitrain.runs.checkpoints import read_checkpoint, read_last_good
from minitrain.runs.config import Config
from minitrain.runs.config_file import read_config, read_sessions
from minitrain.runs.directory import RunDirectory
from minitrain.runs.run import train
from minitrain.runs.run_files import CHECKPOINTS, RunError
from minitrain.runs.trained import load_trained
from minitrain.tensor import Tensor
from tests import fault_table
from tests.test_datasets import PACKED, UNPACKED, Small, put
from tests.test_workspace import ADAM, EXERCISES, LINEAR, RELU

QUICK, THOROUGH = 120, 3000  # cases for each kind of file
SECONDS = 60  # that one case may take before all is ended, with a traceback that shows where it hangs
MEMORY = "bytes of memory for a file of"


# --- damage -----------------------------------------------------------------------------------------------------------


def flip_bits(content: bytes, rng: random.Random) -> bytes:
    """Turn over 1 to 4 bits."""
    damaged = bytearray(content)
    for bit in rng.sample(range(8 * len(content)), rng.randint(1, 4)):
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def cut_off(content: bytes, rng: random.Random) -> bytes:
    """Keep a random length, as likely near the beginning or near the end as within."""
    length = rng.choice([rng.randrange(len(content)), rng.randrange(64), len(content) - rng.randint(1, 64)])
    return content[: max(0, min(length, len(content) - 1))]


def insert(content: bytes, rng: random.Random) -> bytes:
    """Put 1 to 40 random bytes, or some of its own, anywhere."""
    place, length = rng.randint(0, len(content)), rng.randint(1, 40)
    start = rng.randrange(len(content))
    inserted = rng.choice([rng.randbytes(length), content[start : start + length]])
    return content[:place] + inserted + content[place:]


def zero_a_block(content: bytes, rng: random.Random) -> bytes:
    """Write zeros over a stretch, as a lost sector leaves it."""
    start, length = rng.randrange(len(content)), rng.choice([1, 8, 64, 512])
    return content[:start] + bytes(len(content[start : start + length])) + content[start + length :]


def swap_blocks(content: bytes, rng: random.Random) -> bytes:
    """Let two stretches of the same length change places."""
    length = rng.choice([1, 8, 64, 512])
    length = min(length, len(content) // 2)
    first = rng.randint(0, len(content) - 2 * length)
    second = rng.randint(first + length, len(content) - length)
    between = content[first + length : second]
    blocks = content[second : second + length] + between + content[first : first + length]
    return content[:first] + blocks + content[second + length :]


def append(content: bytes, rng: random.Random) -> bytes:
    """Add random bytes, zeros or the file's own first ones behind its end."""
    length = rng.randint(1, 100)
    return content + rng.choice([rng.randbytes(length), bytes(length), content[:length]])


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits flipped in a file": flip_bits,
    "a file cut off": cut_off,
    "bytes inserted into a file": insert,
    "a block of a file zeroed": zero_a_block,
    "blocks of a file swapped": swap_blocks,
    "garbage appended to a file": append,
}


# --- the kinds of files -----------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A kind of file.

    make: writes a good one into an empty folder, with all that belongs to it, and returns its path.
    read: reads it, and returns what it holds, in a form that == compares bit for bit.
    error: what read raises for a file that is damaged.
    right: whether what was read from these bytes is right, where that is not what the good file holds.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    error: type[Exception]
    right: Callable[[bytes, Any], bool] = lambda damaged, read: False


def bits(thing: Any) -> Any:
    """Tensors, and what they lie in, as values that == compares bit for bit; repr tells 1, 1.0 and True apart."""
    if isinstance(thing, Tensor | np.ndarray):
        array = np.asarray(thing)
        return (array.dtype.str, array.shape, array.tobytes())
    if isinstance(thing, dict):
        return [(repr(key), bits(part)) for key, part in thing.items()]
    if isinstance(thing, list | tuple):
        return [type(thing).__name__, *map(bits, thing)]
    return repr(thing)


def model_and_optimizer() -> tuple[nn.Module, optim.Optimizer]:
    minitrain.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    model(minitrain.rand(4, 20)).sum().backward()
    optimizer.step()
    return model, optimizer


def make_weights(folder: Path) -> Path:
    minitrain.save(model_and_optimizer()[0].state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


def make_nested(folder: Path) -> Path:
    model, optimizer = model_and_optimizer()
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        "losses": [0.5, float("inf")],
    }
    minitrain.save(state, folder / "state.safetensors")
    return folder / "state.safetensors"


def make_foreign(folder: Path) -> Path:
    state = {name: np.asarray(tensor).copy() for name, tensor in model_and_optimizer()[0].state_dict().items()}
    state |= {"steps": np.arange(5), "mask": np.array([True, False, True])}
    safetensors.numpy.save_file(state, folder / "foreign.safetensors", {"format": "np"})
    return folder / "foreign.safetensors"


def read_tensors(path: Path) -> Any:
    return bits(minitrain.load(path))


def as_safetensors_reads(damaged: bytes, read: Any) -> bool:
    """Other programs' files have no checksum: what is read is right where safetensors itself reads the same."""
    try:
        theirs = safetensors.numpy.load(damaged)
    except safetensors.SafetensorError:
        return False
    return sorted(read) == sorted((repr(name), bits(array)) for name, array in theirs.items())


def make_idx(folder: Path) -> Path:
    return put(folder, UNPACKED) / "train-images-idx3-ubyte"


def make_packed_idx(folder: Path) -> Path:
    return put(folder, PACKED) / "t10k-images-idx3-ubyte.gz"


def make_packed_labels(folder: Path) -> Path:
    return put(folder, PACKED) / "t10k-labels-idx1-ubyte.gz"


def read_small(path: Path) -> Any:
    data = Small(path.parents[2], train=path.name.startswith("train"))
    return bits([data.data, data.targets])


def make_digits(folder: Path) -> Path:
    return Path(shutil.copy(Path(datasets.__file__).with_name("digits.npz"), folder))


def make_progress(folder: Path) -> Path:
    mine = workspace.start(str(folder), EXERCISES).workspace
    for exercise, passed in [(RELU, True), (ADAM, False), (ADAM, False), (LINEAR, True)]:
        mine.record(exercise, b"a body", passed=passed)
        mine.record_hint(exercise)
    return folder / workspace.PROGRESS


def read_progress(path: Path) -> Any:
    return Workspace(path.parent, EXERCISES).standings()


def a_run(folder: Path) -> Path:
    """A run that is complete."""
    run = folder / "run"
    with contextlib.redirect_stdout(None):
        train(Config(dataset="digits", epochs=2, batch_size=500, hidden=(8,), momentum=0.9, shuffle=True), run)
    return run


def make_config(folder: Path) -> Path:
    return a_run(folder) / "config.json"


def read_run_config(path: Path) -> Any:
    return bits([vars(read_config(path.parent)), read_sessions(path.parent)])


def make_run_weights(folder: Path) -> Path:
    return a_run(folder) / "model.safetensors"


def read_run_weights(path: Path) -> Any:
    return bits(load_trained(path.parent).model.state_dict())


def make_checkpoint(folder: Path) -> Path:
    return sorted((a_run(folder) / CHECKPOINTS).iterdir())[-1]


def read_run_checkpoint(path: Path) -> Any:
    checkpoint = read_checkpoint(path)
    return bits([checkpoint.state, vars(checkpoint.config), checkpoint.places])


def make_lines(name: str) -> Callable[[Path], Path]:
    return lambda folder: a_run(folder) / name


def read_lines(path: Path) -> Any:
    """As a run that goes on reads them: what is damaged is put aside, which is said, and begun anew."""
    checkpoint, _ = read_last_good(path.parent)
    assert checkpoint is not None
    with RunDirectory(path.parent) as directory:
        said = directory.begin_lines(checkpoint.places)
    for aside in path.parent.glob("*.damaged-*"):
        aside.unlink()
    if said:
        raise RunError("; ".join(said))
    return path.read_bytes()


KINDS = [
    Kind("weights", make_weights, read_tensors, ValueError),
    Kind("a nested state", make_nested, read_tensors, ValueError),
    Kind("another program's safetensors", make_foreign, read_tensors, ValueError, as_safetensors_reads),
    Kind("IDX", make_idx, read_small, DataError),
    Kind("IDX.gz of images", make_packed_idx, read_small, DataError),
    Kind("IDX.gz of labels", make_packed_labels, read_small, DataError),
    Kind("digits.npz", make_digits, lambda path: bits(read_digits(path)), DataError),
    Kind("progress", make_progress, read_progress, LearnError),
    Kind("config.json", make_config, read_run_config, RunError),
    Kind("a run's weights", make_run_weights, read_run_weights, RunError),
    Kind("a run's checkpoint", make_checkpoint, read_run_checkpoint, RunError),
    *(Kind(name, make_lines(name), read_lines, RunError) for name in ("steps.csv", "epochs.csv", "log.txt")),
]


# --- the harness ------------------------------------------------------------------------------------------------------


class Case(NamedTuple):
    """One damaged file: what was done to it, and what was lost by that, in words; "" for nothing."""

    damage: str
    loss: str


def try_damages(kind: Kind, folder: Path, tries: int, seed: int = 0) -> list[Case]:
    """Damage a good file in so many ways, one after the other, and read it each time."""
    path = kind.make(folder)
    good = path.read_bytes()
    content = kind.read(path)
    rng = random.Random(f"{kind.name} {seed}")
    cases = []
    tracemalloc.start()  # once: it must not begin or end while faulthandler's thread does
    for number in range(tries):
        damage = [*DAMAGES][number % len(DAMAGES)]
        damaged = DAMAGES[damage](good, rng)
        for _ in range(3):  # an import, a collection of garbage, another thread take memory once; a reader, each time
            path.write_bytes(damaged)
            if MEMORY not in (loss := loss_of(kind, path, damaged, content)):
                break
        cases.append(Case(damage, loss and f"{kind.name}, case {number} of seed {seed}, {damage}: {loss}"))
    tracemalloc.stop()
    return cases


def loss_of(kind: Kind, path: Path, damaged: bytes, content: Any) -> str:
    """What goes wrong when the damaged file is read, in words; "" if nothing does."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        read = kind.read(path)
    except kind.error as error:
        return fault_of(error, path)
    except BaseException as error:
        return f"{type(error).__name__}, not {kind.error.__name__}: {error}"
    finally:
        _, peak = tracemalloc.get_traced_memory()
        faulthandler.cancel_dump_traceback_later()
        if peak - before > 10 * len(damaged) + 2**21:
            return f"{peak - before} {MEMORY} {len(damaged)}"  # noqa: B012  # it outweighs the rest
    return "" if read == content or kind.right(damaged, read) else "it was read, and wrong"


def fault_of(error: Exception, path: Path) -> str:
    """What is wrong with an error, in words; "" if nothing is."""
    text = str(error)
    if path.name not in text:
        return f"the error does not name the file: {text}"
    if not text.isprintable() or not len(f"{path}") + 10 < len(text) < 1000:
        return f"the error is no line that says what is wrong: {text!r}"
    return ""


def check(kind: Kind, folder: Path, tries: int, seed: int) -> None:
    """Raise AssertionError with all that was lost; put the counts into the table of faults."""
    cases = try_damages(kind, folder, tries, seed)
    losses = [case.loss for case in cases if case.loss]
    for damage, count in Counter(case.damage for case in cases).items():
        fault_table.record(damage, count, sum(case.damage == damage and case.loss != "" for case in cases))
    assert not losses, "\n".join([f"{len(losses)} of {tries}", *losses[:5]])


@pytest.fixture(autouse=True)
def without_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some readers write, too; what a loss of power leaves is not what is tested here."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


kinds = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


@kinds
def test_a_damaged_file_is_refused_or_rightly_read(kind: Kind, tmp_path: Path) -> None:
    check(kind, tmp_path, QUICK, seed=0)


@pytest.mark.slow
@kinds
@pytest.mark.parametrize("seed", [1, 2])
def test_a_file_damaged_in_thousands_of_ways_is_refused_or_rightly_read(kind: Kind, seed: int, tmp_path: Path) -> None:
    check(kind, tmp_path, THOROUGH, seed)


def test_where_the_newest_checkpoint_is_damaged_the_one_before_it_is_offered(tmp_path: Path) -> None:
    run = a_run(tmp_path)
    before, newest = sorted((run / CHECKPOINTS).iterdir())
    good = newest.read_bytes()
    expected = bits(read_checkpoint(before).state)
    rng = random.Random(0)
    for damage in DAMAGES.values():
        newest.write_bytes(damage(good, rng))
        if newest.read_bytes() == good:
            continue
        offered, faults = read_last_good(run)
        assert offered is not None
        assert (offered.path, bits(offered.state)) == (before, expected)
        assert [newest.name in fault for fault in faults] == [True]


# --- the harness itself -----------------------------------------------------------------------------------------------


def make_json(folder: Path) -> Path:
    (folder / "file.json").write_text(json.dumps({"numbers": [*range(1000)]}))
    return folder / "file.json"


def without_a_checksum(path: Path) -> Any:
    return json.loads(path.read_bytes())


def naming_the_file(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {str(error)!r}") from None


def on_two_lines(path: Path) -> Any:
    raise ValueError(f"{path}\nis damaged")


def saying_nothing(path: Path) -> Any:
    raise ValueError(f"{path}!")


def greedy(path: Path) -> Any:
    bytearray(10**7)
    raise ValueError(f"{path} is damaged, and took memory")


def trusting_weights(path: Path) -> Any:
    return bits(safetensors.numpy.load(path.read_bytes()))


@pytest.mark.parametrize(
    ("make", "read", "told"),
    [
        (make_json, naming_the_file, "it was read, and wrong"),
        (make_json, without_a_checksum, "does not name the file"),
        (make_json, on_two_lines, "no line that says what is wrong"),
        (make_json, saying_nothing, "no line that says what is wrong"),
        (make_json, greedy, MEMORY),
        (make_weights, trusting_weights, "SafetensorError, not ValueError"),
        (make_weights, trusting_weights, "it was read, and wrong"),
    ],
)
def test_the_harness_finds_a_reader_that_is_not_as_it_should_be(
    make: Callable[[Path], Path], read: Callable[[Path], Any], told: str, tmp_path: Path
) -> None:
    def read_the_good_one_well(path: Path) -> Any:
        first = not hasattr(read_the_good_one_well, "called")
        read_the_good_one_well.called = True  # type: ignore[attr-defined]
        return None if first else read(path)

    known = read not in (naming_the_file, trusting_weights)
    kind = Kind("a bad reader", make, read_the_good_one_well if known else read, ValueError)
    assert any(told in case.loss for case in try_damages(kind, tmp_path, 60))


def test_memory_that_is_taken_once_is_not_the_reader_s(tmp_path: Path) -> None:
    reads = []

    def importing(path: Path) -> Any:
        reads.append(path)
        if len(reads) == 1:
            return None
        if len(reads) == 5:
            bytearray(10**7)
        raise ValueError(f"{path} is damaged")

    cases = try_damages(Kind("a reader that imports", make_json, importing, ValueError), tmp_path, 10)
    assert [case.loss for case in cases] == [""] * 10
    assert len(reads) == 12  # the good one, ten damaged ones, and the one that took memory again


HANGS = """
import time
from pathlib import Path
from tests import test_mutations as this
this.SECONDS = 1
this.loss_of(this.Kind("a bad reader", None, lambda path: time.sleep(60), ValueError), Path(), b"", 0)
"""


def test_the_harness_ends_a_reader_that_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS], capture_output=True, text=True, check=False, timeout=50)
    assert ended.returncode != 0
    assert "Timeout" in ended.stderr
    assert "loss_of" in ended.stderr


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_each_damage_changes_nearly_every_file(damage: Callable[[bytes, random.Random], bytes]) -> None:
    rng = random.Random(0)
    for length in (10, 1000):
        content = rng.randbytes(length)
        assert sum(damage(content, rng) != content for _ in range(100)) > 90


def test_the_table_counts_and_names_what_was_lost() -> None:
    rows = {"a file cut off": fault_table.Row(1200, 0), "kill -9": fault_table.Row(50, 2)}
    assert fault_table.lines_of(rows) == [
        "kind of fault     tried   losses",
        "a file cut off    1,200     none",
        "kill -9              50        2",
        "all               1,250        2",
    ]
    assert fault_table.lines_of({}) == []

"""Malicious files run no code, take no memory beyond their size, and do not hang the reader."""

import errno
import gc
import gzip
import io
import json
import os
import re
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitrain
from minitrain import serialization as checkpoint
from minitrain.data import DataError
from minitrain.data.datasets import read_digits, read_idx
from minitrain.files import open_file, parse_json, read_file
from minitrain.learn import workspace
from minitrain.learn.workspace import LearnError, Workspace
from tests.test_datasets import PACKED, Small, put
from tests.test_workspace import EXERCISES, RELU


@pytest.fixture
def peak() -> Iterator[Callable[[], int]]:
    """How many bytes of memory have been in use at once since the test began."""
    gc.disable()  # a collection runs what other tests have left
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    gc.enable()


# --- files of Tensors -------------------------------------------------------------------------------------------------


def tensor_file(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with this header, whatever it is: JSON's bytes, or what becomes JSON."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def ours(outline: Any, **tensors: Any) -> dict[str, Any]:
    """The header of a file such as minitrain writes it, with its true checksum for tensors of one zero each."""
    crc = zlib.crc32(json.dumps(outline).encode())
    for name in sorted(tensors):
        crc = zlib.crc32(f"{name} float32 (1,)".encode() + bytes(4), crc)
    return {"__metadata__": {"minitrain": json.dumps(["minitrain", crc, outline])}, **tensors}


def one(**changes: Any) -> dict[str, Any]:
    """What a header says of a tensor that holds one float32."""
    return {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}


HARMFUL: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "too short for the 8 bytes"),
    "7 bytes": (b"1234567", "too short for the 8 bytes"),
    "a header of an exabyte": ((2**60).to_bytes(8, "little") + bytes(99), "may have 100,000,000"),
    "a header longer than the file": (
        (500).to_bytes(8, "little") + b"{}",
        "should end after 508 bytes: it was cut off",
    ),
    "deep arrays": (tensor_file(b"[" * 10**6), "nested too deeply"),
    "deep objects": (tensor_file(b'{"a":' * 10**6), "nested too deeply"),
    "somewhat deep arrays": (
        tensor_file(b'{"a":' + b"[" * 9 + b"]" * 9 + b"}"),
        "nested too deeply: more than 3 levels",
    ),
    "a deep outline": (
        tensor_file({"__metadata__": {"minitrain": '["minitrain", 1, ' + '{"list":[' * 10**5}}),
        "nested too deeply",
    ),
    "a name twice": (tensor_file(b'{"a":{},"b":{},"a":{}}'), "has 'a' twice in one object"),
    "NaN": (tensor_file(b'{"a":NaN}'), "it has NaN, which JSON does not allow"),
    "a number of 5,000 digits": (tensor_file(b'{"a":' + b"9" * 5000 + b"}"), "4300 digits"),
    "no UTF-8": (tensor_file(b'{"\xff":1}'), "not UTF-8 text: invalid start byte at byte 2"),
    "an array": (tensor_file([1]), "its header is not a JSON object"),
    "a blank first": (tensor_file(b" {}"), "its header is not a JSON object"),
    "a number for a tensor": (tensor_file({"a": 5}), "its header does not have dtype, shape and data_offsets for 'a'"),
    "more about a tensor": (tensor_file({"a": one(code="x")}, bytes(4)), "does not have dtype, shape and data_offsets"),
    "a name of a million": (tensor_file({"n" * 10**6: 5}), r"for 'nn.*\.\.\..*nn'"),
    "half a character": (tensor_file({"\ud800": one()}, bytes(4)), "half a character"),
    "another dtype": (tensor_file({"a": one(dtype=["F32"])}, bytes(4)), r"'a' has the dtype \['F32'\], which is not"),
    "a shape of booleans": (tensor_file({"a": one(shape=[True])}, bytes(4)), "must be whole numbers"),
    "a shape of fractions": (tensor_file({"a": one(shape=[1.0])}, bytes(4)), "must be whole numbers"),
    "a shape below 0": (tensor_file({"a": one(shape=[-1])}, bytes(4)), "must be whole numbers"),
    "offsets below 0": (tensor_file({"a": one(data_offsets=[-4, 0])}, bytes(4)), "must be whole numbers"),
    "three offsets": (tensor_file({"a": one(data_offsets=[0, 4, 8])}, bytes(8)), "3 data_offsets"),
    "many axes": (tensor_file({"a": one(shape=[1] * 10**5)}, bytes(4)), "100000 axes"),
    "a shape of an exabyte": (
        tensor_file({"a": one(shape=[2**30, 2**28])}, bytes(4)),
        r"'a' of F32 in the shape \(1073741824, 268435456\) needs 1152921504606846976 bytes",
    ),
    "an exabyte of data": (
        tensor_file({"a": one(shape=[2**58], data_offsets=[0, 2**60])}, bytes(4)),
        "it should have 11529215046068470.. bytes: it was cut off",
    ),
    "no elements in a vast shape": (
        tensor_file({"a": one(shape=[0, 2**62, 2**62], data_offsets=[0, 0])}),
        r"'a' has an impossible shape, \(0, .*\)",
    ),
    "tensors that overlap": (
        tensor_file({"a": one(), "b": one()}, bytes(4)),
        "'b' begins at byte 0 of the data, not at 4",
    ),
    "tensors with a gap": (tensor_file({"a": one(data_offsets=[4, 8])}, bytes(8)), "'a' begins at byte 4 of the data"),
    "data cut off": (tensor_file({"a": one()}, bytes(3)), r"\(\d+ bytes\).*it should have \d+ bytes: it was cut off"),
    "data added": (
        tensor_file({"a": one()}, bytes(5)),
        r"\(\d+ bytes\).*it should have \d+ bytes: something was added",
    ),
    "booleans of 7": (
        tensor_file({"a": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\1\7"),
        "'a' has the dtype BOOL, but other bytes than 0 and 1",
    ),
    "metadata that are no texts": (tensor_file({"__metadata__": {"minitrain": 5}}), "not a dict of strings"),
    "metadata of ours that are none": (
        tensor_file({"__metadata__": {"minitrain": "[]"}}),
        "not what minitrain writes",
    ),
    "another checksum": (
        tensor_file({"__metadata__": {"minitrain": '["minitrain", 1, {"value": 1}]'}}),
        "its checksum does not match: it was damaged",
    ),
    "a tensor many times": (
        tensor_file(ours({"list": [{"tensor": "a"}] * 10**4}, a=one()), bytes(4)),
        "its outline has 'a' twice, or there is no such tensor",
    ),
    "a tensor that is not there": (
        tensor_file(ours({"tensor": "b"})),
        "there is no such tensor",
    ),
    "a tensor too many": (tensor_file(ours({"list": []}, a=one()), bytes(4)), "its outline lacks 'a'"),
    "a value that is a list": (
        tensor_file(ours({"value": [1]})),
        "has 'value' with impossible content",
    ),
    "a tensor named by a list": (
        tensor_file(ours({"tensor": ["a"]})),
        "has 'tensor' with impossible content",
    ),
    "a key that is a list": (tensor_file(ours({"dict": [[[1], {"value": 1}]]})), "is not a list of pairs"),
    "a part that is none": (tensor_file(ours(["value"])), "is not a dict of one kind"),
    "an unknown kind": (
        tensor_file(ours({"code": "print()"})),
        "its outline has 'code' with impossible content",
    ),
}


@pytest.mark.parametrize(("content", "told"), HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_file_of_tensors_is_refused_in_words_and_costs_little(
    content: bytes, told: str, tmp_path: Path, peak: Callable[[], int]
) -> None:
    path = tmp_path / "file.safetensors"
    path.write_bytes(content)
    before = peak()
    with pytest.raises(ValueError, match=told) as caught:
        minitrain.load(path)
    assert re.match(
        rf"cannot read {re.escape(str(path))} \({len(content)} bytes\) as a safetensors file: ", str(caught.value)
    )
    assert len(str(caught.value)) < 1000
    assert peak() - before < 15 * len(content) + 10**6
    with pytest.raises(ValueError, match=told):
        minitrain.load(io.BytesIO(content))


def test_a_header_of_empty_lists_costs_at_most_some_thirty_times_its_size(peak: Callable[[], int]) -> None:
    """The most that JSON can do: three bytes become a list of 56, and its place in another."""
    content = tensor_file(b'{"a":[' + b"[]," * 10**5 + b"[]]}")
    with pytest.raises(ValueError, match="does not have dtype"):
        minitrain.load(io.BytesIO(content))
    assert peak() < 40 * len(content)


def test_the_made_up_headers_are_such_as_load_takes() -> None:
    """So that what is refused above is refused for what is wrong with it, and for nothing else."""
    assert minitrain.load(io.BytesIO(tensor_file({"a": one()}, bytes(4))))["a"].tolist() == [0]
    assert minitrain.load(io.BytesIO(tensor_file(ours({"list": [{"tensor": "a"}]}, a=one()), bytes(4))))[
        0
    ].tolist() == [0]
    assert minitrain.load(io.BytesIO(tensor_file(ours({"value": 1})))) == 1
    axes = one(shape=[1] * 64)
    assert minitrain.load(io.BytesIO(tensor_file({"a": axes}, bytes(4))))["a"].ndim == 64


def test_loading_takes_the_memory_of_the_tensors_and_little_more(tmp_path: Path, peak: Callable[[], int]) -> None:
    minitrain.save({"a": minitrain.ones(1000, 1000), "b": minitrain.ones(500, 1000)}, tmp_path / "file")
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    loaded = minitrain.load(tmp_path / "file")
    assert peak() - before < 6_100_000
    for tensor in loaded.values():
        assert (
            tensor.array.base is None or tensor.array.base.nbytes == tensor.array.nbytes
        )  # none keeps the others alive
        assert tensor.array.flags.aligned


@pytest.mark.parametrize("change", ["shorter", "emptied", "longer"])
def test_a_file_that_changes_its_length_while_it_is_read_is_noticed(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    minitrain.save({"a": minitrain.ones(50), "b": minitrain.ones(50)}, path)
    size, parsed = path.stat().st_size, checkpoint._parse_header

    def parse_then_change(*arguments: Any) -> Any:
        result = parsed(*arguments)
        os.truncate(path, {"shorter": size - 1, "emptied": 0, "longer": size + 1}[change])
        return result

    monkeypatch.setattr(checkpoint, "_parse_header", parse_then_change)
    told = "it grew while it was read" if change == "longer" else "it became shorter while it was read: '[ab]' lacks"
    with pytest.raises(ValueError, match=told):
        minitrain.load(path)


# --- what is no file --------------------------------------------------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def directory(path: Path) -> None:
    path.mkdir()


NO_FILES = pytest.mark.parametrize("make", [pytest.param(make, id=make.__name__) for make in (pipe, device, directory)])
WORDS = r"It is not a file, but a pipe, a socket or a device|Is a directory"


@NO_FILES
def test_what_is_no_file_is_no_file_of_tensors(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "weights")
    with pytest.raises(OSError, match=f"({WORDS}).*weights"):
        minitrain.load(tmp_path / "weights")


@NO_FILES
def test_what_is_no_file_is_no_progress_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / workspace.PROGRESS)
    with pytest.raises(LearnError, match=rf"cannot read {tmp_path}.* \(({WORDS})\); make it readable"):
        Workspace(tmp_path, EXERCISES).standings()


@NO_FILES
def test_what_is_no_file_is_no_exercise(make: Callable[[Path], None], tmp_path: Path) -> None:
    mine = workspace.start(str(tmp_path), EXERCISES).workspace
    mine.file(RELU).unlink()
    make(mine.file(RELU))
    with pytest.raises(LearnError, match=rf"cannot read .*relu.py \(({WORDS})\)"):
        mine.content(RELU)


@NO_FILES
def test_what_is_no_file_is_no_data_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    name = "train-images-idx3-ubyte.gz"
    path = put(tmp_path, PACKED) / name
    path.unlink()
    make(path)
    with pytest.raises(
        DataError, match=rf"{name}: expected.*found (a pipe, a socket|a file that cannot be read \(Is a)"
    ):
        Small(tmp_path)


# --- the size of what is read -----------------------------------------------------------------------------------------


@given(content=st.binary(max_size=50), at_most=st.integers(0, 60))
def test_no_more_is_read_than_there_may_be(
    content: bytes, at_most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "content"
    path.write_bytes(content)
    if len(content) <= at_most:
        assert read_file(path, at_most) == content
    else:
        with pytest.raises(ValueError, match=f"more than {at_most} bytes, the most"):
            read_file(path, at_most)


def test_a_vast_progress_file_is_not_read_through(tmp_path: Path, peak: Callable[[], int]) -> None:
    mine = workspace.start(str(tmp_path), EXERCISES).workspace
    os.truncate(tmp_path / workspace.PROGRESS, 10**12)  # a sparse file: it takes no room
    with pytest.raises(LearnError, match="it has more than 1,048,576 bytes, the most that such a file can have"):
        mine.standings()
    assert peak() < 10**7
    assert workspace.start(str(tmp_path), EXERCISES).aside is not None


def test_a_vast_digits_file_is_not_read_through(tmp_path: Path, peak: Callable[[], int]) -> None:
    path = tmp_path / "digits.npz"
    path.touch()
    os.truncate(path, 10**12)
    with pytest.raises(DataError, match=r"digits.npz is damaged: .* of more than 45,394; reinstall"):
        read_digits(path)
    assert peak() < 10**7
    path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*digits.npz \(No such file or directory\); reinstall minitrain"):
        read_digits(path)


def test_a_vast_data_file_is_not_read_through(tmp_path: Path, peak: Callable[[], int]) -> None:
    path = put(tmp_path, PACKED) / "train-images-idx3-ubyte.gz"
    os.truncate(path, 10**12)
    with pytest.raises(DataError, match="1,000,000,000,000 bytes, larger than all of Fashion-MNIST's files"):
        Small(tmp_path)
    assert peak() < 10**7


def test_of_a_bomb_no_more_is_unpacked_than_the_known_file_has(tmp_path: Path, peak: Callable[[], int]) -> None:
    shape, zeros = (10, 28, 28), 10**7
    bomb = gzip.compress(b"\0\0\x08\3" + np.array(shape, ">u4").tobytes() + bytes(zeros))
    name = "t10k-images-idx3-ubyte.gz"
    path = put(tmp_path, PACKED) / name
    path.write_bytes(bomb)
    tracemalloc.reset_peak()
    with pytest.raises(DataError, match="with more than the 7,840 bytes of data that its header promises"):
        Small(tmp_path, train=False)
    assert peak() < zeros / 5


def test_an_idx_header_that_calls_for_more_than_there_is_costs_nothing(peak: Callable[[], int]) -> None:
    with pytest.raises(DataError, match=r"ends after 0 of 4,294,967,295 bytes"):
        read_idx(b"\0\0\x08\1" + b"\xff" * 4)
    assert peak() < 10**6


def test_an_idx_header_of_a_shape_that_no_array_has_is_refused() -> None:
    with pytest.raises(DataError, match="header promises 0 bytes"):
        read_idx(b"\0\0\x08\4" + bytes(4) + b"\xff" * 12)


# --- JSON -------------------------------------------------------------------------------------------------------------


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
    )
)
def test_what_json_can_hold_is_parsed(value: Any) -> None:
    assert repr(parse_json(json.dumps(value).encode())) == repr(value)
    assert repr(parse_json(json.dumps(value))) == repr(value)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_not_is_parsed_only_where_it_was_asked_for(constant: str) -> None:
    assert repr(parse_json(constant, constants=True)) == repr(float(constant))
    with pytest.raises(ValueError, match=f"it has {constant}, which JSON does not allow"):
        parse_json(f"[{constant}]")


@pytest.mark.parametrize("levels", [0, 1, 2, 5])
def test_nesting_is_counted(levels: int) -> None:
    for open_, close in ("[]", ['{"a":', "}"]):
        parse_json(open_ * levels + "1" + close * levels, levels=levels)
        with pytest.raises(ValueError, match=f"more than {levels} levels"):
            parse_json(open_ * (levels + 1) + "1" + close * (levels + 1), levels=levels)
    with pytest.raises(ValueError, match=f"more than {levels} levels"):
        parse_json("[" * (levels + 1) + "]" * (levels + 1), levels=levels)


def test_a_name_twice_is_found_in_no_time() -> None:
    names = ",".join(f'"{number}":0' for number in range(10**5))
    assert len(parse_json(f"{{{names}}}")) == 10**5
    with pytest.raises(ValueError, match="its JSON has '7' twice in one object"):
        parse_json(f'{{{names},"7":0}}')


def test_open_file_says_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="It is not a file") as caught:
        open_file(tmp_path / "pipe")
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, str(tmp_path / "pipe"))

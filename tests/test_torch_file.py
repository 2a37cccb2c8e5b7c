"""Files that torch.save wrote are read: Tensors and plain data come back, everything else is refused by name."""

from __future__ import annotations

import collections
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from minitrain.nn import Parameter
from minitrain.tensor import Tensor
from minitrain.torch_file import load_torch_file
from minitrain.torchlike.arguments import Size
from tests.test_strangers_run import little_memory


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    torch.save(obj, file)
    return file.getvalue()


def loaded(obj: Any) -> Any:
    return load_torch_file(io.BytesIO(saved(obj)))


def test_a_state_dict_comes_back() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = loaded(model.state_dict())
    assert type(state) is collections.OrderedDict
    assert list(state) == list(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert np.array_equal(state[name].array, tensor.numpy())
        assert state[name].array.dtype == tensor.numpy().dtype


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.tuples(inner)
    ),
    max_leaves=8,
)


@given(plain)
def test_plain_data_comes_back(obj: Any) -> None:
    again = loaded(obj)
    assert again == obj
    assert type(again) is type(obj)


def test_an_optimizers_state_comes_back() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=0.1)
    weight.sum().backward()
    optimizer.step()
    state = loaded({"epoch": 3, "optimizer": optimizer.state_dict()})
    assert state["epoch"] == 3
    assert state["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
    assert np.allclose(state["optimizer"]["state"][0]["exp_avg"].array, 0.1)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6).reshape(2, 3).t(),
        torch.arange(10.0)[2:8:2],
        torch.zeros(0, 3),
        torch.tensor(3.5),
        torch.tensor([True, False]),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.arange(4, dtype=torch.int16),
    ],
)
def test_a_tensor_comes_back_whatever_its_layout(tensor: torch.Tensor) -> None:
    again = loaded(tensor).array
    assert np.array_equal(again, tensor.numpy())
    assert again.dtype == tensor.numpy().dtype
    assert again.flags.c_contiguous


def test_bfloat16_is_widened_and_float16_stays() -> None:
    assert loaded(torch.tensor([1.5, -2.25], dtype=torch.bfloat16)).array.tolist() == [1.5, -2.25]
    assert loaded(torch.tensor([0.1], dtype=torch.bfloat16)).array.dtype == np.float32
    assert loaded(torch.tensor([0.1], dtype=torch.float16)).array.dtype == np.float16


def test_parameters_sizes_and_dtypes_come_back() -> None:
    again = loaded([torch.nn.Parameter(torch.ones(1)), torch.Size([1, 2]), torch.float32, {1, 2}])
    assert isinstance(again[0], Parameter)
    assert again[0].requires_grad
    assert again[1:] == [(1, 2), np.dtype("float32"), {1, 2}]


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    ("obj", "name"),
    [
        (Harmful(), "posix.mkdir|nt.mkdir"),
        ([{"deep": Harmful()}], "mkdir"),
        (torch.nn.Linear(1, 1), r"torch.nn.modules.linear.Linear.*save model.state_dict\(\)"),
        (print, "print"),
        (np.float64(3), "numpy"),
    ],
)
def test_whatever_is_not_plain_is_refused_by_name_and_not_run(
    obj: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=name):
        loaded(obj)
    assert not list(tmp_path.iterdir())


def archive(data: bytes, storage: bytes = b"\0" * 8, **options: Any) -> io.BytesIO:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as zipped:
        zipped.writestr("a/data.pkl", data)
        zipped.writestr("a/byteorder", "little")
        zipped.writestr("a/data/0", storage)
    file.seek(0)
    return file


class Rebuilt:
    """Pickles as a Tensor of torch's with these numbers."""

    def __init__(self, *numbers: Any) -> None:
        self.numbers = numbers

    def __reduce__(self) -> Any:
        return torch._utils._rebuild_tensor_v2, (Storage(), *self.numbers, False, collections.OrderedDict())


class Storage:
    pass


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: Any) -> Any:
        return ("storage", torch.FloatStorage, "0", "cpu", 2) if isinstance(obj, Storage) else None


@pytest.mark.parametrize(
    "numbers",
    [
        (0, (3,), (1,)),
        (1, (2,), (1,)),
        (-1, (1,), (1,)),
        (0, (2**40,), (0,)),
        (0, (2**20, 2**20), (0, 0)),
        (0, (2,), (-1,)),
        (0, (2, 1), (1,)),
        (0, ("2",), (1,)),
        (0, (2.0,), (1,)),
    ],
)
def test_a_tensor_beyond_its_memory_is_refused(numbers: Any) -> None:
    file = io.BytesIO()
    Pickler(file, protocol=2).dump(Rebuilt(*numbers))
    with pytest.raises(ValueError, match=r"cannot be built|larger than its memory"):
        load_torch_file(archive(file.getvalue()))


def test_a_compressed_archive_is_refused_before_it_is_expanded() -> None:
    with pytest.raises(ValueError, match="compressed"):
        load_torch_file(archive(pickle.dumps("a" * 10**6), compression=zipfile.ZIP_DEFLATED))


# --- crafted pickles ---

START = b"\x80\x02"


def text(word: str) -> bytes:
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def name(module: str, word: str) -> bytes:
    return f"c{module}\n{word}\n".encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little")


def storage(kind: str = "FloatStorage") -> bytes:
    return b"(" + text("storage") + name("torch", kind) + text("0") + text("cpu") + b"K\x02tQ"


def tensor(storage: bytes) -> bytes:
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage + b"K\x00K\x02\x85K\x01\x85\x89tR"


def doubled(times: int) -> bytes:
    """A tuple of the same tuple twice, and so on: few bytes, 2 ** times values."""
    return b")q\x000" + b"".join(b"h%ch%c\x86q%c0" % (i, i, i + 1) for i in range(times)) + b"h%c" % times


EVIL = b"N}" + text("evil") + b"K\x01s\x86b"  # set an attribute
HUGE = number(10**12)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (name("torch", "Size") + EVIL, "sets attributes of a type"),
        (name("torch._utils", "_rebuild_tensor_v2") + EVIL, "sets attributes of a function"),
        (tensor(storage()) + b"}" + text("grad_fn") + b"K\x01sb", "sets attributes of a Tensor"),
        (tensor(storage()) + b"K\x00K\x05s", "sets items of a Tensor"),
        (name("builtins", "bytes") + HUGE + b"\x85R", "builds bytes"),
        (b"\x96" + HUGE[2:], "opcodes that torch.save does not write"),
        (name("torch", "Size") + b")\x81", "opcodes that torch.save does not write"),
        (b"}" + doubled(40) + b"K\x01s", "has a tuple as a key"),
        (name("builtins", "set") + b"]" + doubled(40) + b"a\x85R", "has a tuple as a key or in a set"),
        (doubled(40) + b"Q", r"not a storage: .{1,1000}$"),
        (storage(), "contains a _Storage"),
        (name("builtins", "complex"), "contains a type"),
        (b"]" + tensor(storage()) + b"a" + tensor(storage("IntStorage")) + b"a", "is a FloatStorage and a IntStorage"),
        (
            name("builtins", "set") + b"q\x010](" + b"K\x07" * 999 + b"eq\x020](" + b"h\x01h\x02\x85R" * 99 + b"e",
            "the same values again and again",
        ),
    ],
)
def test_a_crafted_pickle_is_refused_at_once_and_changes_nothing(content: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load_torch_file(archive(START + content + b"."))
    assert loaded(torch.Size([1])) == Size([1])
    assert not hasattr(Size, "evil")


@pytest.mark.parametrize(
    "content",
    [
        doubled(40),
        b"K\x01r\xff\xff\xff\x7f",  # kept under a large number
        b"]q\x00h\x00a",  # a list in itself
        b"]" * 5000 + b"a" * 4999,
    ],
)
def test_repeated_and_deep_values_take_no_memory_out_of_proportion(content: bytes) -> None:
    with little_memory(10_000_000):
        load_torch_file(archive(START + content + b"."))


def test_what_is_the_same_object_stays_the_same() -> None:
    part = [torch.ones(2)]
    again = loaded({"first": part, "second": part})
    assert again["first"] is again["second"]


def test_large_parameters_sets_and_bytes_come_back() -> None:
    weight = torch.nn.Parameter(torch.ones(3000))
    again = loaded({"weight": weight, "set": set(range(3000)), "bytes": [b"ab"] * 99 + [b"c" * 3000]})
    assert again["weight"].array.tolist() == [1.0] * 3000
    assert again["set"] == set(range(3000))
    assert again["bytes"][-2:] == [b"ab", b"c" * 3000]


def test_members_that_overlap_are_refused() -> None:
    """Each member holds all the later ones, as a zip bomb that is not compressed."""
    content = START + b"".join(
        b"(" + text("storage") + name("torch", "ByteStorage") + text(str(i)) + text("cpu") + number(1000) + b"tQ"
        for i in range(3)
    )
    file = archive(content + b"N.", storage=bytes(1000))
    whole = bytearray(file.getvalue())
    directory = whole.find(b"PK\x01\x02")
    entry = whole.find(b"PK\x01\x02", whole.find(b"a/byteorder", directory))
    whole[entry + 20 : entry + 28] = (10**9).to_bytes(4, "little") * 2  # the size of data/0
    with pytest.raises(ValueError, match="members overlap, or are longer than the file"):
        load_torch_file(io.BytesIO(bytes(whole)))


@pytest.mark.parametrize(("place", "value"), [(6, 99), (8, 1), (8, 0x20), (8, 0x40)])
def test_a_password_or_a_later_version_of_zip_is_a_clean_error(place: int, value: int) -> None:
    whole = bytearray(saved([1]))
    whole[whole.find(b"PK\x01\x02") + place] |= value
    with pytest.raises(ValueError, match=r"it is damaged|lacks|overlap"):
        load_torch_file(io.BytesIO(bytes(whole)))


@given(st.data())
def test_a_damaged_file_ends_in_a_clean_error_or_a_value(data: st.DataObject) -> None:
    content = bytearray(saved({"weight": torch.arange(4.0), "epoch": 3}))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), len(content) // 2, 100]))
    try:
        again = load_torch_file(io.BytesIO(bytes(content[:end])))
    except ValueError:
        return
    assert isinstance(again, dict | Tensor | list | tuple | str | int | float | type(None))

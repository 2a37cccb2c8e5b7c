"""minitrain.save and load: what is saved comes back, other programs can read it, and no damage goes unnoticed."""

import errno
import io
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from hypothesis import example, given
from hypothesis import strategies as st

import minitrain
from minitrain import nn
from minitrain.ops import Array
from minitrain.tensor import Tensor, wrap
from tests import strategies as own


def saved(obj: Any) -> bytes:
    file = io.BytesIO()
    minitrain.save(obj, file)
    return file.getvalue()


def loaded(data: bytes) -> Any:
    return minitrain.load(io.BytesIO(data))


def network(torch: Any) -> Any:
    return torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1, bias=False))


# --- what is saved comes back -----------------------------------------------------------------------------------------

arrays = own.arrays(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3), st.sampled_from(own.DTYPES))
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
keys = st.text() | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False)
things = st.recursive(
    arrays.map(wrap) | arrays | plain,
    lambda parts: (
        st.lists(parts, max_size=3) | st.lists(parts, max_size=3).map(tuple) | st.dictionaries(keys, parts, max_size=3)
    ),
    max_leaves=8,
)


def assert_same(ours: Any, given: Any) -> None:
    """Raise AssertionError unless both are built alike, of the same bits."""
    if isinstance(given, Tensor | np.ndarray):
        array = np.asarray(given)
        assert type(ours) is Tensor
        assert (ours.array.dtype, ours.array.shape) == (array.dtype, array.shape)
        assert ours.array.tobytes() == array.tobytes()
    elif isinstance(given, dict):
        assert type(ours) is type(given)
        assert repr(list(ours)) == repr(list(given))  # repr tells 1, 1.0 and True apart
        for our, theirs in zip(ours.values(), given.values(), strict=True):
            assert_same(our, theirs)
    elif isinstance(given, list | tuple):
        assert type(ours) is type(given)
        for our, theirs in zip(ours, given, strict=True):
            assert_same(our, theirs)
    else:
        assert repr(ours) == repr(given)


@given(things)
@example({"__metadata__": np.ones(2), "": np.ones(1), "tensor": np.ones(3)})
@example({"a": {"b": np.ones(1)}, "a.b": np.ones(2), "a.b'": np.ones(3), 1: np.ones(4), "1": np.ones(5)})
@example([np.inf, -np.inf, np.nan, -0.0, 5e-324, 2**100, True, 1, "\ud800"])
def test_what_is_saved_comes_back(thing: Any) -> None:
    assert_same(loaded(saved(thing)), thing)


@given(arrays)
def test_what_comes_back_can_be_written_to(array: Array) -> None:
    tensor = loaded(saved(array))
    tensor.fill_(1)
    assert tensor.array.all()


def test_torchs_tensors_are_saved_too() -> None:
    theirs = network(torch)
    ours = network(minitrain)
    ours.load_state_dict(loaded(saved(dict(theirs.named_parameters()))))
    for our, their in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert our.tolist() == their.tolist()


@pytest.mark.parametrize("optimizer", ["SGD", "RMSprop", "Adam", "AdamW"])
def test_a_whole_training_state_comes_back(optimizer: str, tmp_path: Path) -> None:
    def make() -> tuple[nn.Module, Any]:
        model = network(minitrain)
        options: dict[str, Any] = {"momentum": 0.9} if optimizer in ("SGD", "RMSprop") else {"amsgrad": True}
        return model, getattr(minitrain.optim, optimizer)(model.parameters(), lr=0.01, **options)

    def train(model: nn.Module, optim: Any) -> None:
        for _ in range(3):
            optim.zero_grad()
            model(minitrain.ones(4, 7)).sum().backward()
            optim.step()

    model, optim = make()
    train(model, optim)
    state = {"model": model.state_dict(), "optimizer": optim.state_dict(), "epoch": 3, "best": float("inf")}
    minitrain.save(state, tmp_path / "checkpoint")
    back = minitrain.load(tmp_path / "checkpoint")
    assert_same(back, state)
    other, other_optim = make()
    other.load_state_dict(back["model"])
    other_optim.load_state_dict(back["optimizer"])
    train(model, optim)
    train(other, other_optim)
    for param, its in zip(model.parameters(), other.parameters(), strict=True):
        assert param.array.tobytes() == its.array.tobytes()


@pytest.mark.parametrize("form", [str, Path], ids=["str", "Path"])
def test_paths_are_strings_or_paths(form: Any, tmp_path: Path) -> None:
    path = form(tmp_path / "weights.safetensors")
    minitrain.save({"a": minitrain.ones(2)}, path)
    assert minitrain.load(path)["a"].tolist() == [1, 1]
    assert minitrain.load(path, map_location="cpu", weights_only=True)["a"].tolist() == [1, 1]
    assert os.listdir(tmp_path) == ["weights.safetensors"]


# --- the format is safetensors ----------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(min_size=1).filter(lambda name: name != "__metadata__"), arrays, max_size=4))
def test_safetensors_reads_what_is_saved(state: dict[str, Array]) -> None:
    data = saved(state)
    with_numpy, with_torch = safetensors.numpy.load(data), safetensors.torch.load(data)
    assert set(with_numpy) == set(with_torch) == set(state)
    for name, array in state.items():
        for theirs in (with_numpy[name], with_torch[name].numpy()):
            assert (theirs.dtype, theirs.shape, theirs.tobytes()) == (array.dtype, array.shape, array.tobytes())


@given(st.dictionaries(st.text(min_size=1), arrays.map(np.ascontiguousarray), max_size=4), st.booleans())
def test_what_safetensors_writes_is_loaded(state: dict[str, Array], metadata: bool) -> None:
    state.pop("__metadata__", None)
    about = {"format": "pt"} if metadata else None
    tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
    for data in (safetensors.numpy.save(state, about), safetensors.torch.save(tensors, about)):
        back = loaded(data)
        assert type(back) is OrderedDict
        assert_same({name: back[name] for name in state}, state)
        assert list(back) == [name for name in header_of(data) if name != "__metadata__"]


def header_of(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def test_weights_go_to_torch_and_back_through_files(tmp_path: Path) -> None:
    ours, theirs = network(minitrain), network(torch)
    minitrain.save(ours.state_dict(), tmp_path / "ours")
    theirs.load_state_dict(safetensors.torch.load_file(tmp_path / "ours"))
    safetensors.torch.save_file(theirs.state_dict(), tmp_path / "theirs")
    again = network(minitrain)
    again.load_state_dict(minitrain.load(tmp_path / "theirs"))
    for our, its in zip(ours.parameters(), again.parameters(), strict=True):
        assert our.array.tobytes() == its.array.tobytes()


def test_a_file_may_begin_with_the_bytes_of_a_pickle() -> None:
    """Those of a pickle, 0x80 and 0x02, are a header's length of 640 as well."""
    files = [saved({"k" * length: minitrain.ones(1)}) for length in range(100, 200)]
    assert any(data[:2] == pickle.dumps(0, 2)[:2] for data in files)
    assert all(tensor.item() == 1 for data in files for tensor in loaded(data).values())
    for data in files:
        with pytest.raises(ValueError, match="cannot read the file"):
            loaded(data[:-1])


# --- what is refused --------------------------------------------------------------------------------------------------


def test_torchs_old_pickles_are_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save(network(torch).state_dict(), path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match=r"weights.pt is a bare pickle, .* carry code.*torch.save\("):
        minitrain.load(path)


def test_weights_that_torch_saved_are_loaded(tmp_path: Path) -> None:
    path, theirs = tmp_path / "weights.pt", network(torch)
    torch.save({"model": theirs.state_dict(), "epoch": 3}, path)
    for weights_only in (True, False):  # False only permits what is never done here
        state = minitrain.load(path, map_location=lambda storage, place: storage, weights_only=weights_only)
        assert type(state) is dict
        assert state["epoch"] == 3
        assert_same(state["model"], theirs.state_dict())


def test_a_model_that_torch_saved_whole_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(network(torch), path)
    with pytest.raises(ValueError, match=r"model.pt .* contains torch.nn.modules.*save model.state_dict\(\)"):
        minitrain.load(path, weights_only=False)


def test_a_plain_dict_comes_back_as_one() -> None:
    assert type(loaded(saved({"a": {"b": 1}}))["a"]) is dict
    assert type(loaded(saved(OrderedDict(a=1)))) is OrderedDict


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_are_refused_without_being_run(protocol: int) -> None:
    with pytest.raises(ValueError, match="the file is a bare pickle"):
        loaded(pickle.dumps({"run me": print}, protocol))


STATE = {"0.weight": minitrain.ones(2, 3), "0.bias": minitrain.zeros(0, 3), "1.weight": minitrain.tensor([True, False])}
WHOLE = saved({"model": STATE, "lr": 0.1, "betas": (0.9, 0.999), "epochs": [1, None]})


def refuse(data: bytes) -> None:
    with pytest.raises(
        ValueError,
        match=r"cannot read the file \(\d+ bytes\) as (a safetensors file|a file of torch.save)|is a bare pickle",
    ):
        loaded(data)


def test_one_flipped_bit_is_noticed() -> None:
    for place in range(8 * len(WHOLE)):
        damaged = bytearray(WHOLE)
        damaged[place // 8] ^= 1 << place % 8
        refuse(bytes(damaged))


@given(st.integers(0, len(WHOLE) - 1))
def test_a_truncated_file_is_refused(length: int) -> None:
    refuse(WHOLE[:length])


@given(st.binary())
def test_garbage_is_refused(garbage: bytes) -> None:
    refuse(garbage)
    refuse(WHOLE + garbage + b"x")


@given(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)), st.binary(max_size=20))
def test_a_file_with_a_stretch_of_something_else_is_refused(start: int, stop: int, other: bytes) -> None:
    damaged = WHOLE[:start] + other + WHOLE[stop:]
    if damaged != WHOLE:
        refuse(damaged)


@given(st.data())
def test_another_header_is_refused(data: st.DataObject) -> None:
    """Valid JSON in the place of what the header says of a tensor, of the kind that stands there or of any other."""
    header = header_of(WHOLE)
    part = data.draw(st.sampled_from(sorted({*header, "another"} - {"__metadata__"})))
    header[part] = data.draw(
        st.recursive(
            plain | st.sampled_from(["F32", "I64", "BF16", "F99"]),
            lambda parts: st.lists(parts) | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets"]), parts),
        )
    )
    text = json.dumps(header).encode()
    refuse(len(text).to_bytes(8, "little") + text + WHOLE[8 + int.from_bytes(WHOLE[:8], "little") :])


@given(
    st.recursive(
        plain,
        lambda parts: st.lists(parts) | st.dictionaries(st.sampled_from(["tensor", "dict", "list", "value"]), parts),
    )
    | st.sampled_from([1000, 100_000]).map(lambda depth: "[" * depth)
)
def test_another_outline_never_ends_in_another_error(outline: Any) -> None:
    text = outline if isinstance(outline, str) and outline.startswith("[") else json.dumps(outline)
    data = safetensors.numpy.save({}, {"minitrain": f'["minitrain", {crc32(text.encode())}, {text}]'})
    with suppress(ValueError):
        loaded(data)


@pytest.mark.parametrize("dtype", ["bfloat16", "complex64"])
def test_dtypes_that_tensors_do_not_have_are_named(dtype: str) -> None:
    tensor = torch.ones(2).to(getattr(torch, dtype))
    with pytest.raises(ValueError, match=r"'half' has the dtype (BF16|C64), which is not offered; save it as float32"):
        loaded(safetensors.torch.save({"half": tensor}))


class Custom:
    pass


@pytest.mark.parametrize(
    ("thing", "words"),
    [
        (minitrain.optim.SGD([minitrain.ones(1)]), "cannot save a SGD.*save its state_dict"),
        ([Custom()], "cannot save a Custom: only Tensors, numbers, strings, None, and dicts, lists and tuples"),
        ({1, 2}, "cannot save a set"),
        (b"bytes", "cannot save a bytes"),
        (1j, "cannot save a complex"),
        ({(1, 2): 3}, "cannot save a tuple"),
        (print, "cannot save a builtin_function_or_method"),
        (np.array(["a"]), "dtype .*U1.* is not offered"),
        (np.array([None]), "dtype .*'O'.* is not offered"),
        (np.array([1j]), "dtype .*complex128.* is not offered"),
        (torch.ones(1, dtype=torch.bfloat16), "BFloat16"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_what_cannot_be_saved_is_a_type_error(thing: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=words):
        minitrain.save(thing, tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_there_is_no_other_device(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="device 'cuda' is not offered"):
        minitrain.load(tmp_path / "file", map_location="cuda")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        minitrain.load(tmp_path / "nowhere")


# --- a file that is there survives ------------------------------------------------------------------------------------


def test_a_refused_save_leaves_the_file(tmp_path: Path) -> None:
    minitrain.save({"epoch": 1}, tmp_path / "run")
    with pytest.raises(TypeError):
        minitrain.save({"epoch": 2, "model": Custom()}, tmp_path / "run")
    assert minitrain.load(tmp_path / "run") == {"epoch": 1}


def test_what_could_not_be_loaded_again_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minitrain.serialization._LONGEST_HEADER", 1000)
    minitrain.save({"losses": [0.5] * 10}, tmp_path / "run")
    with pytest.raises(ValueError, match=r"may take 1,000: save large lists of numbers as a Tensor"):
        minitrain.save({"losses": [0.5] * 100}, tmp_path / "run")
    assert minitrain.load(tmp_path / "run") == {"losses": [0.5] * 10}


def no_space_left(*args: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "name", "failing"),
    [
        (os, "fsync", no_space_left),
        (Path, "replace", no_space_left),
        (Path, "read_bytes", lambda path: b"what a broken disk gives"),
    ],
)
def test_a_failed_save_leaves_the_file_and_nothing_else(
    owner: Any, name: str, failing: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minitrain.save({"epoch": 1}, tmp_path / "run")
    with monkeypatch.context() as broken:
        broken.setattr(owner, name, failing)
        with pytest.raises(OSError, match=r"No space left|other bytes are read back"):
            minitrain.save({"epoch": 2}, tmp_path / "run")
    assert minitrain.load(tmp_path / "run") == {"epoch": 1}
    assert os.listdir(tmp_path) == ["run"]


def test_a_save_replaces_the_file(tmp_path: Path) -> None:
    for epoch in (1, 2):
        minitrain.save({"epoch": epoch}, tmp_path / "run")
    assert minitrain.load(tmp_path / "run") == {"epoch": 2}
    assert os.listdir(tmp_path) == ["run"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="It is a pipe, a socket or a device"):
        minitrain.save({"a": minitrain.zeros(2)}, pipe)
    assert pipe.is_fifo()

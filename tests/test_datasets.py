"""FashionMNIST and Digits are torchvision's kind of data set, and no wrong file is ever taken for a right one."""

import gzip
import hashlib
import http.server
import math
import os
import shutil
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minitrain.data.transforms
from minitrain.data import DataError, DataLoader, Lambda, ToTensor, downloads, formats
from minitrain.data import datasets as module
from minitrain.data.checksums import COLLECTIONS, FASHION_MNIST, Collection
from minitrain.data.datasets import Digits, FashionMNIST, File, Files, fetch, read_idx, status, verify
from minitrain.with_torch.import_torchvision import import_torchvision

REAL_ROOT = os.environ.get("MINITRAIN_DATA")
with_real_files = pytest.mark.skipif(not REAL_ROOT, reason="Fashion-MNIST's files: set MINITRAIN_DATA to their root")


# --- small files of our own ------------------------------------------------------------------------------------


def idx(array: Any) -> bytes:
    """An array of bytes in IDX format."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def file_of(name: str, array: Any, content: bytes) -> File:
    return File(name, array.shape, len(content), hashlib.sha256(content).hexdigest())


RNG = np.random.default_rng(0)
ARRAYS = {
    "train-images-idx3-ubyte": RNG.integers(0, 16, (20, 28, 28), np.uint8),
    "train-labels-idx1-ubyte": RNG.integers(0, 10, 20, np.uint8),
    "t10k-images-idx3-ubyte": RNG.integers(0, 16, (10, 28, 28), np.uint8),
    "t10k-labels-idx1-ubyte": RNG.integers(0, 10, 10, np.uint8),
}
UNPACKED = {name: idx(array) for name, array in ARRAYS.items()}
PACKED = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in UNPACKED.items()}
SMALL: Files = tuple(
    (file_of(f"{name}.gz", array, PACKED[f"{name}.gz"]), file_of(name, array, UNPACKED[name]))
    for name, array in ARRAYS.items()
)
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def small(mirrors: Sequence[str] = ()) -> Collection:
    return FASHION_MNIST._replace(files=SMALL, mirrors=mirrors)


class Small(FashionMNIST):
    collection: ClassVar[Collection] = small()
    mirrors: ClassVar[Sequence[str]] = []


def put(root: Path, contents: dict[str, bytes]) -> Path:
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder with the four good files, under the root tmp_path."""
    return put(tmp_path, PACKED)


# --- the data sets, beside torchvision's -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def unpacked_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a copy of the genuine files, unpacked by torchvision, without the .gz."""
    root = tmp_path_factory.mktemp("torchvision")
    raw = put(root, {})
    for packed in (Path(str(REAL_ROOT)) / "FashionMNIST" / "raw").glob("*.gz"):
        shutil.copyfile(packed, raw / packed.name)
    import_torchvision().datasets.FashionMNIST(root=root, download=True)
    for packed in raw.glob("*.gz"):
        packed.unlink()
    return root


@with_real_files
@pytest.mark.parametrize("train", [True, False])
def test_fashion_mnist_is_torchvisions(unpacked_root: Path, train: bool) -> None:
    vision = import_torchvision()
    to_label: Any = lambda label: label * 2  # noqa: E731
    torchs = vision.datasets.FashionMNIST(unpacked_root, train, vision.transforms.ToTensor(), to_label)
    for root in (REAL_ROOT, unpacked_root):  # from the .gz, and from torchvision's unpacked files
        ours = FashionMNIST(root, train, ToTensor(), to_label)
        assert len(ours) == len(torchs)
        assert ours.data.array.tobytes() == torchs.data.numpy().tobytes()
        assert (ours.data.dtype, ours.data.shape) == (np.uint8, tuple(torchs.data.shape))
        assert ours.targets.array.tobytes() == torchs.targets.numpy().tobytes()
        assert ours.targets.dtype == np.int64
        assert ours.classes == torchs.classes
        assert ours.class_to_idx == torchs.class_to_idx
        for i in (0, 1, -1, len(ours) // 2):
            (image, label), (expected_image, expected_label) = ours[i], torchs[i]
            assert image.array.tobytes() == expected_image.numpy().tobytes()
            assert (image.shape, label, type(label)) == (tuple(expected_image.shape), expected_label, int)


@with_real_files
@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("arguments", ["", "transform", "target_transform", "transform target_transform"])
def test_fashion_mnist_is_shown_as_torchvision_shows_it(unpacked_root: Path, train: bool, arguments: str) -> None:
    def shown(datasets: Any, transforms: Any) -> str:
        chain = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
        return repr(datasets.FashionMNIST(str(unpacked_root), train, **dict.fromkeys(arguments.split(), chain)))

    vision = import_torchvision()
    assert shown(module, minitrain.data.transforms) == shown(vision.datasets, vision.transforms)


@with_real_files
def test_fashion_mnist_loads_without_a_second_copy_in_memory() -> None:
    tracemalloc.start()
    FashionMNIST(REAL_ROOT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 47_040_000 + 4_000_000


@with_real_files
def test_the_genuine_files_are_found_good() -> None:
    assert [(each.size, each.fault) for each in status(REAL_ROOT)] == [
        (each.file.size, None) for each in status(REAL_ROOT)
    ]
    verify(REAL_ROOT)


@pytest.mark.parametrize("contents", [PACKED, UNPACKED, PACKED | UNPACKED])
@pytest.mark.parametrize("train", [True, False])
def test_a_sample_is_an_image_and_a_label(tmp_path: Path, contents: dict[str, bytes], train: bool) -> None:
    put(tmp_path, contents)
    dataset = Small(tmp_path, train)
    part = "train" if train else "t10k"
    images, labels = ARRAYS[f"{part}-images-idx3-ubyte"], ARRAYS[f"{part}-labels-idx1-ubyte"]
    assert (len(dataset), dataset.train) == (len(images), train)
    for i in range(-len(images), len(images)):
        image, label = dataset[i]
        assert type(image) is np.ndarray
        assert type(label) is int
        assert image.dtype == np.uint8
        assert (image == images[i]).all()
        assert label == labels[i]
    assert len(list(dataset)) == len(images)  # iteration ends: an index too far is an IndexError
    with pytest.raises(TypeError, match="slice"):
        dataset[1:2]


def test_transforms_are_applied_to_image_and_label(folder: Path, tmp_path: Path) -> None:
    dataset = Small(tmp_path, transform=lambda image: image.sum(), target_transform=Lambda(str))
    assert dataset[3] == (ARRAYS["train-images-idx3-ubyte"][3].sum(), str(ARRAYS["train-labels-idx1-ubyte"][3]))


def test_a_transform_may_write_into_its_image(folder: Path, tmp_path: Path) -> None:
    def blacken(image: Any) -> Any:
        image[:] = 0
        return image

    dataset = Small(tmp_path, transform=blacken)
    assert dataset[0][0].sum() == 0
    assert (dataset.data.array == ARRAYS["train-images-idx3-ubyte"]).all()


def test_digits_are_the_embedded_ones_split_by_a_permutation() -> None:
    with np.load(Path(module.__file__).parent / "digits.npz") as source:
        images, labels = source["images"], source["labels"]
    order = np.random.RandomState(0).permutation(1797)
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1500, 297)
    pixels = np.concatenate([train.data.array, test.data.array])
    targets = np.concatenate([train.targets.array, test.targets.array])
    assert pixels.dtype == np.uint8
    assert targets.dtype == np.int64
    assert (np.rint(pixels / 255 * 16) == images[order]).all()  # nothing is lost
    assert (targets == labels[order]).all()
    assert (pixels.min(), pixels.max()) == (0, 255)
    assert train.classes == list("0123456789")
    assert train.class_to_idx["7"] == 7


def test_digits_have_the_face_of_fashion_mnist(folder: Path, tmp_path: Path) -> None:
    digits = Digits(root="nowhere", train=True, transform=ToTensor(), target_transform=None, download=True)
    image, label = digits[0]
    assert (image.shape, image.dtype, type(label)) == ((1, 8, 8), np.float32, int)
    assert repr(digits) == (
        "Dataset Digits\n    Number of datapoints: 1500\n    Split: Train\n    StandardTransform\nTransform: ToTensor()"
    )
    assert set(vars(Small(tmp_path))) - {"root"} == set(vars(digits))
    images, labels = next(iter(DataLoader(digits, batch_size=64)))
    assert (images.shape, labels.shape) == ((64, 1, 8, 8), (64,))


def test_a_damaged_package_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "DIGITS", formats.DIGITS._replace(sha256="0" * 64))
    with pytest.raises(DataError, match=r"digits.npz is damaged: expected SHA-256 000.*reinstall minitrain"):
        Digits()


# --- where the files are looked for ----------------------------------------------------------------------------


def test_an_explicit_root_wins_over_the_environment_which_wins_over_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MINITRAIN_DATA", str(tmp_path / "environment"))
    for name in ("explicit", "environment", "data"):
        put(tmp_path / name, PACKED)
    assert Small("explicit").root == "explicit"
    assert Small().root == str(tmp_path / "environment")
    monkeypatch.setenv("MINITRAIN_DATA", "")
    assert Small().root == "data"
    monkeypatch.delenv("MINITRAIN_DATA")
    assert Small().root == "data"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Small("~/explicit").root == str(tmp_path / "explicit")


def test_missing_files_are_said_to_be_missing_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        Small(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        str(tmp_path / "FashionMNIST" / "raw" / TRAIN_IMAGES),
        "found no file",
        "minitrain data fetch",
        "download=True",
        f"put {', '.join(PACKED)} into {tmp_path / 'FashionMNIST' / 'raw'}.",
        "--dataset digits",
    ):
        assert part in message


# --- wrong files -----------------------------------------------------------------------------------------------


def flip(content: bytes, bit: int) -> bytes:
    """The content with one bit changed; -60 is one of a .gz file's checksum."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


BIG = gzip.compress(bytes(50_000_000), 1, mtime=0)  # 50 MB of zeros in 0.2 MB
WRONG_FILES = {
    "missing": (None, "no file"),
    "empty": (b"", "0 bytes, an empty file"),
    "truncated": (PACKED[TRAIN_IMAGES][:-100], r"[\d,]+ bytes, a truncated gzip file"),
    "corrupted": (flip(PACKED[TRAIN_IMAGES], -60), "a damaged gzip file, or not a gzip file .CRC"),
    "a page of the web": (b"<!DOCTYPE html>" * 9, "135 bytes, a damaged gzip file, or not a gzip file"),
    "labels for images": (PACKED[TRAIN_LABELS], f"the content of {TRAIN_LABELS}"),
    "test for train": (PACKED["t10k-images-idx3-ubyte.gz"], "the content of t10k-images-idx3-ubyte.gz"),
    "unpacked under the packed name": (UNPACKED[TRAIN_IMAGES[:-3]], "the content of train-images-idx3-ubyte"),
    "other images of the same shape": (
        gzip.compress(idx(255 - ARRAYS[TRAIN_IMAGES[:-3]])),
        "an IDX file of the right shape, but with SHA-256 .*: damaged, or other images",
    ),
    "fewer images": (
        gzip.compress(idx(ARRAYS[TRAIN_IMAGES[:-3]][:7])),
        r"an IDX file of shape \(7, 28, 28\), not \(20, 28, 28\)",
    ),
    "too short": (
        gzip.compress(UNPACKED[TRAIN_IMAGES[:-3]][:-1000]),
        "a truncated IDX file: it ends after 14,680 of 15,680 bytes",
    ),
    "too long": (gzip.compress(UNPACKED[TRAIN_IMAGES[:-3]] + b"!"), "an IDX file with more than the 15,680 bytes"),
    "a bomb": (gzip.compress(UNPACKED[TRAIN_IMAGES[:-3]][:4] + bytes(1_000_000)), "an IDX file of shape"),
    "far too long": (BIG, "larger than all of Fashion-MNIST's files"),
}


@pytest.mark.parametrize("wrong", WRONG_FILES)
def test_a_wrong_file_is_named_with_what_it_is_and_the_remedy(folder: Path, tmp_path: Path, wrong: str) -> None:
    content, found = WRONG_FILES[wrong]
    path = folder / TRAIN_IMAGES
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    expected = rf"{path}: expected Fashion-MNIST's {TRAIN_IMAGES} \([\d,]+ bytes, SHA-256 \w+\.\.\.\), "
    remedy = r"\. Name the folder .* or download it with `minitrain data fetch` .*\. By hand: .*digits"
    with pytest.raises(DataError, match=expected + f"found (.* bytes, )?({found}).*" + remedy):
        Small(tmp_path)
    with pytest.raises(DataError, match=f"found .*({found})"):
        verify(tmp_path, small())
    first, *others = status(tmp_path, small())
    assert first.size == (None if content is None else len(content))
    assert first.fault is not None
    assert [each.fault for each in others] == [None, None, None]
    assert len(Small(tmp_path, train=False)) == 10  # which needs the others only


@pytest.mark.parametrize("name", UNPACKED)
def test_wrong_unpacked_files_are_noticed_too(tmp_path: Path, name: str) -> None:
    other = TRAIN_LABELS[:-3] if "images" in name else TRAIN_IMAGES[:-3]
    for content, found in (
        (UNPACKED[name][:-1], "a truncated IDX file"),
        (flip(UNPACKED[name], 999 if "images" in name else 70), "an IDX file of the right shape, but with SHA-256"),
        (UNPACKED[other], f"the content of {other}"),
        (b"", "an empty file"),
    ):
        put(tmp_path, UNPACKED | {name: content})
        with pytest.raises(DataError, match=f"{name}: expected.*found.*{found}"):
            verify(tmp_path, small())


def test_mnist_is_recognised(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = gzip.compress(idx(ARRAYS["train-images-idx3-ubyte"] // 2), mtime=0)  # stands for the true one
    known = file_of(TRAIN_IMAGES, ARRAYS["train-images-idx3-ubyte"], mnist)
    monkeypatch.setitem(COLLECTIONS, "mnist", COLLECTIONS["mnist"]._replace(files=((known,),)))
    (folder / TRAIN_IMAGES).write_bytes(mnist)
    with pytest.raises(DataError, match=f"MNIST's {TRAIN_IMAGES} .handwritten digits, not Fashion-MNIST's clothes"):
        Small(tmp_path)


def test_a_file_that_cannot_be_read_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / TRAIN_IMAGES).unlink()
    (folder / TRAIN_IMAGES).mkdir()
    with pytest.raises(DataError, match=r"found a file that cannot be read \(Is a directory\)"):
        Small(tmp_path)


def test_a_file_that_changes_after_its_check_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = downloads.check

    def check_then_change(*arguments: Any) -> Any:
        result = checked(*arguments)
        (folder / TRAIN_IMAGES).write_bytes(b"")
        return result

    monkeypatch.setattr(downloads, "check", check_then_change)
    with pytest.raises(DataError, match="changed while it was being read: an empty file"):
        Small(tmp_path)


mutations = st.one_of(
    st.integers(0, 10**6).map(lambda at: lambda content: flip(content, at % (8 * len(content)))),
    st.integers(0, 10**6).map(lambda at: lambda content: content[: at % len(content)]),
    st.tuples(st.integers(0, 10**6), st.binary(max_size=20)).map(
        lambda cut: lambda content: content[: cut[0] % len(content)] + cut[1] + content[cut[0] % len(content) :]
    ),
    st.binary(max_size=40).map(lambda tail: lambda content: content + tail),
    st.just(lambda content: content),
)


@given(data=st.data(), name=st.sampled_from([*PACKED, *UNPACKED]), mutate=mutations)
def test_a_changed_file_is_an_error_and_an_unchanged_one_is_right(
    data: st.DataObject, name: str, mutate: Callable[[bytes], bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("changed")
    contents = PACKED if name in PACKED else UNPACKED
    changed = mutate(contents[name])
    put(root, contents | {name: changed})
    train = name.startswith("train")
    if changed == contents[name]:
        assert (Small(root, train).data.array == ARRAYS[f"{'train' if train else 't10k'}-images-idx3-ubyte"]).all()
    else:
        with pytest.raises(DataError, match=f"{name}: expected"):
            Small(root, train)
    shutil.rmtree(root)


# --- the IDX reader --------------------------------------------------------------------------------------------


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
def test_read_idx_reads_what_was_written(array: Any) -> None:
    read = read_idx(idx(array))
    assert (read.dtype, read.shape) == (np.uint8, array.shape)
    assert (read == array).all()
    assert read.flags.writeable


@given(array=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, max_side=5)), mutate=mutations)
def test_read_idx_never_reads_something_else_than_the_header_says(array: Any, mutate: Callable[[bytes], bytes]) -> None:
    changed = mutate(idx(array))
    try:
        read = read_idx(changed)
    except DataError:
        return
    assert idx(read) == changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"\0\0", "not an IDX file: it begins with"),
        (b"\1\0\x08\1" + bytes(4), "not an IDX file: it begins with"),
        (b"\0\0\x0d\1" + bytes(4), "of type 0x0d, not of unsigned bytes"),
        (b"\0\0\x08\3" + bytes(9), "ends within its header, after 13 bytes"),
        (b"\0\0\x08\1\0\0\0\3ab", "ends after 2 of 3 bytes"),
        (b"\0\0\x08\1\0\0\0\1ab", "with more than the 1 bytes"),
        (b"\0\0\x08\3" + b"\xff" * 12, "ends after 0 of 79,228,162,458,924,105,385,300,197,375 bytes"),
        (b"\0\0\x08\xff" + bytes(4 * 255), "header promises 0 bytes"),
    ],
)
def test_read_idx_says_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_idx(content)


def test_read_idx_reads_no_more_than_it_must() -> None:
    class Endless:
        """A stream that never ends, and counts."""

        def __init__(self, head: bytes) -> None:
            self.head, self.given = head, 0

        def read(self, size: int) -> bytes:
            self.given += size
            block, self.head = self.head[:size], self.head[size:]
            return block + bytes(size - len(block))

    stream: Any = Endless(b"\0\0\x08\1\0\0\1\0")
    with pytest.raises(DataError, match="with more than the 256 bytes"):
        read_idx(stream)
    assert stream.given == 4 + 4 + 256 + 1
    stream = Endless(b"\0\0\x08\1\xff\0\0\0")
    with pytest.raises(DataError, match=r"of shape \(4278190080,\), not \(256,\)"):
        read_idx(stream, (256,))
    assert stream.given == 4 + 4


# --- downloading -----------------------------------------------------------------------------------------------


class Mirror:
    """A web server on this machine. `answers` maps a file's name to its content, or to something worse."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = dict(PACKED)
        self.asked: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                mirror.asked.append(name)
                answer = mirror.answers.get(name)
                if answer is None:
                    self.send_error(404)
                    return
                content, length = answer if isinstance(answer, tuple) else (answer, len(answer))
                self.send_response(200)
                if length is not None:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = Mirror()
    yield mirror
    mirror.close()


def nobody() -> str:
    """An address where nobody answers: the connection is refused."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/"


def listing(root: Path) -> dict[str, bytes]:
    """All files in the folder."""
    raw = root / "FashionMNIST" / "raw"
    return {path.name: path.read_bytes() for path in raw.iterdir()} if raw.exists() else {}


def test_download_fetches_the_four_files(tmp_path: Path, mirror: Mirror) -> None:
    class Downloaded(Small):
        mirrors: ClassVar[Sequence[str]] = [mirror.address]

    dataset = Downloaded(tmp_path, download=True)
    assert (dataset.data.array == ARRAYS["train-images-idx3-ubyte"]).all()
    assert listing(tmp_path) == PACKED
    assert mirror.asked == list(PACKED)
    Downloaded(tmp_path, train=False, download=True)
    assert mirror.asked == list(PACKED)  # what is there and good is not fetched again


def test_unpacked_files_that_are_good_are_not_fetched_again(tmp_path: Path, mirror: Mirror) -> None:
    put(tmp_path, UNPACKED)
    fetch(tmp_path, of=small([mirror.address]))
    assert mirror.asked == []


def test_a_bad_file_is_replaced_once_the_new_one_is_verified(folder: Path, tmp_path: Path, mirror: Mirror) -> None:
    (folder / TRAIN_IMAGES).write_bytes(b"bad")
    mirror.answers[TRAIN_IMAGES] = b"worse"
    with pytest.raises(DataError, match=r"sent 5 bytes, a damaged gzip file"):
        fetch(tmp_path, of=small([mirror.address]))
    assert listing(tmp_path) == PACKED | {TRAIN_IMAGES: b"bad"}
    mirror.answers = dict(PACKED)
    fetch(tmp_path, of=small([mirror.address]))
    assert listing(tmp_path) == PACKED
    assert mirror.asked == [TRAIN_IMAGES, TRAIN_IMAGES]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "HTTP status 404"),
        (b"<html>log in to the network</html>", "sent 34 bytes, a damaged gzip file, or not a gzip file"),
        (b"", "sent 0 bytes, an empty file"),
        (PACKED[TRAIN_LABELS], f"sent .* bytes, the content of {TRAIN_LABELS}"),
        (flip(PACKED[TRAIN_IMAGES], -60), "sent .* bytes, a damaged gzip file"),
        ((PACKED[TRAIN_IMAGES][:500], len(PACKED[TRAIN_IMAGES])), "ChunkedEncodingError|ConnectionError"),
        ((PACKED[TRAIN_IMAGES][:500], None), "sent 500 bytes, a truncated gzip file"),
    ],
)
def test_a_bad_answer_leads_to_the_next_mirror_and_leaves_nothing(
    tmp_path: Path, mirror: Mirror, answer: Any, reason: str
) -> None:
    mirror.answers[TRAIN_IMAGES] = answer
    with pytest.raises(DataError, match=f"tried {mirror.address} .*({reason})"):
        fetch(tmp_path, of=small([mirror.address]))
    assert listing(tmp_path) == {}
    good = Mirror()
    fetch(tmp_path, of=small([mirror.address, good.address]))
    good.close()
    assert listing(tmp_path) == PACKED
    assert good.asked == [TRAIN_IMAGES]


def test_without_a_network_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    addresses = [nobody(), nobody()]
    with pytest.raises(DataError) as caught:
        fetch(tmp_path, of=small(addresses))
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        f"{tmp_path / 'FashionMNIST' / 'raw' / TRAIN_IMAGES}: found no file, and the download failed: tried ",
        f"{addresses[0]} (ConnectionError), {addresses[1]} (ConnectionError)",
        f"put {', '.join(PACKED)} into {tmp_path / 'FashionMNIST' / 'raw'}.",
        "--dataset digits",
    ):
        assert part in message
    assert listing(tmp_path) == {}


def test_a_silent_mirror_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(DataError, match=r"\(ReadTimeout\)"):
            fetch(tmp_path, of=small([address]), timeout=0.1)


class Bar:
    """A progress bar that writes down what happens."""

    def __init__(self, on_update: Callable[[], None] = lambda: None) -> None:
        self.total, self.done, self.closed, self.on_update = 0, 0, False, on_update

    def update(self, amount: int) -> None:
        self.on_update()
        self.done += amount

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        self.closed = True


def test_progress_is_told(tmp_path: Path, mirror: Mirror) -> None:
    bars: dict[str, tuple[int, Bar]] = {}

    def progress(name: str, size: int) -> Bar:
        bars[name] = (size, Bar())
        return bars[name][1]

    fetch(tmp_path, of=small([mirror.address]), progress=progress)
    assert list(bars) == list(PACKED)
    for name, (size, bar) in bars.items():
        assert size == bar.total == bar.done == len(PACKED[name])
        assert bar.closed


def test_control_c_leaves_no_broken_file(folder: Path, tmp_path: Path, mirror: Mirror) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    (folder / TRAIN_IMAGES).unlink()
    (folder / TRAIN_LABELS).write_bytes(b"bad")
    with pytest.raises(KeyboardInterrupt):
        fetch(tmp_path, of=small([mirror.address]), progress=lambda name, size: Bar(interrupt))
    left = PACKED | {TRAIN_LABELS: b"bad"}
    del left[TRAIN_IMAGES]
    assert listing(tmp_path) == left


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"raw cannot be written \(Not a directory\): choose another folder"):
        fetch(tmp_path / "file", of=small(["http://127.0.0.1:9/"]))


def test_the_known_sizes_are_those_of_the_shapes() -> None:
    for _, unpacked in module.FILES:
        assert unpacked.size == 4 + 4 * len(unpacked.shape) + math.prod(unpacked.shape)
    checksums = [file.sha256 for forms in module.FILES for file in forms]
    assert len(set(checksums)) == 8

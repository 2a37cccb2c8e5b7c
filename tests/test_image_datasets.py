"""MNIST, KMNIST and CIFAR10 are torchvision's kind of data set, and a pickle can build plain data only."""

import hashlib
import io
import pickle
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitrain.data import DataError, DataLoader, Lambda, ToTensor, checksums, default_collate
from minitrain.data.checksums import Collection, File
from minitrain.data.datasets import CIFAR10, KMNIST, MNIST, FashionMNIST, fetch, status, verify
from minitrain.data.formats import read_cifar_file, read_pickle
from minitrain.with_torch.import_torchvision import import_torchvision
from tests.test_datasets import ARRAYS, PACKED, SMALL, UNPACKED, Mirror

torchvision = import_torchvision()

# --- the tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MNIST", "FashionMNIST", "KMNIST", "CIFAR10"])
def test_checksums_and_addresses_are_those_in_torchvisions_source(name: str) -> None:
    theirs = getattr(torchvision.datasets, name)
    ours: Any = {"MNIST": MNIST, "FashionMNIST": FashionMNIST, "KMNIST": KMNIST, "CIFAR10": CIFAR10}[name]
    of = ours.collection
    if name == "CIFAR10":
        assert [[file.name, file.md5] for (file,) in of.files] == theirs.train_list + theirs.test_list
        assert of.mirrors[0] + of.archive.name == theirs.url
        assert (of.archive.md5, of.folder) == (theirs.tgz_md5, theirs.base_folder)
    else:
        assert ours.resources == theirs.resources
        assert set(theirs.mirrors) <= set(ours.mirrors)
        assert ours.classes == theirs.classes
        assert of.folder == f"{name}/raw"


def test_no_two_files_have_the_same_checksum() -> None:
    files = [file for of in checksums.COLLECTIONS.values() for forms in of.files for file in forms]
    assert len({file.checksum for file in files}) == len(files) == 8 + 8 + 4 + 6


# --- MNIST's relatives -----------------------------------------------------------------------------------------

KINDS: list[tuple[type[MNIST], Collection]] = [(MNIST, checksums.MNIST), (KMNIST, checksums.KMNIST)]


@pytest.mark.parametrize(("kind", "of"), KINDS)
@pytest.mark.parametrize("contents", [PACKED, UNPACKED])
def test_mnist_and_kmnist_are_read_from_torchvisions_folders(
    kind: type[MNIST], of: Collection, contents: dict[str, bytes], tmp_path: Path
) -> None:
    class Small(kind):  # type: ignore[misc,valid-type]
        collection: ClassVar[Collection] = of._replace(files=SMALL)

    folder = tmp_path / kind.__name__ / "raw"
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    train, test = Small(tmp_path, transform=ToTensor()), Small(root=tmp_path, train=False)
    assert (train.data.array == ARRAYS["train-images-idx3-ubyte"]).all()
    assert (test.targets.array == ARRAYS["t10k-labels-idx1-ubyte"]).all()
    assert (len(train), len(test), train.raw_folder) == (20, 10, str(folder))
    assert train[0][0].shape == (1, 28, 28)
    (folder / next(iter(contents))).unlink()
    command = f"minitrain data fetch --dataset {kind.__name__.lower()}"
    with pytest.raises(DataError, match=rf"expected {of.title}'s .* found no file.*`{command}`"):
        Small(tmp_path)


def test_old_names_warn_as_in_torchvision(tmp_path: Path) -> None:
    class Small(MNIST):
        collection: ClassVar[Collection] = checksums.MNIST._replace(files=SMALL)

    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in PACKED.items():
        (folder / name).write_bytes(content)
    dataset = Small(tmp_path)
    for old, new in (
        ("train_data", "data"),
        ("test_data", "data"),
        ("train_labels", "targets"),
        ("test_labels", "targets"),
    ):
        with pytest.warns(UserWarning, match=f"^{old} has been renamed {new}$"):
            assert getattr(dataset, old) is getattr(dataset, new)


def test_old_programs_can_replace_the_mirrors(tmp_path: Path, mirror: Mirror) -> None:
    class Small(MNIST):
        collection: ClassVar[Collection] = checksums.MNIST._replace(files=SMALL)
        mirrors: ClassVar[list[str]] = [mirror.address]

    assert len(Small(tmp_path, download=True)) == 20
    assert (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").exists()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    mirror = Mirror()
    yield mirror
    mirror.close()


# --- CIFAR-10 --------------------------------------------------------------------------------------------------


def cifar_pickle(
    images: Any, labels: list[int], reconstruct: bytes = b"numpy.core.multiarray\n_reconstruct\n"
) -> bytes:
    """A pickle as in CIFAR's files, written by Python 2 and NumPy 1: a dict of a list and an array of bytes."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    content = images.tobytes()
    array = b"c" + reconstruct + b"cnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    array += b"(" + number(1) + number(images.shape[0]) + number(images.shape[1]) + b"\x86" + dtype + b"\x89"
    array += b"T" + struct.pack("<i", len(content)) + content + b"tb"
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + listed + b"u."


RNG = np.random.default_rng(4)
BATCHES = [RNG.integers(0, 256, (6, 3072), np.uint8) for _ in range(6)]
LABELS = [RNG.integers(0, 10, 6).tolist() for _ in range(6)]
NAMES = [file.name for (file,) in checksums.CIFAR10.files]
CONTENTS = {name: cifar_pickle(images, labels) for name, images, labels in zip(NAMES, BATCHES, LABELS, strict=True)}


def archive_of(contents: dict[str, bytes]) -> bytes:
    """A .tar.gz that holds the files, as CIFAR's does."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


ARCHIVE = archive_of(CONTENTS)
SMALL_CIFAR = checksums.CIFAR10._replace(
    files=tuple(
        (File(name, (6, 3072), len(each), md5=hashlib.md5(each).hexdigest()),) for name, each in CONTENTS.items()
    ),
    archive=File("cifar-10-python.tar.gz", (), len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest()),
    mirrors=(),
)


class SmallCIFAR(CIFAR10):
    collection: ClassVar[Collection] = SMALL_CIFAR


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("train", [True, False])
def test_cifar_is_torchvisions(cifar: Path, tmp_path: Path, train: bool) -> None:
    (cifar / "batches.meta").write_bytes(pickle.dumps({"label_names": CIFAR10.classes}, protocol=2))

    class Theirs(torchvision.datasets.CIFAR10):  # type: ignore[misc,name-defined]
        train_list: ClassVar[Any] = [[file.name, file.md5] for (file,) in SMALL_CIFAR.files[:-1]]
        test_list: ClassVar[Any] = [[file.name, file.md5] for (file,) in SMALL_CIFAR.files[-1:]]
        meta: ClassVar[Any] = torchvision.datasets.CIFAR10.meta | {
            "md5": hashlib.md5((cifar / "batches.meta").read_bytes()).hexdigest()
        }

    Theirs.__name__ = "SmallCIFAR"
    ours = SmallCIFAR(tmp_path, train, ToTensor(), lambda label: label + 1)
    theirs = Theirs(tmp_path, train, torchvision.transforms.ToTensor(), lambda label: label + 1)
    assert type(ours.data) is type(theirs.data) is np.ndarray
    assert ours.data.shape == theirs.data.shape == (len(ours), 32, 32, 3)
    assert (ours.data == theirs.data).all()
    assert type(ours.targets) is list
    assert ours.targets == theirs.targets
    assert (ours.classes, ours.class_to_idx) == (theirs.classes, theirs.class_to_idx)
    for i in (0, 3, -1):
        assert ours[i][0].array.tolist() == theirs[i][0].numpy().tolist()
        assert (ours[i][1], type(ours[i][1])) == (theirs[i][1], int)
    ours, theirs = SmallCIFAR(str(tmp_path), train), Theirs(str(tmp_path), train)
    assert repr(ours) == repr(theirs)
    image, label = ours[2]
    assert (image == np.asarray(theirs[2][0])).all()
    assert (type(image), type(label)) == (np.ndarray, int)


@given(indices=st.lists(st.integers(-30, 29), min_size=1, max_size=8), scaled=st.booleans())
def test_a_batch_of_cifar_is_its_samples(indices: list[int], scaled: bool) -> None:
    dataset = object.__new__(CIFAR10)
    dataset.data = np.stack(BATCHES[:5]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    dataset.targets = [label for labels in LABELS[:5] for label in labels]
    dataset.transform, dataset.target_transform = (ToTensor() if scaled else None), None
    fast = dataset.collated_batch(indices)
    assert fast is not None
    slow = default_collate([dataset[i] for i in indices])
    for found, expected in zip(fast, slow, strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.array.tobytes() == expected.array.tobytes()
    dataset.targets = [float(label) for label in dataset.targets]  # type: ignore[misc]
    assert dataset.collated_batch(indices) is None
    assert type(dataset[0][1]) is float  # as in torchvision, what the user has put there


def test_cifar_is_downloaded_as_an_archive_and_unpacked(tmp_path: Path, mirror: Mirror) -> None:
    of = SMALL_CIFAR._replace(mirrors=[mirror.address])
    mirror.answers = {"cifar-10-python.tar.gz": ARCHIVE}
    fetch(tmp_path, of)
    assert {path.name: path.read_bytes() for path in (tmp_path / "cifar-10-batches-py").iterdir()} == CONTENTS
    assert len(SmallCIFAR(tmp_path)) == 30
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"found 3 bytes, a file with MD5 .*truncated, damaged, or another file"):
        verify(tmp_path, of)
    SmallCIFAR(tmp_path, train=False, download=True)  # from the archive that is there
    assert mirror.asked == ["cifar-10-python.tar.gz"]
    assert [each.fault for each in status(tmp_path, of)] == [None] * 6


def test_a_wrong_archive_is_refused(tmp_path: Path, mirror: Mirror) -> None:
    of = SMALL_CIFAR._replace(mirrors=[mirror.address])
    mirror.answers = {"cifar-10-python.tar.gz": ARCHIVE[:-50]}
    with pytest.raises(DataError, match=r"sent .* a file with SHA-256 .*By hand: unpack cifar-10-python.tar.gz"):
        fetch(tmp_path, of)
    assert list(tmp_path.iterdir()) == []
    other = archive_of(CONTENTS | {"test_batch": b"bad"})  # an archive whose own checksum is right
    known = File("cifar-10-python.tar.gz", (), len(other), hashlib.sha256(other).hexdigest())
    mirror.answers = {"cifar-10-python.tar.gz": other}
    with pytest.raises(DataError, match=r"found 3 bytes, .* where test_batch should be: delete it, and try again"):
        fetch(tmp_path, of._replace(archive=known))
    assert sorted(path.name for path in (tmp_path / "cifar-10-batches-py").iterdir()) == NAMES[:5]


def test_without_its_files_cifar_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        CIFAR10(tmp_path)
    for part in ("data_batch_1: expected CIFAR-10's", "MD5 c99cafc152244af7", "--dataset cifar10", "download=True"):
        assert part in str(caught.value)


# --- pickles ---------------------------------------------------------------------------------------------------


def read(content: bytes) -> Any:
    return read_pickle(io.BytesIO(content))


class Harmful:
    def __reduce__(self) -> Any:
        return print, ("code has run",)


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Harmful()),
        pickle.dumps({"data": [Harmful()]}, protocol=2),
        pickle.dumps(print),
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        pickle.dumps(np.float64(3)),
        cifar_pickle(BATCHES[0], LABELS[0], b"os\nsystem\n"),
    ],
)
def test_a_pickle_that_names_code_is_refused(content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"a pickle that names [\w.]+: only plain data and arrays of bytes are read"):
        read(content)
    assert capsys.readouterr().out == ""


@given(value=st.recursive(st.integers() | st.text() | st.none() | st.booleans() | st.floats(allow_nan=False), st.lists))
def test_plain_data_is_read(value: Any) -> None:
    assert read(pickle.dumps(value)) == value


@given(
    at=st.integers(0, len(CONTENTS["test_batch"]) - 1),
    byte=st.integers(0, 255),
    cut=st.booleans(),
    near=st.booleans(),
)
def test_a_damaged_pickle_is_an_error_or_other_data(
    at: int, byte: int, cut: bool, near: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = CONTENTS["test_batch"]
    at = at % 260 if near else at  # near the beginning, where the structure is
    changed = content[:at] + (b"" if cut else bytes([byte]) + content[at + 1 :])
    path = tmp_path_factory.getbasetemp() / "batch"
    path.write_bytes(changed)
    try:
        images, labels = read_cifar_file(str(path), SMALL_CIFAR.files[-1][0])
    except DataError:
        return
    assert (images.shape, images.dtype, len(labels)) == ((6, 3072), np.uint8, 6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a damaged pickle"),
        (pickle.dumps([1]), "without the labels and the images"),
        (pickle.dumps({b"data": 1, b"labels": []}), "without the labels and the images"),
        (cifar_pickle(BATCHES[0][:5], LABELS[0]), "without the labels and the images"),
        (cifar_pickle(BATCHES[0], LABELS[0][:5]), "without one label for each of its 6 images"),
        (cifar_pickle(BATCHES[0], LABELS[0]).replace(b"U\x02u1", b"U\x02f4"), "an array of another type than bytes"),
        (cifar_pickle(BATCHES[0], LABELS[0]).replace(b"J\x00\x0c\x00\x00", b"J\x01\x0c\x00\x00"), "a damaged pickle"),
    ],
)
def test_a_wrong_pickle_is_described(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_cifar_file(str(path), SMALL_CIFAR.files[0][0])


# --- data put there by the user --------------------------------------------------------------------------------


def test_a_data_set_uses_the_data_that_a_program_puts_there() -> None:
    """As in torchvision: data, targets and transforms are plain attributes, also of a subclass with its own init."""

    class Mine(CIFAR10):
        def __init__(self) -> None:
            self.data = np.zeros((4, 32, 32, 3), np.uint8)
            self.targets = [3, 1, 2, 0]
            self.transform: Any = ToTensor()
            self.target_transform: Any = Lambda(lambda label: label * 2)

    mine = Mine()
    assert (len(mine), mine[1][1], mine[0][0].shape) == (4, 2, (3, 32, 32))
    mine.targets = mine.targets[:2]
    mine.data = mine.data[:2]
    assert [int(y) for _, y in DataLoader(mine)] == [6, 2]

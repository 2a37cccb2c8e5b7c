"""The files of the image data sets: their names, shapes, sizes, checksums, and the addresses to download them from.

MD5 sums are those in torchvision's source; where a SHA-256 is known as well, it is the one that is checked.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple


class File(NamedTuple):
    """A file whose exact content is known: its array's shape, its size in bytes, its checksum."""

    name: str
    shape: tuple[int, ...]
    size: int
    sha256: str = ""
    md5: str = ""

    @property
    def checksum(self) -> tuple[str, str]:
        """The algorithm's name, and the checksum that the file must have."""
        return ("SHA-256", self.sha256) if self.sha256 else ("MD5", self.md5)


# Each file in the forms that it can have on the disk, the form that is downloaded first.
Files = Sequence[tuple[File, ...]]


class Collection(NamedTuple):
    """The files of one data set.

    Attributes:
        title: what messages call the data set.
        subject: what its images show.
        folder: where the files lie under the root, as in torchvision.
        files: the files, those for training first.
        mirrors: base addresses; a file's name is appended.
        archive: the one file to download that contains all others, if they cannot be downloaded one by one.
    """

    title: str
    subject: str
    folder: str
    files: Files
    mirrors: Sequence[str]
    archive: File | None = None


def _idx_files(table: str) -> Files:
    """The four files of MNIST's layout.

    table: for each .gz a line with its size, MD5 and SHA-256, then the SHA-256 of the unpacked file. Without the last,
        only the .gz is read.
    """
    names = {
        "train-images-idx3-ubyte": (60_000, 28, 28),
        "train-labels-idx1-ubyte": (60_000,),
        "t10k-images-idx3-ubyte": (10_000, 28, 28),
        "t10k-labels-idx1-ubyte": (10_000,),
    }
    known = re.findall(r"(\d+) (\w{32}) (\w{64})\s+(\w{64})?", table)
    files: list[tuple[File, ...]] = []
    for (name, shape), (size, md5, sha256, unpacked) in zip(names.items(), known, strict=True):
        forms = [File(f"{name}.gz", shape, int(size), sha256, md5)]
        if unpacked:
            forms.append(File(name, shape, 4 + 4 * len(shape) + math.prod(shape), unpacked))
        files.append(tuple(forms))
    return tuple(files)


FASHION_MNIST = Collection(
    title="Fashion-MNIST",
    subject="clothes",
    folder="FashionMNIST/raw",
    files=_idx_files("""
    26421880 8d4fb7e6c68d591d4c3dfef9ec88bf0d 3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84
    c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888
    29515 25c81989df183df01b3e8a0aad5dffbe a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845
    bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9
    4422102 bef4ecab320f06d8554ea6380940ec79 346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073
    5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b
    5148 bb300cfdad3c16e7a12a480ee83cd310 67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5
    0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34
    """),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
)

MNIST = Collection(
    title="MNIST",
    subject="handwritten digits",
    folder="MNIST/raw",
    files=_idx_files("""
    9912422 f68b3c2dcbeaaa9fbdd348bbdeb94873 440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609
    ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db
    28881 d53e105ee54ea40749a09fcbcd1e9432 3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c
    65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5
    1648877 9fb629c4189551a2d022fa330f9573f3 8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6
    0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
    4542 ec29112dd5afa0611ce80d1b7f02629c f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6
    ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
    """),
    mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
)

KMNIST = Collection(
    title="Kuzushiji-MNIST",
    subject="cursive Japanese characters",
    folder="KMNIST/raw",
    files=_idx_files("""
    18165135 bdb82020997e1d708af4cf47b453dcf7 51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4
    29497 e144d726b3acfaa3e44228e80efcd344 e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17
    3041136 5c965bf0a639b31b8f53240b1b52f4d7 edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5
    5120 7320c461ea6c1c855c0b718fb2a4b134 20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c
    """),
    mirrors=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
)


def _batch(name: str, size: int, md5: str) -> tuple[File]:
    """A CIFAR-10 file of 10,000 images, each a row of its 1,024 red, then green, then blue pixels."""
    return (File(name, (10_000, 3072), size, md5=md5),)


CIFAR10 = Collection(
    title="CIFAR-10",
    subject="small colour photographs",
    folder="cifar-10-batches-py",
    files=(
        _batch("data_batch_1", 31_035_704, "c99cafc152244af753f735de768cd75f"),
        _batch("data_batch_2", 31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
        _batch("data_batch_3", 31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
        _batch("data_batch_4", 31_035_696, "634d18415352ddfa80567beed471001a"),
        _batch("data_batch_5", 31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
        _batch("test_batch", 31_035_526, "40351d587109b95175f43aff81a1287e"),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    archive=File(
        "cifar-10-python.tar.gz",
        (),
        170_498_071,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "c58f30108f718f92721af3b95e74349a",
    ),
)

COLLECTIONS = {"fashion-mnist": FASHION_MNIST, "mnist": MNIST, "kmnist": KMNIST, "cifar10": CIFAR10}

DIGITS = File("digits.npz", (1_797, 8, 8), 45_394, "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e")

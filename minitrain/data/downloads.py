"""Checks the data sets' files against their checksums, and downloads them; a wrong file is never accepted.

If a file is missing, truncated, damaged or swapped with another, a DataError names the file, what was expected, what
was found, and the remedy.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from typing import Any, NamedTuple

from minitrain.data.checksums import COLLECTIONS, FASHION_MNIST, Collection, File
from minitrain.data.formats import DataError, read_idx_file

# hashlib, tarfile and pooch are imported in the functions that need them, so that `import minitrain` stays fast.

StrPath = str | os.PathLike[str]
Progress = Callable[[str, int], Any] | bool


class Status(NamedTuple):
    """The result of checking one file. `size` is None if there is no file; `fault` is None if the file is intact."""

    path: str
    file: File
    size: int | None
    fault: str | None


def data_root(root: StrPath | None = None) -> str:
    """The folder for data: `root` if given, else the environment variable MINITRAIN_DATA, else ./data."""
    return os.path.expanduser(root if root is not None else os.environ.get("MINITRAIN_DATA") or "data")


def raw_folder(root: StrPath | None = None, of: Collection = FASHION_MNIST) -> str:
    """The folder for the collection's files, the same as torchvision's."""
    return os.path.join(data_root(root), *of.folder.split("/"))


# --- checking --------------------------------------------------------------------------------------------------


def status(root: StrPath | None = None, of: Collection = FASHION_MNIST) -> list[Status]:
    """Check each file of the collection, checksum included: the .gz file, or the unpacked one if there is no .gz."""
    return [_examine(*_locate(of, root, forms), of) for forms in of.files]


def verify(root: StrPath | None = None, of: Collection = FASHION_MNIST) -> None:
    """Raise a DataError for the first file that is missing, or whose content is not the original."""
    for forms in of.files:
        check(of, root, forms)


def check(of: Collection, root: StrPath | None, forms: tuple[File, ...]) -> tuple[str, File]:
    """Where the file is, and in which form. Raises DataError if it is missing, or its content is not the original."""
    path, file, _, fault = _examine(*_locate(of, root, forms), of)
    if fault is not None:
        algorithm, checksum = file.checksum
        name = next(name for name, each in COLLECTIONS.items() if each.title == of.title)
        chosen = "" if of.title == FASHION_MNIST.title else f" --dataset {name}"
        raise DataError(
            f"{path}: expected {of.title}'s {file.name} ({file.size:,} bytes, {algorithm} {checksum[:16]}...), "
            f"found {fault}. Name the folder that has it (--data-dir, MINITRAIN_DATA), or download it with "
            f"`minitrain data fetch{chosen}` (in a program, download=True). {_by_hand(of, root)}"
        )
    return path, file


def load(of: Collection, root: StrPath | None, forms: tuple[File, ...], read: Callable[[str, File], Any]) -> Any:
    """The content of a file, read by a function of its path and form. Raises DataError if it is not the original."""
    path, file = check(of, root, forms)
    try:
        return read(path, file)
    except (DataError, OSError) as error:  # the check passed a moment ago
        raise DataError(f"{path} changed while it was being read: {error}") from error


def _locate(of: Collection, root: StrPath | None, forms: tuple[File, ...]) -> tuple[str, File]:
    """Where a file is, and in which form: the first form that exists, else the one to download."""
    paths = [(os.path.join(raw_folder(root, of), file.name), file) for file in forms]
    return next((each for each in paths if os.path.exists(each[0])), paths[0])


def _by_hand(of: Collection, root: StrPath | None) -> str:
    names = ", ".join(forms[0].name for forms in of.files)
    put = f"put {names} into {raw_folder(root, of)}"
    if of.archive is not None:
        put = f"unpack {of.archive.name}, from {of.mirrors[0]}, in {data_root(root)}"
    return f"By hand: {put}. The digits (datasets.Digits, or --dataset digits) need neither files nor a network."


def _examine(path: str, file: File, of: Collection) -> Status:
    """Check the file at `path`, which should be `file`, one of the collection's."""
    size = None
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
            return Status(path, file, None, "a pipe, a socket or a device, not a file")  # reading could block
        size = found.st_size
        content = _identify(path, size, file, of)
    except FileNotFoundError:
        return Status(path, file, None, "no file")
    except OSError as error:
        return Status(path, file, size, f"a file that cannot be read ({error.strerror})")
    return Status(path, file, size, None if content is None else f"{size:,} bytes, {content}")


def _identify(path: str, size: int, file: File, of: Collection) -> str | None:
    """What the content is instead of the original, in words; None if it is the original."""
    files = [form for forms in of.files for form in forms] + ([of.archive] if of.archive else [])
    if size > max(each.size for each in files):
        return f"larger than all of {of.title}'s files"  # so there is no need to read it
    algorithm, expected = file.checksum
    found = _digest(path, algorithm)
    if found == expected:
        return None
    for each in files:
        if each.checksum == (algorithm, found):
            return f"the content of {each.name}"
    for other in COLLECTIONS.values():  # MNIST's relatives have files of the same names and shapes
        for each in (form for forms in other.files for form in forms):
            if each.checksum == (algorithm, found) and other.title != of.title:
                return f"{other.title}'s {each.name} ({other.subject}, not {of.title}'s {of.subject})"
    if len(file.shape) in (1, 3):
        try:
            read_idx_file(path, file)
        except DataError as error:
            return str(error)
        return f"an IDX file of the right shape, but with {algorithm} {found[:16]}...: damaged, or other images"
    return f"a file with {algorithm} {found[:16]}...: truncated, damaged, or another file"


def _digest(path: str, algorithm: str) -> str:
    import hashlib

    name = algorithm.lower().replace("-", "")
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(name, usedforsecurity=False)).hexdigest()


# --- downloading -----------------------------------------------------------------------------------------------


def fetch(
    root: StrPath | None = None,
    of: Collection = FASHION_MNIST,
    *,
    progress: Progress = False,
    timeout: float = 30.0,
) -> None:
    """Download missing files, and replace files that are damaged or swapped.

    A file is written under a .part name, verified, and only then renamed. If anything fails on the way, the old file
    is still in place.

    Args:
        root: as in MNIST.
        of: the collection of files, one of COLLECTIONS. Its mirrors are tried one after the other.
        progress: called with a file's name and size; returns a progress bar with tqdm's methods. True for pooch's bars.
        timeout: how many seconds to wait for a silent mirror.

    Raises:
        DataError: no mirror sent the original file, or the folder cannot be written. It may be missing, but not the
            folder above it: a mistyped path makes nothing.
    """
    above = os.path.dirname(os.path.abspath(data_root(root)))
    if not os.path.isdir(above):
        raise DataError(f"there is no folder {above}: create it, or correct the path {data_root(root)} (--data-dir)")
    faults = [(forms[0], _examine(*_locate(of, root, forms), of).fault) for forms in of.files]
    missing = [(file, fault) for file, fault in faults if fault is not None]
    if of.archive is None:
        for file, fault in missing:
            _download_file(of, root, raw_folder(root, of), file, fault, progress, timeout)
    elif missing:
        archive = os.path.join(data_root(root), of.archive.name)
        damage = _examine(archive, of.archive, of).fault
        if damage is not None:
            _download_file(of, root, data_root(root), of.archive, damage, progress, timeout)
        _unpack(of, root, archive, [file for file, _ in missing])


def _download_file(
    of: Collection, root: StrPath | None, folder: str, file: File, fault: str, progress: Progress, timeout: float
) -> None:
    import pooch  # type: ignore[import-untyped]

    path = os.path.join(folder, file.name)
    failures = []
    with _written_aside(folder, file) as part:
        for mirror in of.mirrors:
            bar = progress(file.name, file.size) if callable(progress) else progress
            downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16, timeout=timeout)
            with open(part, "wb") as stream:
                try:
                    downloader(mirror + file.name, stream, None)
                except (OSError, ValueError) as error:  # requests' errors are OSErrors
                    answer = getattr(error, "response", None)
                    reason = type(error).__name__ if answer is None else f"HTTP status {answer.status_code}"
                    failures.append(f"{mirror} ({reason})")
                    continue
            sent = _examine(part, file, of).fault
            if sent is None:
                os.replace(part, path)
                return
            failures.append(f"{mirror} (sent {sent})")
    raise DataError(
        f"{path}: found {fault}, and the download failed: tried {', '.join(failures)}. {_by_hand(of, root)}"
    )


def _unpack(of: Collection, root: StrPath | None, archive: str, files: list[File]) -> None:
    """Copy these files, and no others, out of the verified archive."""
    import shutil
    import tarfile

    folder = raw_folder(root, of)
    with tarfile.open(archive) as tar:
        for file in files:
            with _written_aside(folder, file) as part:
                with tar.extractfile(f"{of.folder}/{file.name}") as source, open(part, "wb") as stream:  # type: ignore[union-attr]
                    shutil.copyfileobj(source, stream)
                fault = _examine(part, file, of).fault
                if fault is not None:
                    raise DataError(f"{archive}: found {fault} where {file.name} should be: delete it, and try again")
                os.replace(part, os.path.join(folder, file.name))


@contextlib.contextmanager
def _written_aside(folder: str, file: File) -> Any:
    """A path in the folder to write a file to before it is verified; removed at the end if it is still there."""
    part = os.path.join(folder, f"{file.name}.{os.getpid()}.part")  # one per process: two may download at once
    try:
        os.makedirs(folder, exist_ok=True)
        yield part
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}): choose another folder (--data-dir)") from error
    finally:
        with contextlib.suppress(OSError):
            os.remove(part)

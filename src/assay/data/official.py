"""The official archives of published data sets: torchvision knows where they are, pooch fetches them."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from assay.core.errors import AssayError
from assay.data import formats
from assay.data.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from assay.data.sets.catalog import DataSet

SECONDS_OF_SILENCE = 10.0
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


def download(data_set: DataSet, folder: Path, work: Path) -> None:
    """Fill `folder` with the data set's raw files from torchvision's mirror; `work` takes the archives.

    Raises:
        AssayError: an archive does not arrive, or with other bytes than torchvision expects.
    """
    for archive in archives(data_set):
        fetch(archive, work)
    unpack(data_set, work, folder)


def fetch(archive: Archive, folder: Path) -> None:
    """Download an archive into a folder from the first URL that has it, with progress.

    Raises:
        AssayError: none has it; the line says why, for each.
    """
    import pooch  # with requests, which a data set already in place does without

    pooch.get_logger().setLevel("WARNING")
    reasons = []
    for url in archive.urls:
        with _Bar(archive.name) as bar:
            downloader = pooch.HTTPDownloader(bar, _CHUNK_BYTES, timeout=SECONDS_OF_SILENCE, headers=_HEADERS)
            try:
                pooch.retrieve(url, f"md5:{archive.md5}", archive.name, folder, downloader=downloader)
            except (OSError, ValueError) as error:  # requests raises OSErrors, and a wrong digest is a ValueError
                reasons.append(f"{url}: {_reason(error)}")
            else:
                return
    raise AssayError("; ".join(reasons))


class _Bar(ExitStack):
    """What an `HTTPDownloader` reports to: it sets `total`, calls `update`, and ends with `reset` and `close`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.total = self._done = 0
        self._name = name
        self._advance: Callable[[int], None] | None = None

    def update(self, count: int) -> None:
        if self._advance is None:
            self._advance = self.enter_context(progress(f"downloading {self._name}", self.total or None, "bytes"))
        count = min(count, self.total - self._done) if self.total else count  # it is told of whole chunks alone
        self._done += count
        self._advance(count)

    def reset(self) -> None:
        """Nothing: the total, which is then reported once more, is not counted again."""


def _reason(error: BaseException) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        response.close()
        return f"{response.status_code} {response.reason}"
    while error.__context__ is not None:  # requests and urllib3 wrap the cause several times
        error = error.__context__
    return getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__


def unpack(data_set: DataSet, source: Path, folder: Path) -> None:
    """Turn the official archives in `source` into the raw files in `folder`; nothing in them is run.

    Raises:
        AssayError: an archive is damaged or lacks a file.
    """
    for archive in archives(data_set):
        path = source / archive.name
        if data_set.layout == "idx":
            gunzip(path, folder / path.stem)
        elif data_set.layout == "cifar10":
            # from Python batches to the binary layout: the same images in the same order
            batches = {name.removesuffix(".bin"): f".{name}.batch" for name in data_set.files}
            extract(path, batches, folder)
            for name, temporary in batches.items():
                images, labels = formats.read_cifar_batch(folder / temporary)
                formats.write_cifar10(folder / f"{name}.bin", images, labels.tolist())
                (folder / temporary).unlink()
        else:
            extract(path, {name: name for name in data_set.files}, folder)


@contextmanager
def _whole(archive: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise AssayError(f"{archive.name}: damaged archive: {error}") from None


def gunzip(archive: Path, path: Path) -> None:
    """Decompress a gzip file to `path`; an `AssayError` names it where it is damaged."""
    with _whole(archive), gzip.open(archive) as packed, path.open("wb") as out:
        shutil.copyfileobj(packed, out)


def extract(archive: Path, members: dict[str, str], folder: Path) -> None:
    """Copy files out of a tar archive, by the last part of their names: from `members`' keys to its values in `folder`.

    Raises:
        AssayError: one is not in the archive, or the archive is damaged.
    """
    missing = dict(members)
    with _whole(archive), tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            stream = tar.extractfile(member) if name in missing and member.isfile() else None
            if stream is not None:
                with (folder / missing.pop(name)).open("wb") as out:
                    shutil.copyfileobj(stream, out)
            if not missing:
                return  # what follows may be gigabytes
    raise AssayError(f"{archive.name}: lacks {', '.join(missing)}")

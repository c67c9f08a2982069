"""The official archives of published data sets: torchvision knows where they are, this module how to open them."""

from __future__ import annotations

import gzip
import shutil
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.data import formats
from assay.data.fetch import fetch
from assay.data.pickles import read_cifar_batch
from assay.foundation import files
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from pathlib import Path

    from assay.data.sets.catalog import DataSet


@dataclass(frozen=True)
class Archive:
    """A file on the official mirror.

    Attributes:
        name: of the file.
        md5: by torchvision.
        urls: where it is; any will do.
    """

    name: str
    md5: str
    urls: tuple[str, ...]


def archives(data_set: DataSet) -> tuple[Archive, ...]:
    """What torchvision would download for a data set; empty where it has no such data set."""
    if data_set.official is None:
        return ()
    from torchvision import datasets  # seconds of imports that a data set already in place does without

    source = getattr(datasets, data_set.official)
    if hasattr(source, "resources"):
        return tuple(Archive(name, md5, tuple(m + name for m in source.mirrors)) for name, md5 in source.resources)
    return (Archive(source.filename, source.tgz_md5, (source.url,)),)


def download(data_set: DataSet, folder: Path, work: Path) -> None:
    """Fill `folder` with the data set's raw files from torchvision's mirror; `work` takes the archives.

    Raises:
        AssayError: an archive does not arrive, or with other bytes than torchvision expects.
    """
    wanted = archives(data_set)
    if not wanted:
        raise AssayError("torchvision has no such data set to download")
    for archive in wanted:
        path = work / archive.name
        fetch(archive.urls, path)
        digest = files.file_digest(path, "md5")
        if digest != archive.md5:
            raise AssayError(f"{' or '.join(archive.urls)}: wrong bytes: md5 {digest}, not {archive.md5}")
    unpack(data_set, work, folder)


def unpack(data_set: DataSet, source: Path, folder: Path) -> None:
    """Turn the official archives in `source` into the raw files in `folder`; nothing in them is run.

    Raises:
        AssayError: an archive is damaged or lacks a file.
    """
    for archive in archives(data_set):
        path = source / archive.name
        try:
            if data_set.layout == "idx":
                with gzip.open(path) as packed, (folder / path.stem).open("wb") as out:
                    shutil.copyfileobj(packed, out)
            elif data_set.layout == "cifar10":
                _unpack_cifar10(data_set, path, folder)
            else:
                extract(path, {file.name: file.name for file in data_set.files}, folder)
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise AssayError(f"{path.name}: damaged archive: {error}") from None


def extract(archive: Path, members: dict[str, str], folder: Path) -> None:
    """Copy single files out of a tar archive: from those named `members`' keys (their last part) to its values.

    Raises:
        AssayError: one is not in the archive.
        OSError, tarfile.TarError: the archive is damaged.
    """
    missing = dict(members)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            stream = tar.extractfile(member) if name in missing and member.isfile() else None
            if stream is not None:
                with (folder / missing.pop(name)).open("wb") as out:
                    shutil.copyfileobj(stream, out)
            if not missing:
                return  # what follows may be gigabytes
    raise AssayError(f"{archive.name}: lacks {', '.join(missing)}")


def _unpack_cifar10(data_set: DataSet, archive: Path, folder: Path) -> None:
    """From torchvision's archive of Python batches to the official binary layout, the same images in the same order."""
    batches = {file.name.removesuffix(".bin"): f".{file.name}.batch" for file in data_set.files}
    extract(archive, batches, folder)
    for name, temporary in batches.items():
        images, labels = read_cifar_batch(folder / temporary)
        formats.write_cifar10(folder / f"{name}.bin", images, labels.tolist())
        (folder / temporary).unlink()

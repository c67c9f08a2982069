from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from assay.core.errors import AssayError
from assay.data import raw
from assay.data.raw import read_cifar_batch

SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, max_side=5)


@settings(max_examples=30, deadline=None)
@given(values=arrays.arrays(np.uint8, SHAPES))
def test_idx_reads_what_it_wrote(values, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / "file"
    raw.write_idx(path, values)
    assert np.array_equal(raw.read_idx(path), values)


def test_idx_of_integers(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(raw.idx_header((2,), 0x0C) + np.array([70_000, -1], dtype=">i4").tobytes())
    assert raw.read_idx(path).tolist() == [70_000, -1]


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_idx_refuses_every_truncation(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / "file"
    raw.write_idx(path, tiny.random_bytes(3, 2, 2))
    size = data.draw(st.integers(0, path.stat().st_size - 1))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(AssayError, match=f"{path}: (truncated|not an IDX file)"):
        raw.read_idx(path)


def test_idx_refuses_what_is_too_long_or_something_else(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(raw.idx_header((2,)) + b"abc")
    with pytest.raises(AssayError, match="too long: 11 bytes; its layout asks for 10"):
        raw.read_idx(path)
    path.write_bytes(b"PK\x03\x04 and more")
    with pytest.raises(AssayError, match="not an IDX file"):
        raw.read_idx(path)


def test_cifar10_is_a_label_byte_then_planes(tmp_path):
    path = tmp_path / "batch.bin"
    planes = np.repeat(np.array([[1, 2, 3]], dtype=np.uint8), 1024, axis=1)
    raw.write_cifar10(path, planes, [7])
    assert path.read_bytes() == b"\x07" + b"\x01" * 1024 + b"\x02" * 1024 + b"\x03" * 1024
    images, labels = raw.read_cifar10(path)
    assert images.shape == (1, 3, 32, 32)
    assert images[0, :, 5, 6].tolist() == [1, 2, 3]
    assert labels.tolist() == [7]


def test_cifar10_refuses_half_a_record(tmp_path):
    path = tmp_path / "batch.bin"
    path.write_bytes(bytes(3073 + 3000))
    with pytest.raises(AssayError, match=f"{path}: truncated: 6073 bytes; its layout asks for 6146"):
        raw.read_cifar10(path)


def test_stl10_turns_columns_into_rows_and_counts_labels_from_zero(tmp_path):
    tiny.stl10(tmp_path)
    stored = tiny.random_bytes(3, 3, 96, 96)
    images, labels = raw.read_stl10(tmp_path / "train_X.bin", tmp_path / "train_y.bin")
    assert images[2, 1, 10, 20] == stored[2, 1, 20, 10]
    assert labels.tolist() == [0, 1, 2]


def test_labels_out_of_range_are_refused_with_the_files_name(tmp_path):
    labels = np.array([0, 2, 3, -1])
    raw.check_labels(tmp_path / "labels", labels[:2], 3)
    with pytest.raises(AssayError, match=r"labels: example 2 has label 3; labels go from 0 to 2 \(2 out of range\)"):
        raw.check_labels(tmp_path / "labels", labels, 3)


@pytest.mark.parametrize("key", ["labels", "fine_labels"])
def test_cifar_batch(key, tmp_path):
    path = tmp_path / "batch"
    pixels = tiny.random_bytes(2, 3072)
    path.write_bytes(pickle.dumps({"data": pixels, key: [4, 1]}, protocol=4))
    images, labels = read_cifar_batch(path)
    assert np.array_equal(images.reshape(2, -1), pixels)
    assert labels.tolist() == [4, 1]


def test_a_batch_in_python_2s_own_words_is_read(tmp_path):
    # protocol 2 as Python 2 wrote it: byte strings as SHORT_BINSTRING and BINSTRING, and numpy's old module name
    pixels = bytes(range(256)) * 12
    text = lambda value: b"U" + bytes([len(value)]) + value  # noqa: E731
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R"
        b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(pixels).to_bytes(4, "little") + pixels + b"tb"
    )
    path = tmp_path / "batch"
    path.write_bytes(b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"]K\x05au.")
    images, labels = read_cifar_batch(path)
    assert images.tobytes() == pixels
    assert labels.tolist() == [5]


class _Attack:
    def __reduce__(self):
        return os.mkdir, (os.environ["ATTACK_PATH"],)


def test_nothing_in_a_pickle_is_run(tmp_path, monkeypatch):
    monkeypatch.setenv("ATTACK_PATH", str(tmp_path / "made"))
    path = tmp_path / "batch"
    path.write_bytes(pickle.dumps({"data": _Attack()}))
    with pytest.raises(AssayError, match=r"batch: not a batch of CIFAR images: it asks for posix\.mkdir"):
        read_cifar_batch(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"no pickle", pickle.dumps([1]), pickle.dumps({"data": tiny.random_bytes(2, 3072), "labels": [1]})],
)
def test_what_is_no_batch_is_refused_with_its_name(content, tmp_path):
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(AssayError, match=str(path)):
        read_cifar_batch(path)

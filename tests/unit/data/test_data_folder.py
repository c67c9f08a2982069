from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from assay.core.config import Data
from assay.core.errors import AssayError
from assay.data import folder, raw, sources

DATA = Data(name="folder", validation=0, side=8)


def save(path, colour=(10, 20, 30), size=(12, 8), mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Two classes, three and two images, in the place where they are looked for by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_DATA_DIR", raising=False)
    root = tmp_path / "data/own"
    save(root / "train/dog/b.png", (1, 2, 3))
    save(root / "train/dog/a.jpg", (200, 0, 0))
    save(root / "train/cat/deep/x.PNG", 90, mode="L")
    save(root / "test/dog/t.png", (4, 5, 6))
    save(root / "test/cat/t.png", (7, 8, 9))
    return root


def obtain(tmp_path, data=DATA):
    sources.obtain(data, tmp_path / "data/raw")
    return raw.read(tmp_path / "data/raw", data)


def contents(tmp_path):
    return {path.name: path.read_bytes() for path in (tmp_path / "data/raw").iterdir()}


def test_images_labels_and_names(tree, tmp_path):
    content = obtain(tmp_path)
    images, labels = content.train
    assert content.class_names == ("cat", "dog")
    assert labels.tolist() == [0, 1, 1]
    assert images.shape == (3, 3, 8, 8)
    assert images[0].min() == images[0].max() == 90
    assert images[1, 0].mean() > 190  # dog/a.jpg, before dog/b.png
    assert images[2, :, 0, 0].tolist() == [1, 2, 3]
    assert content.test[0][:, :, 7, 7].tolist() == [[7, 8, 9], [4, 5, 6]]


def test_the_variable_names_another_place(tree, tmp_path, monkeypatch):
    tree.rename(tmp_path / "elsewhere")
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tmp_path / "elsewhere"))
    assert obtain(tmp_path).class_names == ("cat", "dog")


def test_equal_images_give_equal_bytes(tree, tmp_path):
    obtain(tmp_path)
    first = contents(tmp_path)
    shutil.rmtree(tmp_path / "data/raw")
    shutil.copytree(tree, tmp_path / "copy")
    shutil.rmtree(tree)
    shutil.move(tmp_path / "copy", tree)
    obtain(tmp_path)
    assert contents(tmp_path) == first
    assert set(first) == {
        *("train-images-idx4-ubyte", "train-labels-idx1-int", "test-images-idx4-ubyte", "test-labels-idx1-int"),
        "folder.json",
    }


def test_what_is_packed_already_stays(tree, tmp_path, monkeypatch, capsys):
    obtain(tmp_path)
    monkeypatch.setattr(folder, "pack", None)
    obtain(tmp_path)
    assert "already there" in capsys.readouterr().out


def test_what_is_packed_serves_without_the_folder(tree, tmp_path):
    first = obtain(tmp_path).train[0][:]
    shutil.rmtree(tree)
    assert np.array_equal(obtain(tmp_path).train[0][:], first)


def test_a_changed_image_is_packed_again(tree, tmp_path):
    obtain(tmp_path)
    save(tree / "train/dog/b.png", (99, 2, 3))
    assert obtain(tmp_path).train[0][2, :, 0, 0].tolist() == [99, 2, 3]


def test_another_size_is_packed_again(tree, tmp_path):
    obtain(tmp_path)
    assert obtain(tmp_path, DATA.model_copy(update={"side": 4})).train[0].shape == (3, 3, 4, 4)


def test_the_digest_must_match_where_one_is_given(tree, tmp_path, capsys):
    obtain(tmp_path)
    digest = raw.verify_packed(tmp_path / "data/raw", DATA).digest
    assert f"data.digest: {digest}" in capsys.readouterr().out
    pinned = DATA.model_copy(update={"digest": digest})
    obtain(tmp_path, pinned)
    save(tree / "test/dog/new.png", (0, 0, 0))
    with pytest.raises(
        AssayError, match=rf"data/own: the images' digest is \w+; params.yaml asks for data.digest: {digest}"
    ):
        obtain(tmp_path, pinned)
    assert raw.verify_packed(tmp_path / "data/raw", pinned).digest == digest  # as before


def test_the_digest_knows_where_an_image_lies(tree):
    before = folder.scan(tree).digest
    (tree / "train/dog/b.png").rename(tree / "train/cat/b.png")
    assert folder.scan(tree).digest != before


@pytest.mark.parametrize("name", ["train-images-idx4-ubyte", "test-labels-idx1-int"])
def test_a_tampered_file_is_named_and_packed_again(name, tree, tmp_path, capsys):
    obtain(tmp_path)
    path = tmp_path / "data/raw" / name
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\x09")
    with pytest.raises(AssayError, match=f"{path}: damaged or altered"):
        raw.read(tmp_path / "data/raw", DATA)
    obtain(tmp_path)
    assert path.read_bytes() == good
    assert f"{path}: damaged or altered" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("split", "error"),
    [
        ("test", r"data/own/test/bird: missing; train has the class bird"),
        ("train", r"data/own/train/bird: missing; test"),
    ],
)
def test_a_class_of_one_split_alone_is_refused(split, error, tree, tmp_path):
    other = "train" if split == "test" else "test"
    save(tree / other / "bird/a.png")
    with pytest.raises(AssayError, match=error):
        obtain(tmp_path)
    assert not (tmp_path / "data/raw").exists()


def test_an_empty_class_is_refused(tree, tmp_path):
    (tree / "train/dog/a.jpg").unlink()
    (tree / "train/dog/b.png").rename(tree / "train/dog/b.txt")
    with pytest.raises(AssayError, match="data/own/train/dog: no image in it"):
        obtain(tmp_path)


def test_a_missing_split_and_a_single_class_are_refused(tree, tmp_path):
    for split in ("train", "test"):
        shutil.rmtree(tree / split / "cat")
    with pytest.raises(AssayError, match=r"data/own: a folder for each of two or more classes .*\['dog'\]"):
        obtain(tmp_path)
    save(tree / "train/cat/x.png")
    shutil.rmtree(tree / "test")
    with pytest.raises(AssayError, match=r"data\.test: missing; data/own has no test split: say how many"):
        obtain(tmp_path)
    (tree / "train").rename(tree / "val")
    with pytest.raises(AssayError, match="data/own/train: no such folder; images belong in data/own/train/<class>/"):
        obtain(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_unreadable_image_is_named_and_nothing_is_left(content, tree, tmp_path):
    path = tree / "train/dog/b.png"
    path.write_bytes(path.read_bytes()[:-30] if content is None else content)
    with pytest.raises(AssayError, match=r"data/own/train/dog/b\.png: not a readable image"):
        obtain(tmp_path)
    assert [entry.name for entry in (tmp_path / "data").iterdir()] == ["own"]


def test_nowhere_to_be_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ASSAY_DATA_DIR", raising=False)
    with pytest.raises(AssayError, match=r"ASSAY_DATA_DIR is not set, and data/own: no such folder"):
        obtain(tmp_path)
    monkeypatch.setenv("ASSAY_DATA_DIR", "typo")
    with pytest.raises(AssayError, match=r"ASSAY_DATA_DIR=typo: no such folder"):
        obtain(tmp_path)

from __future__ import annotations

import json
import shutil
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from assay.core import files
from assay.core.config import Data
from assay.core.errors import AssayError
from assay.data import decoding, raw, sources
from assay.data.preparation import prepare
from assay.data.sets import prepared
from assay.data.sets.images import Preparation

DATA = Data(name="folder", validation=0, side=8)


def save(path, colour=(10, 20, 30), size=(12, 8), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path)


def noise(path, seed, size=(8, 8), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def noisy(tmp_path, monkeypatch):
    """Two classes, four and two images each, all different."""
    root = tmp_path / "own"
    for seed, (split, name, n) in enumerate(product(("train", "test"), ("cat", "dog"), range(4))):
        if split == "train" or n < 2:
            noise(root / split / name / f"{n}.png", seed)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(root))
    return root


def lines_of(tmp_path, capsys, data=DATA):
    sources.obtain(data, tmp_path / "data/raw")
    return capsys.readouterr().out.splitlines()


def test_it_ends_with_a_table_and_what_was_passed_over(noisy, tmp_path, capsys):
    for n in range(4):
        (noisy / f"train/cat/{n}.csv").write_text("a,b")
    save(noisy / "train/dog/.hidden.png")
    (noisy / "README").write_text("ours")
    lines = lines_of(tmp_path, capsys)
    assert [line.split() for line in lines[1:5]] == [
        ["class", "train", "test"],
        ["cat", "4", "2"],
        ["dog", "4", "2"],
        ["all", "8", "4"],
    ]
    assert f"{noisy}: 1 passed over (hidden): train/dog/.hidden.png" in lines
    assert f"{noisy}: 1 passed over (outside the folders of the splits): README" in lines
    some = "train/cat/0.csv, train/cat/1.csv, train/cat/2.csv, ..."
    assert f"{noisy}: 4 passed over (.csv is the ending of no image): {some}" in lines
    assert not any("warning" in line for line in lines)


def test_copies_are_counted_where_they_are_tested(noisy, tmp_path, capsys):
    for n in range(20):
        shutil.copy(noisy / "train/cat/0.png", noisy / f"test/cat/copy{n}.png")
    shutil.copy(noisy / "train/cat/1.png", noisy / "train/dog/same.png")
    shutil.copytree(noisy / "test/dog", noisy / "val/dog")
    noise(noisy / "val/cat/0.png", 99)
    warnings = [line for line in lines_of(tmp_path, capsys) if "warning" in line]
    assert any("of the 24 test images, 20 stand in train too, byte for byte: test/cat/copy0.png" in w for w in warnings)
    assert any("of the 24 test images, 2 stand in validation too" in w for w in warnings)
    assert any(
        "1 image under more than one class, byte for byte: train/cat/1.png and train/dog/same.png" in w
        for w in warnings
    )
    assert len(warnings) == 3
    shutil.rmtree(noisy / "val")
    warnings = [
        line for line in lines_of(tmp_path, capsys, DATA.model_copy(update={"validation": 2})) if "warning" in line
    ]
    assert (
        "1 image of train stand there twice, byte for byte: train/dog/same.png of train/cat/1.png; one may"
        in warnings[0]
    )


def test_images_of_a_single_colour_are_named(noisy, tmp_path, capsys):
    for n in range(4):
        save(noisy / f"train/cat/{n}.png", (n, n, n))
        shutil.copy(noisy / "train/dog/0.png", noisy / f"train/dog/{n + 1}.png")
    save(noisy / "test/dog/0.png")
    text = "\n".join(lines_of(tmp_path, capsys))
    assert "warning: each of the 4 train images of class cat is of a single colour" in text
    assert "warning: the 5 train images of class dog are all the same at this side" in text
    assert "warning: 1 image of a single colour: test/dog/0.png" in text


@pytest.mark.parametrize(
    ("colour", "said"),
    [((1, 1, 1), "all 12 images are the same at this side"), (None, "each of the 12 images is of a single colour")],
)
def test_a_constant_data_set_is_pointed_out(colour, said, noisy, tmp_path, capsys):
    for n, path in enumerate(sorted(noisy.rglob("*.png"))):
        save(path, colour or (n, 0, 0))
    assert f"{noisy}: warning: {said}" in lines_of(tmp_path, capsys)


def test_transparency_and_frames_are_counted(noisy, tmp_path, capsys):
    drawn = np.zeros((8, 8, 4), dtype=np.uint8)
    drawn[2:6, 2:6, 3] = 255
    for n in range(2):
        Image.fromarray(drawn).save(noisy / f"train/cat/{n}.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(noisy / "train/cat/opaque.png")
    frames = [Image.new("L", (8, 8), value) for value in (10, 200)]
    frames[0].save(noisy / "train/dog/0.gif", save_all=True, append_images=frames[1:])
    text = "\n".join(lines_of(tmp_path, capsys))
    assert "2 images with transparency, put on a white ground: train/cat/0.png, train/cat/1.png" in text
    assert "1 image with several frames or pages, of which the first is taken: train/dog/0.gif" in text


def test_all_bad_files_are_named_at_once(noisy, tmp_path, monkeypatch):
    for n in range(4):
        path = noisy / f"train/cat/{n}.png"
        path.write_bytes(path.read_bytes()[:-30])
    (noisy / "train/dog/lost.png").symlink_to(noisy / "nowhere.png")
    save(noisy / "test/dog/deep.png", 70, mode="I;16")
    digest = files.file_digest
    monkeypatch.setattr(files, "file_digest", lambda path: digest(denied(path, "dog/1.png")))
    with pytest.raises(AssayError) as caught:
        sources.obtain(DATA, tmp_path / "data/raw")
    assert [line.removeprefix(f"{noisy}/").partition(": ")[0] for line in str(caught.value).splitlines()] == [
        "test/dog/1.png", "train/dog/1.png", "train/dog/lost.png",
        *(f"train/cat/{n}.png" for n in range(4)), "test/dog/deep.png",
    ]  # fmt: skip
    assert f"{noisy}/train/dog/1.png: Permission denied" in str(caught.value)
    assert f"{noisy}/train/dog/lost.png: No such file or directory" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["own", "data"]
    assert not (tmp_path / "data/raw").exists()


def denied(path, end):
    if str(path).endswith(end):
        raise PermissionError(13, "Permission denied", str(path))
    return path


def test_many_bad_files_are_counted(noisy, tmp_path):
    for n in range(25):
        (noisy / f"train/cat/b{n}.png").write_bytes(b"")
    with pytest.raises(AssayError) as caught:
        sources.obtain(DATA, tmp_path / "data/raw")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "and 5 more like these"


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_a_validation_split_is_used(name, noisy, tmp_path, capsys):
    for seed, path in enumerate(("cat/1.png", "dog/1.png", "dog/2.png")):
        noise(noisy / name / path, 100 + seed)
    lines = lines_of(tmp_path, capsys)
    assert lines[1].split() == ["class", "train", "validation", "test"]
    prepare(tmp_path / "data/raw", DATA, tmp_path / "data/prepared")
    data = prepared.load(tmp_path / "data/prepared", torch.device("cpu"))
    assert [split.labels.tolist() for split in (data.train, data.validation, data.test)] == [
        [0, 0, 0, 0, 1, 1, 1, 1],
        [0, 1, 1],
        [0, 0, 1, 1],
    ]
    own = decoding.read_image(noisy / name / "dog/2.png", Preparation(8, 8)).pixels
    assert np.array_equal(data.validation.images[2].numpy(), own)
    with pytest.raises(
        AssayError, match=r"data\.validation: got 2; .*own has a validation split of its own \(3 images\)"
    ):
        sources.obtain(DATA.model_copy(update={"validation": 2}), tmp_path / "data/raw")
    with pytest.raises(AssayError, match=r"data\.validation: got 2; .*data/raw/folder\.json has a validation split"):
        prepare(tmp_path / "data/raw", DATA.model_copy(update={"validation": 2}), tmp_path / "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"fit": "pad"},
        {"side": [6, 10], "fit": "stretch"},
        {"channels": 1},
        {"side": [6, 10], "fit": "pad", "channels": 1},
    ],
)
def test_what_became_of_the_images_travels_with_the_data(changes, noisy, tmp_path, capsys):
    noise(noisy / "test/dog/1.png", 7, (9, 14))
    lines_of(tmp_path, capsys)
    data = Data.model_validate({"name": "folder", "validation": 0, "side": 8, **changes})
    assert any("packing again" in line for line in lines_of(tmp_path, capsys, data))
    prepare(tmp_path / "data/raw", data, tmp_path / "out")
    loaded = prepared.load(tmp_path / "out", torch.device("cpu"))
    height, width = changes.get("side", (8, 8))
    assert loaded.preparation == Preparation(height, width, changes.get("fit", "crop"), changes.get("channels", 3))
    assert loaded.images.shape == loaded.preparation.shape
    own = decoding.read_image(noisy / "test/dog/1.png", loaded.preparation).pixels
    assert np.array_equal(loaded.test.images[3].numpy(), own)


def test_usual_settings_are_not_written(noisy, tmp_path, capsys):
    """So that data packed and prepared by an older version keep their bytes and digests."""
    lines_of(tmp_path, capsys)
    prepare(tmp_path / "data/raw", DATA, tmp_path / "out")
    assert set(files.read_json(tmp_path / "data/raw/folder.json")) == {
        "class_names",
        "side",
        "digest",
        "counts",
        "files",
    }
    assert "fit" not in files.read_json(tmp_path / "out/meta.json")
    data = DATA.model_copy(update={"fit": "stretch"})
    sources.obtain(data, tmp_path / "data/raw")
    prepare(tmp_path / "data/raw", data, tmp_path / "other")
    assert files.read_json(tmp_path / "other/meta.json")["fit"] == "stretch"


def test_a_test_set_is_held_out_where_there_is_none(noisy, tmp_path, capsys):
    shutil.rmtree(noisy / "test")
    data = DATA.model_copy(update={"test": 4, "validation": 2})
    lines_of(tmp_path, capsys, data)
    prepare(tmp_path / "data/raw", data, tmp_path / "out")
    loaded = prepared.load(tmp_path / "out", torch.device("cpu"))
    splits = [loaded.train, loaded.validation, loaded.test]
    assert [split.labels.bincount().tolist() for split in splits] == [[1, 1], [1, 1], [2, 2]]
    images = [image.numpy().tobytes() for split in splits for image in split.images]
    assert len(set(images)) == 8
    assert "images: train 2, validation 2, test 4; " in capsys.readouterr().out
    with pytest.raises(AssayError, match=r"data\.test: missing; .*own has no test split"):
        lines_of(tmp_path, capsys)
    shutil.copytree(noisy / "train", noisy / "test")
    with pytest.raises(AssayError, match=r"data\.test: got 4; .*own has a test split of its own \(8 images\)"):
        lines_of(tmp_path, capsys, data)


@pytest.mark.parametrize("counts", [{}, {"train": 8, "test": 4, "more": 1}, {"train": 8, "validation": 1, "test": 4}])
def test_a_record_with_other_splits_is_refused(counts, noisy, tmp_path):
    sources.obtain(DATA, tmp_path / "data/raw")
    path = tmp_path / "data/raw/folder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"counts": counts}))
    if "more" in counts:  # a split that nobody reads
        assert raw.read(tmp_path / "data/raw", DATA).validation is None
    else:
        with pytest.raises(AssayError, match="data/raw/"):
            raw.read(tmp_path / "data/raw", DATA)

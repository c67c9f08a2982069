"""`assay init`: what is proposed for a folder of images passes the checks and fits the time, or a line says why not."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from assay import cli
from assay.cli import init
from assay.core import config
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.methods import checks


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """An empty repository, with an `images` folder beside it that `draw` fills."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/dvc.yaml").touch()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.delenv("ASSAY_DATA_DIR", raising=False)
    monkeypatch.setattr(init, "_rate", lambda images, *_: 2e6 / (images.height * images.width))
    monkeypatch.setattr(init.runtime, "set_up", lambda: torch.device("cpu"))
    return tmp_path


def draw(folder, classes=("cat", "dog"), number=60, size=(50, 40), grey=False):
    noise = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for index in range(number):
            shape = (size[1], size[0]) if grey else (size[1], size[0], 3)
            Image.fromarray(noise.integers(0, 256, shape, dtype=np.uint8)).save(folder / name / f"{index}.png")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(["init", *map(str, arguments)])
    return ended.value.code


def test_a_folder_becomes_an_experiment_that_fits_it(repository, capsys):
    draw(repository / "images")
    assert not run(repository / "images")
    params = config.load()
    assert (params.data.side, params.data.channels, params.data.fit) == (32, 3, "crop")
    assert (params.data.test, params.data.validation, params.data.augment) == (24, 10, "crop_flip")
    assert set(params.arms) == {"hard", "swa", "subset", "scratch"}
    said = capsys.readouterr().out
    assert "120 images (train 120) in 2 classes, in colour, shorter side 40 pixels (median), 100 % near square" in said
    assert "largest class cat (60, 50 %), smallest dog (60, 50 %)" in said
    assert "images: train 86, validation 10, test 24; on this test set" in said
    assert (repository / "repository/data/own").resolve() == repository / "images"


def test_grey_and_long_pictures_in_splits_of_their_own(repository, capsys):
    for split, number in (("train", 60), ("val", 10), ("test", 20)):
        draw(repository / "images" / split, number=number, size=(120, 40), grey=True)
    assert not run(repository / "images")
    data = config.load().data
    assert (data.channels, data.fit, data.test, data.validation, data.augment) == (1, "pad", 0, 0, "crop")
    assert "all grey" in capsys.readouterr().out


def test_copies_across_splits_are_told(repository, capsys):
    for split in ("train", "test"):
        draw(repository / "images" / split)
    run(repository / "images")
    assert re.search(r"warning: of the 120 test images, 120 stand in train too, byte for byte", capsys.readouterr().out)


@given(
    train=st.integers(2, 100_000), classes=st.integers(2, 40), minutes=st.floats(0.01, 600), split=st.booleans(),
    shorter=st.integers(8, 3000), rate=st.floats(1, 1e6),
)  # fmt: skip
def test_every_proposal_passes_the_checks(train, classes, minutes, split, shorter, rate):
    counts = {"train": train} | ({"validation": 50, "test": 80} if split else {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(init, "_rate", lambda images, *_: rate / images.height)
        looks = init.Looks(shorter, 0.5, grey=False)
        try:
            text, about = init.propose(counts, classes, looks, torch.device("cpu"), minutes)
        except AssayError:
            if train >= 4 * (init.LEAST_EXAMPLES + classes):
                raise
            return
    params = parse(config.Params, yaml_of(text, "params.yaml"), "params.yaml")
    trainings = checks.check(params, about)
    epochs = params.train.steps * params.train.batch_size / about[1]
    assert 1 < epochs <= init.MOST_EPOCHS + 1
    work = sum(one.run.train.steps for one in trainings.values()) / params.train.steps
    assert work == pytest.approx(3 + 2 * init.SUBSET_COST, rel=0.2)


def test_more_minutes_give_larger_images_or_more_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(init, "_rate", lambda images, *_: 2e6 / (images.height * images.width))
        looks = init.Looks(100, 1.0, grey=False)
        found = []
        for minutes in (5, 10, 60, 600):
            text, about = init.propose({"train": 10_000}, 10, looks, torch.device("cpu"), minutes)
            found.append((about[0].height, yaml_of(text, "")["train"]["steps"]))
    assert found == sorted(found)
    assert found[0][0] < found[-1][0] == init.LARGEST_SIDE["cpu"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: None, "images: no such folder; name the one that holds your images"),
        (lambda folder: folder.write_text("no folder"), "images: no such folder"),
        (lambda folder: draw(folder, number=3), "6 images are too few: 2 are left to train on, and 64 are needed"),
        (lambda folder: draw(folder, classes=("cat",)), "images: a folder for each of two or more classes is needed"),
    ],
)  # fmt: skip
def test_what_cannot_become_an_experiment_is_one_line_and_nothing_is_written(repository, capsys, make, said):
    make(repository / "images")
    assert run(repository / "images")
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in (repository / "repository").rglob("*")) == ["dvc.yaml"]


def test_files_that_are_no_images_are_one_line(repository, capsys):
    for name in ("cat", "dog"):
        (repository / "images" / name).mkdir(parents=True)
        for index in range(60):
            (repository / "images" / name / f"{index}.png").write_text("no image")
    assert run(repository / "images")
    assert "none of 120 files could be opened as an image" in capsys.readouterr().err


def test_other_images_at_their_place_are_left_alone(repository, capsys, monkeypatch):
    draw(repository / "images")
    draw(repository / "repository/data/own")
    assert run(repository / "images")
    assert "data/own: holds other images; move them away, or set ASSAY_DATA_DIR to" in capsys.readouterr().err
    monkeypatch.setenv("ASSAY_DATA_DIR", "elsewhere")
    assert run(repository / "images")
    assert "ASSAY_DATA_DIR=elsewhere: another folder; unset it" in capsys.readouterr().err
    monkeypatch.setenv("ASSAY_DATA_DIR", str(repository / "images"))
    assert not run(repository / "images")
    assert not (repository / "repository/params.yaml").read_text().count("images:")

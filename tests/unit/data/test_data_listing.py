from __future__ import annotations

import os
import socket
import unicodedata

import pytest
from PIL import Image

from assay.core.errors import AssayError
from assay.data import folder


def save(path, colour=0, kind=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (colour, 0, 0)).save(path, kind)


@pytest.fixture
def tree(tmp_path):
    """Two classes, an image or two each."""
    root = tmp_path / "own"
    for colour, path in enumerate(("train/cat/a.png", "train/cat/b.png", "train/dog/a.png")):
        save(root / path, colour)
    for colour, path in enumerate(("test/cat/a.png", "test/dog/a.png")):
        save(root / path, 10 + colour)
    return root


def names(found, split="train"):
    return [path for path, _ in found.images[split]]


def test_it_lists_what_torchvision_lists(tree, tmp_path):
    from torchvision.datasets import ImageFolder

    save(tree / "train/cat/deep/er/x.jpeg")
    save(tree / "train/dog/Y.PNG")
    for n in range(4):
        save(tmp_path / f"elsewhere/{n}.png", n)
    (tree / "train/cat/more").symlink_to(tmp_path / "elsewhere")
    (tree / "train/dog/one.png").symlink_to(tmp_path / "elsewhere/1.png")
    (tree / "train/fox").symlink_to(tmp_path / "elsewhere")
    save(tree / "test/fox/a.png")
    found, theirs = folder.scan(tree), ImageFolder(tree / "train")
    assert list(found.class_names) == theirs.classes
    assert sorted((str(tree / path), label) for path, label in found.images["train"]) == sorted(theirs.samples)
    assert len(found.images["train"]) == 14
    assert not found.passed_over
    assert not found.unreadable


def test_every_format_of_pillow_is_taken_whatever_its_name(tree):
    for ending, kind in (("jfif", "JPEG"), ("GIF", "GIF"), ("jp2", "JPEG2000"), ("tga", "TGA"), ("avif", "AVIF")):
        save(tree / f"train/dog/x.{ending}", kind=kind)
    save(tree / "train/dog/0001", kind="JPEG")
    (tree / "train/dog/README").write_text("not an image")
    (tree / "train/dog/empty").touch()
    for ending in ("csv", "h5", "mpg", "eps"):  # Pillow has a name for the last three, and no decoder
        (tree / f"train/dog/x.{ending}").write_bytes(b"1,2")
    found = folder.scan(tree)
    assert [path.removeprefix("train/dog/") for path in names(found)[2:]] == [
        *("0001", "a.png", "x.GIF", "x.avif", "x.jfif", "x.jp2", "x.tga"),
    ]
    assert found.passed_over == {
        "no ending, and no image by its first bytes": ["train/dog/README", "train/dog/empty"],
        **{f".{e} is the ending of no image": [f"train/dog/x.{e}"] for e in ("csv", "eps", "h5", "mpg")},
    }


def test_the_endings_of_torchvision_are_among_those_taken():
    from torchvision.datasets.folder import IMG_EXTENSIONS

    from assay.data import decoding

    assert set(IMG_EXTENSIONS) <= set(decoding.extensions())


def test_hidden_and_tool_folders_are_passed_over(tree):
    before = folder.scan(tree)
    passed = [
        *("train/cat/.ipynb_checkpoints", "train/cat/__MACOSX", "train/__pycache__", "test/@eaDir", "test/.cache"),
        ".git",
    ]
    for path in passed:
        save(tree / path / "a.png")
    save(tree / "train/cat/._a.png")
    save(tree / "train/loose.png")
    save(tree / "extra/cat/a.png")
    found = folder.scan(tree)
    assert found.digest == before.digest
    assert {reason: sorted(paths) for reason, paths in found.passed_over.items()} == {
        "hidden": [".git", "test/.cache", "train/cat/._a.png", "train/cat/.ipynb_checkpoints"],
        "written by a tool or a system": ["test/@eaDir", "train/__pycache__", "train/cat/__MACOSX"],
        "outside the class folders": ["train/loose.png"],
        "outside the folders of the splits": ["extra"],
    }


@pytest.mark.parametrize("target", ["train/cat", "train", "train/cat/deep/loop"])
def test_a_link_in_a_circle_is_named(target, tree):
    (tree / "train/cat/deep").mkdir()
    (tree / "train/cat/deep/loop").symlink_to(tree / target)
    found = folder.scan(tree)
    assert all(path.startswith("train/cat/deep/loop") for path in found.unreadable)
    (reason, *_) = found.unreadable.values()
    assert "which has no end; remove it" in reason or "Too many levels of symbolic links" in reason
    assert len(names(found)) <= 10


def test_pipes_and_sockets_do_not_stop_it(tree, tmp_path, monkeypatch):
    os.mkfifo(tree / "train/cat/pipe.png")
    os.mkfifo(tree / "train/cat/pipe")
    monkeypatch.chdir(tree / "train/cat")  # the path of a socket may have 107 bytes
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket.png")
        found = folder.scan(tree)
    assert found.passed_over == {
        "no file, but a pipe, a socket or a device": [f"train/cat/{n}" for n in ("pipe", "pipe.png", "socket.png")]
    }


@pytest.mark.parametrize("hidden", ["train/cat/deep", "train/cat", "train"])
def test_a_folder_that_cannot_be_listed_is_named(hidden, tree, monkeypatch):
    save(tree / "train/cat/deep/c.png")
    scandir = os.scandir

    def refusing(path):
        if path == tree / hidden:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    line = f"{tree / hidden}: cannot be listed: Permission denied"
    if hidden == "train/cat/deep":
        assert folder.scan(tree).unreadable == {hidden: "cannot be listed: Permission denied"}
    else:
        with pytest.raises(AssayError) as caught:
            folder.scan(tree)
        assert str(caught.value).splitlines()[0] == line


def test_a_linked_class_that_leads_nowhere_is_named(tree, tmp_path):
    for split in ("train", "test"):
        (tree / split / "fox").symlink_to(tmp_path / "not mounted")
    assert folder.scan(tree).unreadable == dict.fromkeys(("train/fox", "test/fox"), "No such file or directory")


def test_one_class_in_two_unicode_forms_is_one_class(tree):
    save(tree / "train" / unicodedata.normalize("NFC", "café") / "a.png")
    save(tree / "test" / unicodedata.normalize("NFD", "café") / "a.png")
    found = folder.scan(tree)
    assert found.class_names == ("café", "cat", "dog")
    assert [label for _, label in found.images["test"]] == [0, 1, 2]
    save(tree / "train" / unicodedata.normalize("NFD", "café") / "b.png")
    with pytest.raises(AssayError, match=r"in Unicode normalisation alone: 'cafe\\u0301' and 'caf\\xe9'; merge them"):
        folder.scan(tree)


@pytest.mark.parametrize(("raw", "shown"), [(b"caf\xe9", r"caf\\udce9"), (b"two\nlines", r"two\\nlines")])
def test_a_class_name_that_is_no_text_is_refused(raw, shown, tree):
    for split in (b"train", b"test"):
        os.mkdir(os.fsencode(tree) + b"/" + split + b"/" + raw)  # noqa: PTH102
    with pytest.raises(AssayError, match=f"train/{shown}: a class needs a name in UTF-8") as caught:
        folder.scan(tree)
    assert len(str(caught.value).splitlines()) == 2
    str(caught.value).encode()


def test_a_file_name_that_is_no_text_is_no_obstacle(tree, tmp_path, capsys, monkeypatch):
    from assay.core.config import Data
    from assay.data import sources

    for name in (b"caf\xe9.png", b"two\nlines.png"):
        with open(os.fsencode(tree) + b"/train/dog/" + name, "wb") as stream:  # noqa: PTH123
            stream.write((tree / "train/dog/a.png").read_bytes())
    monkeypatch.setenv("ASSAY_DATA_DIR", str(tree))
    sources.obtain(Data(name="folder", validation=0, side=4), tmp_path / "raw")
    assert len(names(folder.scan(tree))) == 5
    (tree / "train/dog/two\nlines.png").write_bytes(b"")
    with pytest.raises(AssayError, match=r"dog/two\\nlines.png: not a readable image") as caught:
        sources.obtain(Data(name="folder", validation=0, side=4), tmp_path / "raw")
    assert len(str(caught.value).splitlines()) == 1


def test_a_class_that_is_a_file_or_empty_is_named_with_all_the_others(tree):
    (tree / "train/ant").write_text("no folder")
    save(tree / "test/ant/a.png")
    save(tree / "train/bee/a.png")
    (tree / "test/bee").mkdir()
    (tree / "test/bee/a.xcf").touch()
    save(tree / "train/cow/a.png")
    with pytest.raises(AssayError) as caught:
        folder.scan(tree)
    assert str(caught.value).splitlines() == [
        f"{tree}/train/ant: no folder; test has the class ant, so train must have it",
        f"{tree}/test/bee: no image in it; 1 passed over (.xcf is the ending of no image)",
        f"{tree}/test/cow: missing; train has the class cow, so test must have it",
    ]


def test_two_validation_splits_are_refused_and_one_needs_all_classes(tree):
    save(tree / "val/cat/a.png")
    with pytest.raises(AssayError, match="own/val/dog: missing; train has the class dog, so val must have it"):
        folder.scan(tree)
    save(tree / "validation/cat/a.png")
    with pytest.raises(AssayError, match="val and validation are both a validation split; keep one"):
        folder.scan(tree)


def test_a_folder_without_splits_is_all_for_training(tree):
    (tree / "train").rename(tree.parent / "plain")
    plain = tree.parent / "plain"
    (plain / "README").write_text("ours")
    save(plain / ".cache/a.png")
    found = folder.scan(plain)
    assert found.images == {"train": [("cat/a.png", 0), ("cat/b.png", 0), ("dog/a.png", 1)]}
    assert found.class_names == ("cat", "dog")
    assert found.passed_over == {"hidden": [".cache"], "outside the class folders": ["README"]}


@pytest.mark.parametrize(("name", "renamed"), [("train", "Training"), ("test", "TEST")])
def test_a_split_s_name_in_other_words_is_no_class(name, renamed, tree):
    (tree / name).rename(tree / renamed)
    if name == "train":
        (tree / "test").rename(tree / "Testing")
        renamed = "Testing"
    with pytest.raises(AssayError, match=rf"own/{renamed}: a split, by its name; call it one of train, val"):
        folder.scan(tree)


@pytest.mark.parametrize("names", [(), ("a.png",), (".hidden",)])
def test_a_folder_without_folders_says_what_belongs_there(names, tmp_path):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(AssayError, match=r"no folder of images; put them into <class>/, .* or write labels.csv$"):
        folder.scan(tmp_path)


def test_it_is_quiet_where_nothing_is_wrong_and_where_something_is(tree, capsys):
    save(tree / "test/dog/again.png", 0)
    (tree / "train/dog/broken.png").write_bytes(b"")
    assert folder.scan(tree).digest == folder.scan(tree).digest
    assert capsys.readouterr() == ("", "")

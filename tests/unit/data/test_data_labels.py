from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from assay.core.config import Data
from assay.core.errors import AssayError
from assay.data import folder, preparation, raw, sources
from assay.data.listing import Tree
from assay.data.sets import prepared

DATA = Data(name="folder", validation=0, side=8, test=4)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Twelve images, all different, in one folder."""
    own = tmp_path / "own"
    (own / "pictures").mkdir(parents=True)
    for n in range(12):
        pixels = np.random.default_rng(n).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(own / f"pictures/{n:02}.png")
    monkeypatch.setenv("ASSAY_DATA_DIR", str(own))
    return own


def write(root, lines, header="path,label"):
    (root / "labels.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def line(n, label="", *more):
    return ",".join([f"pictures/{n:02}.png", label or ("cat", "dog")[n % 2], *more])


def test_labels_splits_and_order_are_those_of_the_table(root):
    write(root, [line(n, "", ("train", "val", "test")[n // 4]) for n in reversed(range(12))], "path,label,split")
    found = Tree(root)
    assert found.class_names == ("cat", "dog")
    assert found.counts == {"train": 4, "validation": 4, "test": 4}
    own = [(f"pictures/{n:02}.png", n % 2) for n in (0, 2, 1, 3)]
    assert found.images["train"] == own
    assert not found.passed_over


def test_excel_s_marks_quotes_and_empty_lines_are_no_obstacle(root):
    rows = [f'"pictures/{n:02}.png", "{("Maine Coon, grey", "dog")[n % 2]}"' for n in range(12)]
    text = "\r\n".join(["Path,LABEL", *(row.replace(', "', ',"') for row in rows), "", ","])
    (root / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert Tree(root).class_names == ("Maine Coon, grey", "dog")


def test_the_digest_covers_the_table(root):
    write(root, [line(n) for n in range(12)])
    first, text = folder.scan(root).digest, folder.stale("folder", root.parent)
    write(root, [line(0, "dog"), *(line(n) for n in range(1, 12))])
    assert folder.scan(root).digest != first
    assert folder.stale("folder", root.parent) != text


def test_the_table_wins_over_folders_and_says_so(root, tmp_path, capsys):
    for split in ("train", "test"):
        for label in ("ant", "bee"):
            shutil.copytree(root / "pictures", root / split / label)
    write(root, [line(n, "", "7") for n in range(11)], "path,label,age")
    sources.obtain(DATA, tmp_path / "raw")
    said = capsys.readouterr().out
    assert raw.read(tmp_path / "raw", DATA).class_names == ("cat", "dog")
    assert f"{root}: labels.csv says the label and split of each image, not the folders train, test" in said
    assert f"{root}: columns of labels.csv that are not used: age" in said
    assert f"{root}: 49 passed over (not in labels.csv): pictures/11.png, test/ant/00.png" in said


def test_groups_stay_together_from_the_table_to_the_tensors(root, tmp_path, capsys):
    write(root, [line(n, "", f"patient {n // 3}") for n in range(12)], "path,label,group")
    sources.obtain(DATA, tmp_path / "raw")
    content = raw.read(tmp_path / "raw", DATA)
    assert content.test is None
    assert content.groups.tolist() == [0, 0, 1, 2, 2, 3, 0, 1, 1, 2, 3, 3]
    preparation.prepare(tmp_path / "raw", DATA, tmp_path / "out")
    data = prepared.load(tmp_path / "out", torch.device("cpu"))
    assert (len(data.train.labels), len(data.test.labels)) == (9, 3)
    where = {content.train[0][n].tobytes(): content.groups[n] for n in range(12)}
    held_out = {where[image.numpy().tobytes()] for image in data.test.images}
    assert len(held_out) == 1
    assert held_out.isdisjoint(where[image.numpy().tobytes()] for image in data.train.images)
    assert "data.test: 4: 3 images of 1 whole group are held out" in capsys.readouterr().out


FAULTS = {
    "path,label\npictures/00.png,cat\npictures/00.png,cat": "line 3: path: pictures/00.png stands in line 2 already",
    "path,label\npictures/00.png,cat\n./pictures//00.png,cat": "line 3: path: pictures/00.png stands in line 2",
    "path,label\npictures/77.png,cat": "line 2: path: pictures/77.png: No such file",
    "path,label\npictures\\00.png,cat": r"line 2: path: pictures\\00.png: No such file or directory; write / between",
    "path,label\npictures,cat": "line 2: path: pictures is not a file",
    "path,label\n../own/pictures/00.png,cat": "line 2: path: ../own/pictures/00.png is not inside the folder",
    "path,label\n/pictures/00.png,cat": "line 2: path: /pictures/00.png is not inside the folder",
    "path,label\n,cat": "line 2: path: empty",
    'path,label\n"pictures/00.png","\n"': "line 2: label: empty",
    'path,label\n"pictures/00.png","a\nb"\nx,': "line 2: label: a class needs a name without control characters",
    "path,label\npictures/00.png,a,b": "line 2: 3 values for 2 columns; put a text with commas in double quotes",
    "path,label,split\npictures/00.png,cat,trian": "line 2: split: got 'trian'; allowed: train, val",
    "path,label,split\npictures/00.png,cat,": "line 2: split: got ''; allowed: train, val",
    "path,label,group\npictures/00.png,cat,": "line 2: group: empty; give each image one",
    "path,label,group,split\npictures/00.png,a,g,val\npictures/01.png,a,g,test": "line 3: group: g is in test here and",
    "path;label\npictures/00.png;cat": "line 1: no column path; .* separated by semicolons; save it with commas",
    "pictures/00.png,cat": "line 1: no column path",
    "": "line 1: no column path",
    "path,label,lable": None,
    "path,label,spilt\npictures/00.png,cat,train": "line 1: column spilt: did you mean split?",
    "path,label,path": "line 1: the column path stands twice",
    'path,label\n"pictures/00.png,cat': r"line 2: not CSV \(unexpected end of data\); check its quotes",
    "path,label\npictures/00.png,caf\udce9": "line 2: not UTF-8 text",
    "path,label": "no image in train",
    "path,label,split\npictures/00.png,a,train\npictures/01.png,b,train\npictures/02.png,a,val": "no image of class b",
}


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_wrong_in_the_table_is_named_by_its_line(text, root):
    (root / "labels.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    expected = FAULTS[text]
    if expected is None:  # no column is missing that it could be meant for
        expected = "no image in train"
    with pytest.raises(AssayError, match=f"^{root}/labels.csv: {expected}") as caught:
        Tree(root)
    assert all(said.startswith(f"{root}/labels.csv: line ") for said in str(caught.value).splitlines()[1:])


def test_all_faults_are_named_at_once_and_many_are_counted(root):
    write(root, [f"pictures/{n}.jpg,cat" for n in range(25)])
    with pytest.raises(AssayError) as caught:
        Tree(root)
    said = str(caught.value).splitlines()
    assert len(said) == 21
    assert said[-1] == "and 5 more like these"


def test_a_single_label_is_refused_and_a_damaged_image_is_named(root, tmp_path):
    write(root, [line(n, "cat") for n in range(12)])
    with pytest.raises(AssayError, match=r"own: two or more labels are needed; found \['cat'\]$"):
        Tree(root)
    write(root, [line(n) for n in range(12)])
    (root / "pictures/03.png").write_bytes(b"no image")
    with pytest.raises(AssayError, match=r"own/pictures/03.png: not a readable image"):
        sources.obtain(DATA, tmp_path / "raw")
    assert not (tmp_path / "raw").exists()

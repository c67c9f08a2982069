"""A user's own images, and the side they are scaled to, are seen by a plain `dvc repro`, in a clone of three stages.

The tests share the clone and run in order, on one worker: each starts from what the one before left.
"""

from __future__ import annotations

import json
import shutil

import pytest
from clone import PARAMS, Clone, ran
from PIL import Image
from ruamel.yaml import YAML

FIRST = ["scan", "download", "prepare"]
OWN = {**PARAMS, "data": {"name": "folder", "validation": 0, "side": 16}}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("clone"))
    content = YAML(typ="safe").load(made.folder / "dvc.yaml")
    with (made.folder / "dvc.yaml").open("w") as stream:
        YAML().dump({"stages": {name: content["stages"][name] for name in FIRST}}, stream)
    made.write(OWN)
    for split in ("train", "test"):
        for place, name in enumerate(("cat", "dog")):
            folder = made.folder / "data/own" / split / name
            folder.mkdir(parents=True)
            for number in range(2):
                Image.new("RGB", (10, 10), (90 * place, 20 * number, 0)).save(folder / f"{number}.png")
    return made


def meta(clone: Clone) -> dict:
    return json.loads((clone.folder / "data/prepared/meta.json").read_text())


def reasons(clone: Clone) -> dict[str, list[str]]:
    found = json.loads(clone.run("assay", "plan", "--json").stdout)
    return {step["stage"]: [reason["text"] for reason in step["reasons"]] for step in found["steps"]}


def test_another_side_and_back_gives_other_tensors_and_back(clone):
    assert clone.repro() == FIRST
    first = clone.bytes_of("data/prepared")
    assert meta(clone)["images"]["height"] == 16
    clone.write({**OWN, "data": {**OWN["data"], "side": 32}})
    assert clone.repro() == FIRST
    assert meta(clone)["images"]["height"] == 32
    clone.write(OWN)
    done = clone.run("dvc", "repro").stdout
    assert ran(done) == ["scan"]
    assert "Stage 'prepare' is cached" in done
    assert clone.bytes_of("data/prepared") == first


def test_with_the_same_images_only_the_scan_runs_and_there_is_nothing_to_do(clone):
    lock = clone.bytes_of("dvc.lock")
    assert clone.repro() == ["scan"]
    assert clone.bytes_of("dvc.lock") == lock
    assert "Nothing to do: all 3 stages are up to date" in clone.run("assay", "plan").stdout


def test_a_deleted_and_a_replaced_image_are_seen(clone):
    image = clone.folder / "data/own/train/cat/0.png"
    content, before = image.read_bytes(), clone.bytes_of("data/own.json")
    image.unlink()
    expected = {
        "scan": ["your images are not those of data/own.json"],
        "download": ["scan reruns"],
        "prepare": ["download reruns"],
    }
    assert reasons(clone) == expected
    assert clone.bytes_of("data/own.json") == before  # a plan writes nothing
    assert clone.repro() == FIRST
    assert meta(clone)["counts"]["train"] == 3
    image.write_bytes(content)
    assert clone.repro() == ["scan"]  # the others are restored
    assert meta(clone)["counts"]["train"] == 4
    Image.new("RGB", (10, 10), (0, 200, 0)).save(image)
    assert clone.repro() == FIRST


def test_the_same_images_elsewhere_change_nothing_and_others_do(clone, tmp_path):
    shutil.copytree(clone.folder / "data/own", tmp_path / "images")
    clone.environment["ASSAY_DATA_DIR"] = str(tmp_path / "images")
    try:
        assert clone.repro() == ["scan"]
        Image.new("RGB", (10, 10), (0, 0, 200)).save(tmp_path / "images/test/dog/new.jpg")
        assert clone.repro() == FIRST
    finally:
        del clone.environment["ASSAY_DATA_DIR"]


def test_a_table_of_labels_is_seen_and_so_is_a_change_in_it(clone):
    table, data = clone.folder / "data/own/labels.csv", {**OWN["data"], "side": [12, 16], "fit": "pad", "test": 2}
    paths = sorted(path.relative_to(table.parent) for path in table.parent.rglob("*.png"))
    lines = [f"{path},{path.parent.name},{n // 2}" for n, path in enumerate(paths)]
    clone.write({**OWN, "data": data})
    for change in ("", "x"):
        table.write_text("\n".join(["path,label,group", *(f"{line}{change}" for line in lines)]) + "\n")
        assert clone.repro() == FIRST if not change else ["scan", "download"]  # which packs the same bytes
    found = meta(clone)
    assert (found["counts"], found["fit"]) == ({"train": 6, "validation": 0, "test": 2}, "pad")
    table.unlink()
    clone.write(OWN)
    assert "download" not in clone.repro()


def test_a_variable_that_names_no_folder_is_refused_in_a_line(clone):
    done = clone.run("python", "-m", "stages.scan", "folder", check=False, ASSAY_DATA_DIR="/nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ASSAY_DATA_DIR=/nowhere: no such folder")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_folder_what_is_there_stands(clone):
    (clone.folder / "data/own").rename(clone.folder / "data/away")
    kept = clone.bytes_of("data")
    assert clone.repro() == ["scan"]
    assert reasons(clone) == {}
    assert clone.bytes_of("data") == kept


def test_a_published_data_set_has_no_scan_after_the_first(clone):
    clone.write(PARAMS)
    assert clone.repro() == FIRST
    assert (clone.folder / "data/own.json").read_text() == "{}\n"
    assert clone.repro() == []
    assert "up to date" in clone.run("dvc", "status").stdout


def test_git_has_the_folder_of_data_and_the_digest_and_nothing_else_of_it(clone):
    clone.run("git", "add", "-A")
    assert clone.run("git", "ls-files", "data").stdout.split() == ["data/own.json"]

"""A new data set is one entry of src/assay/data/catalog.yaml: it can be used, and no training runs for it."""

from __future__ import annotations

import json

import numpy as np
from clone import PARAMS, ROOT, Clone
from ruamel.yaml import YAML

from assay.core import files
from assay.data import raw

FIRST = ["scan", "download", "prepare"]
NAMES = ("images", "labels", "test-images", "test-labels")
CATALOG = "src/assay/data/catalog.yaml"


def test_a_data_set_is_one_entry(tmp_path):
    clone = Clone(tmp_path / "clone")
    with (clone.folder / "dvc.yaml").open("w") as stream:
        YAML().dump({"stages": {name: stages()[name] for name in FIRST}}, stream)
    assert clone.repro() == FIRST
    before = clone.bytes_of("data/prepared")
    for start, count in ((0, 9), (2, 6)):
        images, labels = (tmp_path / name for name in NAMES[start : start + 2])
        raw.write_idx(images, np.random.default_rng(count).integers(0, 256, (count, 5, 4), dtype=np.uint8))
        raw.write_idx(labels, np.arange(count, dtype=np.uint8) % 3)
    entry = {
        "shape": [1, 5, 4],
        "train": 9,
        "test": 6,
        "class_names": ["a", "b", "c"],
        "layout": "idx",
        "files": {name: f"sha256:{files.file_digest(tmp_path / name)}" for name in NAMES},
    }
    with (clone.folder / CATALOG).open("a") as stream:
        YAML().dump({"shapes": entry}, stream)

    assert clone.repro() == ["download", "prepare"]
    assert clone.bytes_of("data/prepared") == before  # on which alone trainings depend

    clone.write({**PARAMS, "data": {"name": "shapes", "validation": 3}})
    clone.environment["ASSAY_DATA_DIR"] = str(tmp_path)
    assert clone.repro() == FIRST
    meta = json.loads((clone.folder / "data/prepared/meta.json").read_text())
    assert (meta["name"], meta["counts"]) == ("shapes", {"train": 6, "validation": 3, "test": 6})


def test_no_training_or_evaluation_depends_on_the_entries():
    users = [
        name
        for name, stage in stages().items()
        if any((ROOT / CATALOG).is_relative_to(ROOT / dep) for dep in stage.get("do", stage)["deps"])
    ]
    assert users == ["register", "download", "prepare"]
    for told in (CATALOG, "docs/data.md"):
        assert "reruns `register`, `download` and `prepare`" in (ROOT / told).read_text()


def stages() -> dict:
    return YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]

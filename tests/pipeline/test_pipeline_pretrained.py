"""A baseline that starts from a file of weights, through DVC: another file retrains it, and nothing else does."""

from __future__ import annotations

import json

import pytest
from clone import PARAMS, Clone
from ruamel.yaml import YAML

from tests import pretrained

KEPT = ("register", "scan", "download", "prepare", "baseline", "train", "evaluate_baseline")
TINY = {
    **{key: PARAMS[key] for key in ("seeds", "data")},
    "model": pretrained.model("test_resnet").model_dump(),
    "train": {**PARAMS["train"], "steps": 4, "evaluate_every": 4, "backbone_lr": 0.1},
    "arms": {"scratch": {"method": "sgd", "backbone_lr": 1.0, "model": {"name": "linear"}}},
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("model") / "clone")
    whole = YAML(typ="safe").load(made.folder / "dvc.yaml")
    with (made.folder / "dvc.yaml").open("w") as stream:
        YAML().dump({**whole, "stages": {name: whole["stages"][name] for name in KEPT}}, stream)
    pretrained.weights_of("test_resnet", made.folder)
    made.write(TINY)
    return made


def plan(clone: Clone) -> set[str]:
    return {step["stage"] for step in json.loads(clone.run("assay", "plan", "--json").stdout)["steps"]}


def test_a_file_of_weights_is_what_its_arms_depend_on(clone):
    assert set(clone.repro()) == {*KEPT[:-2], "train@scratch", KEPT[-1]}
    manifest = json.loads((clone.folder / "models/baseline/manifest.json").read_text())
    assert manifest["normalisation"] == {"mean": [127.5], "std": [127.5]}
    assert manifest["parameters"]["train"]["backbone_lr"] == 0.1
    assert "normalisation" not in json.loads((clone.folder / "models/scratch/manifest.json").read_text())
    assert not clone.repro()

    pretrained.weights_of("test_resnet", clone.folder, classes=3)
    assert plan(clone) == {"register", "baseline", "evaluate_baseline"}
    assert set(clone.repro()) == {"register", "baseline", "evaluate_baseline"}
    after = json.loads((clone.folder / "models/baseline/manifest.json").read_text())
    assert after["model"]["weights_sha256"] != manifest["model"]["weights_sha256"]

"""A new model is one file in src/assay/models/nets: an arm can use it, and no other training runs for it."""

from __future__ import annotations

import json

import pytest
from clone import PARAMS, Clone
from ruamel.yaml import YAML

NETS = "src/assay/models/nets"
NETWORK = """
from torch import nn

from assay.data.sets.images import Images
from assay.models.nets import chain, dense, he, initialise

MODELS = {"pooled": "nobody"}


def pooled(images: Images, *, side: int = 2) -> nn.Module:
    pool = {"pool": nn.AdaptiveAvgPool2d(side), "flatten": nn.Flatten()}
    return initialise(chain({**pool, **dense(images.channels * side**2, [], images.classes)}), he)
"""
TINY = {
    **{key: PARAMS[key] for key in ("seeds", "data", "model")},
    "train": {**PARAMS["train"], "steps": 4, "evaluate_every": 4},
    "arms": {"wide": {"method": "sgd", "model": {"name": "mlp", "hidden": [24]}}},
}
KEPT = ("register", "scan", "download", "prepare", "baseline", "train")


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("model") / "clone")
    whole = YAML(typ="safe").load(made.folder / "dvc.yaml")
    with (made.folder / "dvc.yaml").open("w") as stream:
        YAML().dump({**whole, "stages": {name: whole["stages"][name] for name in KEPT}}, stream)
    made.write(TINY)
    assert set(made.repro()) == {*KEPT[:-1], "train@wide"}
    return made


def plan(clone: Clone) -> dict[str, list[str]]:
    found = json.loads(clone.run("assay", "plan", "--json").stdout)
    return {step["stage"]: [reason["text"] for reason in step["reasons"]] for step in found["steps"]}


def append(clone: Clone, file: str) -> None:
    with (clone.folder / file).open("a") as stream:
        stream.write("\n# changed\n")


def test_a_model_is_one_file(clone):
    (clone.folder / f"{NETS}/pooled.py").write_text(NETWORK)
    assert set(plan(clone)) == {"register"}

    own = {"method": "sgd", "model": {"name": "pooled", "side": 3}}
    clone.write({**TINY, "arms": {**TINY["arms"], "own": own}})
    assert set(plan(clone)) == {"register", "train@own"}
    assert clone.repro() == ["register", "train@own"]
    manifest = json.loads((clone.folder / "models/own/manifest.json").read_text())
    assert manifest["model"]["arguments"] == {"side": 3}


def test_a_changed_network_retrains_the_arms_that_use_it_also_with_a_bare_dvc_repro(clone):
    append(clone, f"{NETS}/pooled.py")
    append(clone, f"{NETS}/vgg.py")  # which no arm has
    found = plan(clone)
    assert set(found) == {"register", "train@own"}
    assert found["train@own"][0].startswith("networks.own: ")
    assert clone.repro() == ["register", "train@own"]
    assert plan(clone) == {}

    append(clone, f"{NETS}/mlp.py")
    assert set(plan(clone)) == {"register", "baseline", "train@wide"}
    refused = clone.run("dvc", "repro", "-s", "-f", "train@wide", check=False)  # the stage alone, without register
    assert "mlp.py: edited since the stage register ran; run `dvc repro` again" in refused.stdout + refused.stderr
    assert clone.repro("train@wide") == ["register", "train@wide"]


def test_an_unknown_model_is_one_line(clone):
    clone.write({**TINY, "arms": {"wide": {"method": "sgd", "model": {"name": "poled"}}}})
    done = clone.run("dvc", "repro", check=False)
    assert "params.yaml: arms.wide.model.name: unknown model 'poled'; did you mean pooled?" in done.stdout + done.stderr

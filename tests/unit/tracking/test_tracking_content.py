import json
from dataclasses import replace
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from tracking_repository import write_arm

from assay.analysis import curves
from assay.core.errors import AssayError
from assay.models.artifact import Combine, Variant, combine
from assay.models.predictor import Predictor
from assay.pipeline import lockfile
from assay.tracking import runs
from assay.tracking.content import description, metrics, parameters, points_of, table_of_seeds
from assay.tracking.records import read_arm, read_meta


def test_metrics_by_class_are_logged_and_an_arm_at_the_majority_share_says_so(root):
    summary = root / "metrics/summary.csv"
    summary.write_text("arm,variant,above_majority\nline,midpoint,True\nline,ensemble,False\nbaseline,last,\n")
    meta = read_meta(root)
    line, baseline = (read_arm(root, name, meta) for name in ("line", "baseline"))
    assert (metrics(line)["test_balanced_accuracy"], metrics(line)["test_macro_f1"]) == (0.7, 0.6)
    sentence = "Its accuracy is no better than always answering the largest class of the test set: `ensemble`."
    assert sentence in description(line, meta)
    assert "largest class" not in description(baseline, meta)


def test_a_key_depends_on_the_entries_and_on_nothing_else(tmp_path):
    lock = {"train@a": {"cmd": "x", "params": {"p": 1}}, "evaluate@a": {"cmd": "y"}, "train@b": {"cmd": "z"}}
    key = runs.key(tmp_path, lock, ("train@a", "evaluate@a"), [])
    assert runs.key(tmp_path, {**lock, "train@b": {}}, ("train@a", "evaluate@a"), []) == key
    assert (
        runs.key(tmp_path, {**lock, "train@a": {"cmd": "x", "params": {"p": 2}}}, ("train@a", "evaluate@a"), []) != key
    )


def test_lists_that_happen_to_be_as_long_as_the_seeds_are_no_column(root):
    path = root / "metrics/evaluate/line.json"
    content = json.loads(path.read_text())
    content["variants"]["ensemble"] |= {"ensemble_sizes": [1, 2], "ensemble_accuracy": [[0.1, 0.2], [0.3, 0.4]]}
    content["variants"]["ensemble"]["reliability"] = [[3, 0.5, 0.5], [4, 0.5, 0.5]]
    path.write_text(json.dumps(content))
    assert (
        not {"ensemble_sizes", "ensemble_accuracy", "reliability"}
        & table_of_seeds(read_arm(root, "line", read_meta(root))).keys()
    )


def test_an_arm_with_a_block_has_the_seeds_of_both(root):
    write_arm(root, "line-1", {"midpoint": 1, "ensemble": 2}, [0.97, 0.99], (0.8, 0.99), arm="line", block=1)
    arm = read_arm(root, "line", read_meta(root), ["line-1"])
    assert arm.manifest.seeds == [0, 1, 2, 3]
    assert table_of_seeds(arm)["accuracy"][:4] == [0.95, 0.85, 0.97, 0.99]
    assert metrics(arm)["test_accuracy"] == pytest.approx(0.94)
    assert metrics(arm)["seconds"] == 25.0
    assert (arm.best_seed("midpoint"), arm.evaluation.variants["midpoint"].accuracy[3]) == (3, 0.99)
    holder, seed = arm.place(3)
    assert (holder.name, seed) == ("line-1", 1)
    assert [arm.place(at)[0].name for at in range(4)] == ["line", "line", "line-1", "line-1"]
    assert "metrics/curves/line-1.csv" in {str(path.relative_to(root)) for path in arm.logged}


def test_a_lock_with_conflicts_is_one_clear_line(tmp_path):
    (tmp_path / "dvc.lock").write_text("<<<<<<< ours\nstages: {\n=======\n")
    with pytest.raises(AssayError, match=r"^dvc.lock: not valid YAML: .*; after a merge with conflicts, drop"):
        lockfile.read(tmp_path)


def test_the_curves_of_a_pruning_round_keep_its_variants_apart(tmp_path):
    path = tmp_path / "round-1.csv"
    path.write_text(
        "arm,seed,step,split,loss,accuracy\n"
        "round-1/ticket,0,10,validation,1.0,0.5\nround-1/ticket,1,10,validation,3.0,0.7\n"
        "round-1/random,0,10,validation,4.0,\n"
    )
    points = points_of(curves.rows(path), 100, 200)
    assert [(one.key, one.step, one.value, one.timestamp) for one in points] == [
        ("validation_accuracy", 10, pytest.approx(0.6), 200),
        ("validation_loss", 10, 2.0, 200),
        ("validation_loss.random", 10, 4.0, 200),
    ]


def test_a_damaged_curve_names_file_and_line(tmp_path):
    (tmp_path / "line.csv").write_text("arm,seed,step,split,loss,accuracy\nline,0,ten,train,1,1\n")
    with pytest.raises(AssayError, match=r"line\.csv: .*line 2: .*'ten'.*dvc repro"):
        curves.rows(tmp_path / "line.csv")


@pytest.mark.parametrize(
    ("accuracies", "losses", "index"),
    [
        ([], [], 0),
        ([0.8, 0.9, 0.7], [0.1, 0.5, 0.2], 1),
        ([0.9, 0.9, 0.7], [0.3, 0.1, 0.2], 1),
        ([], [0.3, 0.1, 0.2], 1),
        ([0.1, 0.1], [float("nan"), 2.4], 1),
    ],
)
def test_the_best_seed_has_the_highest_validation_accuracy_then_the_least_loss(root, accuracies, losses, index):
    arm = read_arm(root, "baseline", read_meta(root))
    variant = Variant(members=1, validation_accuracy=accuracies, validation_loss=losses)
    manifest = arm.manifest.model_copy(update={"variants": {"last": variant}})
    assert replace(arm, manifest=manifest).best_seed("last") == index


@pytest.mark.parametrize("how", get_args(Combine))
def test_a_predictor_normalises_and_combines(how):
    torch.manual_seed(0)
    members = [nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 3, 4)) for _ in range(3)]
    mean, std = [10.0, 20.0], [2.0, 3.0]
    images = torch.randint(0, 256, (6, 2, 3, 3), dtype=torch.uint8)
    normalised = torch.stack([(images[:, c].float() - mean[c]) / std[c] for c in range(2)], dim=1)
    expected = combine(torch.stack([member(normalised) for member in members]), how)
    network = Predictor(members, how, mean, std)
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(network(images.float()), expected)
    torch.testing.assert_close(expected.sum(-1), torch.ones(6))


def test_parameters_are_flat_strings_under_the_names_of_params_yaml(root):
    meta = read_meta(root)
    found = parameters(read_arm(root, "line", meta), meta, {"beta": 0.5, "shape": "line", "layerwise": False})
    assert (found["beta"], found["shape"], found["layerwise"]) == ("1.0", "line", "false")
    assert found["train.optimizer.name"] == "adam"
    assert found["method"] == "subspace"
    assert found["variants"] == '["midpoint", "ensemble"]'
    assert found["data.train"] == "50"
    assert not any(name.startswith("options") for name in found)


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(), min_size=1))
def test_keys_do_not_depend_on_order(entry):
    shuffled = dict(reversed(entry.items()))
    stages = ("train@a", "evaluate@a")
    one = runs.key(None, {"train@a": entry, "evaluate@a": {}}, stages, [])
    assert runs.key(None, {"evaluate@a": {}, "train@a": shuffled}, stages, []) == one


def test_an_arm_trained_on_other_data_is_refused(root):
    meta = read_meta(root).model_copy(update={"digest": "e" * 64})
    with pytest.raises(
        AssayError, match=r"^models/line: trained on other data than is in data/prepared; run `dvc repro`$"
    ):
        read_arm(root, "line", meta)


def test_data_that_is_damaged_is_refused(root):
    path = root / "data/prepared/meta.json"
    path.write_text(path.read_text().replace("70.0", "7.0"))  # of the normalisation, which goes into the models
    with pytest.raises(AssayError, match=r"^data/prepared/meta.json: damaged or altered: .*rm -r data/prepared; "):
        read_meta(root)

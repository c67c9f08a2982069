"""An arm evaluated in blocks of seeds is, put together, what one evaluation of all its seeds is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from assay import methods
from assay.analysis import curves
from assay.core import files
from assay.core.config import Model
from assay.core.config.sections import Lottery
from assay.core.errors import AssayError
from assay.data.sets import prepared
from assay.engine.checkpoint import Scratch
from assay.models import artifact
from assay.scoring import merging, record
from stages import evaluate

LOTTERY = Lottery.model_validate(
    {
        "prune_fraction": 0.2, "scope": "layerwise", "rewind": 2, "controls": [1],
        "rounds": {"1": {"after": "baseline"}},
    }
)  # fmt: skip
SEEDS = {0: (4, 5, 6), 1: (7, 8, 9, 10)}
SEEDS_YAML = """\
more: {probe-1: {arm: probe, method: m, seeds: [7, 8, 9, 10]}}
more_baseline: {baseline-1: {seeds: [7, 8, 9, 10]}}
more_rounds: {"1-1": {after: baseline-1, dense: baseline-1, seeds: [7, 8, 9, 10]}}
"""
METHODS = {
    "hard_batches": {"method": "hard_batches", "options": {"delta": 0.5}, "steps": 20},
    "line": {"method": "subspace", "options": {"shape": "line", "beta": 1.0}},
    "round-1": {"method": "lottery", "options": LOTTERY.options(1), "model": Model(name="mlp", hidden=[8])},
    "trajectory": {
        "method": "trajectory",
        "options": {"tau": 4, "s": 50.0, "sigma": 0.05, "block": 16},
        "model": Model(name="mlp", hidden=[4]),
        "evaluate_every": 4,
    },
}


@pytest.fixture
def trained(data, make_run, tmp_path, monkeypatch):
    """Trains and evaluates a run, in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")
    monkeypatch.setenv("ASSAY_THREADS", "1")
    digest = prepared.write(Path("data/prepared"), data)

    def train(seeds, block=0, **changes):
        loaded = prepared.load(Path("data/prepared"), data.train.images.device, ("train", "validation", "test"))
        run = make_run(seeds=seeds, **changes).model_copy(update={"block": block})
        before = {}
        if run.method == "lottery":
            before = {"baseline": train(seeds, block, arm="baseline", model=run.model)}
        with Scratch("s", run.model_dump(mode="json"), data.train.images.device) as scratch:
            result, how = methods.resolve(run).train(loaded, scratch, before)
        artifact.write(Path("models") / run.name, result)
        files.write_text(Path(f"metrics/curves/{run.name}.csv"), how.curves.csv())
        evaluate.main(run.name)
        return result

    assert digest
    return train


def same(ours, theirs, where="") -> None:
    """Equal field by field, numbers but for the rounding of a stack of another size."""
    if isinstance(ours, dict):
        assert list(ours) == list(theirs), where
        for key in ours:
            same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for at, pair in enumerate(zip(ours, theirs, strict=True)):
            same(*pair, f"{where}.{at}")
    elif isinstance(ours, float | int) and not isinstance(ours, bool):
        assert math.isclose(ours, theirs, rel_tol=1e-4, abs_tol=1e-5), (where, ours, theirs)
    else:
        assert ours == theirs, where


@pytest.mark.parametrize("name", METHODS)
def test_two_blocks_are_one_evaluation_of_all_seeds(trained, name):
    settings = {"arm": name if name == "round-1" else "probe", **METHODS[name]}
    arm, root = settings["arm"], Path()
    for seeds in (sum(SEEDS.values(), ()),):
        trained(seeds, **settings)
        if name != "round-1":
            trained(seeds, arm="baseline")
    whole, curve = record.read_all(root, [arm])[arm], curves.read_all(root, [arm])
    for block, seeds in SEEDS.items():
        trained(seeds, block, **settings)
        if name != "round-1":
            trained(seeds, block, arm="baseline")
    files.write_text(root / "seeds.yaml", SEEDS_YAML)
    merged, joined = record.read_all(root, [arm])[arm], curves.read_all(root, [arm])
    fields = {"digest", "predictions_sha256"}
    same(merged.record.model_dump(exclude=fields), whole.record.model_dump(exclude=fields))
    for variant, answers in whole.predictions.items():
        for field in ("correct", "confidence", "nll", "brier"):
            found = getattr(merged.predictions[variant], field)
            np.testing.assert_allclose(found, getattr(answers, field), rtol=1e-4, atol=1e-5)
    assert joined.keys() == curve.keys()
    for key, splits in curve.items():
        for split, one in splits.items():
            assert joined[key][split].seeds == one.seeds
            np.testing.assert_allclose(joined[key][split].loss, one.loss, rtol=1e-3, atol=1e-5)


def test_a_block_of_other_parameters_is_refused(trained):
    trained(SEEDS[0], arm="probe")
    trained(SEEDS[0], arm="baseline")
    trained(SEEDS[1], 1, arm="probe", steps=10)
    files.write_text(Path("seeds.yaml"), SEEDS_YAML.replace("more_baseline: {baseline-1: {seeds: [7, 8, 9, 10]}}", ""))
    with pytest.raises(AssayError, match=r"^metrics/evaluate/probe-1.json: its parameters is not that of probe; run"):
        record.read_all(Path(), ["probe"])


def test_lists_of_points_are_told_from_lists_of_seeds_where_both_are_as_long():
    part = {
        "ensemble_sizes": [1, 2],
        "ensemble_accuracy": [[0.1, 0.2], [0.3, 0.4]],
        "record": {
            "bytes": [7, 8],
            "total": 10,
            "mean": 0.5,
            "name": "x",
            "series": {"s": [50.0, 60.0], "loss": [[1.0, 2.0], [3.0, 4.0]]},
            "histogram": {"at_least": [128, 256], "tests": [[5, 6], [7, 8]]},
        },
    }
    other = {**part, "record": {**part["record"], "mean": 0.8, "histogram": {"at_least": [128], "tests": [[1]]}}}
    other["ensemble_accuracy"] = [[0.5], [0.6]]
    other["record"]["bytes"], other["record"]["series"] = [9], {"s": [50.0, 60.0], "loss": [[5.0], [6.0]]}
    assert merging.together([part, other], [2, 1]) == {
        "ensemble_sizes": [1, 2],
        "ensemble_accuracy": [[0.1, 0.2, 0.5], [0.3, 0.4, 0.6]],
        "record": {
            "bytes": [7, 8, 9],
            "total": 10,
            "mean": pytest.approx(0.6),
            "name": "x",
            "series": {"s": [50.0, 60.0], "loss": [[1.0, 2.0, 5.0], [3.0, 4.0, 6.0]]},
            "histogram": {"at_least": [128, 256], "tests": [[5, 6], [7, 8], [1, 0]]},
        },
    }

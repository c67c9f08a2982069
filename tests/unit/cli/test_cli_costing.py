"""Seconds are measured where this very training ran here, and otherwise an estimate, never another's seconds."""

from __future__ import annotations

import pytest

from assay import methods
from assay.cli.costing import Costing
from assay.core import config, files, runtime
from assay.core.config.parsing import parse

PARAMS = {
    "seeds": [100, 101],
    "data": {"name": "digits", "validation": 100},
    "model": {"name": "mlp", "hidden": [4]},
    "train": {"steps": 50, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 5},
    "arms": {"hard": {"method": "hard_batches", "delta": 0.5}, "ensemble": {"method": "deep_ensemble", "members": 3}},
}


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("ASSAY_DEVICE", "cpu")


def params_of(**changes) -> config.Params:
    return parse(config.Params, {**PARAMS, **changes}, "params.yaml")


def run_of(arm: str, **changes) -> config.Run:
    return next(run for run in params_of(**changes).runs() if run.arm == arm)


def timed(root, run: config.Run, seconds: float, **changes) -> None:
    """Write what a training of it would have left."""
    content = {
        "run": run.digest("digits"), "method": run.method, "data": "digits", "model": run.model.model_dump(),
        "seeds": len(run.seeds), "flops_per_sample": 100, "flops": 100 * methods.resolve(run).samples,
        "seconds": seconds, "start_up_seconds": 1.0, "device": "cpu", "processor": runtime.processor(), **changes,
    }  # fmt: skip
    files.write_json(root / f"metrics/timings/{run.name}.json", content)


def test_what_ran_here_with_these_parameters_is_measured(tmp_path):
    run = run_of("hard")
    timed(tmp_path, run, 8.0)
    assert Costing(tmp_path, params_of()).of(run) == (9.0, True)


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({"train": {**PARAMS["train"], "steps": 500}}, 81.0),
        ({"seeds": [100, 101, 102, 103]}, 17.0),
        ({"train": {**PARAMS["train"], "tune": {"lr": [0.1, 0.2, 0.3]}}}, 25.0),
        ({"arms": {"hard": {"method": "hard_batches", "delta": 0.5, "batch_size": 12}}}, 17.0),
    ],
)
def test_another_configuration_is_estimated_by_its_work(tmp_path, changes, seconds):
    timed(tmp_path, run_of("hard"), 8.0)
    cost = Costing(tmp_path, params_of(**changes)).of(run_of("hard", **changes))
    assert cost == (pytest.approx(seconds), False)


def test_another_model_is_counted(tmp_path):
    timed(tmp_path, run_of("hard"), 8.0)
    small, large = (
        Costing(tmp_path, params_of(model=model)).of(run_of("hard", model=model))
        for model in ({"name": "mlp", "hidden": [50]}, {"name": "mlp", "hidden": [500]})
    )
    assert not small.measured
    assert (large.seconds - 1) / (small.seconds - 1) == pytest.approx(10, rel=0.1)


def test_the_rate_is_that_of_the_training_most_like_it(tmp_path):
    timed(tmp_path, run_of("baseline"), 8.0)
    timed(tmp_path, run_of("hard"), 2.0)
    timed(tmp_path, run_of("ensemble"), 6.0, processor="another", device="cpu")
    costing = Costing(tmp_path, params_of())
    longer = {"train": {**PARAMS["train"], "steps": 100}}
    assert costing.of(run_of("hard", **longer)).seconds == pytest.approx(5.0)  # by its method
    assert costing.of(run_of("ensemble")).seconds == pytest.approx(3 * 5.0 + 1)  # of this machine: both together
    assert not costing.of(run_of("ensemble")).measured


def test_without_timings_a_product_is_measured(tmp_path):
    run = run_of("hard")
    files.write_json(
        tmp_path / "metrics/timings/hard.json", {"seconds": 7.5}
    )  # of an older version: of what, is unknown
    cost = Costing(tmp_path, params_of()).of(run)
    assert (cost.measured, 0 < cost.seconds < 1) == (False, True)


def test_all_stages_have_a_cost_those_of_blocks_too(tmp_path):
    (tmp_path / "seeds.yaml").write_text("more: {hard-1: {arm: hard, method: hard_batches, seeds: [102]}}\n")
    timed(tmp_path, run_of("hard"), 8.0)
    found = Costing(tmp_path, params_of()).by_stage()
    assert set(found) == {"baseline", "train@hard", "train@ensemble", "train_more@hard-1"}
    assert found["train_more@hard-1"] == (pytest.approx(5.0), False)


def test_own_images_that_nobody_saw_have_no_cost(tmp_path):
    data = {"name": "folder", "validation": 10, "side": 8}
    assert Costing(tmp_path, params_of(data=data)).by_stage() == {}
    files.write_json(
        tmp_path / "data/prepared/meta.json", {"images": {"channels": 3, "height": 8, "width": 8, "classes": 4}}
    )
    assert Costing(tmp_path, params_of(data=data)).by_stage().keys() == {"baseline", "train@hard", "train@ensemble"}

"""Schedules, bills, records and refusals of trajectory sampling."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from assay import methods
from assay.config import Model
from assay.foundation import files
from assay.foundation.errors import AssayError
from assay.methods import trajectory
from assay.training.checkpoint import Scratch
from assay.training.sampling.diagnostics import flags
from assay.training.sampling.schedule import Annealing, Steering
from assay.training.task import Task
from benchmarks import trajectory_tuning

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
SMALL = {"tau": 3, "s": 100.0, "sigma": 0.05, "block": 64}


def sampled(make_run, data, steps=40, **options):
    run = make_run(method="trajectory", options={**SMALL, **options}, steps=steps)
    update = methods.make_update(Task(run, data))
    for step in range(steps):
        update.step(step)
    return update


def test_the_bias_rises_geometrically_and_stays():
    annealing = Annealing(10.0, 1000.0, 100)
    assert [annealing.at(sweep) for sweep in (0, 50, 100, 10_000)] == pytest.approx([10, 100, 1000, 1000])
    assert Annealing(50.0, 50.0, 0).at(0) == 50.0
    assert Annealing(0.0, 0.0, 5).at(2) == 0.0


def test_sigma_is_steered_towards_the_batch():
    steering = Steering(0.1, 2, 160, 400.0, CPU)
    batches = torch.tensor([160 * 500, 160 * 300])
    steering.observe(0, batches, torch.tensor([80, 80]))
    assert steering.sigma.tolist() == pytest.approx([0.1 * 0.8**0.25, 0.1 * (4 / 3) ** 0.25])
    before = steering.sigma.clone()
    steering.observe(1, batches * 100, torch.tensor([80, 10]))
    assert (steering.sigma / before).tolist() == pytest.approx([0.9, 0.9 * 0.95])


def test_every_test_costs_twice_its_batch(make_run, data):
    update = sampled(make_run, data)
    record = update.record()
    tests = 40 * SMALL["tau"]
    for seed in range(3):
        spent = record["forward_samples"][seed]
        assert spent == pytest.approx(2 * tests * record["batch_a_test_whole_run"][seed], rel=1e-5)
        assert sum(kind[seed] for kind in record["decisions"].values()) == tests
        assert sum(record["batch_histogram"]["tests"][seed]) == tests
    assert update.counters.cost().forward_samples == sum(record["forward_samples"]) / 3
    assert update.counters.cost().optimizer_steps == 40
    assert record["saving"] == pytest.approx([96 / n for n in record["batch_a_test"]], rel=1e-4)


def test_the_committed_tuning_is_what_the_script_tries():
    found = files.read_json(ROOT / trajectory_tuning.RESULTS)
    assert (found["samples"], found["start"]) == (trajectory_tuning.SAMPLES, trajectory_tuning.BASE)
    assert {name: line["changes"] for name, line in found["tried"].items()} == trajectory_tuning.TRIED
    assert list(found["tried"]) == list(trajectory_tuning.TRIED)


def test_the_full_test_costs_the_training_set_twice(make_run, data):
    record = sampled(make_run, data, steps=5, test="full").record()
    assert record["forward_samples"] == [2 * 5 * 3 * 96] * 3
    assert record["saving"] == [1.0] * 3
    assert record["decisions"]["accepted"] == record["decisions"]["rejected"] == [0] * 3


def test_a_record_is_small_json_with_a_value_for_each_seed(make_run, data):
    update = sampled(make_run, data, steps=130, s_start=10.0, target_batch=80.0)
    record = json.loads(json.dumps(update.record(), allow_nan=False))
    assert (record["tau"], record["moves"], record["burn_in_moves"]) == (3, 390, 330)
    series = record["series"]
    assert series["moves"] == [9 * (i + 1) for i in range(43)] + [390]
    assert all(len(column) == 44 for column in series.values())
    assert all(len(entry) == 3 for key in series if key not in ("moves", "s") for entry in series[key])
    assert len(record["neighbour_distance"][0]) == 2
    assert record["reference_distance"][0] == pytest.approx(260**0.5 * series["sigma"][-1][0], rel=1e-4)
    assert series["sigma"][-1] == series["sigma"][-5]  # frozen in the sampling phase
    assert len(json.dumps(record)) < 50_000


def test_what_is_no_sample_is_flagged():
    assert flags(0.4, 0.001, 0.01, 64) == []
    assert flags(0.4, -0.05, 0.01, 64) == [
        "a cooling run: its mean loss is not flat after burn-in, so it is no sample of its target"
    ]
    assert flags(0.4, -0.05, 0.1, 64) == []  # within its error
    assert "under 1 %" in flags(0.005, 0.0, 0.0, 64)[0]
    assert "over 99 %" in flags(0.995, 0.0, 0.0, 64)[0]
    assert "too few sweeps" in flags(0.4, math.nan, math.nan, 64)[0]
    assert "biased" in flags(0.4, 0.0, 0.0, 32)[0]


def test_a_chain_that_does_not_mix_says_so(make_run, data):
    stuck = sampled(make_run, data, s=1e5, sigma=3.0)
    assert all("under 1 %" in " ".join(each) for each in stuck.record()["flags"])


def test_moves_are_the_budget_of_an_arm(make_run, data, tmp_path):
    run = make_run(method="trajectory", options={**SMALL, "moves": 16})
    with Scratch("probe", {}, CPU, tmp_path) as scratch:
        result, trained = methods.train(run, data, scratch)
    assert result.manifest.parameters["train"]["steps"] == 6  # sweeps of three
    assert max(row[2] for row in trained.curves.rows) == 6
    assert result.manifest.record["moves"] == 18


def test_variants_are_the_chain_and_its_last_model(make_run, data):
    variants = sampled(make_run, data, steps=3).variants()
    assert {name: (next(iter(v.weights.values())).shape[1], v.combine) for name, v in variants.items()} == {
        "ensemble": (3, "mean_probability"),
        "vote": (3, "majority_vote"),
        "last": (1, "mean_probability"),
    }
    for name, tensor in variants["ensemble"].weights.items():
        assert torch.equal(tensor[:, -1:], variants["last"].weights[name])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"sigma": 0.0}, "arms.probe.sigma: got 0.0"),
        ({"sigma": -1.0}, "arms.probe.sigma: got -1.0"),
        ({"tau": 0}, "arms.probe.tau: got 0"),
        ({"fraction": 0.0}, "arms.probe.fraction: got 0.0"),
        ({"fraction": 1.5}, "arms.probe.fraction: got 1.5"),
        ({"block": 1}, "arms.probe.block: got 1"),
        ({"beta": 0.0}, "arms.probe.beta: got 0.0"),
        ({"s": -1.0}, "arms.probe.s: got -1.0"),
        ({"s": 0.0, "s_start": 1.0}, "s is 0"),
        ({"layer_scale": {"output": 0.0}}, "arms.probe.layer_scale.output: got 0.0"),
        ({"layer_scale": {"hidden_9": 2.0}}, "arms.probe.layer_scale.hidden_9: the model has no such layer"),
        ({"taus": 3}, "arms.probe.taus: unknown key; did you mean tau?"),
    ],
)
def test_bad_options_are_refused_by_name(make_run, data, tmp_path, options, line):
    refused(make_run(method="trajectory", options=options), data, tmp_path, line)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"precision": "bfloat16"}, "arms.probe.precision: got 'bfloat16'"),
        ({"model": Model(name="vgg", widths=[[4]], batch_norm=True)}, "arms.probe.model: vgg has batch norm"),
        ({"model": Model(name="trajectory_cnn"), "options": {"centre": True}}, "arms.probe.centre: trajectory_cnn"),
    ],
)
def test_what_sampling_cannot_do_is_refused_by_name(make_run, data, tmp_path, changes, line):
    refused(make_run(method="trajectory", **changes), data, tmp_path, line)


def refused(run, data, folder, line):
    with pytest.raises(AssayError) as error, Scratch("probe", {}, CPU, folder) as scratch:
        methods.train(run, data, scratch)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_warm_starts_are_billed_and_begin_where_gradients_lead(make_run, data):
    cold = sampled(make_run, data, steps=1)
    warm = sampled(make_run, data, steps=1, warm_start=30)
    assert warm.counters.cost().train_samples == 30 * 16
    assert warm.step(1).losses.mean() < 0.5 * cold.step(1).losses.mean()


def test_a_network_of_any_kind_can_be_sampled(make_run, data):
    options = {**SMALL, "fraction": 0.5, "start": "walk"}
    run = make_run(method="trajectory", options=options, model=Model(name="trajectory_cnn"), seeds=(0,))
    update = methods.make_update(Task(run, data))
    before = update.chains.theta.clone()
    assert update.step(0).losses.isfinite().all()
    assert (update.chains.theta != before).double().mean() < 0.55
    assert trajectory.Options(**options).fraction == 0.5

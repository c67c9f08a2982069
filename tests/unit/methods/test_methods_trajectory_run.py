"""Schedules, bills, records and refusals of trajectory sampling."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch

from assay import methods
from assay.core import files
from assay.core.config import Cosine, Model
from assay.core.errors import AssayError
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.methods import trajectory
from assay.methods.trajectory.acceptance import Decision
from assay.methods.trajectory.diagnostics import Memory, flags
from assay.methods.trajectory.moves import Steering, annealed
from assay.methods.trajectory.pairs import Coordinates
from benchmarks import trajectory_tuning

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
SMALL = {"tau": 3, "s": 100.0, "sigma": 0.05, "block": 16}


def sampled(make_run, data, steps=40, seeds=(0, 1, 2), **options):
    run = make_run(method="trajectory", options={**SMALL, **options}, steps=steps, seeds=seeds)
    update = methods.make_update(TrainContext(run, data))
    for step in range(steps):
        update.step(step)
    return update


def test_the_bias_rises_geometrically_and_stays():
    found = [annealed(10.0, 1000.0, 100, sweep) for sweep in (0, 50, 100, 10_000)]
    assert found == pytest.approx([10, 100, 1000, 1000])
    assert annealed(50.0, 50.0, 0, 0) == 50.0
    assert annealed(0.0, 0.0, 5, 2) == 0.0


def seen(change, growing=0, forward=200, chains=1):
    """Tests that found this change of s L, without noise."""
    shape = (chains, 100)
    fill = partial(torch.full, shape)
    zero = fill(0.0).double()
    change = torch.as_tensor(change).double().expand(shape)
    return Decision(zero, fill(forward), fill(growing), fill(forward), zero, change, *([zero] * 6))


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_sigma_is_steered_to_where_a_forward_sample_is_worth_most(share):
    """At balance s ΔL has a mean of half its variance; the probability of acceptance is integrated here."""
    levels = torch.linspace(-4, 4, 4001).double()
    weight = torch.exp(-(levels**2) / 2)

    def change(sigma):
        return sigma**2 / 2 + sigma * levels

    def worth(sigma):
        p = torch.sigmoid(-change(sigma))
        mobility = sigma**2 * (p * (1 - p) * weight).sum() / weight.sum()
        return mobility / (1 - share + share * sigma**2)

    grid = torch.linspace(0.1, 4, 400).double()
    best = grid[torch.stack([worth(sigma) for sigma in grid]).argmax()].item()
    steering = Steering(1.0, 1, 100, CPU, steer=True)
    draws = torch.erfinv(torch.linspace(-1, 1, 102)[1:-1]).double() * 2**0.5
    for sweep in range(60):
        sigma = steering.sigma.item()
        forward = 1000 * (1 - share + share * sigma**2)
        steering.observe(sweep, seen(sigma**2 / 2 + sigma * draws, int(500 * share * sigma**2), int(forward)))
    assert steering.sigma.item() == pytest.approx(best, rel=0.1)
    if not share:  # Barker's optimum
        p = torch.sigmoid(-change(steering.sigma.item()))
        assert (p * weight).sum() / weight.sum() == pytest.approx(0.158, abs=0.03)


def test_a_sigma_that_is_not_steered_stays():
    steering = Steering(0.1, 2, 100, CPU, steer=False)
    steering.observe(0, seen(50.0, chains=2))
    assert steering.sigma.tolist() == [0.1, 0.1]


def test_every_test_costs_twice_its_batch(make_run, data):
    update = sampled(make_run, data)
    record = update.record()
    tests = 40 * SMALL["tau"]
    for seed in range(3):
        assert sum(kind[seed] for kind in record["decisions"].values()) == tests
        assert sum(record["batch_histogram"]["tests"][seed]) == tests
    minibatch = sampled(make_run, data, s=1.0).record()
    spent = [2 * tests * n for n in minibatch["batch_a_test_whole_run"]]
    assert minibatch["forward_samples"] == pytest.approx(spent, rel=1e-5)
    assert minibatch["saving"] == pytest.approx([96 / n for n in minibatch["batch_a_test"]], rel=1e-4)
    assert minibatch["saving_passes"] == pytest.approx([each / 2 for each in minibatch["saving"]], rel=1e-4)
    assert update.counters.cost().forward_samples == sum(record["forward_samples"]) / 3
    assert update.counters.cost().optimizer_steps == 40


def test_the_committed_tuning_is_what_the_script_tries():
    found = files.read_json(ROOT / trajectory_tuning.RESULTS)
    assert (found["samples"], found["start"]) == (trajectory_tuning.SAMPLES, trajectory_tuning.BASE)
    assert {name: line["changes"] for name, line in found["tried"].items()} == trajectory_tuning.TRIED
    assert list(found["tried"]) == list(trajectory_tuning.TRIED)


def test_the_full_test_keeps_old_losses_and_costs_the_training_set_once(make_run, data):
    update = sampled(make_run, data, steps=5, test="full")
    record = update.record()
    assert record["forward_samples"] == [(5 * 3 + 3) * 96] * 3  # before the first test of a model its loss is unknown
    assert (record["saving"], record["saving_passes"]) == ([1.0] * 3, [1.0] * 3)
    assert record["decisions"]["accepted"] == record["decisions"]["rejected"] == [0] * 3
    assert 0 < sum(record["decisions"]["accepted_exactly"]) < 45
    kept = update._known[0].clone()
    fresh = torch.full_like(update._known, torch.nan)
    update._known.copy_(fresh)
    for _ in range(2):  # what is kept is what a fresh look finds: nothing is stale after an accepted move
        update.options = update.options.model_copy(update={"beta": 1e-9})  # a move that changes nothing
        update.step(5)
    torch.testing.assert_close(update._known[0], kept, rtol=1e-5, atol=1e-6)


def test_a_chain_is_the_same_in_any_company(make_run, data):
    options = {"s_start": 10.0, "steer": True, "burn_in": 0.5}
    many = sampled(make_run, data, steps=30, seeds=(5, 6, 7, 8, 9), **options)
    for place, seed in enumerate((5, 6, 7, 8, 9)):
        alone = sampled(make_run, data, steps=30, seeds=(seed,), **options)
        assert torch.equal(alone.theta[0], many.theta[place])
        assert alone.steering.sigma[0] == many.steering.sigma[place]


def test_a_record_is_small_json_with_a_value_for_each_seed(make_run, data):
    update = sampled(make_run, data, steps=130, s_start=10.0, steer=True)
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
    fine = {"acceptance": 0.4, "drift": 0.001, "error": 0.01, "memory": 0.1, "skewness": 0.05, "block": 64}

    def found(**changes):
        return " ".join(flags(**{**fine, **changes}))

    assert found() == ""
    assert (
        found(drift=-0.05) == "a cooling run: its mean loss is not flat after burn-in, so it is no sample of its target"
    )
    assert found(drift=-0.05, error=0.1) == ""  # within its error
    assert "under 1 %" in found(acceptance=0.005)
    assert "over 99 %" in found(acceptance=0.995)
    assert "too few sweeps" in found(drift=math.nan, error=math.nan)
    assert "has not forgotten" in found(memory=0.9)
    assert "skewed" in found(skewness=0.3)
    assert "biased" in found(block=32)


@pytest.mark.parametrize(("left", "low", "high"), [(0.0, -0.3, 0.3), (0.999, 0.8, 1.2)])
def test_a_chain_that_forgets_is_told_from_one_that_creeps(left, low, high):
    """Losses of 40 examples that keep this share of themselves at a sweep."""
    noise, losses = torch.Generator().manual_seed(1), torch.zeros(2, 3, 40)
    memory = Memory(10, 50, (2, 3, 40), CPU)
    for sweep in range(50):
        memory.observe(sweep, lambda now=losses: now)
        losses = left * losses + torch.randn(losses.shape, generator=noise)
    assert all(low < each < high for each in memory.of(losses).tolist())


def test_a_chain_that_stands_still_is_not_called_flat(make_run, data):
    still = sampled(make_run, data, sigma=1e-30, s=1.0, burn_in=0.5).record()
    assert still["memory"] == [1.0] * 3
    assert all("has not forgotten" in " ".join(each) for each in still["flags"])


def test_a_chain_that_does_not_mix_says_so(make_run, data):
    stuck = sampled(make_run, data, s=1e5, sigma=3.0)
    assert all("under 1 %" in " ".join(each) for each in stuck.record()["flags"])


def test_moves_are_the_budget_of_an_arm(make_run, data, tmp_path):
    run = make_run(method="trajectory", options={**SMALL, "moves": 16})
    with Scratch("probe", {}, CPU, tmp_path) as scratch:
        result, trained = methods.resolve(run).train(data, scratch)
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
        ({"target_batch": 400.0}, "arms.probe.target_batch: unknown key"),
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
        methods.resolve(run).train(data, scratch)
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def test_warm_starts_are_billed_and_begin_where_gradients_lead(make_run, data):
    cold = sampled(make_run, data, steps=1)
    warm = sampled(make_run, data, steps=1, warm_start=30)
    assert warm.counters.cost().train_samples == 30 * 16
    assert warm.step(1).losses.mean() < 0.5 * cold.step(1).losses.mean()


def test_a_warm_start_has_a_schedule_of_its_own(make_run, data, tmp_path):
    """A cosine falls over the gradient steps, whatever the number of sweeps is; a warm-up as long is refused."""
    train = make_run().train.model_copy(update={"schedule": Cosine(name="cosine", warmup_steps=5)})
    options = {**SMALL, "warm_start": 20, "sigma": 1e-30}
    ended = []
    for steps in (3, 300):
        run = make_run(method="trajectory", options=options)
        run = run.model_copy(update={"train": train.model_copy(update={"steps": steps})})
        ended.append(methods.make_update(TrainContext(run, data)).theta)
    assert torch.equal(*ended)
    alone = make_run(steps=20).model_copy(update={"train": train.model_copy(update={"steps": 20})})
    plain = methods.make_update(TrainContext(alone, data))
    for step in range(20):
        plain.step(step)
    assert torch.equal(ended[0][:, 0], Coordinates(plain.stored, {}).flat(plain.stored))
    short = {**options, "warm_start": 5}
    line = "arms.probe.warm_start: the warm start has 5 steps, no more than the schedule's warmup_steps (5)"
    refused(run.model_copy(update={"options": short}), data, tmp_path, line)


def test_a_network_of_any_kind_can_be_sampled(make_run, data):
    options = {**SMALL, "fraction": 0.5, "start": "walk"}
    run = make_run(method="trajectory", options=options, model=Model(name="trajectory_cnn"), seeds=(0,))
    update = methods.make_update(TrainContext(run, data))
    before = update.theta.clone()
    assert update.step(0).losses.isfinite().all()
    assert (update.theta != before).double().mean() < 0.55
    assert trajectory.Options(**options).fraction == 0.5


def test_what_moves_the_chains_is_given_the_arms_own_budget(make_run, data, monkeypatch):
    run = make_run(method="trajectory", options={"tau": 3, "moves": 30}, steps=99)
    monkeypatch.setattr(trajectory, "update", lambda context, _: context.run.train.steps)
    assert methods.make_update(TrainContext(run, data)) == 10

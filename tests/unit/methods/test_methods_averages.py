"""Weight averaging and deep ensembles: what is averaged and when, at which rate, and whose networks these are."""

from __future__ import annotations

import pytest
import torch

from assay import methods
from assay.core.config import PARAMS_FILE, SGD, Constant, Cosine, Model, Step
from assay.core.errors import AssayError
from assay.engine.context import TrainContext
from assay.engine.loop import Curves
from assay.engine.stack import predict
from tests.conftest import make_data

LINEAR = Model(name="linear")
CNN = Model(name="vgg", widths=[[4], [4]], batch_norm=True)


@pytest.fixture
def make(make_run, data):
    def make(method, model=LINEAR, seeds=(0, 1), label_noise=0.0, changes=None, **options):
        changes = {"arm": "probe", **(changes or {})}
        run = make_run(method=method, model=model, options=options, seeds=seeds, label_noise=label_noise, **changes)
        return methods.make_update(TrainContext(run, data))

    return make


def test_the_average_is_of_the_weights_at_the_ends_of_cycles(make):
    update = make("swa", start=0.5, cycle_steps=2)  # of 12 steps
    seen = []
    for step in range(12):
        update.step(step)
        seen.append({name: tensor.detach().clone() for name, tensor in update.stored.items()})
    found = update.variants()
    assert list(found) == ["average", "last"]
    for name in update.stored:
        expected = (seen[7][name] + seen[9][name] + seen[11][name]) / 3
        torch.testing.assert_close(found["average"].weights[name][:, 0], expected)
        assert torch.equal(found["last"].weights[name][:, 0], seen[11][name])
    assert update.record() == {"averaged": 3, "averaged_from_step": 8}


def test_the_last_weights_are_the_baseline_s_where_the_rate_is_constant(make):
    averaging, plain = make("swa", start=0.5, cycle_steps=2), make("sgd")
    for step in range(12):
        averaging.step(step), plain.step(step)
    for name, tensor in plain.stored.items():
        assert torch.equal(averaging.stored[name], tensor)


@pytest.fixture
def rates(moved):
    return lambda update, steps=12: [moved(update, step)[1] for step in range(steps)]


def test_the_schedule_ends_where_averaging_starts_and_then_the_rate_stays_or_runs_in_cycles(make, rates):
    changes = {"optimizer": SGD(name="sgd", lr=0.1, momentum=0.9), "schedule": Cosine(name="cosine", final=0.0)}
    cosine = rates(make("swa", changes=changes, start=0.5, cycle_steps=3, lr=0.05))
    ends_there = {**changes, "steps": 6, "schedule": Cosine(name="cosine", final=0.5)}
    assert cosine == pytest.approx([*rates(make("sgd", changes=ends_there), 6), *[0.05] * 6])
    cyclic = rates(make("swa", changes=changes, start=0.5, cycle_steps=3, lr=0.05, lr_end=0.02))
    assert cyclic[6:] == pytest.approx([0.04, 0.03, 0.02] * 2)
    falls_to = {**changes, "schedule": Cosine(name="cosine", final=0.4)}
    assert rates(make("swa", changes=falls_to, start=0.5, cycle_steps=3))[6:] == pytest.approx([0.04] * 6)


@pytest.mark.parametrize(
    ("schedule", "before"),
    [
        (Cosine(name="cosine", warmup_steps=2), [0.1 / 3, 0.2 / 3, 0.1, 0.0927, 0.075, 0.0573]),
        (Step(name="step", at=(2, 4), factor=0.5), [0.1, 0.1, 0.2 / 3, 0.2 / 3, 0.05, 0.05]),
        (Constant(name="constant"), [0.1] * 6),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_any_schedule_decays_from_the_optimizer_s_rate_to_that_of_averaging(make, rates, schedule, before):
    changes = {"optimizer": SGD(name="sgd", lr=0.1), "schedule": schedule}
    found = rates(make("swa", changes=changes, start=0.5, cycle_steps=3, lr=0.05))
    assert found == pytest.approx([*before, *[0.05] * 6], abs=1e-4)


def test_the_average_has_statistics_of_its_own_and_they_are_billed(make):
    update = make("swa", CNN, start=0.5, cycle_steps=2)
    for step in range(12):
        update.step(step)
    found = update.variants()
    name = "block_1.norm_1.running_mean"
    assert not torch.equal(found["average"].weights[name], found["last"].weights[name])
    assert (found["average"].prior_cost.forward_samples, found["last"].prior_cost.forward_samples) == (96, 0)


@pytest.mark.parametrize(
    ("options", "changes", "said"),
    [
        ({"start": 0.0}, {}, "start: got 0.0"),
        ({"start": 1.0}, {}, "start: got 1.0"),
        ({"cycle_steps": 0}, {}, "cycle_steps: got 0"),
        ({"lr": 0.0}, {}, "lr: got 0.0"),
        ({}, {}, r"cycle_steps: two cycles of 6 steps from step 9 \(start: 0.75\) end after the last of 12 steps"),
        ({"start": 0.9, "cycle_steps": 2}, {}, "cycle_steps: two cycles of 2 steps from step 10"),  # one network
        (
            {"start": 0.5, "cycle_steps": 2},
            {"schedule": Cosine(name="cosine", warmup_steps=6, final=0.5)},
            "start: averaging would begin at step 6, before the 6 warm-up steps",
        ),
        ({"start": 0.5, "cycle_steps": 2}, {"schedule": Cosine(name="cosine")}, "lr: missing; the schedule ends at"),
    ],
)
def test_bad_averaging_is_refused_by_name_before_any_step(make_run, data, options, changes, said):
    run = make_run(method="swa", options=options, **changes)
    with pytest.raises(AssayError, match=rf"^{PARAMS_FILE}: arms\.probe\.{said}"):
        methods.resolve(run).train(data, None)


def test_the_first_member_is_the_baseline_and_the_others_are_networks_of_their_own(make):
    seeds = (0, 1, 2, 3, 4)
    ensemble, plain = make("deep_ensemble", seeds=seeds), make("sgd", seeds=seeds)
    for step in range(12):
        ensemble.step(step), plain.step(step)
    found = ensemble.variants()
    assert list(found) == ["members_3", "members_2"]
    for name, tensor in plain.stored.items():
        weights = found["members_3"].weights[name]
        assert weights.shape[:2] == (5, 3)
        assert torch.equal(weights[:, 0], tensor)
        assert torch.equal(found["members_2"].weights[name], weights[:, :2])
        if name.endswith("weight"):
            assert len(torch.unique(weights.flatten(0, 1).flatten(1), dim=0)) == 15


def test_an_ensemble_costs_what_its_members_do(make):
    update = make("deep_ensemble", members=4)
    for step in range(3):
        update.step(step)
    for name, outcome in update.variants().items():
        count = int(name.removeprefix("members_"))
        cost = update.counters.cost(outcome.copies)
        assert (cost.train_samples, cost.optimizer_steps) == (count * 3 * 16, count * 3)
    assert update.record()["trainings"] == {"members_4": 4, "members_3": 3, "members_2": 2}


def test_members_learn_their_seed_s_labels_from_batches_of_their_own(make):
    update = make("deep_ensemble", label_noise=0.5)
    indices = update.batches.select(0, None)
    assert len({tuple(row) for row in indices.tolist()}) == 6
    noisy = TrainContext(make_run_of(update), make_data()).labels
    for copy in range(6):
        assert torch.equal(update.batches.labels(indices)[copy], noisy[copy // 3][indices[copy]])


def make_run_of(update):
    from assay.core.config import Run

    train = update.train
    return Run(
        arm="p", method="sgd", seeds=(0, 1), model=Model(name="linear"), train=train, label_noise=0.5, options={}
    )


@pytest.mark.parametrize("how", ["mean_probability", "mean_logit"])
def test_an_ensemble_is_combined_as_its_arm_says(make_run, data, how):
    run = make_run(method="deep_ensemble", options={"combine": how})
    context = TrainContext(run, data)
    update = methods.make_update(context)
    for step in range(3):
        update.step(step)
    made = context.artifact(update, Curves(()))
    assert {one.combine for one in made.manifest.variants.values()} == {how}
    weights, split = made.weights["members_3"], data.validation
    logits = torch.stack(
        [predict(update.network, {n: t[:, m] for n, t in weights.items()}, split.images, data.mean, data.std)
         for m in range(3)], 1,
    ).double()  # fmt: skip
    logs = logits.mean(1).log_softmax(-1) if how == "mean_logit" else logits.softmax(-1).mean(1).log()
    expected = -logs.gather(-1, split.labels.expand(3, -1)[..., None]).mean((1, 2))
    assert made.manifest.variants["members_3"].validation_loss == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_ensemble_of_one_is_refused_by_name(make_run):
    with pytest.raises(AssayError, match=rf"^{PARAMS_FILE}: arms\.probe\.members: got 1"):
        methods.resolve(make_run(method="deep_ensemble", options={"members": 1}))

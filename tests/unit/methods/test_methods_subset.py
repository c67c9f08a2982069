"""Subset pretraining: the invariants of the method, what is recorded after each phase, and what is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from assay import methods, models
from assay.core import config
from assay.core.config import Cosine, Model
from assay.core.errors import AssayError
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.engine.stack import predict
from assay.methods import checks
from assay.methods.subset import SubsetBatches, split
from tests.conftest import make_data

CPU = torch.device("cpu")


def train(run, data, folder):
    with Scratch("probe", run.model_dump(mode="json"), CPU, folder) as scratch:
        return methods.resolve(run).train(data, scratch)[0]


@given(examples=st.integers(1, 200), k=st.integers(1, 20), seed=st.integers(0, 5))
def test_the_subsets_are_disjoint_and_cover_the_set(examples, k, seed):
    parts = split(examples, k, seed)
    assert len(parts) == k
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(examples))
    assert len(parts[-1]) == examples // k
    assert max(map(len, parts)) <= examples // k + 1


def test_the_smaller_subset_lies_in_the_larger_and_seeds_differ():
    assert set(split(128, 32, 0)[-1].tolist()) < set(split(128, 8, 0)[-1].tolist())
    assert not torch.equal(split(128, 8, 0)[-1], split(128, 8, 1)[-1])


def test_pretraining_sees_its_subset_alone_and_all_of_it_and_fine_tuning_sees_everything():
    labels = torch.arange(96) % 4
    batches = SubsetBatches(labels, [3, 4], 16, k=3, pretraining=4)
    assert (batches.phase(3, 9), batches.phase(4, 9)) == ((0, 4), (4, 5))
    assert batches.subset.shape == (2, 32)
    for first in (0, 2):
        epoch = torch.cat([batches.select(step, None) for step in (first, first + 1)], 1)
        assert torch.equal(epoch.sort(1).values, batches.subset.sort(1).values)
    epoch = torch.cat([batches.select(step, None) for step in range(4, 10)], 1)
    assert torch.equal(epoch.sort(1).values, torch.arange(96).expand(2, -1))
    alone = SubsetBatches(labels, [4], 16, k=3, pretraining=4)
    for step in (9, 1, 5):
        assert torch.equal(alone.select(step, None)[0], batches.select(step, None)[1])


def test_one_part_of_one_is_the_baseline_bit_for_bit(make_run, data, tmp_path):
    own, baseline = (
        train(make_run(method=method, options=options), data, tmp_path)
        for method, options in (("subset", {"k": 1}), ("sgd", {}))
    )
    for name, tensor in baseline.weights["last"].items():
        assert torch.equal(own.weights["last"][name], tensor)
    assert own.manifest.variants == baseline.manifest.variants
    (phase,) = own.manifest.record["phases"]
    assert phase["phase"] == "from scratch"
    assert phase["subset"] == phase["train"]


def test_every_k_starts_from_the_same_weights(make_run, data):
    starts = [
        methods.make_update(TrainContext(make_run(method="subset", options=options), data)).evaluated()
        for options in ({"k": 1}, {"k": 2, "pretrain": 0.5}, {"k": 4, "pretrain": 0.5})
    ]
    for name, tensor in starts[0].items():
        assert all(torch.equal(tensor, other[name]) for other in starts[1:])


def test_fine_tuning_starts_from_fresh_optimizer_state(make_run, data):
    update = methods.make_update(TrainContext(make_run(method="subset", options={"k": 3, "pretrain": 0.5}), data))
    counts = []
    for step in range(8):
        update.step(step)
        counts.append(int(update.optimizer.state()["0"]["_unpadded"]["steps"]))
    assert counts == [1, 2, 3, 4, 5, 6, 1, 2]


@pytest.fixture
def rates(make_run, data):
    """The learning rates that a cosine with a step of warm-up gives the optimizer."""

    def of(method, steps, **options):
        run = make_run(method=method, steps=steps, options=options, schedule=Cosine(name="cosine", warmup_steps=1))
        update, seen = methods.make_update(TrainContext(run, data)), []
        update.averaging.rate = lambda _, scheduled: seen.append(scheduled) or scheduled
        for step in range(steps):
            update.step(step)
        return seen

    return of


@pytest.mark.parametrize("k", [2, 4])
def test_each_phase_decays_over_its_own_length_whatever_k_is(rates, k):
    assert rates("subset", 12, k=k, pretrain=0.75) == [*rates("sgd", 9), *rates("sgd", 3)]


def test_lbfgs_takes_nothing_of_the_schedule(rates):
    assert rates("subset", 12, k=3, pretrain=0.5, pretrain_with="lbfgs") == rates("sgd", 6)


@pytest.mark.parametrize(
    ("options", "phase", "steps"),
    [
        ({"pretrain": 0.25}, "pretraining", 3),
        ({"pretrain": 0.75}, "fine-tuning", 3),
        ({"pretrain": 0.75, "pretrain_with": "lbfgs"}, "fine-tuning", 3),
    ],
)
def test_a_phase_in_which_the_schedule_only_warms_up_is_refused(make_run, data, options, phase, steps):
    run = make_run(method="subset", options={"k": 6, **options}, schedule=Cosine(name="cosine", warmup_steps=3))
    with pytest.raises(AssayError, match=rf"^params\.yaml: arms\.probe\.pretrain: {phase} has {steps} steps, no more"):
        methods.resolve(run).train(data, None)


def test_lbfgs_needs_no_room_for_a_warm_up(make_run, data, tmp_path):
    options = {"k": 6, "pretrain": 0.25, "pretrain_with": "lbfgs"}
    train(make_run(method="subset", options=options, schedule=Cosine(name="cosine", warmup_steps=3)), data, tmp_path)


def test_each_phase_records_losses_accuracies_samples_and_steps(make_run, data):
    run = make_run(method="subset", options={"k": 3, "pretrain": 0.75}, label_noise=0.3)
    context = TrainContext(run, data)
    update = methods.make_update(context)
    for step in range(9):
        update.step(step)
    after = {name: tensor.clone() for name, tensor in update.evaluated().items()}
    for step in range(9, 12):
        update.step(step)
    record = update.record()
    first, second = record["phases"]
    assert [phase["phase"] for phase in record["phases"]] == ["pretraining", "fine-tuning"]
    assert [phase["train_samples"] for phase in record["phases"]] == [9 * 16, 3 * 16]
    assert [phase["optimizer_steps"] for phase in record["phases"]] == [9, 3]
    assert [phase["forward_samples"] for phase in record["phases"]] == [0, 0]  # measuring is not billed
    for weights, phase in ((after, first), (update.evaluated(), second)):
        logits = predict(update.network, weights, data.train.images, data.mean, data.std)
        for copy, seed in enumerate(run.seeds):
            own, labels = split(96, 3, seed)[-1], context.labels[copy]
            for name, chosen in (("subset", own), ("train", torch.arange(96))):
                loss = F.cross_entropy(logits[copy, chosen], labels[chosen])
                accuracy = (logits[copy, chosen].argmax(1) == labels[chosen]).double().mean()
                assert phase[name]["loss"][copy] == pytest.approx(loss.item(), abs=1e-5)
                assert phase[name]["accuracy"][copy] == pytest.approx(accuracy.item(), abs=1e-6)
            held_out = predict(update.network, weights, data.validation.images, data.mean, data.std)[copy]
            assert phase["validation"]["loss"][copy] == pytest.approx(
                F.cross_entropy(held_out, data.validation.labels).item(), abs=1e-5
            )


def test_the_terms_of_overdetermination_are_recorded(make_run, data, tmp_path):
    parameters = models.parameter_count(models.build("linear", data.images))
    for options, examples in (({"k": 3, "pretrain": 0.5}, 32), ({"k": 1}, 96)):
        record = train(make_run(method="subset", options=options), data, tmp_path).manifest.record["subset"]
        q = round(examples * 4 / parameters, 6)
        assert record == {"k": options["k"], "K": examples, "M": 4, "P": parameters, "Q": q}


@pytest.mark.parametrize(("q", "on_the_subset", "on_everything"), [(2, 0.5, 2.053), (8, 0.875, 1.144)])
def test_least_squares_on_a_subset_loses_what_theory_says(q, on_the_subset, on_everything):
    """Noise of variance 1: σ²(1 - 1/Q) where it was fitted, σ²(1 + p/(K-p-1)) elsewhere."""
    unknowns, k, draws = 20, 4, 400
    examples = q * unknowns * k
    assert examples // k / unknowns == q
    generator = torch.Generator().manual_seed(q)
    inputs = torch.randn(draws, examples, unknowns, generator=generator, dtype=torch.float64)
    targets = torch.randn(draws, examples, 1, generator=generator, dtype=torch.float64)  # the truth is 0
    chosen = torch.stack([split(examples, k, seed)[-1] for seed in range(draws)])
    x, y = (torch.stack([t[i] for t, i in zip(tensor, chosen, strict=True)]) for tensor in (inputs, targets))
    solution = torch.linalg.lstsq(x, y).solution
    assert (x @ solution - y).square().mean().item() == pytest.approx(on_the_subset, rel=0.03)
    assert 1 + solution.square().sum((1, 2)).mean().item() == pytest.approx(on_everything, rel=0.03)


def test_at_convergence_the_subset_loses_less_than_everything_and_the_gap_shrinks_with_q(make_run, tmp_path):
    """Softmax regression, a convex problem, by L-BFGS; noisy labels, so that no subset can be fitted exactly."""
    data = make_data(examples=4096)
    gaps = []
    for k in (16, 4, 2):  # Q = 3.9, 15.8, 31.5
        options = {"k": k, "pretrain": 0.975, "pretrain_with": "lbfgs"}
        run = make_run(method="subset", options=options, label_noise=0.5, steps=40, evaluate_every=40)
        phase = train(run, data, tmp_path).manifest.record["phases"][0]
        subset, everything = (sum(phase[name]["loss"]) for name in ("subset", "train"))
        gaps.append(everything - subset)
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_the_cost_is_the_share_that_the_epochs_say(make_run, data, tmp_path):
    """E epochs of the baseline against E_pre of 1/k and E_fine of everything: (E_pre / k + E_fine) / E."""
    baseline = train(make_run(steps=60), data, tmp_path).manifest.variants["last"].cost  # 10 epochs of 6 batches
    run = make_run(method="subset", options={"k": 3, "pretrain": 20 / 26}, steps=26)  # 10 of 2 batches, 1 of 6
    own = train(run, data, tmp_path).manifest.variants["last"].cost
    assert own.train_samples / baseline.train_samples == pytest.approx((10 / 3 + 1) / 10)


def params(model=None, **arm):
    return config.Params.model_validate(
        {
            "seeds": [0],
            "data": {"name": "digits", "validation": 237},  # leaves 1,200
            "model": model or {"name": "linear"},
            "train": {"steps": 100, "batch_size": 60, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 9},
            "arms": {"own": {"method": "subset", **arm}},
        }
    )


@pytest.mark.parametrize(
    ("arm", "line"),
    [
        ({"k": 0, "pretrain": 0.5}, r"k: got 0"),
        ({"k": 21, "pretrain": 0.5}, r"k: 1/21 of 1200 training examples is 57, less than one batch of 60"),
        ({"k": 8}, r"pretrain: missing, and required where k is above 1"),
        ({"k": 8, "pretrain": 1.0}, r"pretrain: 1.0 of 100 steps leaves no step for fine-tuning; lower it"),
        ({"k": 8, "pretrain": 0.996}, r"pretrain: 0.996 of 100 steps leaves no step for fine-tuning; lower it"),
        ({"k": 8, "pretrain": 0.004}, r"pretrain: 0.004 of 100 steps leaves no step for pretraining; raise it"),
        ({"k": 8, "pretrain": 0.5, "steps": 1}, r"pretrain: 0.5 of 1 steps leaves no step for pretraining"),
        ({"k": 8, "pretrain": 1.5}, r"pretrain: got 1.5"),
        ({"k": 8, "pretrain": 0}, r"pretrain: got 0"),
        ({"k": 1, "pretrain": 0.5}, r"pretrain: k: 1 trains on everything from the start; remove pretrain"),
        ({"k": 1, "pretrain_with": "lbfgs"}, r"pretrain_with: k: 1 trains on everything from the start"),
        ({"k": 8, "pretrain": 0.5, "pretrain_with": "newton"}, r"pretrain_with: got 'newton'"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name_before_anything_is(arm, line):
    with pytest.raises(AssayError, match=rf"^params\.yaml: arms\.own\.{line}[^\n]*$"):
        checks.check(params(**arm))


def test_the_largest_k_and_share_that_fit_are_allowed():
    checks.check(params(k=20, pretrain=0.99))
    checks.check(params(k=1))


@pytest.mark.parametrize("model", [{"name": "resnet_20"}, {"name": "mobilenet_v3_small"}])
def test_lbfgs_is_refused_for_a_network_whose_gradient_is_not_exact(model):
    arm = {"k": 8, "pretrain": 0.5, "pretrain_with": "lbfgs"}
    with pytest.raises(AssayError, match=r"arms\.own\.pretrain_with: lbfgs needs an exact gradient, and \w+ has"):
        checks.check(params(model, **arm))
    checks.check(params({"name": "vgg", "widths": [[4], [4]], "batch_norm": False}, **arm))


def test_a_folder_of_images_is_checked_when_its_examples_are_known(make_run, data, tmp_path):
    run = make_run(method="subset", options={"k": 7, "pretrain": 0.5}, model=Model(name="linear"))
    with pytest.raises(AssayError, match=r"arms\.probe\.k: 1/7 of 96 training examples is 13"):
        train(run, data, tmp_path)

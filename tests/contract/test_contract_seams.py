"""The seams carry what the methods to come will put into them, with the loop as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from assay import models
from assay.core.config import Model
from assay.core.errors import AssayError
from assay.engine import loop
from assay.engine.batches import Batches, EpochBatches
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.engine.stack.loss import cross_entropy
from assay.engine.step_rule import Averaging, GradientUpdate, Outcome, Parametrisation
from tests.contract.test_contract_methods import ARMS, TAKE_GRADIENTS, arm_id, assert_equal_weights, bit_equal, train

CPU = torch.device("cpu")


@pytest.fixture
def context(make_run, data):
    return TrainContext(make_run(), data)


def run_loop(context, update, folder):
    with Scratch("probe", {}, CPU, folder) as scratch:
        return loop.train(update, context, scratch)


class Midpoint(Parametrisation):
    """Two endpoints, always run half-way: each gets half the gradient."""

    def weights(self, stored, step):
        return {name: tensor.mean(1) for name, tensor in stored.items()}

    def gradients(self, stored, weights, gradients, step):
        return {name: torch.stack([tensor, tensor], 1) / 2 for name, tensor in gradients.items()}

    evaluated = lambda self, stored: self.weights(stored, 0)  # noqa: E731

    def variants(self, stored, buffers):
        return {
            "ensemble": Outcome(stored),
            "midpoint": Outcome({n: t[:, None] for n, t in self.evaluated(stored).items()}),
        }


def test_a_parametrisation_carries_gradients_to_what_is_stored(context, tmp_path, moved):
    network, parameters, buffers = context.fresh(context.run.seeds)
    stored = {name: torch.stack([tensor, tensor], 1) for name, tensor in parameters.items()}
    both = GradientUpdate(context, context.batches(), Midpoint(), start=(network, stored, buffers))
    plain = GradientUpdate(context, batches=context.batches())
    (carried, _), (gradients, _) = moved(both), moved(plain)
    for name, tensor in gradients.items():
        for endpoint in (0, 1):
            torch.testing.assert_close(carried[name][:, endpoint], tensor / 2)
    run_loop(context, both, tmp_path)
    outcomes = both.variants()
    assert {name: next(iter(o.weights.values())).shape[1] for name, o in outcomes.items()} == {
        "ensemble": 2,
        "midpoint": 1,
    }


class FirstWeights(Averaging):
    """Keeps a running sum of the weights."""

    def __init__(self):
        self.sums = {}

    def observe(self, step, weights, buffers):
        for name, tensor in weights.items():
            self.sums[name] = self.sums.get(name, 0) + tensor.detach()

    def variants(self):
        return {"sum": Outcome({name: tensor[:, None] for name, tensor in self.sums.items()})}


def test_an_averaging_sees_the_weights_after_every_update(context):
    update = GradientUpdate(context, batches=context.batches(), averaging=FirstWeights())
    seen = []
    for step in range(3):
        update.step(step)
        seen.append({name: tensor.detach().clone() for name, tensor in update.stored.items()})
    kept = update.variants()
    assert list(kept) == ["sum", "last"]
    for name in seen[0]:
        torch.testing.assert_close(kept["sum"].weights[name][:, 0], seen[0][name] + seen[1][name] + seen[2][name])


class Rescoring(Batches):
    """The examples of highest loss, all of them scored before every batch."""

    def select(self, step, score):
        everything = torch.arange(self.examples).expand(len(self.seeds), -1)
        self.losses = score(everything, self.labels(everything))
        return self.losses.topk(self.batch_size, 1).indices


def test_batches_may_score_examples_and_are_billed(context):
    batches = Rescoring(context.data.train.labels, context.run.seeds, 16)
    update = GradientUpdate(context, batches=batches)
    seen = update.step(0)
    torch.testing.assert_close(seen.losses, batches.losses.topk(16, 1).values, rtol=1e-5, atol=1e-5)
    cost = update.counters.cost()
    assert (cost.train_samples, cost.forward_samples) == (16, batches.examples)


class HardestHalf(EpochBatches):
    """Learns from the harder half of each batch, and remembers what it saw."""

    def weigh(self, losses, copies):
        chosen = losses >= losses.median(1, keepdim=True).values
        return chosen / chosen.sum(1, keepdim=True)

    def observe(self, step, indices, losses):
        self.seen = (step, indices.clone(), losses)


def test_batches_may_weigh_examples_by_their_losses_and_what_is_left_out_counts_as_forward_only(context):
    batches = HardestHalf(context.data.train.labels, context.run.seeds, 16)
    update = GradientUpdate(context, batches=batches)
    seen = update.step(0)
    step, indices, losses = batches.seen
    assert step == 0
    assert indices.shape == (3, 16)
    assert torch.equal(losses, seen.losses)
    cost = update.counters.cost()
    assert cost.train_samples + cost.forward_samples == 16
    assert 8 <= cost.train_samples <= 9


def test_a_loss_decides_the_gradients_and_is_what_a_step_saw(context, moved):
    def doubled(logits, labels):
        return 2 * cross_entropy(logits, labels)

    own, plain = (GradientUpdate(context, context.batches(), loss=loss) for loss in (doubled, cross_entropy))
    (gradients, _), (expected, _) = moved(own), moved(plain)
    for name, tensor in expected.items():
        torch.testing.assert_close(gradients[name], 2 * tensor)
    fresh = [GradientUpdate(context, context.batches(), loss=loss).step(0).losses for loss in (doubled, cross_entropy)]
    torch.testing.assert_close(fresh[0], 2 * fresh[1])


class TwoPhases(EpochBatches):
    """The second begins at step 2."""

    def phase(self, step, steps):
        return (0, 2) if step < 2 else (2, steps - 2)


def test_a_phase_begins_with_a_fresh_optimizer(context):
    update = GradientUpdate(context, batches=TwoPhases(context.data.train.labels, context.run.seeds, 16))
    counts = []
    for step in range(4):
        update.step(step)
        counts.append(int(update.optimizer.state()["0"]["_unpadded"]["steps"]))
    assert counts == [1, 2, 1, 2]


class TwoPasses(GradientUpdate):
    """Sharpness-aware minimization (Foret et al. 2021, algorithm 1): the gradient a small step uphill."""

    def gradients(self, weights, indices, step):
        first = super().gradients(weights, indices, step)
        uphill = {name: weights[name] + gradient for name, gradient in first.by_name.items()}
        second = super().gradients(uphill, indices, step)
        return replace(second, losses=first.losses)


class SamePlace(GradientUpdate):
    """The second pass where the first was: it must see the same."""

    def gradients(self, weights, indices, step):
        first, second = (super(SamePlace, self).gradients(weights, indices, step) for _ in range(2))
        assert torch.equal(first.losses, second.losses)
        return second


def noisy(images, **_):
    features = images.channels * images.height * images.width
    layers = (nn.Flatten(), nn.Dropout(0.5), nn.Linear(features, 8), nn.BatchNorm1d(8), nn.Linear(8, images.classes))
    return nn.Sequential(*layers)


@pytest.fixture
def draws(monkeypatch):
    """Every network draws random numbers, and has batch norm."""
    monkeypatch.setattr(models, "build", lambda name, images, *_, **arguments: noisy(images))


def test_a_step_of_two_passes_is_one_override_and_both_are_billed(context, draws, tmp_path):
    plain, both, same = (kind(context, context.batches()) for kind in (GradientUpdate, TwoPasses, SamePlace))
    for update in (plain, both, same):
        run_loop(context, update, tmp_path / type(update).__name__)
    for name, tensor in plain.stored.items():
        assert torch.equal(tensor, same.stored[name])
    assert not torch.equal(plain.stored["2.weight"], both.stored["2.weight"])
    cost, twice = plain.counters.cost(), both.counters.cost()
    assert (twice.train_samples, twice.optimizer_steps) == (2 * cost.train_samples, cost.optimizer_steps)


def test_each_pass_bills_what_it_leaves_out_as_forward_only(context):
    batches = (HardestHalf(context.data.train.labels, context.run.seeds, 16) for _ in range(2))
    plain, same = (kind(context, own) for kind, own in zip((GradientUpdate, SamePlace), batches, strict=True))
    for update in (plain, same):
        update.step(0)
    for kind in ("train_samples", "forward_samples"):
        assert torch.equal(same.counters.of(kind), 2 * plain.counters.of(kind))
        assert plain.counters.of(kind).min() > 0


def test_random_layers_without_seeds_are_refused(context, draws):
    update = GradientUpdate(context, context.batches())
    images = torch.zeros(3, 2, 1, 8, 8)
    with pytest.raises(ValueError, match="draws random numbers"):
        update.stack.gradients(update.stored, update.buffers, images, torch.zeros(3, 2, dtype=torch.int64))


@pytest.mark.parametrize("arm", [arm for arm, own in ARMS.items() if own["method"] in TAKE_GRADIENTS], ids=arm_id)
def test_random_layers_draw_the_same_again_alone_and_in_company(arm, make_run, data, draws, tmp_path):
    run = make_run(**ARMS[arm] | {"model": Model(name="noisy")})
    if run.options.get("pretrain_with") == "lbfgs":
        with pytest.raises(AssayError, match="lbfgs needs an exact gradient"):
            train(run, data, tmp_path)
        return
    once, _ = train(run, data, tmp_path)
    torch.rand(1)
    again, _ = train(run, data, tmp_path)
    assert_equal_weights(once, again, bit_equal)
    alone, _ = train(run.model_copy(update={"seeds": run.seeds[1:2]}), data, tmp_path)
    for variant, state in alone.weights.items():
        for name, tensor in state.items():
            torch.testing.assert_close(tensor[0], once.weights[variant][name][1], rtol=1e-4, atol=1e-4)

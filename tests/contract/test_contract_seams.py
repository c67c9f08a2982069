"""The seams carry what the methods to come will put into them, with the loop as it is."""

from __future__ import annotations

import pytest
import torch

from assay.engine.batches import Batches, EpochBatches
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.engine.loop import train
from assay.engine.stack.loss import cross_entropy
from assay.engine.step_rule import Averaging, GradientUpdate, Outcome, Parametrisation

CPU = torch.device("cpu")


@pytest.fixture
def context(make_run, data):
    return TrainContext(make_run(), data)


def run_loop(context, update, folder):
    with Scratch("probe", {}, CPU, folder) as scratch:
        return train(update, context, scratch)


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
        counts.append(int(update.optimizer.state()["_unpadded"]["steps"]))
    assert counts == [1, 2, 1, 2]

"""The L-BFGS phase: exact gradients, a bill for every run of the subset, and copies that do not know each other."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from assay import methods, models
from assay.core.config import Model
from assay.engine.checkpoint import Scratch
from assay.engine.context import TrainContext
from assay.methods import subset
from tests.conftest import make_data

OPTIONS = {"k": 3, "pretrain": 0.5, "pretrain_with": "lbfgs"}


@pytest.fixture
def context(make_run, data):
    return TrainContext(make_run(method="subset", options=OPTIONS), data)


def test_it_is_what_pytorch_does_alone_with_the_whole_subset(context):
    """One copy by hand: the plain module, one batch of its 32 examples, five iterations."""
    update = methods.make_update(context)
    weights = {name: tensor[1].clone() for name, tensor in update.evaluated().items()}
    for step in range(5):
        update.step(step)
    network, batches = models.build("linear", context.data.images), update.batches
    images = update.loader.batch(batches.subset, None)[1]
    labels = batches.labels(batches.subset)[1]
    network.load_state_dict(weights)
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=5, max_eval=1000, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    for name, tensor in network.named_parameters():
        torch.testing.assert_close(update.evaluated()[name][1], tensor.detach(), rtol=1e-3, atol=1e-4)


def test_every_run_of_the_subset_is_billed_to_the_copy_that_made_it(context, monkeypatch):
    runs = [0, 0, 0]
    run = subset.SubsetUpdate._run_subset

    def counted(self, copy):
        runs[copy] += 1
        return run(self, copy)

    monkeypatch.setattr(subset.SubsetUpdate, "_run_subset", counted)
    update = methods.make_update(context)
    for step in range(6):
        update.step(step)
    assert min(runs) >= 6
    assert sum(runs) > 18  # line searches came on top
    assert update.counters.of("train_samples").tolist() == [32 * count for count in runs]
    assert update.counters.cost().optimizer_steps == 6
    for step in range(6, 12):
        update.step(step)
    assert update.counters.of("train_samples").tolist() == [32 * count + 6 * 16 for count in runs]
    assert update.record()["phases"][0]["train_samples"] == pytest.approx(32 * sum(runs) / 3)


def test_the_loss_falls_at_every_iteration_and_faster_than_adams(context, make_run):
    own, adam = (
        methods.make_update(each)
        for each in (context, TrainContext(make_run(method="subset", options={"k": 3, "pretrain": 0.5}), context.data))
    )
    losses = [own.step(step).losses.mean(1) for step in range(6)]
    assert all((later <= earlier).all() for earlier, later in pairwise(losses))
    for step in range(6):
        adam.step(step)
    reached, plain = (sum(update.record()["phases"][0]["subset"]["loss"]) for update in (own, adam))
    assert reached < plain


def test_parts_of_a_subset_add_up_to_the_whole(context, monkeypatch):
    whole, parts = methods.make_update(context), methods.make_update(context)
    whole.step(0)
    monkeypatch.setattr(subset, "ROWS", 5)
    parts.step(0)
    for name, tensor in whole.evaluated().items():
        torch.testing.assert_close(parts.evaluated()[name], tensor)


def test_a_copy_moves_alone_as_in_company_bit_for_bit(context, make_run):
    together = methods.make_update(context)
    alone = methods.make_update(TrainContext(make_run(method="subset", options=OPTIONS, seeds=(1,)), context.data))
    for step in range(6):
        together.step(step), alone.step(step)
    for name, tensor in alone.evaluated().items():
        assert torch.equal(together.evaluated()[name][1:2], tensor)


@pytest.mark.parametrize("model", [Model(name="mlp", hidden=[6]), Model(name="vgg", widths=[[3]], batch_norm=False)])
@pytest.mark.parametrize("killed_after", [3, 6, 7])
def test_it_goes_on_after_a_kill_at_the_seam_of_the_phases(make_run, tmp_path, monkeypatch, killed_after, model):
    monkeypatch.setenv("ASSAY_CHECKPOINT_SECONDS", "0")
    run, data = make_run(method="subset", options=OPTIONS, model=model), make_data()

    def train(stage):
        with Scratch(stage, run.model_dump(mode="json"), torch.device("cpu"), tmp_path) as scratch:
            return methods.resolve(run).train(data, scratch)[0]

    whole, save = train("whole"), Scratch.save

    def save_and_die(scratch, state):
        save(scratch, state)
        if state["done"] == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(Scratch, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train("cut")
    monkeypatch.setattr(Scratch, "save", save)
    resumed = train("cut")
    assert resumed.manifest == whole.manifest
    for name, tensor in whole.weights["last"].items():
        assert torch.equal(resumed.weights["last"][name], tensor)


def test_a_checkpoint_of_fine_tuning_carries_no_curvature(context):
    update = methods.make_update(context)
    sizes = []
    for step in range(8):
        update.step(step)
        sizes.append(len(update.state()["lbfgs"]))
    assert sizes == [3] * 6 + [0] * 2

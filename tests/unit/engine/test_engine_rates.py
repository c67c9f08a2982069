"""A rate of its own for the backbone, none at all, and no weight decay on norms and biases."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from assay import methods
from assay.core import config
from assay.core.config import SGD, Adam, Model
from assay.core.errors import AssayError
from assay.engine.context import TrainContext
from assay.engine.optim import Optimizer
from tests.conftest import make_data

VGG = Model(name="vgg", widths=[[4], [4]])
PLAIN = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@pytest.fixture
def run(make_run):
    def make(optimizer=None, **train):
        own = make_run(model=train.pop("model", VGG), **train.pop("own", {}))
        changed = {"optimizer": optimizer or own.train.optimizer, **train}
        return own.model_copy(update={"train": own.train.model_copy(update=changed)})

    return make


def trained(run, steps=3):
    """The weights before and after some steps, and the update."""
    update = methods.make_update(TrainContext(run, make_data()))
    before = {name: tensor.clone() for name, tensor in {**update.stored, **update.buffers}.items()}
    for step in range(steps):
        update.step(step)
    return before, {**update.stored, **update.buffers}, update


@pytest.mark.parametrize("name", PLAIN)
def test_groups_move_as_those_of_pytorch(name):
    """A factor of the rate, and weight decay for some; sizes that fill whole units and such that do not."""
    settings = {"name": name, "lr": 0.1, "weight_decay": 0.3, "decay": "weights"}
    shapes = {"backbone.weight": (4, 8), "backbone.bias": (5,), "head.weight": (3, 5), "head.bias": (16,)}
    rules = {"backbone.weight": (0.1, True), "backbone.bias": (0.1, False), "head.weight": (1.0, True)}
    rules["head.bias"] = (1.0, False)
    stored = {key: torch.randn(2, *shape) for key, shape in shapes.items()}
    plain = {key: tensor.clone().requires_grad_() for key, tensor in stored.items()}
    optimizer = Optimizer(TypeAdapter(config.Optimizer).validate_python(settings), stored, rules)
    own = PLAIN[name](
        [
            {"params": [plain[key]], "lr": 0.1 * factor, "weight_decay": 0.3 * decays}
            for key, (factor, decays) in rules.items()
        ]
    )
    for _ in range(3):
        for tensor in plain.values():
            tensor.grad = torch.randn(tensor.shape)
        optimizer.step({key: tensor.grad.clone() for key, tensor in plain.items()}, 0.1)
        own.step()
    for key, tensor in stored.items():
        torch.testing.assert_close(tensor, plain[key].detach(), rtol=1e-5, atol=1e-6)


def test_a_rate_of_one_is_the_whole_rate(run):
    _, whole, _ = trained(run())
    _, one, _ = trained(run(backbone_lr=1.0))
    assert all(torch.equal(tensor, one[name]) for name, tensor in whole.items())


def test_a_lower_rate_moves_the_backbone_less(run):
    sgd = SGD(name="sgd", lr=0.1)
    before, whole, _ = trained(run(sgd), steps=1)
    _, lower, _ = trained(run(sgd, backbone_lr=0.1), steps=1)
    for name in ("output.weight", "output.bias"):
        assert torch.equal(whole[name], lower[name])
    kernel = "block_1.conv_1.weight"
    torch.testing.assert_close(lower[kernel] - before[kernel], 0.1 * (whole[kernel] - before[kernel]))


@pytest.mark.parametrize("method", ["sgd", "swa", "deep_ensemble", "subspace"])
def test_what_is_frozen_stays_with_its_statistics_and_takes_no_gradient(run, method, monkeypatch):
    options = {"swa": {"start": 0.5, "cycle_steps": 2, "lr": 0.01}}.get(method, {})
    before, after, update = trained(run(backbone_lr=0.0, own={"method": method, "options": options}), steps=12)
    for name, tensor in before.items():
        assert torch.equal(tensor, after[name]) == (not name.startswith("output.")), name
    handed = []
    monkeypatch.setattr(type(update.optimizer), "step", lambda _, gradients, rate: handed.append({*gradients}))
    update.step(12)
    assert handed == [{"output.weight", "output.bias"}]
    for outcome in update.variants().values():
        statistic = outcome.weights["block_1.norm_1.running_mean"]
        assert torch.equal(statistic, torch.zeros_like(statistic))


def test_a_frozen_dense_network_moves_its_head_as_pytorch_does(run):
    before, after, update = trained(
        run(SGD(name="sgd", lr=0.1), backbone_lr=0.0, model=Model(name="mlp", hidden=[8])), steps=1
    )
    assert update.stack.strategy == "dense"
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"output.weight", "output.bias"}


def test_decay_leaves_out_norms_and_biases(run):
    sgd = {"name": "sgd", "lr": 1e-9, "weight_decay": 1e8}
    before, after, _ = trained(run(SGD(**sgd, decay="weights")), steps=1)
    moved = {name for name in before if not torch.allclose(before[name], after[name], atol=1e-6)}
    assert {name for name in moved if "running" not in name and "num_batches" not in name} == {
        *("block_1.conv_1.weight", "block_2.conv_1.weight", "output.weight")
    }


def test_keys_that_are_not_set_are_in_no_manifest(run):
    train = run().parameters["train"]
    assert "backbone_lr" not in train
    assert "decay" not in train["optimizer"]
    train = run(Adam(name="adamw", lr=0.1, weight_decay=0.1, decay="weights"), backbone_lr=0.0).parameters["train"]
    assert (train["backbone_lr"], train["optimizer"]["decay"]) == (0.0, "weights")


def test_decay_without_weight_decay_is_refused():
    with pytest.raises(ValidationError, match="decay has no effect where weight_decay is 0"):
        Adam(name="adam", lr=0.1, decay="weights")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model": Model(name="linear")}, "train.backbone_lr: linear is an output layer alone, so it changes nothing"),
        (
            {"model": Model(name="torchvision", architecture="squeezenet1_0")},
            "train.backbone_lr: torchvision has no linear layer that could be its head",
        ),
        ({"own": {"method": "trajectory"}}, "train.backbone_lr: trajectory moves all weights of probe alike"),
        (
            {"own": {"method": "subset", "options": {"k": 3, "pretrain": 0.5, "pretrain_with": "lbfgs"}}},
            "train.backbone_lr: subset moves all weights of probe alike; give the arm `backbone_lr: 1`",
        ),
    ],
)
def test_a_rate_that_changes_nothing_is_refused(run, changes, line):
    with pytest.raises(AssayError, match=line):
        methods.resolve(run(backbone_lr=0.1, **changes)).check(make_data().images, 96)

"""The loss is a seam: label smoothing, as docs/adding-a-method.md gives it, is a method of one file."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from assay import methods
from assay.core.config import SGD, Model, Params
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.data.sets.augment import normalise
from assay.engine.batches import Batches
from assay.engine.context import TrainContext
from assay.engine.stack import Stack
from assay.engine.stack.cuda_graph import PASSES_BEFORE
from assay.engine.stack.loss import cross_entropy
from assay.engine.step_rule import GradientUpdate
from assay.methods import checks
from assay.scoring import metrics
from tests.conftest import make_data
from tests.contract.test_contract_methods import assert_equal_weights, bit_equal, train, train_killed
from tests.contract.test_contract_options import others, result_of

LEAST = {
    "seeds": list(range(10)),
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "linear"},
    "train": {"steps": 20, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}, "evaluate_every": 20},
}
PAGE = Path(__file__).parents[2] / "docs/adding-a-method.md"
MODELS = {
    "dense": Model(name="mlp", hidden=[6]),
    "folded": Model(name="mlp", hidden=[6]),
    "sliced": Model(name="vgg", widths=[[4], [4]], batch_norm=True),
}


@pytest.fixture
def method(tmp_path, monkeypatch):
    """The page's method in a temporary folder, found beside those that there are."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    folder = tmp_path / "methods/label_smoothing"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(source)
    names = [*methods.names(), "label_smoothing"]
    monkeypatch.setattr(methods, "names", lambda: names)
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(folder.parent)])
    yield importlib.import_module("assay.methods.label_smoothing")
    del sys.modules["assay.methods.label_smoothing"], methods.label_smoothing
    methods.load.cache_clear()


@pytest.fixture
def run(method, make_run):
    arm = method.CONTRACT_ARMS["smoothed"]
    return make_run(method="label_smoothing", model=MODELS["dense"], optimizer=SGD(name="sgd", lr=0.1), **arm)


def test_the_pages_claim_can_be_decided(method, tmp_path):
    """On the arm and the paper that the page gives, and the method has all the parts that there must be."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    params = parse(Params, {**LEAST, **yaml_of(block, PAGE.name)}, PAGE.name)
    assert checks.check(params)["smoothed"].options.smoothing == 0.2
    metrics.check(params.claims, params.rule)
    checks.check_papers(params.claims, tmp_path / "methods")
    misspelt = params.claims[0].model_copy(update={"paper": "szegedy"})
    with pytest.raises(AssayError, match=r"^params.yaml: claims.smoothing-helps.paper: no method names 'szegedy'; did"):
        checks.check_papers([misspelt], tmp_path / "methods")


def plain_loop(run, data, smoothing):
    """The weights `(seed, *shape)` and losses that PyTorch's own loss, network by network, comes to."""
    context = TrainContext(run, data)
    network, parameters, buffers = context.fresh(run.seeds)
    network.train()
    batches, found, losses = context.batches(), {name: [] for name in parameters}, []
    for copy in range(len(run.seeds)):
        own = {name: tensor[copy].clone().requires_grad_() for name, tensor in parameters.items()}
        fixed = {name: tensor[copy].clone() for name, tensor in buffers.items()}
        optimizer = torch.optim.SGD(own.values(), lr=run.train.optimizer.lr)
        losses.append([])
        for step in range(run.train.steps):
            indices = batches.select(step, None)
            inputs = normalise(data.train.images[indices[copy]], data.mean, data.std)
            logits, labels = functional_call(network, {**own, **fixed}, (inputs,)), batches.labels(indices)[copy]
            loss = F.cross_entropy(logits, labels, label_smoothing=smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
        for name, tensor in own.items():
            found[name].append(tensor.detach())
    return {name: torch.stack(tensors) for name, tensors in found.items()}, torch.tensor(losses)


@pytest.mark.parametrize("strategy", MODELS)
def test_a_loss_of_a_methods_own_trains_as_the_plain_loop_does_in_each_strategy(run, device, strategy):
    data = make_data(device=device)
    run = run.model_copy(update={"model": MODELS[strategy]})
    update = methods.make_update(TrainContext(run, data))
    stack = update.stack
    assert stack.loss is not cross_entropy
    update.stack = Stack(update.network, stack.copies, stack.device, strategy=strategy, loss=stack.loss)
    assert run.train.steps > PASSES_BEFORE  # so that a GPU replays some
    seen = [update.step(step).losses.mean(1) for step in range(run.train.steps)]
    weights, losses = plain_loop(run, data, 0.2)
    for name, tensor in weights.items():
        torch.testing.assert_close(update.stored[name], tensor, rtol=1e-4, atol=1e-5, msg=name)
    torch.testing.assert_close(torch.stack(seen, 1).cpu(), losses, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("strategy", MODELS)
@pytest.mark.parametrize("shape", ["one a copy", "a column", "flat"])
def test_a_loss_that_is_not_one_number_an_example_is_refused(make_run, data, strategy, shape):
    """The strategies would divide it by the batch a different number of times, and Adam would hide it."""

    def loss(logits, labels):
        losses = cross_entropy(logits, labels)
        return {"one a copy": losses.mean(1), "a column": losses.mean(1, keepdim=True), "flat": losses.flatten()}[shape]

    update = GradientUpdate(context := TrainContext(make_run(model=MODELS[strategy]), data), context.batches())
    stack = update.stack
    update.stack = Stack(update.network, stack.copies, stack.device, strategy=strategy, loss=loss)
    with pytest.raises(AssayError, match=r"^the loss gives \(.*\) for logits .*; it must give one number an example, "):
        update.step(0)


def test_a_killed_run_goes_on_to_the_same_bytes(run, data, tmp_path):
    whole, curves = train(run, data, tmp_path, "whole")
    resumed, resumed_curves, _ = train_killed(run, data, tmp_path, 5)
    assert_equal_weights(whole, resumed, bit_equal)
    assert (whole.manifest, curves.curves.csv()) == (resumed.manifest, resumed_curves.curves.csv())


def test_its_option_changes_the_result(run, data):
    (candidates,) = others(run.options["smoothing"], float)
    for value in candidates:
        assert result_of(run.model_copy(update={"options": {"smoothing": value}}), data) != result_of(run, data)


class Scoring(Batches):
    """The hardest examples by the losses that it is given."""

    def select(self, step, score):
        everything = torch.arange(self.examples).expand(len(self.seeds), -1)
        self.losses = score(everything, self.labels(everything))
        return self.losses.topk(self.batch_size, 1).indices

    def weigh(self, losses, copies):
        self.weighed = losses
        return super().weigh(losses, copies)


def test_batches_score_and_weigh_by_the_methods_own_loss(run, data):
    batches = Scoring(data.train.labels, run.seeds, 16)
    loss = methods.make_update(TrainContext(run, data)).stack.loss
    seen = GradientUpdate(TrainContext(run, data), batches, loss=loss).step(0)
    torch.testing.assert_close(seen.losses, batches.losses.topk(16, 1).values, rtol=1e-5, atol=1e-5)
    assert torch.equal(batches.weighed, seen.losses)

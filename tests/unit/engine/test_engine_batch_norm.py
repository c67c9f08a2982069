"""Batch norm's statistics of networks that no step has run: one pass, to their definition, leaking nowhere."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from assay import models
from assay.engine import batch_norm
from assay.engine.stack import initialise
from tests.conftest import make_data


@pytest.fixture
def data():
    return make_data(examples=40)


@pytest.fixture(params=["vgg", "mlp with norm"])
def stack(request, data):
    """Two networks whose statistics are anything: convolutions run copy by copy, dense layers folded."""

    def dense():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4))

    vgg = partial(models.build, "vgg", data.images, widths=[[4], [4]], batch_norm=True)
    network, parameters, buffers = initialise(vgg if request.param == "vgg" else dense, [0, 1], torch.device("cpu"))
    return network, parameters, {name: tensor + 3 for name, tensor in buffers.items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_second_pass_changes_nothing_and_the_buffers_given_stay(stack, data):
    network, parameters, buffers = stack
    before = {name: tensor.clone() for name, tensor in buffers.items()}
    once = batch_norm.recomputed(network, parameters, buffers, data, 16)
    assert not equal(once, before)
    assert equal(buffers, before)
    assert equal(batch_norm.recomputed(network, parameters, once, data, 16), once)


def test_other_weights_in_between_leave_no_trace(stack, data):
    network, parameters, buffers = stack
    once = batch_norm.recomputed(network, parameters, buffers, data, 16)
    batch_norm.recomputed(network, {name: 2 * tensor for name, tensor in parameters.items()}, buffers, data, 16)
    assert equal(batch_norm.recomputed(network, parameters, buffers, data, 16), once)


def test_momentum_and_mode_are_left_as_they_were(stack, data):
    network, parameters, buffers = stack
    batch_norm.recomputed(network, parameters, buffers, data, 16)
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert {norm.momentum for norm in norms} == {0.1}
    assert not any(module.training for module in network.modules())


def test_statistics_are_the_mean_over_batches_in_which_every_example_counts_alike(data):
    """The first layer's batch norm sees the images themselves, so its statistics can be had without the network."""

    def build():
        return nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 4))

    network, parameters, buffers = initialise(build, [0, 1], torch.device("cpu"))
    found = batch_norm.recomputed(network, parameters, buffers, data, batch_size=16)
    inputs = (data.train.images.float() - data.mean[0]) / data.std[0]
    batches = inputs.tensor_split(3)  # of 14, 13 and 13
    variance = sum(len(batch) * batch.var(unbiased=True) for batch in batches) / len(inputs)
    for copy in (0, 1):
        torch.testing.assert_close(found["0.running_mean"][copy, 0], inputs.mean())
        torch.testing.assert_close(found["0.running_var"][copy, 0], variance)
        assert found["0.num_batches_tracked"][copy] == 3


def test_only_the_first_examples_may_be_used(stack, data):
    network, parameters, buffers = stack
    few = batch_norm.recomputed(network, parameters, buffers, data, 16, examples=8)
    assert not equal(few, batch_norm.recomputed(network, parameters, buffers, data, 16))


def test_without_batch_norm_there_is_no_pass(data):
    network = models.build("linear", data.images)
    assert batch_norm.examples_seen(network, data) == 0
    assert batch_norm.recomputed(network, {}, {}, data, 16) == {}


def test_nothing_but_batch_norm_trains(data):
    """Dropout draws nothing: two passes agree, though the random numbers of the world have moved on."""

    def build():
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Linear(64, 4))

    network, parameters, buffers = initialise(build, [0], torch.device("cpu"))
    once = batch_norm.recomputed(network, parameters, buffers, data, 16)
    torch.rand(1)
    assert equal(batch_norm.recomputed(network, parameters, buffers, data, 16), once)
    assert batch_norm.examples_seen(network, data) == 40

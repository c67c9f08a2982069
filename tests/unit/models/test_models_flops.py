"""Operations are those of PyTorch's counter, which is slower to import."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from assay import models
from assay.data.sets.images import Images

MNIST, CIFAR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)


def test_operations_of_lenet_by_hand():
    layers = [(784, 300), (300, 100), (100, 10)]
    forward = sum(2 * inputs * outputs for inputs, outputs in layers)
    pixels = 2 * 784 * 300  # they need no gradient
    assert models.operations("lenet_300_100", MNIST, {}) == (forward, 3 * forward - pixels)


def test_batch_norm_and_convolutions_count_too():
    forward, both = models.operations("resnet_20", CIFAR, {})
    assert 2 * 40e6 < forward < 2 * 42e6  # 41 million multiplications (He et al. 2016)
    assert 2.9 * forward < both < 3 * forward


@pytest.mark.parametrize("name", ["mlp", "conv_2", "resnet_20", "resnet18", "mobilenet_v3_small"])
def test_operations_are_those_of_the_flop_counter(name):
    arguments = {"hidden": [32]} if name == "mlp" else {}
    network = models.build(name, CIFAR, **arguments).eval()
    with FlopCounterMode(display=False) as counter:
        output = network(torch.zeros(1, *CIFAR.shape)).sum()
        forward = counter.get_total_flops()
        torch.autograd.grad(output, list(network.parameters()), allow_unused=True)
    assert models.operations(name, CIFAR, arguments) == (forward, counter.get_total_flops())

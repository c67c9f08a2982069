"""First weights: their distribution, and that a seed determines them."""

from math import sqrt

import pytest
import torch
from torch import nn

from assay import models
from assay.data.sets.images import Images

CIFAR = Images(3, 32, 32, 10)


def seeded(name, seed=0, images=CIFAR, **arguments):
    torch.manual_seed(seed)
    return models.build(name, images, **arguments)


def layers(network):
    return [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def fans(layer):
    field = layer.weight[0, 0].numel()
    return layer.weight.shape[1] * field, layer.weight.shape[0] * field


def assert_gaussian(weight, std):
    """Mean, deviation and kurtosis within five standard errors of a Gaussian sample of this size."""
    n = weight.numel()
    assert abs(weight.mean().item()) < 5 * std / sqrt(n)
    assert weight.std().item() == pytest.approx(std, rel=5 / sqrt(2 * n))
    assert (weight / std).pow(4).mean().item() == pytest.approx(3, abs=5 * sqrt(96 / n))


@pytest.mark.parametrize("name", ["linear", "lenet_300_100", "conv_2", "conv_4", "conv_6"])
def test_gaussian_glorot(name):
    for layer in layers(seeded(name, images=Images(3, 16, 16, 10))):
        assert_gaussian(layer.weight, sqrt(2 / sum(fans(layer))))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mlp", {"hidden": [100, 50]}),
        ("resnet_20", {}),
        ("vgg", {"widths": [[32, 32], [64]]}),
        ("vgg", {"widths": [[32, 32], [64]], "batch_norm": False}),
    ],
)
def test_he(name, arguments):
    for layer in layers(seeded(name, **arguments)):
        assert_gaussian(layer.weight, sqrt(2 / fans(layer)[0]))


def test_uniform_glorot():
    for layer in layers(seeded("trajectory_cnn")):
        bound = sqrt(6 / sum(fans(layer)))
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound


@pytest.mark.parametrize("name", ["linear", "lenet_300_100", "conv_2", "trajectory_cnn", "resnet_20"])
def test_biases_are_zero_and_batch_norm_is_the_identity(name):
    for module in seeded(name).modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and module.bias is not None:
            assert not module.bias.any()
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert not module.bias.any()


def test_first_convolution_of_a_torchvision_net():
    weight = seeded("resnet18", images=Images(1, 28, 28, 10)).conv1.weight
    assert weight.shape == (64, 1, 3, 3)
    assert_gaussian(weight, sqrt(2 / (64 * 9)))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("linear", {}),
        ("mlp", {"hidden": [8]}),
        ("lenet_300_100", {}),
        ("conv_6", {}),
        ("trajectory_cnn", {}),
        ("resnet_20", {}),
        ("vgg", {"widths": [[8], [16]]}),
        ("mobilenet_v3_small", {}),
    ],
)
def test_a_seed_determines_every_bit(name, arguments):
    first, again, other = (seeded(name, seed, **arguments).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    weights = models.weight_names(seeded(name, **arguments))
    assert not any(torch.equal(first[key], other[key]) for key in weights)

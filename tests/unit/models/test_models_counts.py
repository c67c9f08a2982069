"""Counts that the papers state, and what may be pruned."""

from collections import Counter

import pytest
import torch

from assay import models
from assay.data.sets.images import Images

MNIST, CIFAR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)


def meta(name, images, **arguments):
    with torch.device("meta"):
        return models.build(name, images, **arguments)


def prunable(network):
    return sum(network.get_parameter(name).numel() for name in models.weight_names(network))


@pytest.mark.parametrize(
    ("name", "images", "expected"),
    [
        ("lenet_300_100", MNIST, 266_200),
        ("conv_2", CIFAR, 4_300_992),
        ("conv_4", CIFAR, 2_425_024),
        ("conv_6", CIFAR, 2_261_184),
    ],
)
def test_weights_as_in_the_lottery_paper(name, images, expected):
    assert prunable(meta(name, images)) == expected


@pytest.mark.parametrize(
    ("name", "images", "arguments", "expected"),
    [
        ("trajectory_cnn", MNIST, {}, 2_306),
        ("resnet_20", CIFAR, {}, 272_474),
        ("mlp", Images(1, 14, 14, 10), {"hidden": [32]}, 6_634),
        ("linear", MNIST, {}, 7_850),
    ],
)
def test_parameters(name, images, arguments, expected):
    assert models.parameter_count(meta(name, images, **arguments)) == expected


def test_vgg_19_has_twenty_million_weights_and_one_linear_layer():
    network = meta("vgg", CIFAR, depth=19)
    assert round(prunable(network) / 1e6, 1) == 20.0
    assert Counter(models.weight_names(network).values()) == {"conv": 16, "output": 1}


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_depth_of_vgg_counts_the_convolutions_and_the_three_linear_layers_of_the_paper(depth):
    assert Counter(models.weight_names(meta("vgg", CIFAR, depth=depth)).values())["conv"] == depth - 3


def test_widths_of_vgg_and_no_batch_norm():
    network = meta("vgg", CIFAR, widths=[[8, 16], [32]], batch_norm=False)
    shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
    assert shapes == {
        "block_1.conv_1.weight": (8, 3, 3, 3),
        "block_1.conv_1.bias": (8,),
        "block_1.conv_2.weight": (16, 8, 3, 3),
        "block_1.conv_2.bias": (16,),
        "block_2.conv_1.weight": (32, 16, 3, 3),
        "block_2.conv_1.bias": (32,),
        "output.weight": (10, 32),
        "output.bias": (10,),
    }


def test_kinds_of_weights():
    assert models.weight_names(meta("lenet_300_100", MNIST)) == {
        "hidden_1.weight": "linear",
        "hidden_2.weight": "linear",
        "output.weight": "output",
    }
    assert list(models.weight_names(meta("conv_2", CIFAR)).values()) == ["conv", "conv", "linear", "linear", "output"]
    assert models.weight_names(torch.nn.Linear(2, 3)) == {"weight": "output"}


@pytest.mark.parametrize(
    ("name", "convolutions", "shortcuts"), [("resnet_20", 19, 2), ("resnet18", 17, 3), ("resnet50", 49, 4)]
)
def test_projections_of_residual_networks_are_a_kind_of_their_own(name, convolutions, shortcuts):
    kinds = Counter(models.weight_names(meta(name, CIFAR)).values())
    assert kinds == {"conv": convolutions, "shortcut": shortcuts, "output": 1}


@pytest.mark.parametrize(("name", "arguments"), [("resnet_20", {}), ("mobilenet_v3_small", {}), ("vgg", {"depth": 11})])
def test_only_biases_and_batch_norm_are_left_out(name, arguments):
    network = meta(name, CIFAR, **arguments)
    rest = {key: p for key, p in network.named_parameters() if key not in models.weight_names(network)}
    assert rest
    assert all(parameter.ndim == 1 for parameter in rest.values())

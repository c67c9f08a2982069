"""Every model builds, runs forwards and backwards, and keeps examples apart."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from assay import models
from assay.data.sets.images import Images

EXAMPLES = {name: rows[0] for file in models.literals("EXAMPLES").values() for name, rows in file.items()}
SMALLER = {"mlp": {"hidden": [16, 8]}, "vgg": {"widths": [[8, 8], [16]]}}
TORCHVISION = [*models.literals("MODELS")["torchvision_nets"]]
SHIPPED = [
    name
    for stem in ("conv", "mlp", "resnet_20", "small_cnn", "torchvision_nets", "vgg")
    for name in models.literals("MODELS")[stem]
]
OF_LIBRARIES = [*TORCHVISION, "timm", "torchvision"]  # the last two: test_models_pretrained.py
OWN = {name: {**EXAMPLES, **SMALLER}.get(name, {}) for name in models.names() if name not in OF_LIBRARIES}
SHAPES = [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 20, 33), (3, 96, 96)]
SMALLEST = {"small_cnn": 9}
SMALL = Images(3, 16, 16, 7)


def own(name, seed=0):
    torch.manual_seed(seed)
    return models.build(name, SMALL, **OWN[name])


def inputs(rows, images=SMALL):
    return torch.randn(rows, *images.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", [*OWN, *TORCHVISION])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_have_one_column_for_each_class(name, shape):
    channels, *sides = shape
    shape = channels, *(max(side, SMALLEST.get(name, 1)) for side in sides)
    with torch.device("meta"):
        network = models.build(name, Images(*shape, classes=7), **OWN.get(name, {}))
        assert network.eval()(torch.empty(3, *shape)).shape == (3, 7)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_vgg_of_every_depth_on_mnist(depth):
    with torch.device("meta"):
        assert models.build("vgg", Images(1, 28, 28, 10), depth=depth)(torch.empty(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("name", OWN)
def test_backward_reaches_every_parameter(name):
    network = own(name).train()
    F.cross_entropy(network(inputs(16)), torch.arange(16) % 7).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvision_nets_train_on_tiny_images(name):
    images = Images(1, 8, 8, 3)
    torch.manual_seed(0)
    network = models.build(name, images).train()
    logits = network(inputs(2, images))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()
    F.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", OWN)
def test_each_example_is_treated_by_itself(name):
    network, x = own(name).eval(), inputs(6)
    with torch.no_grad():
        torch.testing.assert_close(network(x), torch.cat([network(x[:1]), network(x[1:])]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", OWN)
def test_functional_call_runs_other_weights(name):
    first, second, x = own(name, seed=1).eval(), own(name, seed=2).eval(), inputs(2)
    with torch.no_grad():
        assert torch.equal(functional_call(first, second.state_dict(), (x,)), second(x))
        assert not torch.equal(first(x), second(x))


@pytest.mark.parametrize("name", SHIPPED)
def test_only_three_kinds_of_layer_hold_parameters_or_buffers(name):
    with torch.device("meta"):
        network = models.build(name, SMALL, **OWN.get(name, {}))
    for key, module in network.named_modules():
        if [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            assert isinstance(module, nn.Linear | nn.Conv2d | nn.BatchNorm2d), key


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_residual_networks_of_torchvision_keep_every_position_of_small_images(name):
    with torch.device("meta"):
        small, large = models.build(name, Images(3, 64, 64, 10)), models.build(name, Images(3, 64, 65, 10))
    assert (small.conv1.kernel_size, small.conv1.stride, type(small.maxpool)) == ((3, 3), (1, 1), nn.Identity)
    assert (large.conv1.kernel_size, large.conv1.stride, type(large.maxpool)) == ((7, 7), (2, 2), nn.MaxPool2d)
    assert small.conv1(torch.empty(1, 3, 64, 64, device="meta")).shape[2:] == (64, 64)


def test_other_networks_of_torchvision_keep_every_position_of_small_images():
    with torch.device("meta"):
        small = models.build("mobilenet_v3_small", Images(1, 64, 64, 10))
        large = models.build("mobilenet_v3_small", Images(1, 65, 64, 10))
    assert (small.features[0][0].stride, large.features[0][0].stride) == ((1, 1), (2, 2))
    assert small.features[0][0].in_channels == 1

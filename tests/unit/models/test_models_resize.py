"""`resize`: a network of torchvision that enlarges its own images, under the names of its plain self."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from assay import models
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import fitting

SMALL, LARGE = Images(3, 32, 32, 10), Images(3, 128, 128, 10)
NAMES = ("resnet18", "resnet50", "efficientnet_b4", "efficientnet_v2_s", "mobilenet_v3_small")


def seeded(name: str, images: Images, **arguments):
    torch.manual_seed(5)
    return models.build(name, images, **arguments).eval()


def test_it_is_the_network_for_images_of_that_size_behind_a_door_that_resizes():
    resizing, plain = (
        seeded("mobilenet_v3_small", images, **own) for images, own in ((SMALL, {"resize": 128}), (LARGE, {}))
    )
    assert resizing.state_dict().keys() == plain.state_dict().keys()
    images = torch.rand(2, 3, 32, 32)
    enlarged = F.interpolate(images, size=(128, 128), mode="bilinear", antialias=True)
    with torch.no_grad():
        assert torch.equal(resizing(images), plain(enlarged))
        assert torch.equal(resizing(enlarged), plain(enlarged))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_of_torchvision_takes_it(name):
    with torch.device("meta"):
        own, large = models.build(name, SMALL, resize=128), models.build(name, LARGE)
    shapes = ({key: tensor.shape for key, tensor in network.state_dict().items()} for network in (own, large))
    assert next(shapes) == next(shapes)
    fitting.check(name, SMALL, {"resize": 128})


@pytest.mark.parametrize("side", [0, -1, 2048, "128"])
def test_a_side_that_is_none_is_refused_by_name(side):
    with pytest.raises(AssayError, match=r"params\.yaml: model\.resize: got "):
        fitting.check("resnet18", SMALL, {"resize": side})

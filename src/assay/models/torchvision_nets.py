"""Networks of torchvision, from scratch, with a first layer that suits the images at hand.

Torchvision's are made for photographs of 224 pixels: their first layers throw away three quarters or more of the
positions. On images of up to `SMALL` pixels a side, the first convolution keeps them all here (stride 1; in a ResNet
it is also 3×3 instead of 7×7, and the max pool after it is left out, as is common for CIFAR). Everything else,
initialisation, dropout and stochastic depth included, is torchvision's own.

With `resize: 128` a network enlarges (or shrinks) its images itself, to squares of that side, and is built for them: so
the data stays as it is, and one data set serves networks that want different sizes.

Torchvision takes a second or more to import: only a call that needs it does so.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from assay.data.sets.images import Images

SMALL = 64
Side = Annotated[int, Field(ge=1, le=1024)]


def resnet18(images: Images, *, resize: Side | None = None) -> nn.Module:
    """ResNet-18 (He et al. 2016, arXiv 1512.03385): (n, c, h, w) to logits (n, classes)."""
    return _resizing(_resnet, "resnet18", images, resize)


def resnet50(images: Images, *, resize: Side | None = None) -> nn.Module:
    """ResNet-50 (He et al. 2016, arXiv 1512.03385): (n, c, h, w) to logits (n, classes)."""
    return _resizing(_resnet, "resnet50", images, resize)


def efficientnet_b4(images: Images, *, resize: Side | None = None) -> nn.Module:
    """EfficientNet-B4 (Tan and Le 2019, arXiv 1905.11946): (n, c, h, w) to logits (n, classes)."""
    return _resizing(_mobile, "efficientnet_b4", images, resize)


def efficientnet_v2_s(images: Images, *, resize: Side | None = None) -> nn.Module:
    """EfficientNetV2-S (Tan and Le 2021, arXiv 2104.00298): (n, c, h, w) to logits (n, classes)."""
    return _resizing(_mobile, "efficientnet_v2_s", images, resize)


def mobilenet_v3_small(images: Images, *, resize: Side | None = None) -> nn.Module:
    """MobileNetV3-Small (Howard et al. 2019, arXiv 1905.02244): (n, c, h, w) to logits (n, classes)."""
    return _resizing(_mobile, "mobilenet_v3_small", images, resize)


def _resizing(build: Callable[[str, Images], nn.Module], name: str, images: Images, side: int | None) -> nn.Module:
    """The network for images of this side, with a door that resizes what comes in."""
    if side is None:
        return build(name, images)
    network = build(name, replace(images, height=side, width=side))
    network.register_forward_pre_hook(partial(_resize, side))  # a wrapping module would rename all parameters
    return network


def _resize(side: int, network: nn.Module, inputs: tuple[Tensor]) -> Tensor:  # noqa: ARG001
    return F.interpolate(inputs[0], size=(side, side), mode="bilinear", antialias=True)


def _resnet(name: str, images: Images) -> nn.Module:
    network = _from_torchvision(name, images)
    if _are_small(images):
        network.conv1 = _first(network.conv1, images, kernel_size=3, stride=1)
        network.maxpool = nn.Identity()
    else:
        network.conv1 = _first(network.conv1, images, kernel_size=7, stride=2)
    return network  # type: ignore[no-any-return]


def _mobile(name: str, images: Images) -> nn.Module:
    network = _from_torchvision(name, images)
    stem = network.features[0]
    stem[0] = _first(stem[0], images, kernel_size=3, stride=1 if _are_small(images) else 2)
    return network  # type: ignore[no-any-return]


def _from_torchvision(name: str, images: Images) -> Any:
    from torchvision import models

    return models.get_model(name, weights=None, num_classes=images.classes)


def _first(replaced: nn.Conv2d, images: Images, kernel_size: int, stride: int) -> nn.Conv2d:
    """A first convolution for the channels of the images, drawn as torchvision draws all convolutions of these nets."""
    conv = nn.Conv2d(images.channels, replaced.out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def _are_small(images: Images) -> bool:
    return max(images.height, images.width) <= SMALL

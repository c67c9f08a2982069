"""Networks of torchvision, from scratch, with a first layer that suits the images at hand.

On images of up to `SMALL` pixels a side, the first convolution keeps all positions (stride 1; in a ResNet it is also
3×3 instead of 7×7, and the max pool after it is left out, as is common for CIFAR). Everything else, initialisation,
dropout and stochastic depth included, is torchvision's own. With `resize: 128` a network resizes its images itself, to
squares of that side, and is built for them, so that one data set serves networks that need different sizes.
"""

from dataclasses import replace
from functools import partial
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from assay.data.sets.images import Images

MODELS = {
    "resnet18": "He et al. 2016, arXiv 1512.03385",
    "resnet50": "He et al. 2016, arXiv 1512.03385",
    "efficientnet_b4": "Tan and Le 2019, arXiv 1905.11946",
    "efficientnet_v2_s": "Tan and Le 2021, arXiv 2104.00298",
    "mobilenet_v3_small": "Howard et al. 2019, arXiv 1905.02244",
}
SMALL = 64


def _network(name: str, images: Images, *, resize: Annotated[int, Field(ge=1, le=1024)] | None = None) -> nn.Module:
    """(n, c, h, w) to logits (n, classes)."""
    from torchvision import models  # takes a second or more; other networks do without

    if resize is not None:
        images = replace(images, height=resize, width=resize)
    is_small = max(images.height, images.width) <= SMALL
    network = models.get_model(name, weights=None, num_classes=images.classes)
    is_resnet = name.startswith("resnet")
    stem, first = (network, "conv1") if is_resnet else (network.features[0], "0")
    size = 7 if is_resnet and not is_small else 3
    width = getattr(stem, first).out_channels
    conv = nn.Conv2d(images.channels, width, size, stride=1 if is_small else 2, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")  # as torchvision draws all of them
    setattr(stem, first, conv)
    if is_resnet and is_small:
        network.maxpool = nn.Identity()
    if resize is not None:
        network.register_forward_pre_hook(partial(_resize, resize))  # a wrapping module would rename all parameters
    return network  # type: ignore[no-any-return]


resnet18, resnet50, efficientnet_b4, efficientnet_v2_s, mobilenet_v3_small = (
    partial(_network, name) for name in MODELS
)


def _resize(side: int, network: nn.Module, inputs: tuple[Tensor]) -> Tensor:  # noqa: ARG001
    return F.interpolate(inputs[0], size=(side, side), mode="bilinear", antialias=True)

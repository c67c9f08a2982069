"""Fully connected networks, from softmax regression (one layer, a convex problem) on."""

from functools import partial
from math import prod
from typing import Annotated

from pydantic import Field
from torch import nn

from assay.data.sets.images import Images
from assay.models.nets import Width, chain, dense, glorot, he, initialise

MODELS = {
    "linear": "softmax regression",
    "mlp": "He et al. 2015, arXiv 1502.01852 (initialisation)",
    "lenet_300_100": "Frankle and Carbin 2019, arXiv 1803.03635",
}
EXAMPLES = {"mlp": [{"hidden": [32]}]}


def mlp(
    images: Images,
    *,
    hidden: Annotated[list[Width], Field(min_length=1)],
    pool: Annotated[int, Field(ge=1, le=1024)] = 1,
) -> nn.Module:
    """Hidden layers of the given widths with ReLU: (n, c, h, w) to logits (n, classes). He weights, zero biases.

    Args:
        images: the images to build for.
        hidden: the widths.
        pool: the side of the squares of pixels that are averaged before the first layer; 1 leaves the images as they
            are. Rows and columns that fill no square are left out.
    """
    pooling: dict[str, nn.Module] = {"pool": nn.AvgPool2d(pool)} if pool > 1 else {}
    inputs = images.channels * (images.height // pool) * (images.width // pool)
    layers = {**pooling, "flatten": nn.Flatten(), **dense(inputs, hidden, images.classes)}
    return initialise(chain(layers), he)


def _dense(widths: list[int], images: Images) -> nn.Module:
    """Hidden layers of these widths: (n, c, h, w) to logits (n, classes). Gaussian Glorot weights, zero biases.

    With 300 and 100, LeNet-300-100 (LeCun et al. 1998) as Frankle and Carbin start it: 266,200 weights on MNIST.
    """
    return initialise(chain({"flatten": nn.Flatten(), **dense(prod(images.shape), widths, images.classes)}), glorot)


linear, lenet_300_100 = partial(_dense, []), partial(_dense, [300, 100])

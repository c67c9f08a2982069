"""Softmax regression: one layer, a convex problem."""

from math import prod

from torch import nn

from assay.data.sets.images import Images
from assay.models.layers import chain, dense, glorot, initialise


def linear(images: Images) -> nn.Module:
    """Every pixel to every class: (n, c, h, w) to logits (n, classes). Gaussian Glorot weights, zero biases."""
    return initialise(chain({"flatten": nn.Flatten(), **dense(prod(images.shape), [], images.classes)}), glorot)

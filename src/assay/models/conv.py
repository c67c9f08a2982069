"""Conv-2, Conv-4 and Conv-6: the small relatives of VGG in "The Lottery Ticket Hypothesis" (arXiv 1803.03635)."""

from itertools import pairwise

from torch import nn

from assay.data.sets.images import Images
from assay.models.layers import chain, dense, glorot, initialise

CHANNELS = (64, 128, 256)


def conv_2(images: Images) -> nn.Module:
    """One block of two 3×3 convolutions and a max pool, then 256-256-classes; 4,300,992 weights on CIFAR-10."""
    return _conv(images, blocks=1)


def conv_4(images: Images) -> nn.Module:
    """Two blocks of two 3×3 convolutions and a max pool, then 256-256-classes; 2,425,024 weights on CIFAR-10."""
    return _conv(images, blocks=2)


def conv_6(images: Images) -> nn.Module:
    """Three blocks of two 3×3 convolutions and a max pool, then 256-256-classes; 2,261,184 weights on CIFAR-10."""
    return _conv(images, blocks=3)


def _conv(images: Images, blocks: int) -> nn.Module:
    """(n, c, h, w) to logits (n, classes). Gaussian Glorot weights, zero biases."""
    convolutions: dict[str, nn.Module] = {}
    for number, (before, after) in enumerate(pairwise([images.channels, *CHANNELS[:blocks]]), start=1):
        convolutions[f"block_{number}"] = chain(
            {
                "conv_1": nn.Conv2d(before, after, kernel_size=3, padding=1),
                "relu_1": nn.ReLU(),
                "conv_2": nn.Conv2d(after, after, kernel_size=3, padding=1),
                "relu_2": nn.ReLU(),
                "pool": nn.MaxPool2d(2),
            }
        )
    shrunk = 2**blocks  # each pool halves both sides, rounding down
    features = CHANNELS[blocks - 1] * (images.height // shrunk) * (images.width // shrunk)
    classifier = dense(features, [256, 256], images.classes)
    return initialise(chain({**convolutions, "flatten": nn.Flatten(), **classifier}), glorot)

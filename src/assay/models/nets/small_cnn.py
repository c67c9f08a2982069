"""A convolutional network with batch norm that two CPU cores train in minutes: cifar10-airbench's shape, narrow."""

from torch import nn

from assay.data.sets.images import Images
from assay.models.nets import Width, chain, he, initialise

MODELS = {"small_cnn": "after Jordan 2024, arXiv 2404.00498"}
EXAMPLES = {"small_cnn": [{"width": 16}, {"width": 32}]}
FIRST = 16


def small_cnn(images: Images, *, width: Width = 32) -> nn.Module:
    """A 2×2 convolution, three blocks, the largest value of each channel: (n, c, h, w) to logits (n, classes).

    A block is a 3×3 convolution, a max pool, batch norm, ReLU, and a 3×3 convolution, batch norm, ReLU; the paper's
    blocks (section 3.1) are two to eight times as wide, with GELU and a whitening first layer. He weights, zero bias.

    Args:
        images: the images to build for.
        width: the channels of the first block; the other two have twice as many.
    """
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(images.channels, FIRST, kernel_size=2, bias=False),
        "norm": nn.BatchNorm2d(FIRST),
        "relu": nn.ReLU(inplace=True),
    }
    before = FIRST
    for number, after in enumerate((width, 2 * width, 2 * width), start=1):
        layers[f"block_{number}"] = chain(
            {
                "conv_1": nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False),
                "pool": nn.MaxPool2d(2),
                "norm_1": nn.BatchNorm2d(after),
                "relu_1": nn.ReLU(inplace=True),
                "conv_2": nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False),
                "norm_2": nn.BatchNorm2d(after),
                "relu_2": nn.ReLU(inplace=True),
            }
        )
        before = after
    output = nn.Linear(before, images.classes)
    return initialise(chain({**layers, "pool": nn.AdaptiveMaxPool2d(1), "flatten": nn.Flatten(), "output": output}), he)

"""Small convolutional networks of papers: Conv-2, -4 and -6 (arXiv 1803.03635), `trajectory_cnn` (2306.13442)."""

from functools import partial
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from assay.data.sets.images import Images
from assay.models.nets import chain, dense, glorot, initialise

MODELS = {
    "conv_2": "Frankle and Carbin 2019, arXiv 1803.03635",
    "conv_4": "Frankle and Carbin 2019, arXiv 1803.03635",
    "conv_6": "Frankle and Carbin 2019, arXiv 1803.03635",
    "trajectory_cnn": "Mair et al. 2023, arXiv 2306.13442",
}
CHANNELS = (64, 128, 256)


class Flatten(nn.Module):
    """Features in the order of a tensor whose channels are last: on a CPU, where they are, nothing is copied."""

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n feature"]:
        """Row by row, column by column, then by channel."""
        return x.movedim(1, -1).flatten(1)


def _conv(blocks: int, images: Images) -> nn.Module:
    """Blocks of two 3×3 convolutions and a max pool, then 256-256-classes: (n, c, h, w) to logits (n, classes).

    4,300,992 weights on CIFAR-10 with one block, 2,425,024 with two, 2,261,184 with three. Gaussian Glorot weights,
    zero biases.
    """
    convolutions: dict[str, nn.Module] = {}
    for number, (before, after) in enumerate(pairwise([images.channels, *CHANNELS[:blocks]]), start=1):
        first, second = (nn.Conv2d(channels, after, kernel_size=3, padding=1) for channels in (before, after))
        block = {
            "conv_1": first,
            "relu_1": nn.ReLU(inplace=True),
            "conv_2": second,
            "relu_2": nn.ReLU(inplace=True),
            "pool": nn.MaxPool2d(2),
        }
        convolutions[f"block_{number}"] = chain(block)
    shrunk = 2**blocks  # each pool halves both sides, rounding down
    features = CHANNELS[blocks - 1] * (images.height // shrunk) * (images.width // shrunk)
    classifier = dense(features, [256, 256], images.classes)
    return initialise(chain({**convolutions, "flatten": Flatten(), **classifier}), glorot)


conv_2, conv_4, conv_6 = (partial(_conv, blocks) for blocks in (1, 2, 3))


def trajectory_cnn(images: Images) -> nn.Module:
    """Two convolutions and one linear layer, 2,306 parameters on MNIST: (n, c, h, w) to logits (n, classes).

    The authors start from the default of their library (Flux): uniform Glorot weights, zero biases.
    """
    # what the two convolutions, each with its pool, leave of a side: 28 becomes 3
    height, width = (((side - 2) // 2 + 1) // 2 // 2 for side in (images.height, images.width))
    network = chain(
        {
            "conv_1": nn.Conv2d(images.channels, 16, kernel_size=5, padding=1),
            "relu_1": nn.ReLU(),
            "pool_1": nn.MaxPool2d(2),
            "conv_2": nn.Conv2d(16, 8, kernel_size=3, stride=2, padding=1),
            "relu_2": nn.ReLU(),
            "pool_2": nn.MaxPool2d(2),
            "flatten": nn.Flatten(),
            **dense(8 * height * width, [], images.classes),
        }
    )
    return initialise(network, nn.init.xavier_uniform_)

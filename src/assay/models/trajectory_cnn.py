"""The small network of "Minibatch training of neural network ensembles via trajectory sampling" (arXiv 2306.13442)."""

from torch import nn

from assay.data.sets.images import Images
from assay.models.layers import chain, dense, initialise


def trajectory_cnn(images: Images) -> nn.Module:
    """Two convolutions and one linear layer, 2,306 parameters on MNIST: (n, c, h, w) to logits (n, classes).

    The authors start from the default of their library (Flux): uniform Glorot weights, zero biases.
    """
    height, width = (_after_convolutions(side) for side in (images.height, images.width))
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


def _after_convolutions(side: int) -> int:
    """What the two convolutions, each with its pool, leave of a side: 28 becomes 3."""
    pooled = (side - 2) // 2
    return (pooled + 1) // 2 // 2

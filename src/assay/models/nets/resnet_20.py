"""The 20-layer residual network for CIFAR (He et al. 2016, arXiv 1512.03385, section 4.2)."""

from jaxtyping import Float
from torch import Tensor, nn

from assay.data.sets.images import Images
from assay.models.nets import chain, he, initialise

MODELS = {"resnet_20": "He et al. 2016, arXiv 1512.03385"}
WIDTHS, BLOCKS_PER_STAGE = (16, 32, 64), 3


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, beside a shortcut: a 1×1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.convolutions = chain(
            {
                "conv_1": nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False),
                "norm_1": nn.BatchNorm2d(after),
                "relu_1": nn.ReLU(inplace=True),
                "conv_2": nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False),
                "norm_2": nn.BatchNorm2d(after),
            }
        )
        self.shortcut: nn.Module = nn.Identity()
        if before != after:
            projection = nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False)
            self.shortcut = chain({"conv": projection, "norm": nn.BatchNorm2d(after)})
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Float[Tensor, "n before h w"]) -> Float[Tensor, "n after h2 w2"]:
        """Add the two paths; `h2` is `h` over the stride, rounded up."""
        summed: Tensor = self.relu(self.convolutions(x) + self.shortcut(x))
        return summed


def resnet_20(images: Images) -> nn.Module:
    """Three stages of three blocks, 16, 32 and 64 channels wide: (n, c, h, w) to logits (n, classes).

    272,474 parameters on CIFAR-10: the shortcuts that change shape are 1×1 convolutions (the paper's option B). He
    weights, as "Learning Neural Network Subspaces" (Wortsman et al. 2021) draws its endpoints; zero bias.
    """
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv2d(images.channels, WIDTHS[0], kernel_size=3, padding=1, bias=False),
        "norm": nn.BatchNorm2d(WIDTHS[0]),
        "relu": nn.ReLU(inplace=True),
    }
    before = WIDTHS[0]
    for stage, width in enumerate(WIDTHS, start=1):
        for number in range(1, BLOCKS_PER_STAGE + 1):
            layers[f"stage_{stage}_block_{number}"] = Block(before, width, stride=1 if before == width else 2)
            before = width
    output = nn.Linear(before, images.classes)
    return initialise(chain({**layers, "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "output": output}), he)

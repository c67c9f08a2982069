"""VGG-style networks (Simonyan and Zisserman 2015, arXiv 1409.1556): blocks of 3×3 convolutions, one linear layer."""

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models.nets import Width, chain, he, initialise

MODELS = {"vgg": "Simonyan and Zisserman 2015, arXiv 1409.1556"}
EXAMPLES = {
    "vgg": [{"depth": 11}, {"depth": 13}, {"depth": 16}, {"depth": 19}, {"widths": [[32], [64]], "batch_norm": False}]
}
CHANNELS = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
Block = Annotated[list[Width], Field(min_length=1)]


def vgg(
    images: Images,
    *,
    depth: Literal[11, 13, 16, 19] | None = None,
    widths: Annotated[list[Block], Field(min_length=1)] | None = None,
    batch_norm: bool = True,
) -> nn.Module:
    """Blocks with a max pool between them, an average over what is left, a linear layer: logits (n, classes).

    The paper's three linear layers are one here, as in the lottery-ticket experiments (arXiv 1803.03635; VGG-19 has
    20.0 M weights) and in subset pretraining (arXiv 2410.16523, without batch norm). He weights, zero biases.

    Args:
        images: what the network is built for.
        depth: one of the paper's configurations; this or `widths` is needed.
        widths: the channels of each convolution, block by block, as in `[[32, 32], [64, 64]]`.
        batch_norm: whether a batch norm follows each convolution and takes the place of its bias.

    Raises:
        AssayError: neither or both of `depth` and `widths` are given.
    """
    if (depth is None) == (widths is None):
        raise AssayError(
            "depth: give either depth (11, 13, 16 or 19) or widths, a list of blocks as in [[32, 32], [64]]"
        )
    blocks = widths or [[width] * count for width, count in zip(CHANNELS, CONVOLUTIONS[depth or 0], strict=True)]
    layers: dict[str, nn.Module] = {}
    before = images.channels
    for number, block in enumerate(blocks, start=1):
        inner: dict[str, nn.Module] = {}
        for n, width in enumerate(block, start=1):
            inner[f"conv_{n}"] = nn.Conv2d(before, width, kernel_size=3, padding=1, bias=not batch_norm)
            inner |= {f"norm_{n}": nn.BatchNorm2d(width)} if batch_norm else {}
            inner[f"relu_{n}"] = nn.ReLU(inplace=True)
            before = width
        layers |= {f"pool_{number - 1}": nn.MaxPool2d(2)} if number > 1 else {}
        layers[f"block_{number}"] = chain(inner)
    output = nn.Linear(before, images.classes)
    return initialise(chain({**layers, "pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "output": output}), he)

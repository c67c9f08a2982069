"""Any classifier of torchvision by name, as torchvision has it, with fresh or pretrained weights.

The networks of `torchvision_nets` differ: they are from scratch, and have a first layer that suits small images.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import nets
from assay.models.nets import Moments, Source

MODELS = {"torchvision": "torchvision, github.com/pytorch/vision"}
EXAMPLES = {"torchvision": [{"architecture": "resnet18"}]}
OF_TORCHVISION = ("weights", "weights_backbone", "progress", "num_classes")


def torchvision(
    images: Images,
    *,
    architecture: str,
    pretrained: bool = False,
    weights: str | None = None,
    mean: Moments | None = None,
    std: Moments | None = None,
    arguments: dict[str, Any] | None = None,
) -> nn.Module:
    """(n, c, h, w) to logits (n, classes); the first weights are torchvision's own, or pretrained.

    The first convolution takes the channels of the images: with pretrained weights, those of red, green and blue
    summed for grey images, else repeated and scaled. A vision transformer is built for the side of the images, and its
    pretrained embeddings of positions are interpolated. On the meta device no weights are read.

    Args:
        images: the images to build for.
        architecture: by torchvision's name, such as `resnet18`.
        pretrained: start from torchvision's default weights; they are fetched once and kept in `torch.hub`'s cache.
        weights: start from this file of the folder `weights`, in place of `pretrained`.
        mean: of pixels from 0 to 1, what the weights were trained with; that of the default weights unless given.
        std: likewise.
        arguments: of torchvision's builder, such as `dropout` or `stochastic_depth_prob`.

    Raises:
        AssayError: there is no such architecture, argument or file, or weights do not fit or cannot be fetched.
    """
    from torchvision import models  # takes a second or more; other networks do without

    names = models.list_models(module=models)
    if architecture not in names:
        raise AssayError(f"architecture: torchvision has no {architecture!r}; {suggestion(architecture, names)}")
    nets.check_pretrained(pretrained, weights, mean, std)
    given = dict(arguments or {})
    for key in given.keys() & {*OF_TORCHVISION}:
        raise AssayError(f"arguments.{key}: stands beside `arguments`, or the data decides it; remove it")
    if architecture.startswith("vit_") and images.height == images.width:
        given.setdefault("image_size", images.height)
    try:
        network: nn.Module = models.get_model(architecture, weights=None, num_classes=images.classes, **given)
    except (TypeError, ValueError, RuntimeError) as error:
        said = str(error).splitlines()[0]
        raise AssayError(f"arguments: torchvision cannot build {architecture} for these images: {said}") from None
    kernel, first = next((f"{n}.weight", one) for n, one in network.named_modules() if isinstance(one, nn.Conv2d))
    first.in_channels, first.weight = images.channels, nn.Parameter(_fitted(first.weight.detach(), images.channels))
    if not (pretrained or weights) or torch.get_default_device().type == "meta":
        return network
    default = models.get_model_weights(architecture).DEFAULT
    state, digest = nets.read_weights(nets.weights_path(weights) if weights else _downloaded(default))
    if kernel in state:
        state[kernel] = _fitted(state[kernel], images.channels)
    if "image_size" in given and "encoder.pos_embedding" in state:
        patch = network.patch_size
        state = dict(models.vision_transformer.interpolate_embeddings(given["image_size"], patch, state))
    transforms = default.transforms()
    found = nets.moments(images.channels, (transforms.mean, transforms.std), mean, std)
    return nets.pretrained(network, Source(digest, *found, state), images.channels)


def _fitted(kernel: Tensor, channels: int) -> Tensor:
    """A first convolution's weights for another number of channels: summed for one, else repeated and scaled."""
    before = kernel.shape[1]
    if channels == before:
        return kernel
    if channels == 1:
        return kernel.sum(1, keepdim=True)
    return kernel.repeat(1, -(-channels // before), 1, 1)[:, :channels] * (before / channels)


def _downloaded(default: Any) -> Path:
    """The file of torchvision's weights, in the cache of `torch.hub`; an `AssayError` where it cannot be fetched."""
    path: Path = Path(torch.hub.get_dir()) / "checkpoints" / default.url.rpartition("/")[2]
    if not path.is_file():
        try:
            default.get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise AssayError(
                f"pretrained: {default.url} cannot be fetched ({type(error).__name__}); fetch it where it can be "
                f"reached, and give it as `weights: {nets.WEIGHTS}/{path.name}` in place of `pretrained`"
            ) from None
    return path

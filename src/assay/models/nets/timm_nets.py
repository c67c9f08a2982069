"""Any network of timm (PyTorch Image Models), fitted by timm to the channels, size and classes of the images.

Its weights are fresh, or pretrained: fetched by timm's door, the Hugging Face hub, or from a file of the folder
`weights`. They are read, and adapted to channels and size by timm, once a process.
"""

import json
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from assay.core.errors import AssayError
from assay.data.sets.images import Images
from assay.models import nets
from assay.models.nets import Moments, Source

MODELS = {"timm": "Wightman 2019, github.com/huggingface/pytorch-image-models"}
EXAMPLES = {"timm": [{"architecture": "resnet18.a1_in1k"}]}
OF_DATA = ("num_classes", "in_chans")
FIXED = ("pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "features_only")


def timm(
    images: Images,
    *,
    architecture: str,
    pretrained: bool = False,
    weights: str | None = None,
    mean: Moments | None = None,
    std: Moments | None = None,
    arguments: dict[str, Any] | None = None,
) -> nn.Module:
    """(n, c, h, w) to logits (n, classes); the first weights are timm's own, or pretrained.

    On the meta device, which holds no numbers, no weights are read.

    Args:
        images: the images to build for; an architecture of a fixed size is built for theirs.
        architecture: by timm's name, with a tag or without: `resnet18.a1_in1k`.
        pretrained: start from the weights that timm has for it; they are fetched once and kept in the hub's cache.
        weights: start from this file of the folder `weights`, in place of `pretrained`.
        mean: of pixels from 0 to 1, what the weights were trained with; the architecture's own unless given.
        std: likewise.
        arguments: of timm's `create_model`, such as `drop_path_rate`, or `img_size` where the architecture takes it.

    Raises:
        AssayError: there is no such architecture, argument or file, weights do not fit, or no hub can be reached.
    """
    from timm import create_model, is_model, list_models  # takes seconds; other networks do without
    from timm.models import get_pretrained_cfg

    if not is_model(architecture):
        close = get_close_matches(architecture, list_models(), 3, 0.4)
        raise AssayError(f"architecture: timm has no {architecture!r}; did you mean {', '.join(close) or 'another'}?")
    nets.check_pretrained(bool(pretrained), weights, mean, std)
    try:
        config = get_pretrained_cfg(architecture)
    except RuntimeError as error:
        raise AssayError(f"architecture: {error} Leave out the tag, or choose another") from None
    given = dict(arguments or {})
    for key in given.keys() & {*OF_DATA, *FIXED}:
        said = (
            "the data decides it" if key in OF_DATA else "not for a classifier, or said by the keys beside `arguments`"
        )
        raise AssayError(f"arguments.{key}: {said}; remove it")
    given["in_chans"] = images.channels
    if config is not None and config.fixed_input_size:
        given.setdefault("img_size", (images.height, images.width))
    try:
        network: nn.Module = create_model(architecture, num_classes=images.classes, **given)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise AssayError(f"arguments: timm cannot build {architecture} for these images: {reason}") from None
    _check_patches(network, images)
    if not (pretrained or weights) or torch.get_default_device().type == "meta":
        return network
    path = nets.weights_path(weights) if weights else _downloaded(architecture)
    digest = nets.read_weights(path)[1]
    state = _adapted(architecture, json.dumps(given, sort_keys=True), path, digest)
    known: dict[str, Any] = network.pretrained_cfg  # type: ignore[assignment]
    found = nets.moments(images.channels, (known["mean"], known["std"]), mean, std)
    return nets.pretrained(network, Source(digest, *found, state), images.channels)


def _check_patches(network: nn.Module, images: Images) -> None:
    """Refuse images whose last rows or columns fill no patch, since a network of patches does not see them."""
    embedding = getattr(network, "patch_embed", None)
    size = getattr(embedding, "patch_size", None)
    if not isinstance(size, tuple) or getattr(embedding, "dynamic_img_pad", False):
        return
    for side, patch in zip((images.height, images.width), size, strict=True):
        if side % patch:
            taken = "×".join(map(str, size))
            raise AssayError(
                f"architecture: takes patches of {taken} pixels, which {images.height}×{images.width} images are no "
                "multiple of; resize the images, or give `arguments: {patch_size: ...}`, a divisor of their sides"
            )


@lru_cache(maxsize=1)
def _downloaded(architecture: str) -> Path:
    """The file of weights that timm has for an architecture; what lies in the hub's cache is taken as it is.

    Raises:
        AssayError: there are no weights, or no hub can be reached.
    """
    import requests
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(architecture)
    if config is None or not config.hf_hub_id:
        raise AssayError(f"pretrained: timm has no weights for {architecture}; add a tag, or give a file as `weights`")
    place = config.hf_hub_id.partition("@")[0], config.hf_hub_filename or "model.safetensors"
    if isinstance(cached := try_to_load_from_cache(*place), str):
        return Path(cached)
    try:
        requests.head(constants.ENDPOINT, timeout=10)  # the hub's own client tries for a minute
        return Path(hf_hub_download(*place))
    except (OSError, HfHubHTTPError) as error:  # requests' errors are OSErrors
        reason = type(error).__name__
        raise AssayError(
            f"pretrained: {'/'.join(place)} cannot be fetched from {constants.ENDPOINT} ({reason}); fetch it where the "
            f"hub can be reached, and give it as `weights: {nets.WEIGHTS}/<file>.safetensors` in place of `pretrained`"
        ) from None


@lru_cache(maxsize=2)
def _adapted(architecture: str, arguments: str, path: Path, digest: str) -> dict[str, Tensor]:  # noqa: ARG001
    """The tensors of a file with this digest as timm fits them to an architecture with these arguments, JSON.

    The head is the file's, whatever its classes; left out if the file has none.

    Raises:
        AssayError: tensors are missing, unexpected or of other shapes.
    """
    from timm import create_model

    state, _ = nets.read_weights(path)
    given = json.loads(arguments)
    blank: Any = create_model(architecture, num_classes=2, **given)
    names = blank.pretrained_cfg.get("classifier") or ()
    heads = [f"{name}.weight" for name in ((names,) if isinstance(names, str) else names)]
    classes = next((len(state[name]) for name in heads if name in state), None)
    if classes is None:
        state |= {name: tensor for name, tensor in blank.state_dict().items() if name in nets.head(blank)}
    overlay = {"state_dict": state, "num_classes": classes or 2, "label_offset": 0}
    try:
        network = create_model(
            architecture, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=classes or 2, **given
        )
    except RuntimeError as error:
        raise AssayError(f"weights: {nets.reason(error)}") from None
    left_out = nets.head(network) if classes is None else ()
    return {name: tensor for name, tensor in network.state_dict().items() if name not in left_out}

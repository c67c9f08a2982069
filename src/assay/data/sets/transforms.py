"""What training does to a batch's images: transforms in order, ours for padded crops, else those of Torchvision.

`torchvision.transforms.v2` draws parameters once a call and from PyTorch's global generator: a whole batch would be
transformed alike. Here each transform draws for every image, and what it is about to do is recorded; then images that
drew the same are transformed together. So RandAugment takes some fifty calls a step, not two an image.
"""

from __future__ import annotations

import inspect
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import torch

from assay.core.config import PARAMS_FILE
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.core.runtime import generator, global_generator
from assay.data.sets.augment import augment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jaxtyping import UInt8
    from torch import Tensor

    from assay.core.config import Augment
    from assay.data.sets.images import Images

    Call = tuple[tuple[Any, ...], dict[str, Any]]
    Transform = Callable[[Tensor, Sequence[int], str, int], Tensor]

NONE, PADDED = "none", ("crop", "crop_flip")
NAMES = (  # of classes of v2 that keep the size of images of uint8 and draw on the CPU alone, in snake case
    *("auto_augment", "color_jitter", "elastic_transform", "gaussian_blur", "rand_augment", "random_adjust_sharpness"),
    *("random_affine", "random_autocontrast", "random_channel_permutation", "random_crop", "random_equalize"),
    *("random_erasing", "random_grayscale", "random_horizontal_flip", "random_invert", "random_perspective"),
    *("random_photometric_distort", "random_posterize", "random_resized_crop", "random_rotation", "random_solarize"),
    *("random_vertical_flip", "trivial_augment_wide"),
)
PREFIX = f"{PARAMS_FILE}: data.augment"
PROBED = 8


class Augmentation:
    """Transforms in order, each drawn for every image by the seed of its copy and the step.

    Args:
        entries: as `augment` has them in params.yaml.
        images: the shape of an image.
        prefix: the file and key of `entries`, for messages.

    Raises:
        AssayError: a transform or an argument is unknown, missing or out of range; the line names the key.
    """

    def __init__(self, entries: Augment, images: Images, prefix: str = PREFIX) -> None:
        self._transforms = [_made(*entry, images) for entry in _listed(entries, prefix)]

    def __call__(
        self, images: UInt8[Tensor, "copy*batch c h w"], seeds: Sequence[int], step: int
    ) -> UInt8[Tensor, "copy*batch c h w"]:
        """The images transformed; the batches of all copies stand one after the other, and each copy has a seed."""
        for place, transform in enumerate(self._transforms):
            images = transform(images, seeds, f"augmentation {place}" if place else "augmentation", step)
        return images


class DrawnPerImage:
    """A transform of v2 that draws for each image: all the random numbers first, then a call for all that drew alike.

    A transform does its work in one method, once for each operation it applies; this method is replaced by one that
    records its arguments.
    """

    def __init__(self, transform: Any) -> None:
        operation = "_apply_image_or_video_transform"  # of RandAugment and its like
        operation = operation if hasattr(transform, operation) else "transform"
        self._transform, self._apply = transform, getattr(transform, operation)
        self._calls: list[Call] = []
        setattr(transform, operation, self._record)

    def _record(self, image: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        self._calls.append((args, kwargs))
        return image

    def _draw(self, image: Tensor) -> list[Call]:
        self._calls = []
        self._transform(image)
        return self._calls

    def __call__(
        self, images: UInt8[Tensor, "copy*batch c h w"], seeds: Sequence[int], purpose: str, step: int
    ) -> UInt8[Tensor, "copy*batch c h w"]:
        """The images transformed, each by what it drew of `global_generator(seed, purpose, step)` of its copy."""
        batch, rest = divmod(len(images), len(seeds))
        if rest:
            raise ValueError(f"{len(images)} images do not divide into {len(seeds)} batches of equal size")
        drawn: list[list[Call]] = []
        for seed in seeds:
            with global_generator(seed, purpose, step):
                drawn += [self._draw(images[0]) for _ in range(batch)]
        images = images.clone()
        for turn in range(max(map(len, drawn))):
            alike: dict[object, list[int]] = defaultdict(list)
            for index, calls in enumerate(drawn):
                if turn < len(calls):
                    alike[_form(calls[turn], index)].append(index)
            for members in alike.values():
                args, kwargs = drawn[members[0]][turn]
                if len(members) == 1:  # as most of what draws from a continuous distribution
                    images[members[0]] = self._apply(images[members[0]], *args, **kwargs)
                    continue
                rows = torch.tensor(members, device=images.device)
                images.index_copy_(0, rows, self._apply(images.index_select(0, rows), *args, **kwargs))
        return images


def check(entries: Augment, images: Images, prefix: str = PREFIX) -> None:
    """Build each transform and run it on a few images of this shape, before anything trains.

    Raises:
        AssayError: as of `Augmentation`, or a transform fails on them, changes their size, or changes nothing.
    """
    Augmentation(entries, images, prefix)
    noise = torch.randint(32, 224, (PROBED, *images.shape), generator=generator(0, "probe"), dtype=torch.uint8)
    for name, arguments, where in _listed(entries, prefix):
        transform, shape = _made(name, arguments, where, images, surely=True), "×".join(map(str, images.shape))
        try:
            result = transform(noise, (0,), "probe", 0)
        except Exception as error:  # whatever Torchvision raises of arguments that it has not looked at before
            raise AssayError(f"{where}: fails on images of {shape}: {_first_line(error)}") from error
        if torch.equal(result, noise):
            raise AssayError(f"{where}: changes nothing of images of {shape}; give it other arguments, or remove it")


def _listed(entries: Augment, prefix: str) -> list[tuple[str, Mapping[str, Any], str]]:
    """Name, arguments and key of each transform.

    Raises:
        AssayError: there is no such transform.
    """
    if entries == NONE:
        return []
    found: list[tuple[str, Mapping[str, Any], str]] = []
    for place, entry in enumerate([entries] if isinstance(entries, str) else entries):
        name, arguments = (entry, {}) if isinstance(entry, str) else next(iter(entry.items()))
        where = prefix if isinstance(entries, str) else f"{prefix}.{place}"
        if name == NONE:
            raise AssayError(f"{where}: `{NONE}` stands alone, not in a list; remove it")
        if name in ("mixup", "cutmix"):
            method = f"{{method: mixing, kind: {name}}}"
            raise AssayError(f"{where}: {name} mixes labels too, so it is a method: give it an arm, {method}")
        if name not in (*PADDED, *NAMES):
            raise AssayError(f"{where}: unknown transform {name!r}; {suggestion(name, [NONE, *PADDED, *NAMES])}")
        if name in PADDED and arguments:
            raise AssayError(f"{where}.{name}: takes no argument; `random_crop: {{padding: 8}}` does")
        found.append((name, arguments, f"{where}.{name}"))
    return found


def _made(name: str, arguments: Mapping[str, Any], where: str, images: Images, surely: bool = False) -> Transform:
    """A transform from its name, arguments and key; `surely` applies it with probability 1 where it has one.

    Raises:
        AssayError: an argument is unknown, missing or out of range.
    """
    if name in PADDED:
        return lambda batch, seeds, purpose, step: augment(
            batch, name, [generator(seed, purpose, step) for seed in seeds]
        )
    from torchvision.transforms import v2  # takes a second or more; other trainings do without

    kind = getattr(v2, "".join(word.capitalize() for word in name.split("_")))
    parameters = inspect.signature(kind).parameters
    ours = {"size": [images.height, images.width]} if "size" in parameters else {}
    allowed = sorted(parameters.keys() - ours.keys() - {"inplace", "expand"})
    for key in arguments:
        if key not in allowed:
            raise AssayError(f"{where}.{key}: unknown argument; {suggestion(key, allowed)}")
    for key in allowed:
        if parameters[key].default is inspect.Parameter.empty and key not in arguments:
            raise AssayError(f"{where}.{key}: missing, and required; write {{{name}: {{{key}: ...}}}}")
    own = {**arguments, **({"p": 1.0} if surely and "p" in parameters else {})}
    if name == "random_erasing" and own.get("value") == "random":
        raise AssayError(f"{where}.value: random needs images of floating point; give a number from 0 to 255")
    if "policy" in own:
        policies = {policy.value: policy for policy in v2.AutoAugmentPolicy}
        if own["policy"] not in policies:
            unknown = f"unknown policy {own['policy']!r}; {suggestion(str(own['policy']), [*policies])}"
            raise AssayError(f"{where}.policy: {unknown}")
        own["policy"] = policies[own["policy"]]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            return DrawnPerImage(kind(**ours, **own))
    except Exception as error:  # as in `check`
        raise AssayError(f"{where}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _form(call: Call, index: int) -> object:
    """Equal for calls that do the same; a call with a tensor is taken for the only one of its kind."""
    args, kwargs = call
    values = [*args, *kwargs.values()]
    values += [inner for value in values if isinstance(value, dict) for inner in value.values()]
    return index if any(isinstance(value, torch.Tensor) for value in values) else repr(call)

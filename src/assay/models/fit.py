"""Whether a model fits the images, found out before anything is trained."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from assay.core.errors import AssayError
from assay.models.registry import build_checked

if TYPE_CHECKING:
    from assay.data.sets.images import Images

LARGEST_SIDE = 1024


def check(name: str, images: Images, arguments: dict[str, Any], prefix: str = "params.yaml: model") -> None:
    """Say in one line what is wrong with a model, if anything is: it is built, and run on two such images.

    Shapes alone would do, on the meta device, as they do to find a size that fits; but there PyTorch imports its
    compiler, a second in every stage.

    Args:
        name: one of `names()`.
        images: what the network is to be built for.
        arguments: what the family takes.
        prefix: the file and the key under which the model stands in it.

    Raises:
        AssayError: there is no such model; an argument is unknown, missing or of another type; or the images are too
            small for the network.
    """
    try:
        _run(name, images, arguments, prefix, "cpu")
    except RuntimeError as error:
        side = smallest_side(name, images, arguments, prefix)
        needs = f"sides of {side} pixels or more" if side else f"sides of more than {LARGEST_SIDE} pixels"
        shape = "×".join(map(str, images.shape))
        line = f"{name} needs {needs}, the images are {shape} (channels×height×width); choose another model"
        raise AssayError(f"{prefix}.name: {line}") from error


def smallest_side(
    name: str, images: Images, arguments: dict[str, Any], prefix: str = "params.yaml: model"
) -> int | None:
    """The side, in pixels, of the smallest square images that fit; None where even `LARGEST_SIDE` is too small.

    Args:
        name: one of `names()`.
        images: channels and classes; its height and width do not matter.
        arguments: what the family takes.
        prefix: as for `check`.

    Raises:
        AssayError: as `check`, the size of the images apart.
    """

    def fits(side: int) -> bool:
        try:
            _run(name, replace(images, height=side, width=side), arguments, prefix, "meta")
        except RuntimeError:
            return False
        return True

    enough = 1
    while not fits(enough):
        if enough >= LARGEST_SIDE:
            return None
        enough *= 2
    too_small = enough // 2
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        too_small, enough = (too_small, middle) if fits(middle) else (middle, enough)
    return enough


def _run(name: str, images: Images, arguments: dict[str, Any], prefix: str, device: str) -> None:
    """Run the network on two such images; the meta device holds shapes and no data. Nobody else's numbers are drawn.

    Raises:
        RuntimeError: a layer is left with nothing to work on.
    """
    with torch.random.fork_rng(devices=[]), torch.device(device), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of layers without inputs, which the forward pass reports better
        build_checked(name, images, arguments, prefix).eval()(torch.zeros(2, *images.shape))

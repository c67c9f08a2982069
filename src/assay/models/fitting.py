"""Whether a network fits the images and can be trained, found out by running it before anything is trained."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assay import models
from assay.core.errors import AssayError
from assay.models import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from assay.data.sets.images import Images

LARGEST_SIDE = 1024


def check(name: str, images: Images, arguments: dict[str, Any], prefix: str = PREFIX) -> nn.Module:
    """Build a model as `build` does and run it on two such images, before anything is trained; gives the network.

    It runs as it will be trained, with channels last where layers convolve, forwards and backwards. Not on the meta
    device, where PyTorch imports its compiler: a second in every stage.

    Raises:
        AssayError: as of `build`; the images are too small for the network, or it is none that can be trained here.
    """
    try:
        with _quietly():
            network = models.build(name, images, prefix, **arguments)
            problem = _problem(network, images)
    except AssayError:
        raise
    except Exception as error:
        side = smallest_side(name, images, arguments, prefix)
        needs = f"needs sides of {side} pixels or more" if side else f"needs sides of more than {LARGEST_SIDE} pixels"
        if not side or side <= min(images.height, images.width):  # then it may be for a bug of the network
            is_bug = side or not isinstance(error, RuntimeError)
            needs = f"{'cannot run' if is_bug else needs} ({models.told(error)})"
        shape = "×".join(map(str, images.shape))
        what = " ".join([name, *filter(None, [arguments.get("architecture")])])
        line = f"{what} {needs}, the images are {shape} (channels×height×width); choose another model"
        raise AssayError(f"{prefix}.name: {line}") from error
    if problem:
        raise AssayError(f"{prefix}.name: {name} {problem}")
    return network


def _problem(network: nn.Module, images: Images) -> str | None:
    """Run a network as it is evaluated and trained; gives why it can't be trained, or None, or raises what it does."""
    if len(list(network.named_parameters())) < len(list(network.named_parameters(remove_duplicate=False))):
        return "has a parameter under two names; give each layer its own"
    parameters = [one for one in network.to(memory_format=torch.channels_last).parameters() if one.requires_grad]
    if not parameters:
        return "has no parameters to train"
    _run(network.eval(), images)
    before = torch.get_rng_state()
    with torch.enable_grad():
        logits = _run(network.train(), images)
        expected = (2, images.classes)
        if not isinstance(logits, Tensor) or logits.shape != expected:
            given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            return f"gives {given} for 2 images; it must give logits {expected}"
        torch.autograd.grad(logits.sum(), parameters, allow_unused=True)
    if not torch.equal(before, torch.get_rng_state()) and not models.draws_random_numbers(network):
        return "draws random numbers in training by no layer that is one of dropout; use nn.Dropout or timm's DropPath"
    return None


def smallest_side(name: str, images: Images, arguments: dict[str, Any], prefix: str = PREFIX) -> int | None:
    """The side, in pixels, of the smallest square images that fit; None where even `LARGEST_SIDE` is too small.

    `images` gives the channels and classes; its height and width do not matter. Otherwise as `check`.
    """

    def fits(side: int) -> bool:
        sized = replace(images, height=side, width=side)
        try:
            with _quietly(), torch.device("meta"), torch.no_grad():
                _run(models.build(name, sized, prefix, **arguments).eval(), sized)
        except Exception:
            return False
        return True

    models.source(name, prefix)
    # doubled first: most networks fit small images, and large ones take long to build
    enough = next(filter(fits, (2**power for power in range(LARGEST_SIDE.bit_length()))), None)
    return enough and enough // 2 + 1 + bisect_left(range(enough // 2 + 1, enough), True, key=fits)


def _run(network: nn.Module, images: Images) -> Any:
    """What it gives for two images; raises where a layer is left with nothing to work on."""
    return network(torch.zeros(2, *images.shape).contiguous(memory_format=torch.channels_last))


@contextmanager
def _quietly() -> Iterator[None]:
    """No warnings (of layers without inputs, which the forward pass reports better); the generator stays as it was."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

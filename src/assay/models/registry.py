"""Families by name, and the arguments that each takes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from pydantic import create_model

from assay.core.config import Section
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.models import conv, linear, mlp, resnet_20, torchvision_nets, trajectory_cnn, vgg

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from assay.data.sets.images import Images


@dataclass(frozen=True)
class Family:
    """An architecture.

    Attributes:
        build: makes the network for some images; its keyword-only parameters are the arguments in params.yaml. Their
            annotations are read at run time, which is why the modules of the families import them in earnest.
        source: where it was published.
    """

    build: Callable[..., nn.Module]
    source: str


LOTTERY = "Frankle and Carbin 2019, arXiv 1803.03635"
RESNET = "He et al. 2016, arXiv 1512.03385"

FAMILIES: dict[str, Family] = {
    "linear": Family(linear.linear, "softmax regression"),
    "mlp": Family(mlp.mlp, "He et al. 2015, arXiv 1502.01852 (initialisation)"),
    "lenet_300_100": Family(mlp.lenet_300_100, LOTTERY),
    "conv_2": Family(conv.conv_2, LOTTERY),
    "conv_4": Family(conv.conv_4, LOTTERY),
    "conv_6": Family(conv.conv_6, LOTTERY),
    "trajectory_cnn": Family(trajectory_cnn.trajectory_cnn, "Mair et al. 2023, arXiv 2306.13442"),
    "resnet_20": Family(resnet_20.resnet_20, RESNET),
    "vgg": Family(vgg.vgg, "Simonyan and Zisserman 2015, arXiv 1409.1556"),
    "resnet18": Family(torchvision_nets.resnet18, RESNET),
    "resnet50": Family(torchvision_nets.resnet50, RESNET),
    "efficientnet_b4": Family(torchvision_nets.efficientnet_b4, "Tan and Le 2019, arXiv 1905.11946"),
    "efficientnet_v2_s": Family(torchvision_nets.efficientnet_v2_s, "Tan and Le 2021, arXiv 2104.00298"),
    "mobilenet_v3_small": Family(torchvision_nets.mobilenet_v3_small, "Howard et al. 2019, arXiv 1905.02244"),
}


def names() -> list[str]:
    """Every model there is, in the order of docs/models.md."""
    return list(FAMILIES)


def build(name: str, images: Images, **arguments: Any) -> nn.Module:
    """A network with fresh weights, drawn from torch's global generator.

    Whether the images are large enough is not tested here; `check` does that, without the cost of the weights.

    Args:
        name: one of `names()`.
        images: the channels, size and classes to build for.
        arguments: what the family takes.

    Returns:
        A module from normalised images (n, c, h, w) to logits (n, classes).

    Raises:
        AssayError: there is no such model, or an argument is unknown, missing or of another type.
    """
    return build_checked(name, images, arguments, prefix="model")


def blueprint(name: str, images: Images, arguments: dict[str, Any]) -> nn.Module:
    """A network to look at: its names, shapes and layers. Nobody else's random numbers are drawn for it."""
    with torch.random.fork_rng(devices=[]):
        return build(name, images, **arguments)


def build_checked(name: str, images: Images, arguments: dict[str, Any], prefix: str) -> nn.Module:
    """As `build`; an error names the key at fault under `prefix`, such as `params.yaml: model`."""
    family = FAMILIES.get(name)
    if family is None:
        raise AssayError(f"{prefix}.name: unknown model {name!r}; {suggestion(name, names())}")
    where, _, key = prefix.partition(": ")
    section = parse(arguments_of(name), arguments, where, key and f"{key}.", also_allowed=["name"])
    try:
        return family.build(images, **dict(section))
    except AssayError as error:
        raise AssayError(f"{prefix}.{error}") from None


@cache
def arguments_of(name: str) -> type[Section]:
    """The arguments of a family as a pydantic model, made from its signature."""
    parameters = inspect.signature(FAMILIES[name].build, eval_str=True).parameters.values()
    fields: dict[str, Any] = {
        parameter.name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return create_model(name, __base__=Section, **fields)

"""The networks, one file for each family, and here the pieces that they share.

A file of this folder names its networks in `MODELS`, a literal, each with where it was published; a network is the
function of that name. `docs/adding-a-model.md` says what else it may hold. A file imports no other file of the folder,
so that a training depends on this one and on its own network's.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

Width = Annotated[int, Field(ge=1, le=65_536)]


def chain(layers: dict[str, nn.Module]) -> nn.Sequential:
    """The layers one after the other; a layer's name in the dict begins the names of its parameters."""
    return nn.Sequential(OrderedDict(layers))


def dense(inputs: int, widths: Sequence[int], classes: int) -> dict[str, nn.Module]:
    """Fully connected layers with a ReLU after each but the last: `hidden_1`, `hidden_2`, ..., `output`."""
    layers: dict[str, nn.Module] = {}
    for number, (before, after) in enumerate(pairwise([inputs, *widths]), start=1):
        layers[f"hidden_{number}"] = nn.Linear(before, after)
        layers[f"relu_{number}"] = nn.ReLU()
    return {**layers, "output": nn.Linear([inputs, *widths][-1], classes)}


def initialise(network: nn.Module, draw: Callable[[Tensor], Any]) -> nn.Module:
    """Let `draw` fill every weight in place, in the order of the modules, and set every bias to zero.

    Batch norm stays as PyTorch makes it: scale 1, shift 0.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


glorot = nn.init.xavier_normal_  # Gaussian of variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)
# Gaussian of variance 2 / fan_in, made for ReLU (He et al. 2015, arXiv 1502.01852)
he = partial(nn.init.kaiming_normal_, mode="fan_in", nonlinearity="relu")

"""From the coordinates in which a chain moves to the parameters of its networks, and back.

A chain moves with one σ in all coordinates. A layer's parameters are its coordinates times the layer's scale, so a
scale is a step size of one layer, proposals and couplings alike. Where inputs are centred, the first layer's bias
takes up the mean, exactly: W (x - m) + b = W x + (b - W m).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import torch

from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from assay.engine.stack import Weights


class Coordinates:
    """A linear map between flat coordinates `(*, d)` and parameters by name `(*, *shape)`.

    Args:
        parameters: of the networks, `(copy, *shape)`.
        scales: factors by layer, as in `{output: 4}`; layers that are not named have 1.
    """

    def __init__(self, parameters: Weights, scales: Mapping[str, float]) -> None:
        self.shapes = {name: tensor.shape[1:] for name, tensor in parameters.items()}
        self.sizes = [prod(shape) for shape in self.shapes.values()]
        some = next(iter(parameters.values()))
        factors = [
            torch.full((size,), float(scales.get(name.rpartition(".")[0], 1.0)), dtype=some.dtype)
            for name, size in zip(self.shapes, self.sizes, strict=True)
        ]
        self._factors = torch.cat(factors).to(some.device)

    def parameters(self, flat: Float[Tensor, "*copy d"]) -> Weights:
        """The parameters at these coordinates, `(*copy, *shape)`."""
        parts = (flat * self._factors).split_with_sizes(self.sizes, -1)
        return {n: p.view(*flat.shape[:-1], *shape) for (n, shape), p in zip(self.shapes.items(), parts, strict=True)}

    def flat(self, parameters: Weights) -> Float[Tensor, "copy d"]:
        """The coordinates of parameters `(copy, *shape)`."""
        return torch.cat([parameters[name].flatten(1) for name in self.shapes], 1) / self._factors


def check_scales(parameters: Weights, scales: Mapping[str, float], where: str) -> None:
    """Refuse scales of layers that there are not.

    Args:
        parameters: of the network, by name.
        scales: factors by layer.
        where: the key of `scales` in params.yaml, for the message.

    Raises:
        AssayError: a scale names no layer.
    """
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in parameters))
    for layer in scales:
        if layer not in layers:
            raise AssayError(f"{where}.{layer}: the model has no such layer; {suggestion(layer, layers)}")


def shift_bias(parameters: Weights, weight: str, bias: str, centre: Float[Tensor, " input"], sign: int) -> Weights:
    """Parameters `(*copy, *shape)` for inputs as they are, from those for centred ones (`sign` -1), or back (1)."""
    moved = parameters[bias] + sign * (parameters[weight] @ centre)
    return {**parameters, bias: moved}

"""Runs networks in pairs: `DenseNetworks` for linear layers and ReLUs, `StackedNetworks` for all others, slower.

Dense: the prefix (pooling, flattening) gives the same for every network, so it is applied once to the whole training
set. The two models of a test see the same examples, so their first layers are one matrix product. Everything is laid
out `(pair, unit of a layer, example)`, in which all products and the sum over classes run along memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from assay.data.sets.augment import normalise
from assay.engine.stack import Stack

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.data.sets.prepared import Prepared
    from assay.engine.stack import Weights

CHUNK = 4096


class DenseNetworks:
    """Runs pairs of networks, a prefix without parameters and then linear layers and ReLUs, on training examples.

    Args:
        prefix: what comes before the first linear layer.
        layers: the linear layers and ReLUs, named.
        data: the prepared data, on the device.
        centred: whether to take each input's mean over the training set away.

    Attributes:
        inputs: what the first linear layer sees of each training example.
        centre: what was taken away; zeros if nothing was.
        first: the name of the first linear layer.
    """

    def __init__(
        self, prefix: nn.Sequential, layers: list[tuple[str, nn.Module]], data: Prepared, *, centred: bool
    ) -> None:
        self._names = [name for name, layer in layers if isinstance(layer, nn.Linear)]
        self.first = self._names[0]
        with torch.no_grad():
            parts = [prefix(normalise(part, data.mean, data.std)) for part in data.train.images.split(CHUNK)]
        self.inputs: Float[Tensor, "example input"] = torch.cat(parts)
        self.centre = self.inputs.double().mean(0).float() if centred else torch.zeros_like(self.inputs[0])
        self.inputs -= self.centre

    def logits(
        self, weights: Weights, indices: Int64[Tensor, "unit example"] | slice
    ) -> Float[Tensor, "unit model class example"]:
        """Logits of all models of each unit.

        Args:
            weights: parameters `(unit, model, *shape)`.
            indices: each unit's own examples, or a slice of the training set for all units.
        """
        units, models = next(iter(weights.values())).shape[:2]
        hidden = torch.empty(0)
        for layer, name in enumerate(self._names):
            weight, bias = weights[f"{name}.weight"].flatten(0, 1), weights[f"{name}.bias"].flatten(0, 1)[..., None]
            if layer:
                hidden = torch.baddbmm(bias, weight, hidden.relu_())
            elif isinstance(indices, slice):
                shared = weight.flatten(0, 1) @ self.inputs[indices].mT
                hidden = shared.view(*weight.shape[:2], -1) + bias
            else:
                rows = self.inputs.index_select(0, indices.flatten()).view(*indices.shape, -1)
                pair = torch.baddbmm(bias.view(units, -1, 1), weight.view(units, -1, weight.shape[-1]), rows.mT)
                hidden = pair.view(units * models, -1, indices.shape[1])
        return hidden.view(units, models, -1, hidden.shape[-1])


class StackedNetworks:
    """Runs pairs of networks on examples of the training set, in eval mode.

    Args:
        network: the plain module, which has no buffers.
        data: the prepared data, on the device.
    """

    def __init__(self, network: nn.Module, data: Prepared) -> None:
        self._network, self._data = network.eval(), data

    def logits(
        self, weights: Weights, indices: Int64[Tensor, "unit example"] | slice
    ) -> Float[Tensor, "unit model class example"]:
        """Logits of all models of each unit; arguments as in `DenseNetworks.logits`."""
        units, models = next(iter(weights.values())).shape[:2]
        images = self._data.train.images
        if isinstance(indices, slice):
            inputs = normalise(images[indices], self._data.mean, self._data.std)
            inputs = inputs.expand(units * models, *inputs.shape)
        else:
            inputs = normalise(images.index_select(0, indices.flatten()), self._data.mean, self._data.std)
            inputs = inputs.view(*indices.shape, *inputs.shape[1:]).repeat_interleave(models, 0)
        stack = Stack(self._network, units * models, images.device)
        logits = stack.forward({name: tensor.flatten(0, 1) for name, tensor in weights.items()}, inputs)
        return logits.view(units, models, *logits.shape[1:]).mT

"""Pairs of networks of any kind, run as a stack; slower than `dense`, which knows what it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.data.sets.augment import normalise
from assay.training.stack import Stack

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor, nn

    from assay.data.sets.prepared import Prepared
    from assay.training.stack import Weights


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

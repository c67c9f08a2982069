"""Batch norm's running statistics for networks that no step has run: averages of weights, points of a subspace.

They need one pass over the training set with a cumulative average (Izmailov et al., "Averaging Weights Leads to Wider
Optima and Better Generalization", arXiv 1803.05407, section 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from assay.data.sets.augment import normalise
from assay.engine.stack import Stack
from assay.engine.stack.layers import frozen_norms

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import nn

    from assay.data.sets.prepared import Prepared
    from assay.engine.stack import Weights


def examples_seen(network: nn.Module, data: Prepared, frozen: Collection[str] = ()) -> int:
    """The examples that `recomputed` runs forward through each network: the training set, or none."""
    return len(data.train.labels) if _norms(network, frozen) else 0


def recomputed(
    network: nn.Module,
    weights: Weights,
    buffers: Weights,
    data: Prepared,
    batch_size: int,
    precision: str = "float32",
    examples: int | None = None,
    frozen: Collection[str] = (),
) -> Weights:
    """The buffers `(copy, *shape)` of a stack of networks, batch norm's statistics computed anew from the training set.

    Each statistic is the mean over batches of what the batch has, every example counting alike. Images are taken as
    the test set's are: in order, not augmented; and all layers but batch norm are in eval mode, so nothing is drawn.

    Args:
        network: the plain module; its own weights are never used.
        weights: parameters, `(copy, *shape)`.
        buffers: `(copy, *shape)`; not changed, and batch norm's are not looked at.
        data: the prepared data.
        batch_size: the most examples in a batch; batches differ by one example at most.
        precision: that of the training.
        examples: how many to use, from the first; the whole training set unless given.
        frozen: parameters that do not move; batch norms of these alone keep their statistics.
    """
    fresh = {name: tensor.clone() for name, tensor in buffers.items()}
    norms = _norms(network, frozen)
    if not norms:
        return fresh
    for path in norms:
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            fresh[f"{path}.{name}" if path else name].fill_(value)
    images, copies, seen = data.train.images[:examples], len(next(iter(fresh.values()))), 0
    stack = Stack(network, copies, data.device, precision)
    momenta = {path: norm.momentum for path, norm in norms.items()}
    network.eval()
    for norm in norms.values():
        norm.train()
    with torch.no_grad():
        for chunk in images.tensor_split(-(-len(images) // batch_size)):
            seen += len(chunk)
            for norm in norms.values():
                norm.momentum = len(chunk) / seen
            inputs = normalise(chunk.to(data.device), data.mean, data.std)
            stack.forward({**weights, **fresh}, inputs.expand(copies, *inputs.shape))
    network.eval()
    for path, norm in norms.items():
        norm.momentum = momenta[path]
    return fresh


def _norms(network: nn.Module, frozen: Collection[str]) -> dict[str, _BatchNorm]:
    modules, still = network.named_modules(), dict(frozen_norms(network, frozen))
    return {
        path: module
        for path, module in modules
        if isinstance(module, _BatchNorm) and module.track_running_stats and path not in still
    }

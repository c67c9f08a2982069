"""How a stack of a network runs: three strategies, chosen in one place (`docs/decisions/0003`).

*Dense*: all copies at once, gradients written out, where every layer is linear or a ReLU. *Folded*: all copies in one
pass through the network, where small matrix products would leave the machine idle. *Sliced*: one copy after the other,
where one copy fills the machine, where layers are of a kind that folding does not know, or where copies draw random
numbers (dropout) that must not depend on their company.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from torch import nn

from assay.engine.stack.dense import split_prefix
from assay.engine.stack.folded import can_fold

if TYPE_CHECKING:
    import torch

Strategy = Literal["dense", "folded", "sliced"]


def choose_strategy(network: nn.Module, device: torch.device, precision: str) -> Strategy:
    """Choose how a stack of this network runs on this device, as `python -m benchmarks.ways` measures it.

    Args:
        network: the plain module.
        device: where it runs.
        precision: `float32`, or `bfloat16` for autocast, which gradients that are written out do not take part in.
    """
    if not can_fold(network) or draws_random_numbers(network):
        return "sliced"
    if precision == "float32" and split_prefix(network):
        return "dense"
    has_convolutions = any(isinstance(module, nn.Conv2d) for module in network.modules())
    return "sliced" if has_convolutions and device.type == "cpu" else "folded"


def draws_random_numbers(network: nn.Module) -> bool:
    """Whether a training pass through `network` is random (dropout, stochastic depth)."""
    stochastic = ("Dropout", "StochasticDepth", "RReLU")
    return any(any(name in type(module).__name__ for name in stochastic) for module in network.modules())

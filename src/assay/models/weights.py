"""What there is to count and to prune in a network."""

from __future__ import annotations

from typing import Literal

from torch import nn

Kind = Literal["conv", "linear", "output", "shortcut"]
SHORTCUTS = {"shortcut", "downsample"}  # what this package and torchvision call a residual network's projections


def parameter_count(network: nn.Module) -> int:
    """All trainable numbers: weights, biases, batch norm's scales and shifts; not its running statistics."""
    return sum(parameter.numel() for parameter in network.parameters())


def weight_names(network: nn.Module) -> dict[str, Kind]:
    """The prunable tensors, by the names they have in `state_dict`, in the order of the modules, each with its kind.

    They are the weights of linear layers and convolutions, never a bias or a batch norm. `output` is the last linear
    layer, `shortcut` a projection that stands beside a residual block: the two that papers on pruning treat apart
    (Frankle and Carbin, arXiv 1803.03635, figure 2).
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    linear = [name for name, module in layers.items() if isinstance(module, nn.Linear)]
    kinds: dict[str, Kind] = {}
    for name, module in layers.items():
        parts = name.split(".")
        kinds[".".join([*filter(None, parts), "weight"])] = _kind(module, parts, is_last=name in linear[-1:])
    return kinds


def _kind(layer: nn.Module, parts: list[str], is_last: bool) -> Kind:
    if isinstance(layer, nn.Linear):
        return "output" if is_last else "linear"
    return "conv" if SHORTCUTS.isdisjoint(parts) else "shortcut"

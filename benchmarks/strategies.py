"""`python -m benchmarks.strategies`: the ways to run a stack, per architecture, on this device (decision 0003)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.table import Table

from assay import models
from assay.core import runtime
from assay.core.errors import one_line_errors
from assay.data.sets.images import Images
from assay.engine.stack import Stack, Strategy, choose_strategy, initialise
from assay.engine.stack.layers import split_prefix
from benchmarks.engine import medians

if TYPE_CHECKING:
    from collections.abc import Callable

GREY, COLOUR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)
NETWORKS = {"linear": GREY, "lenet_300_100": GREY, "trajectory_cnn": GREY, "conv_2": COLOUR, "resnet_20": COLOUR}
STRATEGIES: tuple[Strategy, ...] = ("dense", "folded", "sliced")
COPIES, BATCH, ROUNDS = 5, 60, 5


def main() -> None:
    """Measure a forward and backward pass of five copies in each strategy, in turn."""
    device = runtime.set_up()
    title = f"milliseconds a copy for a forward and backward pass: {COPIES} copies, batch {BATCH}, {device.type}"
    table = Table("network", *STRATEGIES, "chosen", title=title)
    for name, images in NETWORKS.items():
        network, parameters, buffers = initialise(partial(models.build, name, images), range(COPIES), device)
        inputs = torch.randn(COPIES, BATCH, *images.shape, device=device)
        labels = torch.randint(0, images.classes, (COPIES, BATCH), device=device)
        passes: dict[str, Callable[[], object]] = {}
        for strategy in STRATEGIES if split_prefix(network) else STRATEGIES[1:]:
            stack = Stack(network, COPIES, device, strategy=strategy)
            passes[strategy] = partial(stack.gradients, parameters, buffers, inputs, labels)
        shown = {name: f"{1e3 * seconds / COPIES:.2f}" for name, seconds in medians(passes, ROUNDS, 0.5).items()}
        cells = (shown.get(strategy, "") for strategy in STRATEGIES)
        table.add_row(name, *cells, choose_strategy(network, device, "float32"))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    with one_line_errors():
        main()

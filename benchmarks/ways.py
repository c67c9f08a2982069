"""`python -m benchmarks.ways`: the ways to run a stack, per architecture, on this device (decision 0003)."""

from __future__ import annotations

import statistics
from functools import partial

import torch
from rich.console import Console
from rich.table import Table

from assay import models
from assay.data.sets.images import Images
from assay.foundation import runtime
from assay.foundation.errors import one_line_errors
from assay.training.stack import Stack, initialise
from assay.training.stack.dense import split_prefix
from assay.training.stack.ways import Way, way_to_run
from benchmarks.engine import seconds_a_step

GREY, COLOUR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)
NETWORKS = {
    "linear": GREY,
    "lenet_300_100": GREY,
    "trajectory_cnn": GREY,
    "conv_2": COLOUR,
    "resnet_20": COLOUR,
}
WAYS: tuple[Way, ...] = ("dense", "folded", "sliced")
COPIES, BATCH, ROUNDS = 5, 60, 5


def main() -> None:
    """Measure a forward and backward pass of five copies in each way, in turn."""
    device = runtime.set_up()
    title = f"milliseconds a copy for a forward and backward pass: {COPIES} copies, batch {BATCH}, {device.type}"
    table = Table("network", *WAYS, "chosen", title=title)
    for name, images in NETWORKS.items():
        network, parameters, buffers = initialise(partial(models.build, name, images), range(COPIES), device)
        inputs = torch.randn(COPIES, BATCH, *images.shape, device=device)
        labels = torch.randint(0, images.classes, (COPIES, BATCH), device=device)
        ways = WAYS if split_prefix(network) else WAYS[1:]
        passes = {
            way: partial(Stack(network, COPIES, device, way=way).gradients, parameters, buffers, inputs, labels)
            for way in ways
        }
        steps = max(2, int(0.5 / seconds_a_step(passes["sliced"], 2)))
        rounds = [{way: seconds_a_step(step, steps) for way, step in passes.items()} for _ in range(ROUNDS)]
        medians = {way: 1e3 * statistics.median(each[way] for each in rounds) / COPIES for way in ways}
        cells = (f"{medians[way]:.2f}" if way in medians else "" for way in WAYS)
        table.add_row(name, *cells, way_to_run(network, device, "float32"))
    Console(highlight=False).print(table)


if __name__ == "__main__":
    with one_line_errors():
        main()

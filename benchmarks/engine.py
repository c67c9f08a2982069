"""Speed of the engine, measured in this process: `python -m benchmarks.engine strategies | sampler [ARM]`.

`strategies` compares the ways to run a stack (decision 0003), `sampler` the forward samples of an arm of trajectory
sampling with a large matrix product. `benchmarks.rivals` sets stacks beside the loops that others write.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.table import Table

from assay import methods, models
from assay.core import config, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.data.sets import prepared
from assay.data.sets.images import Images
from assay.engine.context import TrainContext
from assay.engine.stack import Stack, Strategy, choose_strategy, initialise
from assay.engine.stack.layers import split_prefix
from assay.methods.trajectory import TrajectoryUpdate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assay.engine.step_rule import StepRule

ROUNDS, BATCH = 5, 60
PREPARED = Path("data/prepared")
GREY, COLOUR = Images(1, 28, 28, 10), Images(3, 32, 32, 10)
NETWORKS = {"linear": GREY, "lenet_300_100": GREY, "trajectory_cnn": GREY, "conv_2": COLOUR, "resnet_20": COLOUR}
STRATEGIES: tuple[Strategy, ...] = ("dense", "folded", "sliced")
WARM_UP, SWEEPS, SAMPLER_ROUNDS = 20, 4, 10


def seconds_a_step(step: Callable[[], object], steps: int) -> float:
    """Mean seconds of `steps` calls; on a GPU until it has done what it was given."""
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return (time.perf_counter() - start) / steps


def medians(steps: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, float]:
    """Median seconds of a call of each, measured in turn, for about so many seconds a round."""
    calls = {name: max(2, int(seconds / seconds_a_step(step, 3))) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            step()  # the caches hold what it needs
            times[name].append(seconds_a_step(step, calls[name]))
    return {name: statistics.median(own) for name, own in times.items()}


def matrix_product_rate(device: torch.device) -> float:
    """Floating-point operations a second of a device's large matrix product in float32, the mean of three."""
    size = 2048 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device) for _ in range(2))
    return 2 * size**3 / seconds_a_step(lambda: left @ right, 3)


def update_of(run: config.Run) -> StepRule:
    """A training at its start, on the prepared data."""
    return methods.make_update(TrainContext(run, prepared.load(PREPARED, runtime.set_up(), ("train", "validation"))))


def strategies() -> Table:
    """Measure a forward and backward pass of five copies in each strategy, in turn."""
    device, copies = runtime.set_up(), 5
    title = f"milliseconds a copy for a forward and backward pass: {copies} copies, batch {BATCH}, {device.type}"
    table = Table("network", *STRATEGIES, "chosen", title=title)
    for name, images in NETWORKS.items():
        network, parameters, buffers = initialise(partial(models.build, name, images), range(copies), device)
        inputs = torch.randn(copies, BATCH, *images.shape, device=device)
        labels = torch.randint(0, images.classes, (copies, BATCH), device=device)
        passes: dict[str, Callable[[], object]] = {}
        for strategy in STRATEGIES if split_prefix(network) else STRATEGIES[1:]:
            stack = Stack(network, copies, device, strategy=strategy)
            passes[strategy] = partial(stack.gradients, parameters, buffers, inputs, labels)
        seconds = medians(passes, ROUNDS, 0.5)
        cells = (f"{1e3 * seconds[one] / copies:.2f}" if one in seconds else "" for one in STRATEGIES)
        table.add_row(name, *cells, choose_strategy(network, device, "float32"))
    return table


def sampler(arm: str) -> dict[str, float]:
    """Sweep an arm of params.yaml from its start, in turn with a large matrix product; medians over the rounds.

    An operation is a floating-point one, two for each weight and forward sample.
    """
    device = runtime.set_up()
    update = update_of(config.load().run(arm))
    if not isinstance(update, TrajectoryUpdate):
        raise AssayError(f"arms.{arm}: not an arm of the method trajectory")
    numbers, samples = count(), partial(update.counters.of, "forward_samples")
    seconds_a_step(lambda: update.step(next(numbers)), WARM_UP)
    operations = 2 * sum(update.network.get_parameter(name).numel() for name in models.weight_names(update.network))
    rates, shares = [], []
    for _ in range(SAMPLER_ROUNDS):
        ceiling, before = matrix_product_rate(device), samples()
        seconds = SWEEPS * seconds_a_step(lambda: update.step(next(numbers)), SWEEPS)
        rates.append(int((samples() - before).sum()) / seconds)
        shares.append(operations * rates[-1] / ((ceiling + matrix_product_rate(device)) / 2))
    return {
        "forward samples a second": round(statistics.median(rates)),
        "operations a forward sample": operations,
        "share of the ceiling": round(statistics.median(shares), 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["strategies", "sampler"])
    parser.add_argument("arm", nargs="?", default="trajectory", help="of the sampler (%(default)s)")
    given = parser.parse_args()
    with one_line_errors():
        if given.what == "strategies":
            Console(highlight=False).print(strategies())
        else:
            print(json.dumps(sampler(given.arm)))

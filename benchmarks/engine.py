"""Speed of the engine, measured in this process: `python -m benchmarks.engine contenders | strategies | sampler [ARM]`.

`contenders` takes our stacks of networks and a plain loop in turn, and prints JSON. `make bench` starts it several
times: where a process's memory lies and on which cores it runs moves a ratio by a tenth, in one process this way and in
the next one that. `strategies` compares the ways to run a stack (decision 0003), `sampler` the forward samples of an
arm of trajectory sampling with a large matrix product.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from itertools import chain, count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.utils.data import DataLoader

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
    from collections.abc import Callable, Mapping, Sequence

    from assay.engine.step_rule import StepRule

ROUNDS, COPIES, BATCH = 5, (1, 5, 10), 60
PLAIN = "plain loop"
PREPARED, RAW = Path("data/prepared"), Path("data/raw")
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


def stack_step(copies: int, **changes: object) -> Callable[[], object]:
    """A step of our stack of so many copies, everything included: sampling, gathering, gradients, update, counters.

    `changes` to the baseline's run make it another method's, or another network's.
    """
    run = config.load().run(config.BASELINE)
    update = update_of(run.model_copy(update={"seeds": tuple(range(copies)), **changes}))
    numbers = count()
    return lambda: update.step(next(numbers))


def plain_step(root: str, workers: int, device: torch.device) -> Callable[[], None]:
    """A step of the reference, one network as most people train it: torchvision's MNIST in `root`, DataLoader, Adam."""
    from torchvision import datasets, transforms

    to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    data = datasets.MNIST(root, train=True, transform=to_input)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers)
    batches = chain.from_iterable(cycle([loader]))  # an epoch after another, each shuffled anew
    layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
    network = nn.Sequential(*layers).to(device)  # LeNet-300-100
    optimizer = torch.optim.Adam(network.parameters(), lr=1.2e-3)

    def step() -> None:
        images, labels = (tensor.to(device) for tensor in next(batches))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def contenders() -> dict[str, dict[str, list[float]]]:
    """By contender and round: `seconds` a step and copy, and the `ceiling`, operations a second of a matrix product."""
    device = runtime.set_up()
    with tempfile.TemporaryDirectory() as root:
        place = Path(root, "MNIST", "raw")
        place.parent.mkdir()
        place.symlink_to(RAW.resolve(), target_is_directory=True)
        steps = {
            PLAIN: (plain_step(root, 0, device), 20, 1),
            f"{PLAIN}, 2 workers": (plain_step(root, 2, device), 20, 1),
            **{f"stack of {copies}": (stack_step(copies), 200 // copies, copies) for copies in COPIES},
        }
        for step, number, _ in steps.values():
            seconds_a_step(step, number // 4)
        found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "ceiling": []} for name in steps}
        for _ in range(ROUNDS):
            for name, (step, number, copies) in steps.items():
                before = matrix_product_rate(device)
                seconds_a_step(step, 2)  # a training meets caches that hold its own data, not the contender's before
                found[name]["seconds"].append(seconds_a_step(step, number) / copies)
                found[name]["ceiling"].append((before + matrix_product_rate(device)) / 2)
    return found


def summarise(processes: Sequence[dict[str, dict[str, list[float]]]], operations: int) -> dict[str, dict[str, Any]]:
    """A row for each contender: medians over the rounds of all processes, and the range of the processes' medians.

    `operations` are those of a step of one network.
    """

    def of(name: str, key: str) -> Any:  # (process, round)
        return np.array([found[name][key] for found in processes])

    table = {}
    for name in processes[0]:
        seconds = of(name, "seconds")
        row: dict[str, Any] = {"milliseconds a step and copy": round(float(np.median(1e3 * seconds)), 3)}
        for key, ratios, digits in (
            ("times faster than plain", of(PLAIN, "seconds") / seconds, 2),
            ("share of the ceiling", operations / seconds / of(name, "ceiling"), 3),
        ):
            own = np.median(ratios, axis=1)
            row[key] = round(float(np.median(ratios)), digits)
            row[f"{key}, by process"] = [round(float(end), digits) for end in (own.min(), own.max())]
        table[name] = row
    return table


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
    parser.add_argument("what", choices=["contenders", "strategies", "sampler"])
    parser.add_argument("arm", nargs="?", default="trajectory", help="of the sampler (%(default)s)")
    given = parser.parse_args()
    with one_line_errors():
        if given.what == "strategies":
            Console(highlight=False).print(strategies())
        else:
            print(json.dumps(sampler(given.arm) if given.what == "sampler" else contenders()))

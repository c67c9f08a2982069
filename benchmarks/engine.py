"""`python -m benchmarks.engine`: our stacks of networks and a plain loop in turn, in this process; prints JSON.

`make bench` starts it several times: where a process's memory lies and on which cores it runs moves a ratio by a tenth,
in one process this way and in the next one that.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from itertools import chain, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from assay import methods
from assay.core import config, runtime
from assay.core.errors import one_line_errors
from assay.data.sets import prepared
from assay.engine.context import TrainContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.engine.step_rule import StepRule

ROUNDS, COPIES, BATCH = 5, (1, 5, 10), 60
PLAIN = "plain loop"
PREPARED, RAW = Path("data/prepared"), Path("data/raw")


def lenet() -> nn.Module:
    """LeNet-300-100 as a plain module."""
    layers = [nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)]
    return nn.Sequential(*layers)


def plain_step(root: Path, workers: int, device: torch.device) -> Callable[[], None]:
    """A step of the reference, one network as most people train it: torchvision's MNIST, a DataLoader, Adam.

    In `root` the data set is laid out as torchvision wants it.
    """
    from torchvision import datasets, transforms

    place = root / "MNIST" / "raw"
    if not place.exists():
        place.parent.mkdir(parents=True)
        place.symlink_to(RAW.resolve(), target_is_directory=True)
    to_input = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))])
    data = datasets.MNIST(root, train=True, transform=to_input)
    loader = DataLoader(data, batch_size=BATCH, shuffle=True, num_workers=workers)
    batches = chain.from_iterable(cycle([loader]))  # an epoch after another, each shuffled anew
    network = lenet().to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1.2e-3)

    def step() -> None:
        images, labels = (tensor.to(device) for tensor in next(batches))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()

    return step


def step_operations(batch_size: int) -> int:
    """Floating-point operations of one forward and one backward pass, by PyTorch's own counter."""
    counter = FlopCounterMode(display=False)
    with counter:
        lenet()(torch.zeros(batch_size, 1, 28, 28)).sum().backward()
    return counter.get_total_flops()


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
    """A training at its start, on the prepared data.

    Raises:
        AssayError: an option of the run is wrong, or the data is missing.
    """
    return methods.make_update(TrainContext(run, prepared.load(PREPARED, runtime.set_up(), ("train", "validation"))))


def stack_step(copies: int, **changes: object) -> Callable[[], object]:
    """A step of our stack of so many copies, everything included: sampling, gathering, gradients, update, counters.

    `changes` to the baseline's run make it another method's, or another network's.
    """
    run = config.load().run(config.BASELINE)
    update = update_of(run.model_copy(update={"seeds": tuple(range(copies)), **changes}))
    counter = iter(range(sys.maxsize))
    return lambda: update.step(next(counter))


def measure() -> dict[str, dict[str, list[float]]]:
    """Every contender once a round.

    Returns:
        By contender and round: `seconds` a step and copy, and the `ceiling`, operations a second of a large matrix
        product right before and after.
    """
    device = runtime.set_up()
    with tempfile.TemporaryDirectory() as root:
        contenders = {
            PLAIN: (plain_step(Path(root), 0, device), 20, 1),
            f"{PLAIN}, 2 workers": (plain_step(Path(root), 2, device), 20, 1),
            **{f"stack of {copies}": (stack_step(copies), 200 // copies, copies) for copies in COPIES},
        }
        for step, steps, _ in contenders.values():
            seconds_a_step(step, steps // 4)
        found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "ceiling": []} for name in contenders}
        for _ in range(ROUNDS):
            for name, (step, steps, copies) in contenders.items():
                before = matrix_product_rate(device)
                seconds_a_step(step, 2)  # a training meets caches that hold its own data, not the contender's before
                found[name]["seconds"].append(seconds_a_step(step, steps) / copies)
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
            medians = np.median(ratios, axis=1)
            row[key] = round(float(np.median(ratios)), digits)
            row[f"{key}, by process"] = [round(float(end), digits) for end in (medians.min(), medians.max())]
        table[name] = row
    return table


if __name__ == "__main__":
    with one_line_errors():
        print(json.dumps(measure()))

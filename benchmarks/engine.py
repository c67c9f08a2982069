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
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import methods
from assay.core import config, runtime
from assay.core.errors import one_line_errors
from assay.data.sets import prepared
from assay.engine.context import TrainContext
from benchmarks.plain import PlainLoop, finish, matrix_product_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROUNDS, COPIES, BATCH = 5, (1, 5, 10), 60
PLAIN = "plain loop"
PREPARED, RAW = Path("data/prepared"), Path("data/raw")


def seconds_a_step(step: Callable[[], object], steps: int) -> float:
    """Mean seconds of `steps` calls."""
    finish()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    finish()
    return (time.perf_counter() - start) / steps


def stack_step(copies: int, **changes: object) -> Callable[[], object]:
    """A step of our stack of so many copies, everything included: sampling, gathering, gradients, update, counters.

    `changes` to the baseline's run make it another method's, or another network's.
    """
    baseline = config.load().run(config.BASELINE)
    run = baseline.model_copy(update={"seeds": tuple(range(copies)), **changes})
    data = prepared.load(PREPARED, runtime.set_up(), ("train", "validation"))
    update = methods.make_update(TrainContext(run, data))
    counter = iter(range(sys.maxsize))
    return lambda: update.step(next(counter))


def measure(rounds: int = ROUNDS) -> dict[str, dict[str, list[float]]]:
    """Every contender once a round.

    Returns:
        By contender and round: `seconds` a step and copy, and the `ceiling`, operations a second of a large matrix
        product right before and after.
    """
    device = runtime.set_up()
    with tempfile.TemporaryDirectory() as root:
        contenders = {
            PLAIN: (PlainLoop(RAW, Path(root), BATCH, 0, device).step, 20, 1),
            f"{PLAIN}, 2 workers": (PlainLoop(RAW, Path(root), BATCH, 2, device).step, 20, 1),
            **{f"stack of {copies}": (stack_step(copies), 200 // copies, copies) for copies in COPIES},
        }
        for step, steps, _ in contenders.values():
            seconds_a_step(step, steps // 4)
        found: dict[str, dict[str, list[float]]] = {name: {"seconds": [], "ceiling": []} for name in contenders}
        for _ in range(rounds):
            for name, (step, steps, copies) in contenders.items():
                before = matrix_product_rate(device)
                seconds_a_step(step, 2)  # a training meets caches that hold its own data, not the contender's before
                found[name]["seconds"].append(seconds_a_step(step, steps) / copies)
                found[name]["ceiling"].append((before + matrix_product_rate(device)) / 2)
    return found


def summarise(processes: Sequence[dict[str, dict[str, list[float]]]], operations: int) -> dict[str, dict[str, Any]]:
    """A row for each contender: medians over the rounds of all processes, and how far the processes lie apart.

    Args:
        processes: what `measure` gave in each.
        operations: of a step of one network.
    """
    table = {}
    for name in processes[0]:
        faster = [ratios(found[PLAIN]["seconds"], found[name]["seconds"]) for found in processes]
        rates = [[operations / seconds for seconds in found[name]["seconds"]] for found in processes]
        shares = [ratios(own, found[name]["ceiling"]) for own, found in zip(rates, processes, strict=True)]
        milliseconds = [1e3 * seconds for found in processes for seconds in found[name]["seconds"]]
        table[name] = {
            "milliseconds a step and copy": round(statistics.median(milliseconds), 3),
            "times faster than plain": round(statistics.median(chain.from_iterable(faster)), 2),
            "times faster than plain, by process": _spread(faster, 2),
            "share of the ceiling": round(statistics.median(chain.from_iterable(shares)), 3),
            "share of the ceiling, by process": _spread(shares, 3),
        }
    return table


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Round by round."""
    return [numerator / denominator for numerator, denominator in zip(numerators, denominators, strict=True)]


def _spread(values: Sequence[Sequence[float]], digits: int) -> list[float]:
    """The least and the largest of the processes' medians."""
    medians = [statistics.median(own) for own in values]
    return [round(min(medians), digits), round(max(medians), digits)]


if __name__ == "__main__":
    with one_line_errors():
        print(json.dumps(measure()))

"""`python -m benchmarks.sampler [ARM]`: forward samples a second of trajectory sampling, and the share of the ceiling.

The ceiling is a large matrix product on the same machine.
"""

from __future__ import annotations

import sys
from itertools import count
from statistics import median

from rich.console import Console

from assay import models
from assay.core import config, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.methods.trajectory import TrajectoryUpdate
from benchmarks.engine import matrix_product_rate, seconds_a_step, update_of

WARM_UP, SWEEPS, ROUNDS = 20, 4, 10


def measure(arm: str = "trajectory") -> dict[str, float]:
    """Sweep an arm of params.yaml from its start, in turn with a large matrix product; medians over the rounds.

    Returns:
        Forward samples a second, floating-point operations a forward sample (two for each weight), and the share of
        the ceiling that they come to.

    Raises:
        AssayError: the arm is not of the method `trajectory`.
    """
    device = runtime.set_up()
    update = update_of(config.load().run(arm))
    if not isinstance(update, TrajectoryUpdate):
        raise AssayError(f"arms.{arm}: not an arm of the method trajectory")
    numbers = count()
    seconds_a_step(lambda: update.step(next(numbers)), WARM_UP)
    operations = 2 * sum(update.network.get_parameter(name).numel() for name in models.weight_names(update.network))
    rates, shares = [], []
    for _ in range(ROUNDS):
        ceiling, samples = matrix_product_rate(device), int(update.counters.of("forward_samples").sum())
        seconds = SWEEPS * seconds_a_step(lambda: update.step(next(numbers)), SWEEPS)
        rates.append((int(update.counters.of("forward_samples").sum()) - samples) / seconds)
        shares.append(operations * rates[-1] / ((ceiling + matrix_product_rate(device)) / 2))
    return {
        "forward samples a second": round(median(rates)),
        "operations a forward sample": operations,
        "share of the ceiling": round(median(shares), 3),
    }


if __name__ == "__main__":
    with one_line_errors():
        for name, value in measure(*sys.argv[1:2]).items():
            Console(highlight=False).print(f"{name}: {value:,}")

"""`python -m benchmarks.sampler`: forward samples a second of trajectory sampling, and their share of the ceiling.

The ceiling is a large matrix product on the same machine.
"""

from __future__ import annotations

import statistics
import sys
import time
from itertools import count

from rich.console import Console

from assay import models
from assay.core import config, runtime
from assay.core.errors import AssayError, one_line_errors
from assay.methods.trajectory.chain import TrajectoryUpdate
from benchmarks.engine import finish, matrix_product_rate, update_of

ARM, WARM_UP, SWEEPS, ROUNDS = "trajectory", 20, 4, 10


def measure(arm: str = ARM, sweeps: int = SWEEPS, rounds: int = ROUNDS) -> dict[str, float]:
    """Sweep an arm of params.yaml from its start, in turn with a large matrix product.

    Args:
        arm: one of the method `trajectory`.
        sweeps: of a round.
        rounds: how many; the figures are medians over them.

    Returns:
        Forward samples a second, floating-point operations a forward sample (two for each weight), and the share of
        the ceiling that they come to.

    Raises:
        AssayError: the arm is of another method.
    """
    device = runtime.set_up()
    update = update_of(config.load().run(arm))
    if not isinstance(update, TrajectoryUpdate):
        raise AssayError(f"arms.{arm}: not an arm of the method trajectory")
    numbers = count()
    for _ in range(WARM_UP):
        update.step(next(numbers))
    operations = 2 * sum(update.network.get_parameter(name).numel() for name in models.weight_names(update.network))
    rates, shares = [], []
    for _ in range(rounds):
        ceiling = matrix_product_rate(device)
        samples, start = update.counters.of("forward_samples").sum(), time.perf_counter()
        for _ in range(sweeps):
            update.step(next(numbers))
        finish()
        rate = int(update.counters.of("forward_samples").sum() - samples) / (time.perf_counter() - start)
        rates.append(rate)
        shares.append(operations * rate / ((ceiling + matrix_product_rate(device)) / 2))
    return {
        "forward samples a second": round(statistics.median(rates)),
        "operations a forward sample": operations,
        "share of the ceiling": round(statistics.median(shares), 3),
    }


if __name__ == "__main__":
    with one_line_errors():
        console = Console(highlight=False)
        for name, value in measure(sys.argv[1] if len(sys.argv) > 1 else ARM).items():
            console.print(f"{name}: {value:,}")

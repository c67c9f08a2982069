"""How the time to all verdicts falls with the number of nodes: `python -m benchmarks.scale`.

A model of the scheduler, fed with the measured times of the default's trainings (`metrics/timings.json`): units start
longest first on the node that is free first, a chain of pruning rounds is one unit, a unit costs `OVERHEAD` beside its
training, and the head's own part is serial. What is not training is assumed. Writes benchmarks/scale.json, which
docs/scale.md shows.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import config, files
from assay.core.config import BASELINE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS, TIMINGS = Path("benchmarks/scale.json"), Path("metrics/timings.json")
NODES, SLOTS = (1, 2, 4, 8, 16, 32, 64), 2  # units that a node runs at a time: the timings are of two side by side
BLOCKS = {10: (1.0,), 20: (1.0, 1.0), 40: (1.0, 1.0, 2.0)}  # by seeds, the blocks of 10 and 20 that they come in
OVERHEAD = 3.0  # seconds of a unit's own, assumed: pulling, starting, pushing
HEAD, HEAD_STAGE = 60.0, 0.4  # the head's own seconds, assumed: in all, and to restore each stage


def makespan(units: Sequence[float], slots: int) -> float:
    """When the last of the units ends, each of so many seconds, that start longest first on `slots` places."""
    free = [0.0] * min(slots, max(1, len(units)))
    for seconds in sorted(units, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def units_of(seconds: Mapping[str, float], rounds: Sequence[str], times: float) -> list[float]:
    """The units of a block: each arm's own, and the baseline with all pruning rounds; `times` as many seeds as base."""
    chain = [BASELINE, *rounds]
    alone = [OVERHEAD + times * one for arm, one in seconds.items() if arm not in chain]
    return [OVERHEAD + times * sum(seconds[arm] for arm in chain), *alone]


def minutes(units: Sequence[float], nodes: int) -> float:
    """How long all these units take with the head's part around them, which restores two stages of each."""
    return (makespan(units, nodes * SLOTS) + HEAD + HEAD_STAGE * 2 * len(units)) / 60


def measure() -> dict[str, Any]:
    """Minutes to all verdicts, by number of nodes: with all seeds at once, and look by look."""
    params, timings = config.load(), files.read_json(TIMINGS)
    runs = [run.arm for run in params.runs()]
    seconds = {arm: timings[arm]["seconds"] + timings[arm]["start_up_seconds"] for arm in runs}
    rounds = list(params.lottery.names)
    base = len(params.runs()[0].seeds)
    table = []
    for nodes in NODES:
        row: dict[str, Any] = {"nodes": nodes}
        for seeds, parts in BLOCKS.items():
            looks = [units_of(seconds, rounds, times) for times in parts]
            row[f"{seeds} seeds"] = round(minutes([one for look in looks for one in look], nodes), 1)
        row["look by look"] = round(sum(minutes(look, nodes) for look in looks), 1)
        table.append(row)
    chain = sum(seconds[arm] for arm in (BASELINE, *rounds))
    return {
        "seeds of a block": base,
        "units of a block": len(units_of(seconds, rounds, 1)),
        "training, minutes of a processor": {
            str(seeds): round(sum(parts) * sum(seconds.values()) / 60, 1) for seeds, parts in BLOCKS.items()
        },
        "longest unit, minutes": {str(seeds): round(max(parts) * chain / 60, 1) for seeds, parts in BLOCKS.items()},
        "slots of a node": SLOTS,
        "minutes": table,
    }


if __name__ == "__main__":
    files.write_json(RESULTS, measure(), depth=3)

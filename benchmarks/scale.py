"""How the time to all verdicts falls with the number of nodes: `python -m benchmarks.scale`.

A model of the scheduler, fed with the measured times of the default's trainings (`metrics/timings.json`): units start
longest first on the node that is free first, a chain of pruning rounds is one unit, a unit costs `OVERHEAD` beside its
training, and the head's own part is serial. It writes benchmarks/scale.json, which docs/scale.md shows.
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
LOOKS = (10, 20, 40)  # seeds
OVERHEAD = 3.0  # seconds of a unit's own: pulling, starting, pushing; measured below that (docs/scale.md)
HEAD_BEFORE, HEAD_AFTER, HEAD_STAGE = 15.0, 45.0, 0.4  # seconds: check and prepare; compare and track; a stage restored


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


def head(units: int, stages: int) -> float:
    """The head's own seconds around so many units; `stages` of them in each on the mean."""
    return HEAD_BEFORE + HEAD_AFTER + HEAD_STAGE * units * stages


def measure() -> dict[str, Any]:
    """Minutes to all verdicts, by number of nodes: with all seeds at once, and look by look."""
    params, timings = config.load(), files.read_json(TIMINGS)
    runs = [run.arm for run in params.runs()]
    seconds = {arm: timings[arm]["seconds"] + timings[arm]["start_up_seconds"] for arm in runs}
    rounds = list(params.lottery.names)
    base = len(params.runs()[0].seeds)
    blocks = {10: [1.0], 20: [1.0, 1.0], 40: [1.0, 1.0, 2.0]}
    table = []
    for nodes in NODES:
        row: dict[str, Any] = {"nodes": nodes}
        for seeds, parts in blocks.items():
            units = [one for times in parts for one in units_of(seconds, rounds, times)]
            row[f"{seeds} seeds"] = round((makespan(units, nodes * SLOTS) + head(len(units), 2)) / 60, 1)
        looks = [units_of(seconds, rounds, times) for times in blocks[LOOKS[-1]]]
        row["look by look"] = round(sum(makespan(one, nodes * SLOTS) + head(len(one), 2) for one in looks) / 60, 1)
        table.append(row)
    chain = sum(seconds[arm] for arm in (BASELINE, *rounds))
    return {
        "seeds of a block": base,
        "units of a block": len(units_of(seconds, rounds, 1)),
        "training, minutes of a processor": {
            str(seeds): round(sum(parts) * sum(seconds.values()) / 60, 1) for seeds, parts in blocks.items()
        },
        "longest unit, minutes": {str(seeds): round(max(parts) * chain / 60, 1) for seeds, parts in blocks.items()},
        "slots of a node": SLOTS,
        "minutes": table,
    }


if __name__ == "__main__":
    files.write_json(RESULTS, measure(), depth=3)

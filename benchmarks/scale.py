"""How the time to all verdicts falls with the number of nodes: `python -m benchmarks.scale`.

A model of the scheduler, fed with the measured times of the default's trainings (`metrics/timings.json`) and of what a
cluster takes beside them (`benchmarks/ray_overhead.json`): units start longest first on the node that is free first, a
chain of pruning rounds is one unit, and the head's own part is serial. Writes benchmarks/scale.json, of which
`assay readme` makes the table in docs/scale.md.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.core import config, files
from assay.core.config import BASELINE
from benchmarks.ray_overhead import RESULTS as OVERHEAD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RESULTS, TIMINGS = Path("benchmarks/scale.json"), Path("metrics/timings.json")
NODES, SLOTS = (1, 2, 4, 8, 16, 32, 64), 2  # units that a node runs at a time: the timings are of two side by side
BLOCKS = {10: (1.0,), 20: (1.0, 1.0), 40: (1.0, 1.0, 2.0)}  # by seeds, the blocks of 10 and 20 that they come in


class Overhead(NamedTuple):
    """Seconds beside the trainings, as measured."""

    unit: float  # of each unit: pulling, starting, pushing
    evaluation: float  # of each run, for the seeds of the first block
    stage: float  # the head's, to restore one
    head: float  # the head's, before the first unit starts and after all results are restored


def makespan(units: Sequence[float], slots: int) -> float:
    """When the last of the units ends, each of so many seconds, that start longest first on `slots` places."""
    free = [0.0] * min(slots, max(1, len(units)))
    for seconds in sorted(units, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def units_of(seconds: Mapping[str, float], rounds: Sequence[str], times: float, overhead: Overhead) -> list[float]:
    """The units of a block: each arm's own, and the baseline with all pruning rounds; `times` as many seeds as base."""
    own = {arm: times * (one + overhead.evaluation) for arm, one in seconds.items()}
    chain = [BASELINE, *rounds]
    return [overhead.unit + sum(own.pop(arm) for arm in chain), *(overhead.unit + one for one in own.values())]


def minutes(units: Sequence[float], stages: int, nodes: int, overhead: Overhead) -> float:
    """How long all these units take on so many nodes, with the head's part around them, which restores `stages`."""
    return (makespan(units, nodes * SLOTS) + overhead.head + overhead.stage * stages) / 60


def measure() -> dict[str, Any]:
    """Minutes to all verdicts, by number of nodes: with all seeds at once, and look by look."""
    params, timings, beside = config.load(), files.read_json(TIMINGS), files.read_json(OVERHEAD)
    unit, head = beside["units"], beside["head"]
    overhead = Overhead(
        unit["seconds from unit to unit, beyond the second"],
        head["an evaluation, seconds"],
        head["a stage restored, seconds"],
        unit["first unit, seconds"] + head["compare and track, seconds"],
    )
    runs = [run.arm for run in params.runs()]
    seconds = {arm: timings[arm]["seconds"] + timings[arm]["start_up_seconds"] for arm in runs}
    rounds, stages = list(params.lottery.names), 2 * len(runs)
    looks = {seeds: [units_of(seconds, rounds, times, overhead) for times in parts] for seeds, parts in BLOCKS.items()}
    table = []
    for nodes in NODES:
        row: dict[str, Any] = {"nodes": nodes}
        for seeds, parts in looks.items():
            units = [one for part in parts for one in part]
            row[f"{seeds} seeds"] = round(minutes(units, stages * len(parts), nodes, overhead), 1)
        row["look by look"] = round(sum(minutes(part, stages, nodes, overhead) for part in looks[max(looks)]), 1)
        table.append(row)
    return {
        "seeds of a block": len(params.runs()[0].seeds),
        "units of a block": len(looks[10][0]),
        "overhead, seconds": overhead._asdict(),
        "training, minutes of a processor": {
            str(seeds): round(sum(parts) * sum(seconds.values()) / 60, 1) for seeds, parts in BLOCKS.items()
        },
        "longest unit, minutes": {str(seeds): round(max(map(max, parts)) / 60, 1) for seeds, parts in looks.items()},
        "slots of a node": SLOTS,
        "minutes": table,
    }


if __name__ == "__main__":
    files.write_json(RESULTS, measure(), depth=3)

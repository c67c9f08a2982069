"""`assay decide`: train the blocks of seeds that undecided claims lack for their next look, as long as the time lasts.

It can be stopped and started at will: what it decided to train stands in seeds.yaml, and DVC knows what is done.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from assay.analysis import claims
from assay.analysis.claims import PATH
from assay.cli.costing import Costing
from assay.cli.repro import at_a_time, check_changes, costs, reproduce
from assay.core import config, files
from assay.core.config import BASELINE, SEEDS_FILE, round_name, split_variant
from assay.core.config.blocks import ROUND, TUNED, canonical, read_blocks
from assay.core.errors import AssayError
from assay.pipeline import plan
from assay.pipeline.plan import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.analysis.claims import ClaimRecord
    from assay.core.config import Blocks, Params, Run
    from assay.pipeline.plan import Cost

AT_ONCE = 0.5  # of the time left: what is begun together, so that estimates that are half wrong still keep to it


def main(minutes: float, dry: bool, on: str) -> None:
    """Run the pipeline, then take looks until each claim is decided or the time is over; `dry` prints the plan."""
    root = Path.cwd()
    jobs = cache(partial(at_a_time, root, on))

    def look() -> tuple[list[Open], Blocks, Deciding]:
        params, blocks = config.load(), read_blocks()
        deciding = Deciding(params, Costing(root, params).of, jobs())
        return deciding.open(_records(), blocks), blocks, deciding

    if dry:
        stale = plan.make(root, costs=costs)
        if stale.steps or None in stale.missing.values():
            print(f"First the pipeline: {plan.headline(stale)}.\n")
        print(_plan(*look()[:2]))
        return
    check_changes()
    reproduce(root, on)
    end = time.monotonic() + 60 * minutes
    before = {one.id: one.verdict for one in _records()}
    while True:
        found, blocks, deciding = look()
        left = end - time.monotonic()
        together, taken = deciding.chosen(found, blocks, left)
        if not taken:
            break
        names = sorted(together.seeds.keys() - blocks.seeds.keys())
        print(f"{_plan(found, blocks)}\n\n{duration(left)} are left. Now, in about", end=" ")
        print(f"{duration(deciding.seconds(together, blocks))}: {', '.join(one.record.id for one in taken)}")
        print(f"Further seeds: {', '.join(names)}", flush=True)
        files.write_text(SEEDS_FILE, together.text())
        reproduce(root, on)
    lines = decided(before, _records())
    print("\n".join([f"\nDecided now: {len(lines)}", *(f"  {line}" for line in lines)]))
    print(_plan(found, blocks))


def _records() -> list[ClaimRecord]:
    return claims.read(PATH) if PATH.is_file() else []


def _plan(found: list[Open], blocks: Blocks) -> str:
    if not found:
        return "No claim is undecided." if PATH.is_file() else "No claim was decided yet: `make repro` does that."
    have = f"; {len(blocks.seeds)} blocks of further seeds are listed in {SEEDS_FILE}" if blocks.seeds else ""
    return f"Undecided: {len(found)}{have}\n{table(found)}"


@dataclass(frozen=True)
class Open:
    """An undecided claim, and what more seeds of its arms would take."""

    record: ClaimRecord
    arms: Sequence[str]
    have: int  # the seeds that its arms have in common
    look: int | None = None  # the next number of seeds at which it may be decided; None after the last
    seconds: float = 0.0  # of training up to the next look
    seconds_to_target: float = 0.0  # up to the look at which its forecast says that it is decided, else the last
    obstacle: str = ""  # why no seeds can be added


class Deciding:
    """The undecided claims of a params.yaml and how to go on with them.

    `cost` gives that of a training, None where it is not known; `jobs` is how many trainings run side by side.
    """

    def __init__(self, params: Params, cost: Callable[[Run], Cost | None], jobs: int) -> None:
        self._params, self._cost, self._jobs = params, cost, jobs
        self._runs = {run.arm: run for run in params.runs()}

    def open(self, records: Sequence[ClaimRecord], blocks: Blocks) -> list[Open]:
        """The undecided claims, the cheapest first; those that no number of seeds is likely to decide after all."""
        arms = {claim.id: [split_variant(name)[0] for name in claim.arms.values()] for claim in self._params.claims}

        def order(one: Open) -> tuple[bool, float]:
            forecast = one.record.forecast
            hopeless = forecast is not None and (forecast.seeds is None or forecast.test_examples is not None)
            return hopeless, one.seconds_to_target

        undecided = [one for one in records if one.verdict == "undecided" and arms.get(one.id)]
        return sorted((self._open(one, arms[one.id], blocks) for one in undecided), key=order)

    def _open(self, record: ClaimRecord, arms: Sequence[str], blocks: Blocks) -> Open:
        have = min(blocks.total(self._runs[arm]) for arm in arms)
        later = [look for look in self._params.rule.looks if look > have]
        if not later:
            return Open(record, arms, have, obstacle="undecided after the last look")
        named = record.forecast.seeds if record.forecast else later[0]
        looks = (later[0], named if named in later else later[-1])
        try:
            following, in_all = (self.seconds(self._grown(blocks, arms, look), blocks) for look in looks)
        except AssayError as error:
            return Open(record, arms, have, obstacle=str(error))
        return Open(record, arms, have, later[0], following, in_all)

    def seconds(self, blocks: Blocks, present: Blocks) -> float:
        """How long the blocks take that are not present yet, side by side."""
        new = blocks.seeds.keys() - present.seeds.keys()
        costs = [self._cost(run) for run in config.block_runs(self._params, blocks) if run.name in new]
        known = [cost.seconds for cost in costs if cost is not None]
        return max(sum(known) / self._jobs, max(known, default=0.0))

    def chosen(self, found: Sequence[Open], blocks: Blocks, left: float) -> tuple[Blocks, list[Open]]:
        """What to train in the seconds `left`: blocks with those of the next look of the claims that fit, and these.

        The first may take all that is left; what is begun beside it at most `AT_ONCE` of it.
        """
        taken: list[Open] = []
        together = blocks
        for one in found:
            if one.look is not None:
                more = self._grown(together, one.arms, one.look)
                if self.seconds(more, blocks) <= (left * AT_ONCE if taken else left):
                    together = more
                    taken.append(one)
        return together, taken

    def _grown(self, blocks: Blocks, arms: Sequence[str], look: int) -> Blocks:
        """The blocks with those added that these arms lack for so many seeds, and what they start from."""
        chains = []
        for arm in arms:
            found = ROUND.fullmatch(arm)  # a round starts from the baseline and the rounds before it
            chains += [round_name(number) for number in range(int(found[1]) + 1)] if found else [arm]
        for run in map(self._runs.__getitem__, chains):
            while (have := blocks.total(run)) < look:
                number = len(blocks.of(run.arm)) + 1
                if ROUND.fullmatch(run.arm):
                    seeds = blocks.seeds[f"{BASELINE}-{number}"]  # a chain has the blocks of its dense training
                else:
                    goal = min(one for one in self._params.rule.looks if one > have)
                    sequence = canonical(self._runs[BASELINE].seeds, goal)
                    if run.train.tune is not None:
                        raise AssayError(f"{run.arm} has {TUNED}")
                    if run.seeds != sequence[: len(run.seeds)]:
                        raise AssayError(f"arms.{run.arm}.seeds are its own, so none can be added")
                    seeds = sequence[have:]
                blocks = blocks.with_block(run, seeds, number)
        return blocks


def table(found: Sequence[Open]) -> str:
    """The undecided claims, a line each: seeds now and needed, what the forecast says, and the time."""
    rows = [("claim", "seeds now", "next look", "forecast", "training up to there")]
    for one in found:
        told, seconds, forecast = one.obstacle, "", one.record.forecast
        if one.look is not None:
            seconds = f"{duration(one.seconds)} to the next look, {duration(one.seconds_to_target)} in all"
            told = f"{forecast.probability:.0%}" if forecast else "none"
            if forecast and forecast.test_examples is not None:
                told += f"; needs a test set of {forecast.test_examples:,}"
            elif forecast:
                told += f" at {forecast.seeds} seeds" if forecast.seeds else " at the last look"
        rows.append((one.record.id, str(one.have), str(one.look or "none"), told, seconds))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def decided(before: Mapping[str, str], records: Sequence[ClaimRecord]) -> list[str]:
    """A line for each claim that was undecided before and is decided now."""
    return [
        f"{one.id}: {one.verdict} at {one.seeds} seeds"
        for one in records
        if before.get(one.id) == "undecided" != one.verdict
    ]

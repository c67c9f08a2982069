"""Which blocks of seeds bring the undecided claims to their next look, what they cost, and which of them to train now.

Nothing is trained here: `assay.cli.decide` writes what is chosen to seeds.yaml and runs the pipeline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core import config
from assay.core.config import BASELINE, split_variant
from assay.core.config.blocks import ROUND, TUNED, canonical
from assay.core.config.lottery import round_name
from assay.core.errors import AssayError
from assay.pipeline.wording import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.analysis.claims import ClaimRecord
    from assay.core.config import Blocks, Params, Run
    from assay.pipeline.plan import Cost

AT_ONCE = 0.5  # of the time left: what is begun together, so that estimates that are half wrong still keep to it


@dataclass(frozen=True)
class Open:
    """An undecided claim, and what more seeds of its arms would take.

    Attributes:
        record: as it stands.
        have: the seeds that its arms have in common.
        look: the next number of seeds at which it may be decided; None after the last, or where none can be added.
        target: the number at which its forecast says that it is decided, else the last.
        blocks: seeds.yaml with what the next look needs.
        seconds: of training up to the next look.
        seconds_to_target: likewise up to the target.
        obstacle: why no seeds can be added; empty if they can.
    """

    record: ClaimRecord
    have: int
    look: int | None
    target: int | None
    blocks: Blocks
    seconds: float = 0.0
    seconds_to_target: float = 0.0
    obstacle: str = ""

    @property
    def order(self) -> tuple[bool, float]:
        """The cheapest first; those that no number of seeds is likely to decide after all others."""
        forecast = self.record.forecast
        return forecast is not None and (forecast.seeds is None or forecast.test_examples is not None), (
            self.seconds_to_target
        )


class Deciding:
    """The undecided claims of a params.yaml and how to go on with them.

    Args:
        params: what is trained and claimed.
        cost: of a training; None where it is not known.
        jobs: how many trainings run side by side.
    """

    def __init__(self, params: Params, cost: Callable[[Run], Cost | None], jobs: int) -> None:
        self._params, self._cost, self._jobs = params, cost, jobs
        self._runs = {run.arm: run for run in params.runs()}

    def open(self, records: Sequence[ClaimRecord], blocks: Blocks) -> list[Open]:
        """The undecided claims, those first whose forecast is the cheapest."""
        arms = {claim.id: [split_variant(name)[0] for name in claim.arms.values()] for claim in self._params.claims}
        undecided = [one for one in records if one.verdict == "undecided" and arms.get(one.id)]
        return sorted((self._open(one, arms[one.id], blocks) for one in undecided), key=lambda one: one.order)

    def _open(self, record: ClaimRecord, arms: Sequence[str], blocks: Blocks) -> Open:
        have = min(blocks.total(self._runs[arm]) for arm in arms)
        later = [look for look in self._params.rule.looks if look > have]
        if not later:
            return Open(record, have, None, None, blocks, obstacle="undecided after the last look")
        named = record.forecast.seeds if record.forecast else later[0]
        target = named if named in later else later[-1]
        try:
            following, all_ = (self._grown(blocks, arms, look) for look in (later[0], target))
        except AssayError as error:
            return Open(record, have, None, None, blocks, obstacle=str(error))
        return Open(
            record, have, later[0], target, following, self.seconds(following, blocks), self.seconds(all_, blocks)
        )

    def seconds(self, blocks: Blocks, present: Blocks) -> float:
        """How long the blocks take that are not present yet, side by side."""
        new = blocks.seeds.keys() - present.seeds.keys()
        costs = [self._cost(run) for run in config.block_runs(self._params, blocks) if run.name in new]
        known = [cost.seconds for cost in costs if cost is not None]
        return max(sum(known) / self._jobs, max(known, default=0.0))

    def chosen(self, found: Sequence[Open], blocks: Blocks, left: float) -> tuple[Blocks, list[Open]]:
        """What to train now: the next look of the first claims that fit, in so many seconds.

        The first may take all that is left; what is begun beside it at most `AT_ONCE` of it.

        Returns:
            seeds.yaml with their blocks, and these claims.
        """
        taken: list[Open] = []
        together = blocks
        for one in found:
            if one.look is None:
                continue
            more = self._grown(together, self._arms(one), one.look)
            if self.seconds(more, blocks) <= (left * AT_ONCE if taken else left):
                together = more
                taken.append(one)
        return together, taken

    def _arms(self, one: Open) -> list[str]:
        return [split_variant(name)[0] for name in (one.record.arm, one.record.against) if name]

    def _grown(self, blocks: Blocks, arms: Sequence[str], look: int) -> Blocks:
        """The blocks with those added that these arms lack for so many seeds, and what they start from."""
        for arm in arms:
            for link in _chain(arm):
                blocks = self._with_seeds(blocks, self._runs[link], look)
        return blocks

    def _with_seeds(self, blocks: Blocks, run: Run, look: int) -> Blocks:
        shared = self._runs[BASELINE].seeds
        while (have := blocks.total(run)) < look:
            number = len(blocks.of(run.arm)) + 1
            if ROUND.fullmatch(run.arm):
                seeds = blocks.seeds[f"{BASELINE}-{number}"]  # a chain has the blocks of its dense training
            else:
                until = min(one for one in self._params.rule.looks if one > have)
                sequence = canonical(shared, until)
                if run.train.tune is not None:
                    raise AssayError(f"{run.arm} has {TUNED}")
                if run.seeds != sequence[: len(run.seeds)]:
                    raise AssayError(f"arms.{run.arm}.seeds are its own, so none can be added")
                seeds = sequence[have:]
            blocks = blocks.with_block(run, seeds, number)
        return blocks


def _chain(arm: str) -> list[str]:
    """An arm, after all that it starts from: of a round the baseline and the rounds before it."""
    found = ROUND.fullmatch(arm)
    return [round_name(number) for number in range(int(found[1]) + 1)] if found else [arm]


def table(found: Sequence[Open]) -> str:
    """The undecided claims, a line each: seeds now and needed, what the forecast says, and the time."""
    rows = [("claim", "seeds now", "next look", "forecast", "training up to there")]
    for one in found:
        if one.look is None:
            rows.append((one.record.id, str(one.have), "none", one.obstacle, ""))
        else:
            seconds = f"{duration(one.seconds)} to the next look, {duration(one.seconds_to_target)} in all"
            rows.append((one.record.id, str(one.have), str(one.look), _forecast(one), seconds))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _forecast(one: Open) -> str:
    forecast = one.record.forecast
    if forecast is None:
        return "none"
    chance = f"{forecast.probability:.0%}"
    if forecast.test_examples is not None:
        return f"{chance}; needs a test set of {forecast.test_examples:,}"
    return f"{chance} at {forecast.seeds} seeds" if forecast.seeds else f"{chance} at the last look"


def decided(before: Mapping[str, str], records: Sequence[ClaimRecord]) -> list[str]:
    """A line for each claim that was undecided before and is decided now."""
    return [
        f"{one.id}: {one.verdict} at {one.seeds} seeds"
        for one in records
        if before.get(one.id) == "undecided" != one.verdict
    ]

"""The variants among which a team chooses, with what they cost as multiples of the baseline's cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from assay.core.config import BASELINE, split_variant
from assay.report.tables import label

if TYPE_CHECKING:
    from assay.report.content import Content
    from assay.report.summary import Row


ROUND = "round-"


class Gap(NamedTuple):
    """A difference on the test set with the ends of its 95 % interval; None where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Candidate:
    """A variant among which is chosen.

    Attributes:
        row: its numbers in the summary.
        name: as tables call it.
        validation: mean over seeds of accuracy and loss on the validation set; None where one is missing or not finite.
        control: whether no claim is about its arm; of a pruning round, about this variant of any round.
        train: training cost as a multiple of the baseline's.
        infer: cost of a prediction, likewise; counted, not timed.
    """

    row: Row
    name: str
    validation: tuple[float, float] | None
    control: bool
    train: float
    infer: float

    @property
    def gap(self) -> Gap:
        """Its accuracy minus that of the baseline."""
        return Gap(self.row.difference, self.row.difference_low, self.row.difference_high)


def candidates(content: Content) -> list[Candidate]:
    """Every variant that was trained on the labels as they are, the baseline's first one first."""
    rows = content.clean()
    named = {_family(*split_variant(claim.arm)) for claim in content.claims if claim.arm}
    flops = all(row.training_flops and row.inference_flops for row in rows)
    train, infer = ("training_flops", "inference_flops") if flops else ("training_cost", "inference_cost")
    base = next((row for row in rows if row.arm == BASELINE), None)
    if base is None:
        return []

    def times(row: Row, key: str) -> float:
        own, reference = getattr(row, key), getattr(base, key)
        return float(own / reference) if own is not None and reference else math.nan

    found = []
    for row in rows:
        variant = content.variant(row)
        means = [fmean(one) for one in (variant.validation_accuracy, variant.validation_loss) if one]
        known = len(means) == 2 and all(map(math.isfinite, means))
        control = bool(named) and _family(row.arm, row.variant) not in named
        validation = (means[0], means[1]) if known else None
        found.append(
            Candidate(row, label(content.rows, row), validation, control, times(row, train), times(row, infer))
        )
    return found


def _family(arm: str, variant: str | None) -> str:
    """What a claim about one variant speaks of: its arm; of a round the ticket, or a control, of all rounds."""
    return f"{ROUND}/{variant}" if arm.startswith(ROUND) else arm

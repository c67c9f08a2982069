"""The classes of the test set in words: their sizes, and the variants that do no better than the largest class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.report.tables import label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assay.report.summary import Row
    from assay.scoring.record import Record

MOST_LISTED = 12  # classes; of more, the least and the greatest number are given
UNEQUAL = 2  # times the smallest class, from which the largest is worth a warning


def sentences(record: Record) -> list[str]:
    """The test examples of each class, the share of the largest, and a warning where classes are very unequal."""
    counts = {name: count for name, count in record.class_counts.items() if count}
    largest, share = max(counts, key=lambda name: counts[name]), f"{100 * record.majority_share:.1f} %"
    if len(record.class_counts) <= MOST_LISTED:
        each = ", ".join(f"{name} ({count:,})" for name, count in record.class_counts.items())
    else:
        each = f"{min(counts.values()):,} to {counts[largest]:,} in each of {len(counts)} classes"
        if absent := len(record.class_counts) - len(counts):
            each += f", none in {absent} more"
    found = [f"Test examples by class: {each}. The largest class, {largest}, is {share} of them."]
    if counts[largest] >= UNEQUAL * min(counts.values()) or len(counts) == 1:
        found.append(
            f"The classes are very unequal: always answering {largest} has an accuracy of {share}. Read balanced "
            "accuracy and macro F1 beside accuracy."
        )
    return found


def no_better_than_majority(rows: Sequence[Row]) -> str:
    """The variants whose accuracy does not lie above the share of the largest class, as a sentence; else empty."""
    named = ", ".join(label(rows, row) for row in rows if row.above_majority is False)
    share = next((row.majority_share for row in rows if row.majority_share is not None), 0.0)
    return named and f"No better than always answering the largest class ({100 * share:.1f} %): {named}."

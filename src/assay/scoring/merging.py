"""Puts together what the blocks of an arm's seeds recorded, so that it reads as one record of all seeds.

Lists under the keys `BY_POINT` have an entry a point (a step, a size, a place on a path), inside which may be one a
seed; all others that are as long as there are seeds have an entry a seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

BY_POINT = ("series", "phases", "at_least", "sweeps", "ensemble_sizes", "ensemble_accuracy")
POOLED = "reliability"  # bins of the examples of all seeds: of several blocks, counted anew from the predictions


def together(parts: Sequence[Any], seeds: Sequence[int], by_point: bool = False) -> Any:
    """One value out of those of the blocks, plain data as JSON holds it; each block has so many seeds.

    Lists with an entry a seed are concatenated; other lists (`by_point`, though there be as many as seeds) and mappings
    are merged entry by entry. Numbers that differ are averaged, each block weighted by its seeds. Of lists of other
    lengths the longest is kept; what stands under `POOLED` is left out.
    """
    first = parts[0]
    if isinstance(first, dict):
        return {
            key: together(own, seeds, by_point or key in BY_POINT)
            for key in first
            if key != POOLED and len(own := [part[key] for part in parts if key in part]) == len(parts)
        }
    if isinstance(first, list | tuple):
        if not by_point and all(len(part) == count for part, count in zip(parts, seeds, strict=True)):
            rows = [one for part in parts for one in part]
            if not all(isinstance(row, list) and all(map(_is_number, row)) for row in rows):
                return rows
            longest = max(map(len, rows))  # histograms: a block counts up to the last bin that it needed
            return [[*row, *[0] * (longest - len(row))] for row in rows]
        if len({len(part) for part in parts}) > 1:
            return max(parts, key=len)
        return [together(column, seeds) for column in zip(*parts, strict=True)]
    if all(part == first for part in parts) or not all(map(_is_number, parts)):
        return first
    return sum(part * count for part, count in zip(parts, seeds, strict=True)) / sum(seeds)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

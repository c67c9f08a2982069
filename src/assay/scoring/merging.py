"""Puts together what the blocks of an arm's seeds recorded, so that it reads as one record of all seeds.

The form is that of every record here: lists with an entry a seed, among values that all seeds share. A list under one
of the keys `BY_POINT` has an entry a point (a step, a size, a place on a path), inside which may be one a seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

BY_POINT = ("series", "phases", "at_least", "sweeps", "ensemble_sizes", "ensemble_accuracy")


def together(parts: Sequence[Any], seeds: Sequence[int], by_point: bool = False) -> Any:
    """One value out of those of the blocks.

    Lists with an entry a seed are concatenated; other lists, and mappings, are put together entry by entry. Numbers
    that differ are means over seeds, and are averaged, each block weighted by its seeds. Of lists of other lengths
    (bins that a block did not need) the longest is kept.

    Args:
        parts: of each block, plain data as JSON holds it.
        seeds: how many each block has.
        by_point: whether the next list has an entry a point, even if there are as many as seeds.
    """
    first = parts[0]
    if isinstance(first, dict):
        keys = [key for key in first if all(key in part for part in parts)]
        return {key: together([part[key] for part in parts], seeds, by_point or key in BY_POINT) for key in keys}
    if isinstance(first, list | tuple):
        if not by_point and all(len(part) == count for part, count in zip(parts, seeds, strict=True)):
            return _even([one for part in parts for one in part])
        if len({len(part) for part in parts}) > 1:
            return max(parts, key=len)
        return [together(column, seeds) for column in zip(*parts, strict=True)]
    if all(part == first for part in parts) or not all(map(_is_number, parts)):
        return first
    return sum(part * count for part, count in zip(parts, seeds, strict=True)) / sum(seeds)


def _even(rows: list[Any]) -> list[Any]:
    """Histograms of one length: a block counts up to the last bin that it needed."""
    if not all(isinstance(row, list) and all(map(_is_number, row)) for row in rows):
        return rows
    longest = max(map(len, rows))
    return [[*row, *[0] * (longest - len(row))] for row in rows]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

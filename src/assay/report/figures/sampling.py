"""What happened while trajectories were sampled: loss, acceptance, batches a test, distances, and what length gains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from assay.analysis.equal_loss import at_equal_loss, comparable
from assay.report import numbers
from assay.report.figure import Figure, span_cell, spread, table
from assay.report.plot import Axis, Panel, Series
from assay.report.tables import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.report.content import Content
    from assay.report.tables import Table

EQUAL_LOSS = "At equal mean loss"  # README's block finds the table by it


def figure(content: Content) -> Figure | None:
    """All trajectories in each panel, a colour each."""
    found = {
        arm: one.record.record
        for arm, one in content.evaluations.items()
        if "series" in one.record.record and "acceptance" in one.record.record
    }
    if not found:
        return None
    colours = {arm: 1 + i % 7 for i, arm in enumerate(found)}
    tables = {"Trajectories": _table(content, found)}
    alike = {
        arm: record
        for arm, record in found.items()
        if by_mini_batches(content.record(arm).parameters) and comparable(record)
    }
    if len(alike) > 1:
        tables[EQUAL_LOSS] = equal_loss(alike)
    moves = Axis("moves", "linear")
    panels = [
        _series("Mean loss along the chain", moves, Axis("training loss, nats", "log"), found, colours, "loss"),
        _series("Acceptance", moves, Axis("share of proposals accepted", ends=(0, 1)), found, colours, "acceptance"),
        _series("Batch a test", moves, Axis("examples", "log"), found, colours, "batch_a_test"),
        _histogram(found, colours),
        _distances(found, colours),
        _length(content, found),
    ]
    return Figure(
        "trajectories",
        "Trajectory sampling",
        "Lines are means over chains, bands reach from the least chain to the greatest. Distances are shown relative "
        "to √d·σ, the reference without data.",
        [panel for panel in panels if panel is not None],
        tables,
        notes=_flags(content, found),
    )


def _series(
    title: str, x: Axis, y: Axis, found: Mapping[str, Any], colours: Mapping[str, int], key: str
) -> Panel | None:
    series = []
    for arm, record in found.items():
        points = [
            (at, [value for value in values if value is not None])
            for at, values in zip(record["series"]["moves"], record["series"][key], strict=True)
        ]
        known = [(at, values) for at, values in points if values]
        if known:
            at, by_point = [at for at, _ in known], [values for _, values in known]
            series.append(spread(arm, at, by_point, "", 1, 3, "move", colour=colours[arm]))
    return Panel(title, x, y, series) if series else None


def _histogram(found: Mapping[str, Any], colours: Mapping[str, int]) -> Panel | None:
    series = []
    for arm, record in found.items():
        histogram = record.get("batch_histogram", {})
        counts = [sum(own) for own in zip(*histogram.get("tests", []), strict=True)]
        total = sum(counts)
        if total:
            at = histogram["at_least"]
            shares = [count / total for count in counts]
            tips = [
                f"{arm}: {100 * share:.1f} % of tests took {size:,} or more"
                for size, share in zip(at, shares, strict=True)
            ]
            series.append(Series(arm, at, shares, tips, colour=colours[arm], marks=True))
    return (
        Panel("How large batches had to grow", Axis("examples", "log"), Axis("share of tests"), series)
        if series
        else None
    )


def _distances(found: Mapping[str, Any], colours: Mapping[str, int]) -> Panel | None:
    series = []
    for arm, record in found.items():
        chains = record.get("neighbour_distance", [])
        if chains and chains[0]:
            relative = [
                [one / reference if reference else math.nan for one in chain]
                for chain, reference in zip(chains, record["reference_distance"], strict=True)
            ]
            at = [(t + 0.5) / len(relative[0]) for t in range(len(relative[0]))]
            series.append(spread(arm, at, list(zip(*relative, strict=True)), "", 1, 3, colour=colours[arm]))
    axes = Axis("place in the chain", ends=(0, 1)), Axis("distance of neighbours / √d·σ")
    return Panel("Neighbours", *axes, series) if series else None


def _length(content: Content, found: Mapping[str, Any]) -> Panel | None:
    by_variant: dict[str, list[tuple[int, Sequence[float]]]] = {}
    for arm, record in found.items():
        if not by_mini_batches(content.record(arm).parameters):
            continue
        for variant, one in content.record(arm).variants.items():
            by_variant.setdefault(variant, []).append((record["tau"], one.accuracy))
    series = []
    for i, (variant, points) in enumerate(by_variant.items()):
        ordered = sorted(points, key=lambda point: point[0])
        at, values = [tau for tau, _ in ordered], [own for _, own in ordered]
        series.append(spread(variant, at, values, " %", 100, where="tau", colour=1 + i % 7, line=False, marks=True))
    y = Axis("test accuracy, %", "accuracy")
    return Panel("Accuracy and length", Axis("models in the chain, tau", "log"), y, series) if series else None


def _table(content: Content, found: Mapping[str, Any]) -> Table:
    lines = []
    for arm, record in found.items():
        first = next(iter(content.record(arm).variants.values()))
        cells = [
            Cell(str(record["tau"])),
            span_cell(first.accuracy, 100),
            *(_known(record.get(key), places) for key, places in (("mean_loss", 3), ("acceptance", 3))),
            *(_known(record.get(key), 0) for key in ("batch_a_test", "saving")),
        ]
        lines.append((arm, cells))
    columns = [
        ("Tau", "models"),
        ("Accuracy", "of the ensemble, %"),
        ("Mean loss", "nats"),
        ("Acceptance", "after burn-in"),
        ("Batch a test", "examples"),
        ("Saving", "N / batch"),
    ]
    return table("", columns, lines)


def by_mini_batches(parameters: Mapping[str, Any]) -> bool:
    """Whether an arm's moves were tested so; else, on fewer moves, it differs from others in more than its length."""
    return bool(parameters.get("options", {}).get("test") != "full")


def equal_loss(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Chains of different length where their mean training loss first comes down to the same level."""
    level, reached = at_equal_loss(records)
    lines = []
    for arm, at in reached.items():
        values = (
            f"{at.s:,.0f}",
            f"{at.sigma:.3g}",
            f"{at.batch_a_test:.0f}",
            f"{at.batch_a_test_by_variance:.3g}",
            f"{at.acceptance:.2f}",
            f"{at.moves:,.0f}",
            f"{at.forward_samples:,.0f}",
        )
        lines.append((arm, [Cell(str(records[arm]["tau"])), *map(Cell, values)]))
    columns = [
        ("Tau", "models"),
        ("s", "of a model"),
        ("σ", ""),
        ("n̄", "examples a test"),
        ("n̄ / σ²", ""),
        ("Acceptance", ""),
        ("Moves", ""),
        ("Forward", "samples"),
    ]
    return table(f"At a mean loss of {level:.3f}", columns, lines)


def _known(values: Sequence[float | None] | None, places: int) -> Cell:
    known = [value for value in values or () if value is not None and math.isfinite(value)]
    return span_cell(known, 1, places) if known else Cell(numbers.MISSING)


def _flags(content: Content, found: Mapping[str, Any]) -> list[str]:
    """What keeps chains from being called samples of their target, each with its seeds."""
    notes: dict[str, list[int]] = {}
    for arm, record in found.items():
        for seed, flags in zip(content.record(arm).seeds, record.get("flags", []), strict=False):
            for flag in flags:
                notes.setdefault(f"{arm}: {flag}", []).append(seed)
    return [f"{note} (seeds {', '.join(str(seed) for seed in seeds)})" for note, seeds in notes.items()]

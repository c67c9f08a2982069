"""What happened while trajectories were sampled: loss, acceptance, batches a test, distances, and what length gains."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from assay.analysis.equal_loss import at_equal_loss, comparable
from assay.report import numbers
from assay.report.charts import Axis
from assay.report.figure import Figure, span_cell, table
from assay.report.lines import Series, lines, spreads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.report.charts import Spec
    from assay.report.content import Content
    from assay.report.tables import Cell, Table

ORDER = 8
ALONG = {  # what is recorded along a chain
    "loss": ("Mean loss along the chain", Axis("training loss, nats", "log")),
    "acceptance": ("Acceptance", Axis("share of proposals accepted", ends=(0, 1))),
    "batch_a_test": ("Batch a test", Axis("examples", "log")),
}
RECORDED = {"mean_loss": 3, "acceptance": 3, "batch_a_test": 0, "saving": 0}  # with decimals, in the table
Points = tuple["Sequence[float]", "Sequence[Sequence[float]]"]

EQUAL_LOSS = "At equal mean loss"  # README's block finds the table by it


def figure(content: Content) -> Figure | None:
    """All trajectories in each chart, a colour each."""
    found = {
        arm: one.record.record
        for arm, one in content.evaluations.items()
        if "series" in one.record.record and "acceptance" in one.record.record
    }
    if not found:
        return None
    tables = {"Trajectories": _table(content, found)}
    mini = {arm: record for arm, record in found.items() if by_mini_batches(content.record(arm).parameters)}
    alike = {arm: record for arm, record in mini.items() if comparable(record)}
    if len(alike) > 1:
        tables[EQUAL_LOSS] = equal_loss(alike)
    place, apart = Axis("place in the chain", ends=(0, 1)), Axis("distance of neighbours / √d·σ")
    distances = {arm: _distances(record) for arm, record in found.items()}
    length = Axis("models in the chain, tau", "log"), Axis("test accuracy, %", "accuracy"), _length(content, mini)
    charts = [
        *(
            spreads(title, Axis("moves"), y, {arm: _along(one, key) for arm, one in found.items()}, "", 1, 3, "move")
            for key, (title, y) in ALONG.items()
        ),
        _histogram(found),
        spreads("Neighbours", place, apart, distances, "", 1, 3),
        spreads("Accuracy and length", *length, " %", 100, 2, "tau", line="", marks=True),
    ]
    return Figure(
        "trajectories",
        "Trajectory sampling",
        "Lines are means over chains, bands reach from the least chain to the greatest. Distances are shown relative "
        "to √d·σ, the reference without data.",
        [chart for chart in charts if chart is not None],
        tables,
        notes=_flags(content, found),
    )


def _along(record: Mapping[str, Any], key: str) -> Points:
    points = [
        (at, [value for value in values if value is not None])
        for at, values in zip(record["series"]["moves"], record["series"][key], strict=True)
    ]
    return [at for at, values in points if values], [values for _, values in points if values]


def _histogram(found: Mapping[str, Any]) -> Spec | None:
    series = []
    for i, (arm, record) in enumerate(found.items()):
        histogram = record.get("batch_histogram", {})
        counts = [sum(own) for own in zip(*histogram.get("tests", []), strict=True)]
        if total := sum(counts):
            at, shares = histogram["at_least"], [count / total for count in counts]
            tips = [
                f"{arm}: {100 * share:.1f} % of tests took {size:,} or more"
                for size, share in zip(at, shares, strict=True)
            ]
            series.append(Series(arm, at, shares, tips, colour=1 + i % 7, marks=True))
    axes = Axis("examples", "log"), Axis("share of tests")
    return lines("How large batches had to grow", *axes, series) if series else None


def _distances(record: Mapping[str, Any]) -> Points:
    chains = record.get("neighbour_distance", [])
    if not chains or not chains[0]:
        return [], []
    relative = [
        [one / reference if reference else math.nan for one in chain]
        for chain, reference in zip(chains, record["reference_distance"], strict=True)
    ]
    return [(t + 0.5) / len(relative[0]) for t in range(len(relative[0]))], list(zip(*relative, strict=True))


def _length(content: Content, found: Mapping[str, Any]) -> dict[str, Points]:
    by_variant: dict[str, list[tuple[int, Sequence[float]]]] = {}
    for arm, record in found.items():
        for variant, one in content.record(arm).variants.items():
            by_variant.setdefault(variant, []).append((record["tau"], one.accuracy))
    ordered = {variant: sorted(points, key=lambda point: point[0]) for variant, points in by_variant.items()}
    return {variant: ([tau for tau, _ in own], [values for _, values in own]) for variant, own in ordered.items()}


def _table(content: Content, found: Mapping[str, Any]) -> Table:
    rows = []
    for arm, record in found.items():
        first = next(iter(content.record(arm).variants.values()))
        known = [_known(record.get(key), places) for key, places in RECORDED.items()]
        rows.append((arm, [str(record["tau"]), span_cell(first.accuracy, 100), *known]))
    columns = [("Tau", "models"), ("Accuracy", "of the ensemble, %"), ("Mean loss", "nats")]
    columns += [("Acceptance", "after burn-in"), ("Batch a test", "examples"), ("Saving", "N / batch")]
    return table("", columns, rows)


def by_mini_batches(parameters: Mapping[str, Any]) -> bool:
    """Whether an arm's moves were tested so; else, on fewer moves, it differs from others in more than its length."""
    return bool(parameters.get("options", {}).get("test") != "full")


def equal_loss(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Chains of different length where their mean training loss first comes down to the same level."""
    level, reached = at_equal_loss(records)
    rows = []
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
        rows.append((arm, [str(records[arm]["tau"]), *values]))
    columns = [("Tau", "models"), ("s", "of a model"), ("σ", ""), ("n̄", "examples a test"), ("n̄ / σ²", "")]
    columns += [("Acceptance", ""), ("Moves", ""), ("Forward", "samples")]
    return table(f"At a mean loss of {level:.3f}", columns, rows)


def _known(values: Sequence[float | None] | None, places: int) -> Cell | str:
    known = [value for value in values or () if value is not None and math.isfinite(value)]
    return span_cell(known, 1, places) if known else numbers.MISSING


def _flags(content: Content, found: Mapping[str, Any]) -> list[str]:
    """What keeps chains from being called samples of their target, each with its seeds."""
    notes: dict[str, list[int]] = {}
    for arm, record in found.items():
        for seed, flags in zip(content.record(arm).seeds, record.get("flags", []), strict=False):
            for flag in flags:
                notes.setdefault(f"{arm}: {flag}", []).append(seed)
    return [f"{note} (seeds {', '.join(str(seed) for seed in seeds)})" for note, seeds in notes.items()]

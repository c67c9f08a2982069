"""What happened while trajectories were sampled: loss, acceptance, batches a test, distances, and what length gains."""

from __future__ import annotations

import math
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.report import numbers
from assay.report.charts import STRETCHED, Axis, Figure, Spec
from assay.report.lines import Series, lines, spreads
from assay.report.tables import Cell, Table, span_cell, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float64

    from assay.report.content import Content
    from assay.scoring.predictions import Array

ORDER = 8
ALONG = {  # what is recorded along a chain
    "loss": ("Mean loss along the chain", Axis("training loss, nats", "log")),
    "acceptance": ("Acceptance", Axis("share of proposals accepted", ends=(0, 1))),
    "batch_a_test": ("Batch a test", Axis("examples", "log")),
}
RECORDED = {  # decimals, heading and note, in the table
    "mean_loss": (3, "Mean loss", "nats"),
    "acceptance": (3, "Acceptance", "after burn-in"),
    "batch_a_test": (0, "Batch a test", "examples"),
    "saving": (0, "Saving", "N / batch"),
}
AT_EQUAL_LOSS = {  # heading, note and format, in the table of chains at equal loss
    "s": ("s", "of a model", ",.0f"),
    "sigma": ("σ", "", ".3g"),
    "batch_a_test": ("n̄", "examples a test", ".0f"),
    "batch_a_test_by_variance": ("n̄ / σ²", "", ".3g"),
    "acceptance": ("Acceptance", "", ".2f"),
    "moves": ("Moves", "", ",.0f"),
    "forward_samples": ("Forward", "samples", ",.0f"),
}
SERIES = ("loss", "sigma", "moves", "forward_samples", "batch_a_test", "s", "acceptance")  # by which chains compare
EQUAL_LOSS = "At equal mean loss"  # README's block finds the table by it
Points = list[tuple[float, "Sequence[float]"]]  # by what chains or seeds have there


def figure(content: Content) -> Figure | None:
    """All trajectories in each chart, a colour each."""
    all_records = {arm: one.record.record for arm, one in content.evaluations.items()}
    found = {arm: one for arm, one in all_records.items() if "series" in one and "acceptance" in one}
    if not found:
        return None
    rows = []
    mini: dict[str, Mapping[str, Any]] = {}  # without full-batch tests, on whose fewer moves more than length differs
    by_variant: dict[str, Points] = {}
    flags: dict[str, list[int]] = {}
    for arm, record in found.items():
        own = content.record(arm)
        cells: list[str | Cell] = [str(record["tau"]), span_cell(next(iter(own.variants.values())).accuracy, 100)]
        for key, (places, *_) in RECORDED.items():
            known = [value for value in record.get(key) or () if value is not None and math.isfinite(value)]
            cells.append(span_cell(known, 1, places) if known else numbers.MISSING)
        rows.append((arm, cells))
        if own.parameters.get("options", {}).get("test") != "full":
            mini[arm] = record
            for variant, one in own.variants.items():
                by_variant.setdefault(variant, []).append((record["tau"], one.accuracy))
        for seed, raised in zip(own.seeds, record.get("flags", []), strict=False):
            for flag in raised:  # what keeps chains from being called samples of their target
                flags.setdefault(f"{arm}: {flag}", []).append(seed)
    columns = [("Tau", "models"), ("Accuracy", "of the ensemble, %")]
    columns += [(heading, note) for _, heading, note in RECORDED.values()]
    tables = {"Trajectories": table("", columns, rows)}
    alike = {arm: record for arm, record in mini.items() if comparable(record)}
    if len(alike) > 1:
        tables[EQUAL_LOSS] = equal_loss(alike)
    lengths = {variant: sorted(points, key=lambda point: point[0]) for variant, points in by_variant.items()}
    place, apart = Axis("place in the chain", ends=(0, 1)), Axis("distance of neighbours / √d·σ")
    distances = {arm: _distances(record) for arm, record in found.items()}
    length, accuracy = Axis("models in the chain, tau", "log"), Axis("test accuracy, %", "accuracy")
    charts = [
        *(
            spreads(title, Axis("moves"), y, {arm: _along(one, key) for arm, one in found.items()}, "", 1, 3, "move")
            for key, (title, y) in ALONG.items()
        ),
        _histogram(found),
        spreads("Neighbours", place, apart, distances, "", 1, 3),
        spreads("Accuracy and length", length, accuracy, lengths, " %", 100, 2, "tau", line="", marks=True),
    ]
    return Figure(
        "trajectories",
        "Trajectory sampling",
        "Lines are means over chains, bands reach from the least chain to the greatest. Distances are shown relative "
        f"to √d·σ, the reference without data.{STRETCHED}",
        [chart for chart in charts if chart is not None],
        tables,
        notes=[f"{note} (seeds {', '.join(map(str, seeds))})" for note, seeds in flags.items()],
    )


def equal_loss(records: Mapping[str, Mapping[str, Any]]) -> Table:
    """Chains of different length where their mean training loss first comes down to the same level."""
    level, reached = at_equal_loss(records)
    rows = []
    for arm, at in reached.items():
        cells = [f"{at[key]:{form}}" for key, (_, _, form) in AT_EQUAL_LOSS.items()]
        rows.append((arm, [str(records[arm]["tau"]), *cells]))
    columns = [("Tau", "models"), *((heading, note) for heading, note, _ in AT_EQUAL_LOSS.values())]
    return table(f"At a mean loss of {level:.3f}", columns, rows)


def at_equal_loss(records: Mapping[str, Mapping[str, Any]]) -> tuple[float, dict[str, dict[str, float]]]:
    """The lowest mean training loss that every seed of every arm reaches, in nats, and each arm where it first does.

    At equal s, a comparison of chains of different length would mislead. Of an arm it gives the mean over seeds of each
    key of `SERIES`, interpolated, and n̄ / σ² as `batch_a_test_by_variance`: that does not depend on the choice of σ, as
    long as a loss changes in proportion to the step (n ∝ s²σ²).

    Raises:
        ValueError: there are no records, or one is not `comparable`.
    """
    chains = {arm: _points(record["series"]) for arm, record in records.items()}
    level = max(float(points[:, 0].min()) for own in chains.values() for points in own)
    found = {}
    for arm, own in chains.items():
        crossings = []
        for points in own:
            place = int((points[:, 0] <= level).argmax())
            before, after = points[max(0, place - 1)], points[place]
            share = (before[0] - level) / (before[0] - after[0]) if place else 0.0
            crossings.append(before + share * (after - before))
        at = dict(zip(SERIES, np.stack(crossings, 1), strict=True))
        at["batch_a_test_by_variance"] = at["batch_a_test"] / at["sigma"] ** 2
        found[arm] = {key: fmean(column.tolist()) for key, column in at.items()}
    return level, found


def comparable(record: Mapping[str, Any]) -> bool:
    """Whether each chain has a point of the series at which every number of it is known."""
    chains = _points(record["series"])
    return bool(chains) and all(map(len, chains))


def _points(series: Mapping[str, Any]) -> list[Float64[Array, "point key"]]:
    """For each chain the points at which all numbers of `SERIES` are known, in their order."""
    count, chains = len(series["loss"]), len((series["loss"] or [[]])[0])
    columns = [
        [entry if isinstance(entry, list) else [entry] * chains for entry in series.get(key, [None] * count)]
        for key in SERIES
    ]
    found = np.array(columns, dtype=np.float64).reshape(len(SERIES), count, chains)  # None is NaN
    known = np.isfinite(found).all(0) & (found[1] > 0)  # σ
    return [found[:, known[:, chain], chain].T for chain in range(chains)]


def _along(record: Mapping[str, Any], key: str) -> Points:
    series = zip(record["series"]["moves"], record["series"][key], strict=True)
    return [(at, known) for at, values in series if (known := [value for value in values if value is not None])]


def _histogram(found: Mapping[str, Any]) -> Spec | None:
    series = []
    for i, (arm, record) in enumerate(found.items()):
        histogram = record.get("batch_histogram", {})
        counts = [sum(own) for own in zip(*histogram.get("tests", []), strict=True)]
        if total := sum(counts):
            at, shares = histogram["at_least"], [count / total for count in counts]
            known = zip(at, shares, strict=True)
            tips = [f"{arm}: {100 * share:.1f} % of tests took {size:,} or more" for size, share in known]
            series.append(Series(arm, at, shares, tips, colour=1 + i % 7, marks=True))
    axes = Axis("examples", "log"), Axis("share of tests")
    return lines("How large batches had to grow", *axes, series) if series else None


def _distances(record: Mapping[str, Any]) -> Points:
    chains = record.get("neighbour_distance", [])
    if not chains or not chains[0]:
        return []
    relative = [
        [one / reference if reference else math.nan for one in chain]
        for chain, reference in zip(chains, record["reference_distance"], strict=True)
    ]
    return [((t + 0.5) / len(relative[0]), values) for t, values in enumerate(zip(*relative, strict=True))]

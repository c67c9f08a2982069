"""Pruning rounds in the form of Frankle and Carbin's Figures 1, 3 and 5: the ticket against its controls."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assay.core.config import BASELINE
from assay.report import numbers
from assay.report.figure import Figure, span_cell, spread, table
from assay.report.plot import Axis, Panel, Series
from assay.report.tables import Cell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.report.content import Content
    from assay.report.tables import Table
    from assay.scoring.record import Record, VariantRecord

ORDER = ("ticket", "reinit", "random", "one_shot")
Points = dict[float, "VariantRecord"]


def figure(content: Content) -> Figure | None:
    """Accuracy at the end and at early stop, and the step of early stop, against the share of weights left."""
    rounds = {name: one.record for name, one in content.evaluations.items() if re.fullmatch(r"round-\d+", name)}
    if not rounds:
        return None
    dense = next(iter(content.record(BASELINE).variants.values()))
    lines = _lines(rounds, dense)
    panels = [
        _panel("Accuracy at the end", "test accuracy, %", lines, lambda one: one.accuracy, 100),
        _panel("Accuracy at early stop", "test accuracy, %", lines, lambda one: one.best_step_accuracy, 100),
        _panel("Early stop", "step of the least validation loss", lines, lambda one: one.best_step, 1),
    ]
    tables = {"Rounds": _table(rounds, dense)}
    if content.sparsity:
        tables["What the sparsity buys"] = sparsity(content.sparsity)
        panels += sparsity_panels(content.sparsity)
    return Figure(
        "pruning",
        "Pruning",
        "From the dense network on the left to the sparsest on the right. Lines are means over seeds, bands reach from "
        "the least seed to the greatest. Early stop is read afterwards off the validation loss.",
        [panel for panel in panels if panel is not None],
        tables,
    )


def sparsity(rounds: Sequence[Mapping[str, Any]]) -> Table:
    """Bytes and latency of each round, dense against sparse, as a benchmark measured them."""
    lines = []
    batches = list(dict.fromkeys(batch for one in rounds for batch in one["latency_ms"]["dense"]))
    for one in rounds:
        latency = one["latency_ms"]
        cells = [
            Cell(f"{one['dense_bytes']:,}"),
            Cell(f"{one['sparse_bytes']:,}", f"{one['sparse_bytes'] / one['dense_bytes']:.2f} ×"),
        ]
        for batch in batches:
            a, b = latency["dense"][batch], latency["sparse"][batch]
            cells += [Cell(f"{a:.3g}"), Cell(f"{b:.3g}", f"{b / a:.2f} ×")]
        lines.append((f"round {one['round']}, {100 * float(one['density']):.3g} % left", cells))
    columns = [("Dense", "bytes"), ("Sparse", "bytes")]
    for batch in batches:
        columns += [("Dense", f"ms at batch {batch}"), ("Sparse", f"ms at batch {batch}")]
    return table("Round", columns, lines)


def sparsity_panels(rounds: Sequence[Mapping[str, Any]]) -> list[Panel]:
    """Bytes and latency of the sparse network as shares of the dense one's."""
    at = [100 * float(one["density"]) for one in rounds]
    shares = {"bytes": [one["sparse_bytes"] / one["dense_bytes"] for one in rounds]}
    for batch in dict.fromkeys(batch for one in rounds for batch in one["latency_ms"]["dense"]):
        shares[f"time, batch {batch}"] = [
            one["latency_ms"]["sparse"][batch] / one["latency_ms"]["dense"][batch] for one in rounds
        ]
    series = [
        Series(name, at, values, [f"{name}: {value:.2f} of dense" for value in values], colour=1 + i % 7, marks=True)
        for i, (name, values) in enumerate(shares.items())
    ]
    series.append(Series("", [min(at), max(at)], [1.0, 1.0], colour=0, dashed=True))
    return [Panel("Sparse against dense", _left(), Axis("sparse / dense", "log"), series)]


def _lines(rounds: Mapping[str, Record], dense: VariantRecord) -> dict[str, Points]:
    lines: dict[str, Points] = {name: {} for name in ORDER}
    for record in rounds.values():
        for name, variant in record.variants.items():
            lines.setdefault(name, {})[variant.density] = variant
    if lines["ticket"]:
        lines["ticket"][dense.density] = dense
    return {name: dict(sorted(found.items(), reverse=True)) for name, found in lines.items() if found}


def _left() -> Axis:
    return Axis("weights left, %", "log", falling=True)


def _panel(
    title: str, label: str, lines: Mapping[str, Points], read: Callable[[VariantRecord], Sequence[float]], scale: float
) -> Panel | None:
    series: list[Series] = []
    for i, (name, points) in enumerate(lines.items()):
        known = {density: read(one) for density, one in points.items() if read(one)}
        if known:
            values = list(known.values())
            unit, places = (" %", 2) if scale == 100 else (" steps", 0)
            left = [100 * density for density in known]
            series.append(spread(name, left, values, unit, scale, places, "% left", colour=1 + i % 7, marks=True))
    kind = "accuracy" if scale == 100 else "linear"
    return Panel(title, _left(), Axis(label, kind), series) if series else None  # type: ignore[arg-type]


def _table(rounds: Mapping[str, Record], dense: VariantRecord) -> Table:
    found = [("dense", dense)]
    found += [(f"{name} {variant}", one) for name, record in rounds.items() for variant, one in record.variants.items()]
    lines = []
    for name, one in found:
        cells = [
            Cell(numbers.fixed(100 * one.density, 1)),
            span_cell(one.accuracy, 100),
            span_cell(one.best_step_accuracy, 100) if one.best_step_accuracy else Cell(""),
            span_cell(one.best_step, 1, 0) if one.best_step else Cell(""),
        ]
        lines.append((name, cells))
    columns = [
        ("Weights left", "%"),
        ("At the end", "accuracy, %"),
        ("At early stop", "accuracy, %"),
        ("Early stop", "step"),
    ]
    return table("", columns, lines)

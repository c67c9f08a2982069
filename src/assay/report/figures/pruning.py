"""Pruning rounds in the form of Frankle and Carbin's Figures 1, 3 and 5: the ticket against its controls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.report import numbers
from assay.report.charts import MEANS, STRETCHED, Axis, Figure, Spec
from assay.report.content import ROUND
from assay.report.lines import Series, lines, spreads
from assay.report.tables import Cell, Table, span_cell, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.report.content import Content
    from assay.scoring.record import VariantRecord

ORDER = 5
LINES = ("ticket", "reinit", "random", "one_shot")
LEFT = Axis("weights left, %", "log", falling=True)
ACCURACY = Axis("test accuracy, %", "accuracy")
PERCENT, STEPS = (" %", 100, 2, "% left"), (" steps", 1, 0, "% left")
CHARTS = (  # what each shows of a network
    ("Accuracy at the end", ACCURACY, "accuracy", PERCENT),
    ("Accuracy at early stop", ACCURACY, "best_step_accuracy", PERCENT),
    ("Early stop", Axis("step of the least validation loss"), "best_step", STEPS),
)


def figure(content: Content) -> Figure | None:
    """Accuracy at the end and at early stop, and the step of early stop, against the share of weights left."""
    rounds = {name: one.record for name, one in content.evaluations.items() if name.startswith(ROUND)}
    if not rounds:
        return None
    dense = content.baseline()
    by_line: dict[str, dict[float, VariantRecord]] = {name: {} for name in LINES}
    networks = {"dense": dense}
    for round_name, record in rounds.items():
        for name, variant in record.variants.items():
            by_line.setdefault(name, {})[variant.density] = variant
            networks[f"{round_name} {name}"] = variant
    if by_line["ticket"]:
        by_line["ticket"][dense.density] = dense
    charts = []
    for title, axis, key, how in CHARTS:
        points = {}
        for name, own in by_line.items():
            if own:
                in_order = sorted(own, reverse=True)
                points[name] = [(100 * at, values) for at in in_order if (values := getattr(own[at], key))]
        charts.append(spreads(title, LEFT, axis, points, *how, marks=True))
    rows = []
    for name, one in networks.items():
        cells = [span_cell(one.accuracy, 100), span_cell(one.best_step_accuracy, 100), span_cell(one.best_step, 1, 0)]
        rows.append((name, [numbers.fixed(100 * one.density, 1), *cells]))
    columns = [("Weights left", "%"), ("At the end", "accuracy, %"), ("At early stop", "accuracy, %")]
    tables = {"Rounds": table("", [*columns, ("Early stop", "step")], rows)}
    if content.sparsity:
        tables["What the sparsity buys"] = sparsity(content.sparsity)
        charts.append(_sparsity_chart(content.sparsity))
    return Figure(
        "pruning",
        "Pruning",
        f"From the dense network on the left to the sparsest on the right. {MEANS}. Early stop is read afterwards off "
        f"the validation loss.{STRETCHED}",
        [chart for chart in charts if chart is not None],
        tables,
    )


def sparsity(rounds: Sequence[Mapping[str, Any]]) -> Table:
    """Bytes and latency of each round, dense against sparse, as a benchmark measured them."""
    found = []
    for one in rounds:
        dense, sparse = one["dense_bytes"], one["sparse_bytes"]
        cells = [f"{dense:,}", Cell(f"{sparse:,}", f"{sparse / dense:.2f} ×")]
        for batch in _batches(rounds):
            dense, sparse = (one["latency_ms"][kind][batch] for kind in ("dense", "sparse"))
            cells += [f"{dense:.3g}", Cell(f"{sparse:.3g}", f"{sparse / dense:.2f} ×")]
        found.append((f"round {one['round']}, {100 * float(one['density']):.3g} % left", cells))
    notes = ["bytes", *(f"ms at batch {batch}" for batch in _batches(rounds))]
    return table("Round", [(kind, note) for note in notes for kind in ("Dense", "Sparse")], found)


def _sparsity_chart(rounds: Sequence[Mapping[str, Any]]) -> Spec:
    """Bytes and latency of the sparse network as shares of the dense one's."""
    at = [100 * float(one["density"]) for one in rounds]
    shares = {"bytes": [one["sparse_bytes"] / one["dense_bytes"] for one in rounds]}
    for batch in _batches(rounds):
        times = [one["latency_ms"] for one in rounds]
        shares[f"time, batch {batch}"] = [one["sparse"][batch] / one["dense"][batch] for one in times]
    series = [Series("as dense", [min(at), max(at)], [1.0, 1.0], colour=0, dashed=True, named=False)]
    for i, (name, values) in enumerate(shares.items()):
        tips = [f"{name}: {value:.2f} of dense" for value in values]
        series.append(Series(name, at, values, tips, colour=1 + i % 7, marks=True))
    return lines("Sparse against dense", LEFT, Axis("sparse / dense", "log"), series)


def _batches(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(batch for one in rounds for batch in one["latency_ms"]["dense"]))

"""`metrics/report/`: one page that needs no network, its Markdown twin, and the charts as files.

Nothing here depends on when, where or by which version it is made: the same evaluations give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay import files
from assay.config import BASELINE
from assay.evaluation.metrics import ECE_BINS
from assay.evaluation.statistics import CONFIDENCE, RESAMPLES
from assay.reporting import accuracy_chart, curves_chart, svg, tables, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment

    from assay.evaluation.claims import ClaimRecord
    from assay.evaluation.record import Evaluation
    from assay.reporting.curves import Curve
    from assay.reporting.summary import Row

FOLDER = Path("metrics/report")
WIDE, NARROW = 760, 360  # pixels; a page shows the one that fits


@dataclass(frozen=True)
class Content:
    """What a report is made of.

    Attributes:
        evaluations: by arm, the baseline first.
        rows: the summary.
        claims: with their verdicts.
        curves: by arm, the baseline first, then split.
    """

    evaluations: Mapping[str, Evaluation]
    rows: Sequence[Row]
    claims: Sequence[ClaimRecord]
    curves: Mapping[str, Mapping[str, Curve]]


@dataclass(frozen=True)
class Chart:
    """A chart in two widths, the file of the wide one, and what it shows."""

    file: str
    title: str
    caption: str
    wide: str
    narrow: str


def write(root: Path, content: Content) -> None:
    """Write the folder, whole or not at all."""
    charts = [_accuracy(content), _curves(content)]
    values = _values(content, charts)
    environment = templates()
    with files.replacing(root / FOLDER) as folder:
        folder.mkdir()
        for chart in charts:
            files.write_text(folder / chart.file, svg.standalone(chart.wide, WIDE))
        for template, name in (("page.html.j2", "index.html"), ("report.md.j2", "report.md")):
            files.write_text(folder / name, environment.get_template(template).render(values))


def templates() -> Environment:
    """The package's templates; HTML is escaped, Markdown is not, and an undefined name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader("assay.reporting"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _accuracy(content: Content) -> Chart:
    labels = [tables.label(content.rows, row) for row in content.rows]
    seeds = [content.evaluations[row.arm].record.variants[row.variant].accuracy for row in content.rows]
    gaps = [(row.difference, row.difference_low, row.difference_high) for row in content.rows]
    caption = "A dot is a seed, the bar their mean; on the right the mean paired difference and its interval."
    wide, narrow = (accuracy_chart.draw(labels, seeds, gaps, width) for width in (WIDE, NARROW))
    return Chart("accuracy.svg", accuracy_chart.TITLE, caption, wide, narrow)


def _curves(content: Content) -> Chart:
    caption = (
        "The line is the mean over seeds, the band reaches from the least seed to the greatest. Logarithmic scale."
    )
    wide, narrow = (curves_chart.draw(content.curves, width) for width in (WIDE, NARROW))
    return Chart("learning_curves.svg", curves_chart.title(content.curves), caption, wide, narrow)


def _values(content: Content, charts: Sequence[Chart]) -> dict[str, Any]:
    """The names that the templates know."""
    records = {name: evaluation.record for name, evaluation in content.evaluations.items()}
    baseline = records[BASELINE]
    return {
        "title": f"{baseline.data} with {baseline.model.name}",
        "headline": verdicts.headline(content.claims),
        "seeds": baseline.seeds,
        "examples": baseline.test_examples,
        "digest": baseline.data_digest,
        "claims": verdicts.views(content.claims, content.rows),
        "results": tables.results(content.rows),
        "costs": tables.costs(content.rows),
        "charts": charts,
        "parameters": tables.parameters(records),
        "bins": ECE_BINS,
        "confidence": round(100 * CONFIDENCE),
        "resamples": RESAMPLES,
        "chart_style": svg.style_sheet(),
    }

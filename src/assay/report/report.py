"""`metrics/report/`: one page that needs no network, its Markdown twin, and the charts as files.

Nothing here depends on when or where it is made: the same evaluations give the same bytes.
"""

from __future__ import annotations

import platform
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from assay.analysis.statistics import CONFIDENCE
from assay.core import files
from assay.core.config import BASELINE
from assay.core.errors import AssayError
from assay.report import advice, figures, summary, tables, vega, verdicts
from assay.report.charts import CONFIG, style_sheet
from assay.report.content import Content, groups
from assay.scoring.metrics import ECE_BINS

if TYPE_CHECKING:
    from jinja2 import Environment

    from assay.report.tables import Table
    from assay.scoring.record import Record

__all__ = ["ADVICE", "FOLDER", "REPORT", "SPARSITY", "Content", "templates", "write"]
FOLDER, FIGURES = Path("metrics/report"), "figures"
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" height="40"><text y="24">No claim is tested.</text></svg>\n'
ADVICE = FOLDER / "advice.md"  # README and MLflow's report run copy it
REPORT = FOLDER / "report.md"
SPARSITY = Path("benchmarks/sparsity.json")
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "dvc", "mlflow")


def write(root: Path, content: Content) -> None:
    """Write the folder, whole or not at all."""
    drawn = figures.make(content)
    values = _values(content) | {
        "picture": next((figure for figure in drawn if figure.name == "claims"), None),
        "figures": [figure for figure in drawn if figure.name != "claims"],
        "chart_style": style_sheet(),
        "chart_config": CONFIG,
        "vega": vega.script(),
    }
    environment = templates()
    with files.replacing(root / FOLDER) as folder:
        (folder / FIGURES).mkdir(parents=True)
        files.write_text(folder / "claims.svg", EMPTY)  # in git, and so always there
        for figure in (one for one in drawn if one.charts):
            place = folder if figure.name == "claims" else folder / FIGURES
            files.write_text(place / f"{figure.name}.svg", figure.file())
        for template, name in (
            ("page.html.j2", "index.html"),
            ("report.md.j2", REPORT.name),
            ("advice.md.j2", ADVICE.name),
        ):
            files.write_text(folder / name, environment.get_template(template).render(values))


def read_sparsity(root: Path, dense: Record) -> list[dict[str, Any]]:
    """What `make bench-sparse` measured of pruned networks, an entry a round.

    Args:
        root: of the repository.
        dense: what the baseline's evaluation says; entries of another model or other data are left out.

    Raises:
        AssayError: the file is damaged.
    """
    own = (dense.model.name, dense.data_digest)
    try:
        measured = files.read_json(root / SPARSITY) if (root / SPARSITY).exists() else []
        return [one for one in measured if (one["model"], one["data_digest"]) == own]
    except (ValueError, TypeError, KeyError) as error:
        raise AssayError(f"{SPARSITY}: damaged ({error!r}); delete it, or run `make bench-sparse`") from None


def templates() -> Environment:
    """The package's templates; HTML is escaped, Markdown is not, and an undefined name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("assay.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked"] = _marked
    return environment


def _marked(text: str) -> Markup:
    """`code` and **bold** of a line of Markdown as HTML; all else is escaped."""
    escaped = str(escape(text))
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped)
    return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escaped))  # noqa: S704 (escaped above)


def versions() -> dict[str, str]:
    """What the numbers were made with, without what differs from machine to machine (such as `+cpu`)."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        found[name] = metadata.version(name).partition("+")[0]
    return found


def _values(content: Content) -> dict[str, Any]:
    """The names that the templates know."""
    records = {name: evaluation.record for name, evaluation in content.evaluations.items()}
    baseline = records[BASELINE]
    own = tables.parameters(records)
    return {
        "title": f"{baseline.data} with {baseline.model.name}",
        "headline": verdicts.headline(content.claims),
        "advice": advice.advise(content),
        "advice_note": advice.note(advice.candidates(content)),
        "archived": content.archived,
        "registered": content.registered[:12],
        "seeds": baseline.seeds,
        "examples": baseline.test_examples,
        "classes": summary.class_sentences(baseline),
        "majority": summary.no_better_than_majority(content.rows),
        "digest": baseline.data_digest,
        "topics": verdicts.topics(content.claims, content.rows),
        "meanings": verdicts.meanings(content.claims),
        "results": _grouped(content, tables.results(content.rows)),
        "costs": _grouped(content, tables.costs(content.rows)),
        "arms": len([name for name in records if name != BASELINE and not name.startswith("round-")]),
        "rounds": len([name for name in records if name.startswith("round-")]),
        "parameters": [
            (group.title, [(arm, own[arm]) for arm in group.arms if own[arm]])
            for group in groups(content.rows, content.claims)
        ],
        "versions": versions(),
        "bins": ECE_BINS,
        "confidence": round(100 * CONFIDENCE),
    }


def _grouped(content: Content, table: Table) -> Table:
    """A table of all rows, each method beside its controls."""
    members = [
        (group.title, [i for i, row in enumerate(content.rows) if row.arm in group.arms])
        for group in groups(content.rows, content.claims)
    ]
    return tables.grouped(table, members)

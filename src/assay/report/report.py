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

from assay.core import files
from assay.core.config import BASELINE
from assay.core.config.claim import CONFIDENCE
from assay.core.errors import AssayError
from assay.core.plain import read_json
from assay.report import advice, summary, tables, vega, verdicts
from assay.report.content import ROUND

if TYPE_CHECKING:
    from jinja2 import Environment

    from assay.report.content import Content
    from assay.scoring.record import Record

FOLDER, FIGURES = Path("metrics/report"), "figures"
EMPTY = '<svg xmlns="http://www.w3.org/2000/svg" height="40"><text y="24">No claim is tested.</text></svg>\n'
ADVICE, REPORT = FOLDER / "advice.md", FOLDER / "report.md"  # README and MLflow's report run copy the first
SPARSITY = Path("benchmarks/sparsity.json")
SPARSITY_AGAIN = f"`git checkout -- {SPARSITY}` restores it, `make bench-sparse` measures anew"
PACKAGES = ("torch", "torchvision", "numpy", "scipy", "dvc", "mlflow")


def write(root: Path, content: Content) -> None:
    """Write the folder, whole or not at all."""
    from assay.report import charts, figures  # with Altair, which takes most of a second to import

    records = {name: evaluation.record for name, evaluation in content.evaluations.items()}
    baseline, rows, claims = records[BASELINE], content.rows, content.claims
    grouped, own = content.groups, tables.parameters(records)
    rounds = sum(name.startswith(ROUND) for name in records)
    versions = {name: metadata.version(name).partition("+")[0] for name in PACKAGES}  # `+cpu` differs by machine
    drawn = {figure.name: figure for figure in figures.make(content)}
    candidates = advice.candidates(content)
    values = {
        "title": f"{baseline.data} with {baseline.model.name}",
        "headline": verdicts.headline(claims),
        "advice": advice.advise(content, candidates),
        "advice_note": advice.note(candidates),
        "archived": content.archived,
        "registered": content.registered[:12],
        "seeds": baseline.seeds,
        "examples": baseline.test_examples,
        "classes": summary.class_sentences(baseline),
        "majority": summary.no_better_than_majority(rows),
        "digest": baseline.data_digest,
        "topics": verdicts.topics(claims, rows),
        "meanings": verdicts.meanings(claims),
        "results": tables.grouped(tables.results(rows), rows, grouped),
        "costs": tables.grouped(tables.costs(rows), rows, grouped),
        "arms": len(records) - 1 - rounds,
        "rounds": rounds,
        "parameters": [(title, [(arm, own[arm]) for arm in arms if own[arm]]) for title, arms in grouped.items()],
        "versions": {"python": ".".join(platform.python_version_tuple()[:2]), **versions},
        "direction": tables.direction(),
        "confidence": round(100 * CONFIDENCE),
        "picture": drawn.get("claims"),
        "figures": [figure for name, figure in drawn.items() if name != "claims"],
        "chart_style": charts.style_sheet(),
        "chart_config": charts.CONFIG,
        "vega": vega.script(),
    }
    environment = templates()
    with files.replacing(root / FOLDER) as folder:
        (folder / FIGURES).mkdir(parents=True)
        files.write_text(folder / "claims.svg", EMPTY)  # in git, and so always there
        for name, figure in drawn.items():
            if figure.charts:
                files.write_text(folder / ("" if name == "claims" else FIGURES) / f"{name}.svg", figure.file())
        for template, name in (("page.html", "index.html"), ("report.md", REPORT.name), ("advice.md", ADVICE.name)):
            files.write_text(folder / name, environment.get_template(f"{template}.j2").render(values))


def read_sparsity(root: Path, dense: Record) -> list[dict[str, Any]]:
    """What `make bench-sparse` measured of pruned networks of the baseline's model and data, an entry a round.

    Raises:
        AssayError: the file is damaged.
    """
    own, path = (dense.model.name, dense.data_digest), root / SPARSITY
    measured = read_json(path, SPARSITY_AGAIN, SPARSITY_AGAIN, shown=SPARSITY) if path.exists() else []
    try:
        return [one for one in measured if (one["model"], one["data_digest"]) == own]
    except (TypeError, KeyError) as error:
        raise AssayError(f"{SPARSITY}: damaged ({error!r}); {SPARSITY_AGAIN}") from None


def templates() -> Environment:
    """The package's templates; HTML is escaped, Markdown is not, and an undefined name is an error.

    Their filter `marked` turns `code` and **bold** of a line of Markdown into HTML.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    def marked(text: str) -> Markup:
        code = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
        return Markup(re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", code))  # noqa: S704 (escaped above)

    environment = Environment(
        loader=PackageLoader("assay.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["marked"] = marked
    return environment

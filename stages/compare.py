"""Compare what was evaluated, decide the claims, write the report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.analysis import claims, curves, looks, registration, seeds
from assay.core import config, files
from assay.core.config import BASELINE
from assay.core.errors import again, start
from assay.core.plain import read_json
from assay.pipeline import leftovers
from assay.report import report, summary, verdicts
from assay.report.content import Content
from assay.scoring import record

if TYPE_CHECKING:
    from assay.analysis.claims import ClaimRecord

ROOT = Path()
METRICS, TIMINGS = Path("metrics/metrics.json"), Path("metrics/timings")


def main() -> list[ClaimRecord]:
    """Write the report, metrics/plots/ and the tables that git keeps; gives the decided claims.

    The tables are metrics.json, seeds.csv, summary.csv, claims.json and timings.json, all under `metrics/`. Each has a
    line for an arm, a variant, a seed or a number, so that a changed result is a changed line.
    """
    params = config.load()
    arms = [*params.arms, *params.lottery.names]
    evaluations = record.read_all(ROOT, arms)
    trained = curves.read_all(ROOT, evaluations)
    kept = claims.read_archives(ROOT)
    decided = claims.with_archives(looks.judge(params.claims, evaluations, params.rule, params.seeds), kept)
    registered = registration.read(ROOT)
    late = {name: {"changed_after_results": entry.changed_after_results} for name, entry in registered.claims.items()}
    decided = [one.model_copy(update=late.get(one.id)) for one in decided]
    rows = summary.rows(evaluations)
    files.write_text(ROOT / summary.PATH, summary.csv_text(rows))
    files.write_text(ROOT / seeds.PATH, seeds.text(evaluations, params.claims))
    files.write_json(ROOT / METRICS, {arm: record.shown(one.record) for arm, one in evaluations.items()}, depth=1)
    files.write_json(ROOT / claims.PATH, [claim.model_dump(mode="json") for claim in decided], depth=2)
    summary.write_plots(ROOT, rows, trained)
    sparsity = report.read_sparsity(ROOT, evaluations[BASELINE].record)
    archived = verdicts.across_runs(decided, evaluations[BASELINE].record, kept)
    content = Content(evaluations, rows, decided, trained, sparsity, params.rule.matters, archived, registered.digest)
    report.write(ROOT, content)
    leftovers.remove(ROOT, arms)  # at the end: where params.yaml names what never ran, nothing is deleted
    timed = {path.stem: read_json(path, again(path), again(path)) for path in sorted((ROOT / TIMINGS).glob("*.json"))}
    files.write_json(ROOT / TIMINGS.with_suffix(".json"), timed, depth=1)
    return decided


if __name__ == "__main__":
    start(main)

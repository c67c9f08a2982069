"""The report as a run of its own, named `report`: the page as an artifact, what to use as its description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError
from assay.tracking.records import load_json

if TYPE_CHECKING:
    from pathlib import Path

    from assay.tracking.store import Store

NAME = "report"
STAGE = "compare"
LONGEST_NOTE = 5000  # of the 8,000 characters that MLflow takes: some databases count bytes
PAGE, CLAIMS, SUMMARY = "metrics/report/index.html", "metrics/claims.json", "metrics/summary.csv"
ADVICE = "metrics/report/advice.md"


def read_report(root: Path) -> list[Path]:
    """The files of the comparison, sorted.

    Raises:
        AssayError: one is missing.
    """
    for name in (PAGE, CLAIMS, SUMMARY):
        if not (root / name).is_file():
            raise AssayError(f"{name}: not found; `dvc repro compare` makes it")
    page = (root / PAGE).parent
    return [*sorted(path for path in page.rglob("*") if path.is_file()), root / CLAIMS, root / SUMMARY]


def report_names(root: Path) -> list[str]:
    """The artifacts of the report's run."""
    page = (root / PAGE).parent
    return [str(path.relative_to(page.parent if page in path.parents else path.parent)) for path in read_report(root)]


def log_report(store: Store, run: str) -> None:
    """Attach the page under `report/`, claims and summary beside it."""
    store.client.log_artifacts(run, str((store.root / PAGE).parent), "report")
    for name in (CLAIMS, SUMMARY):
        store.client.log_artifact(run, str(store.root / name))


def note(root: Path) -> str:
    """What to use, then the verdicts as a Markdown table.

    Raises:
        AssayError: metrics/claims.json is not JSON.
    """
    advice = (root / ADVICE).read_text(encoding="utf-8").rstrip() if (root / ADVICE).is_file() else ""
    lines = [
        *([advice, ""] if advice else []),
        "All arms compared: open the artifact `report/index.html`.",
        "",
        "| claim | verdict | arm | against | difference | interval |",
        "|---|---|---|---|---|---|",
    ]
    for claim in load_json(root / CLAIMS, root):
        row = f"| {claim['id']} | **{claim['verdict']}** | {claim['arm']} | {claim['against']} | {_numbers(claim)} |"
        if sum(map(len, lines)) + len(row) > LONGEST_NOTE:
            return "\n".join([*lines, "", "The rest is in the report."])
        lines.append(row)
    return "\n".join(lines)


def _numbers(claim: dict[str, Any]) -> str:
    if claim.get("difference") is None or claim.get("interval") is None:
        return " | "
    low, high = claim["interval"]
    return f"{claim['difference']:+.4f} {claim['metric']} | {low:+.4f} to {high:+.4f}"

"""The report as a run of its own, named `report`: the page as an artifact, what to use as its description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.core.errors import AssayError
from assay.tracking.records import load_json

if TYPE_CHECKING:
    from pathlib import Path

NAME = "report"
STAGE = "compare"
LONGEST_NOTE = 5000  # of the 8,000 characters that MLflow takes: some databases count bytes
PAGE, CLAIMS, SUMMARY = "metrics/report/index.html", "metrics/claims.json", "metrics/summary.csv"
ADVICE = "metrics/report/advice.md"


def read_report(root: Path) -> dict[str, Path]:
    """The files of the comparison by the names of their artifacts: the page under `report/`, the others beside it.

    Raises:
        AssayError: one is missing.
    """
    for name in (PAGE, CLAIMS, SUMMARY):
        if not (root / name).is_file():
            raise AssayError(f"{name}: not found; `dvc repro compare` makes it")
    page = (root / PAGE).parent
    paths = [*sorted(path for path in page.rglob("*") if path.is_file()), root / CLAIMS, root / SUMMARY]
    return {path.relative_to(page.parent).as_posix(): path for path in paths}


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
        numbers = " | "
        if claim.get("difference") is not None and claim.get("interval") is not None:
            low, high = claim["interval"]
            numbers = f"{claim['difference']:+.4f} {claim['metric']} | {low:+.4f} to {high:+.4f}"
        row = f"| {claim['id']} | **{claim['verdict']}** | {claim['arm']} | {claim['against']} | {numbers} |"
        if sum(map(len, lines)) + len(row) > LONGEST_NOTE:
            return "\n".join([*lines, "", "The rest is in the report."])
        lines.append(row)
    return "\n".join(lines)

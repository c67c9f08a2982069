"""What `compare` found: the report as a run of its own, and verdicts as tags and metrics of the arms' runs.

MLflow's tables sort and filter by these. Verdicts change when another claim, rival or block of seeds does, while the
arm's run stays the same one: they are compared with what the run has each time, and only what differs is written.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from assay.core.errors import ANEW, AssayError
from assay.core.plain import read_csv
from assay.tracking.records import MAKES, SUMMARY, load_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from assay.tracking.records import ArmRecord
    from assay.tracking.store import Store

    Told = tuple[dict[str, str], dict[str, float]]  # tags, and metrics

NAME, STAGE = "report", "compare"
LONGEST_NOTE = 5000  # of the 8,000 characters that MLflow takes: some databases count bytes
PAGE, CLAIMS, ADVICE = "metrics/report/index.html", "metrics/claims.json", "metrics/report/advice.md"
VERDICT = "verdict"
METRICS = ("difference", "difference_low", "difference_high", "seeds", "difference_to_baseline")
TESTED = ("reproduced", "refuted", "negligible", "undecided")


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
    lines = [
        "All arms compared: open the artifact `report/index.html`.",
        "",
        "| claim | verdict | arm | against | difference | interval |",
        "|---|---|---|---|---|---|",
    ]
    if (root / ADVICE).is_file():
        lines = [(root / ADVICE).read_text(encoding="utf-8").rstrip(), "", *lines]
    for claim in load_json(root / CLAIMS, root, ANEW):
        numbers = " | "
        if claim.get("difference") is not None and claim.get("interval") is not None:
            low, high = claim["interval"]
            numbers = f"{claim['difference']:+.4f} {claim['metric']} | {low:+.4f} to {high:+.4f}"
        row = f"| {claim['id']} | **{claim['verdict']}** | {claim['arm']} | {claim['against']} | {numbers} |"
        if sum(map(len, lines)) + len(row) > LONGEST_NOTE:
            return "\n".join([*lines, "", "The rest is in the report."])
        lines.append(row)
    return "\n".join(lines)


def read_verdicts(root: Path, arms: Iterable[ArmRecord]) -> dict[str, Told]:
    """The tags and metrics of each arm: `verdict.<claim>` of each claim, and `verdict` of the first that was tested.

    The metrics are the difference of that claim, the ends of its interval and its seeds, as far as they are known, and
    `difference_to_baseline` in accuracy, which every arm has.

    Raises:
        AssayError: metrics/claims.json is not JSON.
    """
    firsts = {arm.name: arm.first for arm in arms}
    told: dict[str, Told] = {name: ({}, {}) for name in firsts}
    for claim in load_json(root / CLAIMS, root, ANEW):
        tags, metrics = told.get(str(claim.get("arm", "")).partition("/")[0], ({}, {}))
        tags[f"{VERDICT}.{claim['id']}"] = claim["verdict"]
        if claim["verdict"] in TESTED and not claim.get("archived") and VERDICT not in tags:
            tags[VERDICT] = claim["verdict"]
            numbers = (claim.get("difference"), *(claim.get("interval") or (None, None)), claim.get("seeds"))
            found = zip(METRICS, numbers, strict=False)
            metrics |= {metric: float(value) for metric, value in found if value is not None}
    for line in read_csv(root / SUMMARY, MAKES, ANEW):
        name = line.get("arm", "")
        if name in told and line.get("variant") == firsts[name] and line.get("difference"):
            told[name][1]["difference_to_baseline"] = float(line["difference"])
    return told


def write_verdicts(store: Store, run_id: str, told: Told) -> None:
    """Bring a run's tags and metrics up to date.

    A metric cannot be deleted: one that no longer applies becomes NaN, which MLflow shows as such and sorts last.
    """
    from mlflow.entities import Metric, RunTag

    client: Any = store.client
    data, now = client.get_run(run_id).data, int(time.time() * 1000)
    own = {name: value for name, value in data.tags.items() if name == VERDICT or name.startswith(f"{VERDICT}.")}
    stale = {name: math.nan for name in METRICS if name in data.metrics and name not in told[1]}
    metrics = [
        Metric(name, value, now, 0)
        for name, value in {**told[1], **stale}.items()
        if repr(data.metrics.get(name)) != repr(value)
    ]
    tags = [RunTag(name, value) for name, value in told[0].items() if own.get(name) != value]
    if metrics or tags:
        client.log_batch(run_id, metrics=metrics, tags=tags)
    for name in own.keys() - told[0].keys():
        client.delete_tag(run_id, name)

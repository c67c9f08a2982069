"""What the claims say of an arm, as tags and metrics of its run, so that MLflow's tables can sort and filter by them.

Verdicts change when another claim, rival or block of seeds does, and the arm's run stays the same one: so they are
compared with what the run has each time, and only what differs is written.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.core.plain import read_csv
from assay.tracking.records import MAKES, load_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from assay.tracking.records import ArmRecord
    from assay.tracking.store import Store

CLAIMS, SUMMARY = "metrics/claims.json", "metrics/summary.csv"
VERDICT = "verdict"
METRICS = ("difference", "difference_low", "difference_high", "seeds", "difference_to_baseline")
TESTED = ("reproduced", "refuted", "negligible", "undecided")


@dataclass
class Told:
    """What is told of an arm: `verdict.<claim>` of each claim, and `verdict` of the first one that was tested.

    The metrics are the difference of that claim, the ends of its interval and its seeds, as far as they are known, and
    `difference_to_baseline` in accuracy, which every arm has.
    """

    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def read(root: Path, arms: Iterable[ArmRecord]) -> dict[str, Told]:
    """What `compare` found, by arm.

    Raises:
        AssayError: metrics/claims.json is not JSON.
    """
    firsts = {arm.files.name: arm.first for arm in arms}
    told = {name: Told() for name in firsts}
    for claim in load_json(root / CLAIMS, root):
        name = str(claim.get("arm", "")).partition("/")[0]
        if name in told:
            _add(told[name], claim)
    for line in read_csv(root / SUMMARY, MAKES):
        name = line.get("arm", "")
        if name in told and line.get("variant") == firsts[name] and line.get("difference"):
            told[name].metrics["difference_to_baseline"] = float(line["difference"])
    return told


def _add(told: Told, claim: dict[str, Any]) -> None:
    told.tags[f"{VERDICT}.{claim['id']}"] = claim["verdict"]
    if claim["verdict"] not in TESTED or claim.get("archived") or VERDICT in told.tags:
        return
    told.tags[VERDICT] = claim["verdict"]
    low, high = claim.get("interval") or (None, None)
    found = dict(zip(METRICS, (claim.get("difference"), low, high, claim.get("seeds")), strict=False))
    told.metrics |= {name: float(value) for name, value in found.items() if value is not None}


def write(store: Store, run_id: str, told: Told) -> None:
    """Bring a run's tags and metrics up to date.

    A metric cannot be deleted: one that no longer applies becomes NaN, which MLflow shows as such and sorts last.
    """
    from mlflow.entities import Metric, RunTag

    client: Any = store.client
    data, now = client.get_run(run_id).data, int(time.time() * 1000)
    own = {name: value for name, value in data.tags.items() if name == VERDICT or name.startswith(f"{VERDICT}.")}
    stale = {name: math.nan for name in METRICS if name in data.metrics and name not in told.metrics}
    metrics = [
        Metric(name, value, now, 0)
        for name, value in {**told.metrics, **stale}.items()
        if repr(data.metrics.get(name)) != repr(value)
    ]
    tags = [RunTag(name, value) for name, value in told.tags.items() if own.get(name) != value]
    if metrics or tags:
        client.log_batch(run_id, metrics=metrics, tags=tags)
    for name in own.keys() - told.tags.keys():
        client.delete_tag(run_id, name)

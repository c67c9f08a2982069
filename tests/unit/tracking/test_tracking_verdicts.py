"""The verdicts of an arm's claims are on its run, and follow them when the arm itself stays as it is."""

from __future__ import annotations

import math

import pytest
from tracking_repository import write_lock

from assay.analysis import claims
from assay.core import files
from assay.tracking import comparison
from assay.tracking.store import opened
from assay.tracking.sync import sync


def claim(name: str, verdict: str, arm: str = "line/midpoint", **changes) -> dict:
    found = {
        "id": name, "arm": arm, "against": "baseline", "metric": "accuracy", "difference": -0.01,
        "interval": [-0.02, -0.005], "seeds": 20, "verdict": verdict,
    }  # fmt: skip
    return {**found, **changes}


def line(root, *claims: dict) -> tuple[dict[str, str], dict[str, float]]:
    """What the arm's run says of verdicts after a sync with these claims; without any, as the repository is."""
    if claims:
        files.write_json(root / "metrics/claims.json", list(claims))
        write_lock(root)
    with opened(root) as store:
        sync(store, ["line"])
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        found = [run for run in store.client.search_runs([experiment]) if run.info.run_name == "line"]
    (run,) = found  # never a second one: the arm is the same
    return (
        {name: value for name, value in run.data.tags.items() if name.startswith("verdict")},
        {name: value for name, value in run.data.metrics.items() if name.startswith(("difference", "seeds"))},
    )


def test_what_counts_as_tested_is_what_the_report_counts():
    """`track` depends on no code that decides claims."""
    assert comparison.TESTED == claims.TESTED


def test_the_first_tested_claim_has_the_plain_names_and_each_claim_a_tag(root):
    tags, metrics = line(root)
    assert tags == {"verdict": "reproduced", "verdict.line-is-better": "reproduced"}
    assert metrics == pytest.approx(
        {
            "difference": 0.05,
            "difference_low": 0.01,
            "difference_high": 0.09,
            "seeds": 2,
            "difference_to_baseline": 0.05,
        }
    )
    built = claim("cost", "by construction", interval=None, difference=1.0)
    tags, metrics = line(root, built, claim("b", "refuted"), claim("c", "undecided"), claim("x", "refuted", "baseline"))
    assert tags == {
        "verdict": "refuted", "verdict.b": "refuted", "verdict.c": "undecided", "verdict.cost": "by construction",
    }  # fmt: skip
    assert (metrics["difference"], metrics["difference_high"], metrics["seeds"]) == (-0.01, -0.005, 20)
    tags, metrics = line(root, built)
    assert tags == {"verdict.cost": "by construction"}
    assert math.isnan(metrics["difference"])
    assert metrics["difference_to_baseline"] == 0.05

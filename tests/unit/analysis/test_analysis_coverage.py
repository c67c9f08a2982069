"""Simulated files have few wrong verdicts, and the rule finds what is there."""

from pathlib import Path

import numpy as np
import pytest

from assay.core import files
from benchmarks import coverage

ROOT = Path(__file__).parents[3]
COUNT = 1000
BAR = 0.05 + 3 * np.sqrt(0.05 * 0.95 / COUNT)
PROTECTED = [one for one in coverage.SCENARIOS if not one.alone]


@pytest.mark.parametrize("scenario", PROTECTED[:4], ids=lambda scenario: scenario.name)
def test_a_file_has_a_wrong_verdict_at_most_as_often_as_said(scenario):
    assert all(0 < share <= BAR for share in coverage.errors(scenario, COUNT).values())


def test_one_arm_that_fails_alone_is_not_protected():
    assert coverage.errors(coverage.SCENARIOS[-1], COUNT)["a"] > 0.2


def test_a_level_that_is_not_shared_among_the_claims_errs_too_often(monkeypatch):
    monkeypatch.setattr(coverage, "LEVELS", coverage.LEVELS * coverage.RULE.tests)
    assert coverage.errors(coverage.SCENARIOS[0], COUNT)["a"] > 0.3


def test_without_the_bound_on_answers_a_small_test_set_errs():
    bound, without = coverage.answer_errors(coverage.rare, 225, 30)
    assert bound == 0 < 0.5 < without


def test_more_seeds_find_more():
    shares = coverage.power(0.0025, 1.5 * coverage.MATTERS, COUNT)
    assert 0 < shares[0] < shares[1] < shares[2] <= 1


def test_the_committed_figures_hold_the_bar():
    found = files.read_json(ROOT / coverage.RESULTS)
    shares = {row["scenario"]: max(row["wrong"].values()) for row in found["errors"]}
    assert set(shares) == {one.name for one in coverage.SCENARIOS}
    assert max(shares[one.name] for one in PROTECTED) <= 0.05
    assert max(row["with"] for row in found["answers"] if "wrong" in row["scenario"]) <= 0.05


def test_the_documentation_shows_the_committed_figures():
    shown = coverage.markdown(files.read_json(ROOT / coverage.RESULTS))
    assert shown in (ROOT / "docs/evaluation.md").read_text()

"""The 95 % interval holds the truth about 95 times in a hundred, also with five seeds: by simulation."""

from pathlib import Path

import numpy as np
import pytest

from assay.foundation import files
from benchmarks import coverage

ROOT = Path(__file__).parents[3]
TRIALS = 500


@pytest.mark.parametrize("scenario", coverage.SCENARIOS[:5], ids=lambda scenario: scenario.name)
def test_coverage_with_five_seeds(scenario):
    error = np.sqrt(0.95 * 0.05 / TRIALS)
    assert coverage.coverage(scenario, 5, TRIALS) == pytest.approx(0.95, abs=3.5 * error)


def test_two_seeds_are_wide_rather_than_wrong():
    assert coverage.coverage(coverage.SCENARIOS[0], 2, TRIALS) > 0.92


def test_the_bootstrap_that_it_replaced_was_too_narrow():
    assert coverage.bootstrap_coverage(coverage.SCENARIOS[0], 5, 150) < 0.91


def test_the_documentation_shows_the_committed_figures():
    shown = coverage.markdown(files.read_json(ROOT / coverage.RESULTS))
    assert shown in (ROOT / "docs/evaluation.md").read_text()

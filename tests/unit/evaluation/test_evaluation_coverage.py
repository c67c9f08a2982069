"""How often the 95 % interval holds the truth: by simulation, where the truth is known.

A difference is mu + seed effect + example effect + interaction, all normal and independent. The scenarios say how the
variance of the mean splits over the three. 4,000 trials gave the coverages beside them, which docs/evaluation.md
shows; a test runs fewer, and allows three standard errors. The interval is
too narrow where seeds are all that varies, since the bootstrap's variance of a mean over S seeds is (S - 1) / S of
what it should be and a percentile knows no t distribution; it is too wide for interaction, which it counts thrice
(Owen 2007, theorem 1).
"""

import numpy as np
import pytest

from assay.evaluation.predictions import Predictions
from assay.evaluation.statistics import paired_difference

TRUTH, SEEDS, EXAMPLES, TRIALS = 0.3, 5, 100, 600


def coverage(of_seeds: float, of_examples: float, of_interaction: float, seeds: int = SEEDS) -> float:
    rng = np.random.default_rng(20)
    zeros = np.zeros((seeds, EXAMPLES), dtype=np.float32)
    held = 0
    for _ in range(TRIALS):
        values = (
            TRUTH
            + rng.normal(scale=np.sqrt(of_seeds * seeds), size=(seeds, 1))
            + rng.normal(scale=np.sqrt(of_examples * EXAMPLES), size=(1, EXAMPLES))
            + rng.normal(scale=np.sqrt(of_interaction * seeds * EXAMPLES), size=(seeds, EXAMPLES))
        ).astype(np.float32)
        arm, against = (Predictions(zeros.astype(np.uint8), zeros, nll, zeros) for nll in (values, zeros))
        low, high = paired_difference("nll", arm, against, range(seeds), range(seeds), resamples=400).interval
        held += low <= TRUTH <= high
    return held / TRIALS


@pytest.mark.parametrize(
    ("shares", "recorded"),
    [
        pytest.param((1, 0, 0), 0.841, id="seeds alone"),
        pytest.param((0, 1, 0), 0.945, id="examples alone"),
        pytest.param((0, 0, 1), 0.996, id="interaction alone"),
        pytest.param((0.5, 0.5, 0), 0.926, id="seeds and examples"),
        pytest.param((1, 1, 1), 0.977, id="all alike"),
    ],
)
def test_coverage_with_five_seeds(shares, recorded):
    error = np.sqrt(recorded * (1 - recorded) / TRIALS)
    assert coverage(*shares) == pytest.approx(recorded, abs=3 * error)


def test_coverage_with_two_seeds_is_poor_where_seeds_matter():
    assert coverage(1, 0, 0, seeds=2) < 0.6

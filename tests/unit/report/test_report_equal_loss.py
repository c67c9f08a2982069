"""Chains of different length, compared where they lose the same."""

from __future__ import annotations

import pytest

from assay.report.figures import sampling


def record_of(losses, batches, sigma=0.1):
    count = len(losses)
    seeds = [[value] for value in losses]
    return {
        "tau": 4,
        "series": {
            "moves": [10 * (i + 1) for i in range(count)],
            "forward_samples": [[100 * (i + 1)] for i in range(count)],
            "loss": seeds,
            "acceptance": [[0.5]] * count,
            "batch_a_test": [[n] for n in batches],
            "sigma": [[sigma]] * count,
            "s": [1.0] * count,
        },
    }


def test_arms_are_compared_where_both_have_the_same_loss():
    records = {
        "long": record_of([2.0, 1.0, 0.2], [100, 200, 300]),
        "short": record_of([2.0, 1.2, 0.6], [400, 800, 1600], 0.2),
    }
    level, reached = sampling.at_equal_loss(records)
    assert level == 0.6
    assert reached["short"]["moves"] == 30
    assert reached["long"]["moves"] == pytest.approx(25)
    assert reached["long"]["batch_a_test"] == pytest.approx(250)
    assert reached["short"]["batch_a_test_by_variance"] == pytest.approx(1600 / 0.04)


def test_the_report_shows_it_as_a_table():
    records = {"long": record_of([2.0, 1.0], [100, 200]), "short": record_of([2.0, 1.0], [400, 800])}
    shown = sampling.equal_loss(records)
    assert shown.columns[0] == "At a mean loss of 1.000"
    assert [(name, cells[3].value) for name, cells in shown.rows] == [("long", "200"), ("short", "800")]

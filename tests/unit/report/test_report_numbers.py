"""Numbers are rounded to what their uncertainty supports."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.report import numbers


@pytest.mark.parametrize(
    ("uncertainties", "expected"),
    [([0.15], 2), ([0.015], 3), ([1.5], 1), ([15.0], 0), ([150.0], 0), ([0.1, 0.2, 9.0], 2), ([1e-9], 5), ([0.0], 3)],
)
def test_decimals_give_two_significant_digits_of_the_typical_uncertainty(uncertainties, expected):
    assert numbers.decimals(uncertainties, default=3) == expected


@pytest.mark.parametrize(
    ("value", "fixed", "signed"),
    [
        (0.126, "0.13", "+0.13"),
        (-0.126, "−0.13", "−0.13"),
        (-0.001, "0.00", "0.00"),
        (0.001, "0.00", "0.00"),
        (None, "—", "—"),
    ],
)
def test_signs(value, fixed, signed):
    assert numbers.fixed(value, 2) == fixed
    assert numbers.signed(value, 2) == signed


def test_one_is_singular():
    told = [numbers.amount(value, unit) for value, unit in ((1.0, "points"), (0.2, "points"), (1, "nats"), (3, ""))]
    assert told == ["1 point", "0.2 points", "1 nat", "3"]


def test_ranges_and_counts():
    assert numbers.span(0.5, 1.25, 1) == "0.5–1.2"
    assert numbers.interval(-0.5, 0.25, 2) == "[−0.50, +0.25]"
    assert numbers.count(180000.0) == "180,000"
    assert numbers.count(1234.5) == "1,234.5"
    assert numbers.count(None) == "—"
    assert numbers.plain(1.0) == "1"
    assert numbers.plain(0.51234) == "0.5123"


@given(st.floats(-1e6, 1e6), st.integers(0, 5))
def test_a_shown_number_is_near_the_number(value, places):
    shown = float(numbers.signed(value, places).replace("−", "-"))
    assert abs(shown - value) <= 0.5 * 10**-places + 1e-9

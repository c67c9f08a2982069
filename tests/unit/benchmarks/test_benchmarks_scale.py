"""The model of the scheduler: what can be computed by hand."""

from __future__ import annotations

import itertools

import pytest

from benchmarks import scale


def test_units_start_longest_first_on_the_place_that_is_free_first():
    assert scale.makespan([5.0, 4.0, 3.0, 3.0, 3.0], 2) == 10.0  # 5 + 3, and 4 + 3 + 3
    assert scale.makespan([7.0], 8) == 7.0
    assert scale.makespan([1.0] * 6, 3) == 2.0


@pytest.mark.parametrize("units", [[9.0, 1, 1, 1, 1], [3.0, 3, 2, 2, 2], [5.0] * 7])
def test_the_time_is_between_its_bounds_and_never_grows_with_more_places(units):
    found = [scale.makespan(units, slots) for slots in range(1, 12)]
    assert found[0] == sum(units)
    assert found[-1] == max(units)
    assert all(later <= earlier for earlier, later in itertools.pairwise(found))
    for slots, one in enumerate(found, start=1):
        assert max(max(units), sum(units) / slots) <= one <= sum(units) / slots + max(units)  # Graham 1966


def test_a_chain_is_one_unit_and_every_other_arm_is_its_own():
    seconds = {"baseline": 10.0, "a": 3.0, "b": 4.0, "round-1": 5.0, "round-2": 6.0}
    overhead = scale.Overhead(unit=100.0, evaluation=0.5, stage=0.25, head=60.0)
    found = scale.units_of(seconds, ["round-1", "round-2"], 2.0, overhead)
    assert found == [100 + 42 + 3.0, 100 + 6 + 1.0, 100 + 8 + 1.0]
    assert scale.minutes([120.0, 60.0, 60.0], 8, 1, overhead) == (120 + 60 + 2) / 60

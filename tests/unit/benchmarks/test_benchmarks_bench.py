"""`make bench`: its medians and the spread of its processes, of made-up times, and the loops it compares with."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from assay.core import config
from assay.methods import checks
from benchmarks import rivals
from benchmarks.bench import SMALL, summarise
from benchmarks.rivals import CASES, COMMON, MEMORY
from tests.conftest import CPU


def process(plain: list[float], stack: list[float], ceiling: float = 1e9) -> dict[str, dict[str, list[float]]]:
    return {
        COMMON: {"seconds": plain, "ceiling": [ceiling] * len(plain)},
        MEMORY: {"seconds": [2 * one for one in stack], "ceiling": [ceiling] * len(plain)},
        "stack of 5": {"seconds": stack, "ceiling": [ceiling] * len(stack)},
    }


def test_a_ratio_is_taken_within_a_round_and_a_median_over_the_rounds_of_all_processes():
    found = summarise([process([10, 20, 30], [1, 2, 3]), process([8, 16, 32], [1, 2, 4])], 60, 10**9)
    row = found["stack of 5"]
    assert (
        row["times as fast as the common loop"] == 9.0
    )  # three rounds of 10, three of 8, whatever the rounds themselves took
    assert row["times as fast as the common loop, by process"] == [8.0, 10.0]
    assert row["milliseconds a step and copy"] == 2000.0
    assert row["times as fast as the loop in memory"] == 2.0
    assert row["images a second"] == 30
    assert found[COMMON]["times as fast as the common loop, by process"] == [1.0, 1.0]


def test_the_share_of_the_ceiling_is_of_the_ceiling_right_beside_it():
    found = summarise([process([1.0], [0.5], ceiling=4e9), process([1.0], [0.5], ceiling=8e9)], 60, 10**9)
    assert found["stack of 5"]["share of the ceiling"] == 0.375
    assert found["stack of 5"]["share of the ceiling, by process"] == [0.25, 0.5]


def written(folder, **changes):
    path = folder / "params.yaml"
    with path.open("w") as stream:
        YAML().dump({**SMALL, **changes}, stream)
    return path


def test_the_small_pipeline_has_parameters_that_every_stage_takes(tmp_path):
    params = config.load(written(tmp_path))
    checks.check(params)
    assert [run.arm for run in params.runs()] == ["baseline", "cyclic"]


@pytest.mark.parametrize("name", CASES)
def test_each_contender_takes_a_step(name, monkeypatch):
    monkeypatch.setitem(CASES, name, replace(CASES[name], count=2 * CASES[name].batch, batch=8))
    for step, copies in rivals.contenders(name, CPU).values():
        assert copies >= 1
        step()

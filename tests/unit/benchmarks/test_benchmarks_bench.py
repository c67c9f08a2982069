"""`make bench`: its medians and the spread of its processes, of times that a test makes up, and what it asks for."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from assay.core import config
from assay.core.errors import AssayError
from assay.methods import checks
from benchmarks.bench import SMALL, check_parameters
from benchmarks.engine import PLAIN, summarise


def process(plain: list[float], stack: list[float], ceiling: float = 1e9) -> dict[str, dict[str, list[float]]]:
    return {
        PLAIN: {"seconds": plain, "ceiling": [ceiling] * len(plain)},
        "stack of 5": {"seconds": stack, "ceiling": [ceiling] * len(stack)},
    }


def test_a_ratio_is_taken_within_a_round_and_a_median_over_the_rounds_of_all_processes():
    found = summarise([process([10, 20, 30], [1, 2, 3]), process([8, 16, 32], [1, 2, 4])], 10**9)
    row = found["stack of 5"]
    assert row["times faster than plain"] == 9.0  # three rounds of 10, three of 8, whatever the rounds themselves took
    assert row["times faster than plain, by process"] == [8.0, 10.0]
    assert row["milliseconds a step and copy"] == 2000.0
    assert found[PLAIN]["times faster than plain, by process"] == [1.0, 1.0]


def test_the_share_of_the_ceiling_is_of_the_ceiling_right_beside_it():
    found = summarise([process([1.0], [0.5], ceiling=4e9), process([1.0], [0.5], ceiling=8e9)], 10**9)
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


@pytest.mark.parametrize(
    ("section", "value", "key"),
    [
        ("data", {"name": "digits", "validation": 200}, "data.name: digits"),
        ("model", {"name": "linear"}, "model.name: linear"),
        ("train", {**SMALL["train"], "batch_size": 32}, "train.batch_size: 32"),
    ],
)
def test_what_is_not_the_plain_loops_is_refused_by_its_key(section, value, key, tmp_path):
    same = {
        "data": {"name": "mnist", "validation": 200},
        "model": {"name": "lenet_300_100"},
        "train": {**SMALL["train"], "batch_size": 60},
    }
    check_parameters(config.load(written(tmp_path, **same)))
    with pytest.raises(AssayError, match=key):
        check_parameters(config.load(written(tmp_path, **{**same, section: value})))

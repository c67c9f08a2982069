"""An arm's own augmentation: it takes the place of the data's, and a killed run goes on to the same bytes."""

from __future__ import annotations

import pytest

from assay import methods
from assay.core.errors import AssayError
from tests.conftest import make_data
from tests.contract.test_contract_methods import CHAIN, assert_equal_weights, bit_equal, train, train_killed

ENTRIES = ["crop", {"rand_augment": {"num_ops": 2, "magnitude": 9}}, "random_resized_crop"]


@pytest.fixture
def run(make_run):
    return make_run(augment=ENTRIES, model={"name": "linear"})


def test_it_takes_the_place_of_the_datas(run, make_run, device, tmp_path):
    own, _ = train(run, make_data(augment="crop_flip", device=device), tmp_path / "own")
    shared, _ = train(make_run(), make_data(augment=ENTRIES, device=device), tmp_path / "shared")
    plain, _ = train(make_run(), make_data(device=device), tmp_path / "plain")
    assert_equal_weights(own, shared, bit_equal)
    with pytest.raises(AssertionError):
        assert_equal_weights(own, plain, bit_equal)
    off, _ = train(make_run(augment="none"), make_data(augment="crop", device=device), tmp_path / "off")
    assert_equal_weights(off, plain, bit_equal)


def test_the_manifest_has_it_where_the_arm_has_one(run, make_run):
    assert run.parameters["augment"] == ENTRIES
    assert "augment" not in make_run().parameters


def test_a_killed_run_goes_on_to_the_same_bytes(run, device, tmp_path):
    data = make_data(device=device)
    whole, curves = train(run, data, tmp_path / "whole")
    resumed, others, saves = train_killed(run, data, tmp_path / "killed", 5)
    assert saves == list(range(1, run.train.steps))
    assert_equal_weights(whole, resumed, bit_equal)
    assert curves.curves.csv() == others.curves.csv()


def test_a_method_that_augments_nothing_refuses_it(make_run, data):
    run = make_run(method="trajectory", options=CHAIN, augment="crop", own=("augment",))
    with pytest.raises(AssayError, match=r"^params.yaml: arms.probe.augment: trajectory does not augment images"):
        methods.resolve(run).check(data.images, 96)

"""Images that are too many for the device's memory give every method the same bytes as images that are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay import models
from assay.data.sets import prepared
from assay.data.sets.prepared import Split
from assay.engine import batches
from assay.engine.checkpoint import Scratch
from assay.scoring import predict
from tests.conftest import make_data
from tests.contract.test_contract_methods import ARMS, arm_id, train, train_killed, trained


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mapped") / "prepared"
    prepared.write(folder, make_data())
    return folder


@pytest.fixture
def mapped(folder, device, monkeypatch):
    monkeypatch.setenv("ASSAY_IMAGE_MEMORY", "0")
    data = prepared.load(folder, device)
    assert not data.in_memory
    assert {split.images.device.type for split in (data.train, data.validation, data.test)} == {"cpu"}
    assert data.device.type == device.type
    return replace(data, digest=make_data().digest)


@pytest.fixture(params=ARMS, ids=arm_id)
def run(request, make_run):
    return make_run(**ARMS[request.param])


def assert_same(one, other):
    assert one.manifest == other.manifest
    assert one.weights.keys() == other.weights.keys()
    for variant, state in one.weights.items():
        assert all(torch.equal(tensor, other.weights[variant][name]) for name, tensor in state.items()), variant


def test_training_is_the_same(run, mapped, tmp_path):
    (result, done), (expected, expected_done) = (
        train(run, mapped, tmp_path),
        trained(run, make_data(device=mapped.device)),
    )
    assert_same(result, expected)
    assert done.curves.csv() == expected_done.curves.csv()


def test_a_killed_training_goes_on_to_the_same(run, mapped, tmp_path):
    result, *_ = train_killed(run, mapped, tmp_path, 7)
    assert_same(result, trained(run, make_data(device=mapped.device))[0])


def test_evaluation_is_the_same(run, mapped):
    device = mapped.device
    result, _ = trained(run, make_data(device=device))
    network = models.build(run.model.name, mapped.images, **run.model.arguments).to(device)
    found, expected = (
        (
            [predict.of_variant(result, variant, network, data) for variant in result.manifest.variants],
            [predict.of_sweep(result, sweep, network, data) for sweep in result.manifest.sweeps],
        )
        for data in (mapped, make_data(device=device))
    )
    assert repr(found) == repr(expected)


def images_at_once(run, data, folder, monkeypatch):
    """How often a training step waited for its images to be gathered."""
    waited, at = [], Split.at
    monkeypatch.setattr(Split, "at", lambda split, positions: waited.append(positions) or at(split, positions))
    monkeypatch.setattr(Scratch, "is_due", lambda scratch: False)
    train(run, data, folder)
    return len(waited)


# 6 batches an epoch, rounds of 3: the first batch of all, and of each round
@pytest.mark.parametrize(
    ("arm", "waits"),
    [("sgd", 1), ("ordered sgd", 1), ("selective backprop", 1), ("hard batches", 3), ("deep ensemble", 1)],
)
def test_batches_are_gathered_while_earlier_steps_run(arm, waits, mapped, make_run, tmp_path, monkeypatch):
    if arm not in ARMS:
        arm = next(name for name in ARMS if ARMS[name]["method"] == arm.replace(" ", "_"))
    assert images_at_once(make_run(**ARMS[arm]), mapped, tmp_path, monkeypatch) == waits


def test_images_on_the_device_are_gathered_at_once_and_by_no_thread(data, make_run, tmp_path, monkeypatch):
    monkeypatch.setattr(batches, "Gatherer", None)
    train(make_run(), data, tmp_path)


def test_augmentation_is_the_same(make_run, tmp_path, device, monkeypatch):
    data = make_data(channels=3, augment="crop_flip", device=device)
    expected, _ = train(make_run(), data, tmp_path / "one")
    prepared.write(tmp_path / "data", data)
    monkeypatch.setenv("ASSAY_IMAGE_MEMORY", "0")
    mapped = replace(prepared.load(tmp_path / "data", device), digest=data.digest)
    result, _ = train(make_run(), mapped, tmp_path / "two")
    assert_same(result, expected)


def test_a_batch_that_was_not_foretold_is_gathered_when_it_is_drawn(mapped, make_run, tmp_path, monkeypatch):
    """A subclass may override `select` and leave `ahead` as it was."""

    class Reversed(batches.EpochBatches):
        def select(self, step, score):
            return super().select(step, score).flip(1)

    monkeypatch.setattr("assay.engine.context.EpochBatches", Reversed)
    result, _ = train(make_run(), mapped, tmp_path / "one")
    expected, _ = train(make_run(), make_data(device=mapped.device), tmp_path / "two")
    assert_same(result, expected)

"""Costs on one scale: passes are counted, operations are those of the network."""

import pytest

from assay import models
from assay.data.sets.images import Images
from assay.models.artifact import ModelRecord
from assay.scoring.record import Record, VariantRecord

IMAGES = Images(1, 28, 28, 10)


def test_a_dense_networks_operations_are_two_a_weight():
    forward, both = models.operations("lenet_300_100", IMAGES, {})
    weights = [784 * 300, 300 * 100, 100 * 10]
    assert forward == 2 * sum(weights)
    assert both == 3 * forward - 2 * weights[0]  # the pixels need no gradient


def test_batch_norm_and_convolutions_count_too():
    forward, both = models.operations("resnet_20", Images(3, 32, 32, 10), {})
    assert 2 * 40e6 < forward < 2 * 42e6  # 41 million multiplications (He et al. 2016)
    assert 2.9 * forward < both < 3 * forward


VARIANT = VariantRecord(
    members=2, combine="mean_probability", density=0.25, accuracy=[], nll=[], brier=[], balanced_accuracy=[],
    macro_f1=[], ece=[], train_samples=1000, forward_samples=500, optimizer_steps=10,
)  # fmt: skip


@pytest.mark.parametrize(
    ("known", "training", "inference"), [((7, 20), 1000 * 20 + 500 * 7, 3.5), ((None,) * 2, None, None)]
)
def test_a_backward_pass_counts_twice_a_forward_pass(known, training, inference):
    model = ModelRecord(name="linear", flops_per_sample=known[0], flops_per_train_sample=known[1])
    record = Record(
        arm="a", method="sgd", seeds=[0], model=model, parameters={}, data="d", data_digest="0",
        test_examples=1, class_counts={"x": 1}, variants={},
    )  # fmt: skip
    found = record.costs(VARIANT)
    assert found.training_cost == 3 * 1000 + 500
    assert found.inference_cost == 0.5
    assert (found.training_flops, found.inference_flops) == (training, inference)

"""Costs on one scale: what passes and operations training and inference take."""

import pytest

from assay.models.artifact import ModelRecord
from assay.scoring.record import Record, VariantRecord

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

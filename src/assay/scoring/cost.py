"""Costs on one scale: passes of one example through one network, and floating-point operations.

A backward pass counts twice a forward pass, as its two matrix products a layer do: an example that was trained on is
three passes, one that only went forward is one. Operations are those that PyTorch's own counter sees in the arm's
network, so that arms with another network compare too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from assay.scoring.record import Record, VariantRecord

FORWARD_AND_BACKWARD = 3  # passes


class Costs(NamedTuple):
    """What a variant costs; None where operations are not known. A pruned weight counts as saved.

    Attributes:
        training_cost: of one seed, in passes through one whole network.
        training_flops: of one seed, in floating-point operations.
        inference_cost: of one prediction, in passes through one whole network: members times density.
        inference_flops: of one prediction.
    """

    training_cost: float
    training_flops: float | None
    inference_cost: float
    inference_flops: float | None


def costs(record: Record, variant: VariantRecord) -> Costs:
    """What training one seed of a variant cost, and what one prediction costs."""
    inference = variant.members * variant.density
    forward, both = record.model.flops_per_sample, record.model.flops_per_train_sample
    known = forward is not None and both is not None
    return Costs(
        training_cost=FORWARD_AND_BACKWARD * variant.train_samples + variant.forward_samples,
        training_flops=variant.train_samples * both + variant.forward_samples * forward if known else None,  # type: ignore[operator]
        inference_cost=inference,
        inference_flops=inference * forward if forward is not None else None,
    )

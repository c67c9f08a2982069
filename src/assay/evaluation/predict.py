"""From trained networks to predictions: run a variant over the test set, blind to the method that trained it.

The members of a variant go through the network one at a time, so memory does not grow with their number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from assay.errors import AssayError
from assay.evaluation.predictions import Predictions
from assay.models.combine import combine
from assay.training.stack import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int, Int64, UInt8
    from torch import Tensor, nn

    from assay.artifact import Artifact, Combine
    from assay.evaluation.predictions import Array

# The least probability whose logarithm is taken. A class without a vote has share 0, and a loss of infinity would say
# nothing; float32's epsilon is what the field's libraries clamp at. Mean probabilities only need to survive underflow.
FLOOR: dict[Combine, float] = {
    "majority_vote": torch.finfo(torch.float32).eps,
    "mean_probability": torch.finfo(torch.float64).tiny,
}


def score(
    probabilities: Float[Tensor, "seed example class"], labels: Int64[Tensor, " example"], how: Combine
) -> Predictions:
    """Reduce class probabilities to what is kept of them."""
    confidence, predicted = probabilities.max(-1)
    of_label = probabilities.gather(-1, labels.expand(len(probabilities), -1)[..., None])[..., 0]
    return Predictions(
        correct=_numpy(predicted == labels, torch.uint8),
        confidence=_numpy(confidence, torch.float32),
        nll=_numpy(-of_label.clamp(FLOOR[how], 1.0).log(), torch.float32),
        brier=_numpy(probabilities.square().sum(-1) - 2 * of_label + 1, torch.float32),
    )


def of_variant(
    artifact: Artifact,
    variant: str,
    network: nn.Module,
    images: UInt8[Tensor, "example c h w"],
    labels: Int64[Tensor, " example"],
    mean: Sequence[float],
    std: Sequence[float],
) -> tuple[Predictions, list[float]]:
    """Run a variant over images: its predictions, and for each seed the disagreement of its members (none if M = 1).

    Args:
        artifact: the trained networks.
        variant: which of them.
        network: the plain module, on the images' device; its own weights are never used.
        images: raw pixels, on the device where the networks run.
        labels: class numbers.
        mean: per channel, on the scale of the pixels (0 to 255).
        std: likewise.

    Raises:
        AssayError: a network's outputs are not finite numbers.
    """
    record = artifact.manifest.variants[variant]
    shape = (len(artifact.manifest.seeds), len(images), artifact.manifest.images["classes"])
    total = torch.zeros(shape, dtype=torch.float64, device=images.device)
    votes = torch.zeros(shape, dtype=torch.int16, device=images.device)
    for member in range(record.members):
        weights = {name: tensor[:, member].to(images.device) for name, tensor in artifact.weights[variant].items()}
        logits = predict(network, weights, images, mean, std)
        _refuse_non_finite(logits, artifact, variant)
        total += combine(logits[:, None].double(), record.combine)
        votes += F.one_hot(logits.argmax(-1), shape[-1])
    return score(total / record.members, labels, record.combine), disagreement(votes)


def disagreement(votes: Int[Tensor, "seed example class"]) -> list[float]:
    """For each seed, the share of examples that two members label differently, averaged over all pairs of members.

    It is the disagreement of Kuncheva and Whitaker (2003), counted from the votes each class got. Empty where there
    is one member, since there is no pair.
    """
    votes = votes.double()
    members = votes[0, 0].sum()
    if members < 2:
        return []
    agreeing = (votes * (votes - 1)).sum(-1) / (members * (members - 1))
    return (1 - agreeing).mean(-1).tolist()


def _refuse_non_finite(logits: Float[Tensor, "seed example class"], artifact: Artifact, variant: str) -> None:
    finite = logits.isfinite().flatten(1).all(1)
    if not finite.all():
        manifest = artifact.manifest
        seed = manifest.seeds[int(finite.logical_not().nonzero()[0, 0])]
        raise AssayError(
            f"models/{manifest.arm}: {variant} of seed {seed} puts out NaN or infinity: its training diverged; "
            "try a smaller learning rate"
        )


def _numpy(tensor: Tensor, dtype: torch.dtype) -> Array:
    return np.ascontiguousarray(tensor.to(dtype).cpu().numpy())

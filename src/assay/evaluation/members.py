"""How the members of a variant differ, and what each more of them brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from assay.evaluation.record import MemberRecord
from assay.training.stack import predict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64, UInt8
    from torch import Tensor, nn

    from assay.artifact import Artifact

ROWS = 2000  # images at a time, with all members' probabilities in memory


def of_variant(
    artifact: Artifact,
    variant: str,
    network: nn.Module,
    images: UInt8[Tensor, "example c h w"],
    labels: Int64[Tensor, " example"],
    mean: Sequence[float],
    std: Sequence[float],
) -> MemberRecord:
    """What there is to say of the members of a variant; nothing where there is one.

    Args:
        artifact: the trained networks.
        variant: which of them.
        network: the plain module, on the images' device; its own weights are never used.
        images: raw pixels, on the device where the networks run.
        labels: class numbers.
        mean: per channel, on the scale of the pixels (0 to 255).
        std: likewise.
    """
    record, seeds = artifact.manifest.variants[variant], len(artifact.manifest.seeds)
    if record.members < 2:
        return MemberRecord()
    state = artifact.weights[variant]
    members = [{n: t[:, m].to(images.device) for n, t in state.items()} for m in range(record.members)]
    counts = ensemble_sizes(record.members)
    correct = torch.zeros(len(counts), seeds, dtype=torch.int64, device=images.device)
    variation = torch.zeros(seeds, dtype=torch.float64, device=images.device)
    for rows, own in zip(images.split(ROWS), labels.split(ROWS), strict=True):
        logits = torch.stack([predict(network, weights, rows, mean, std) for weights in members], 1)
        probabilities = logits.double().softmax(-1)
        voices = (
            probabilities if record.combine == "mean_probability" else F.one_hot(logits.argmax(-1), logits.shape[-1])
        )
        together = voices.cumsum(1)
        for index, count in enumerate(counts):
            correct[index] += (together[:, count - 1].argmax(-1) == own).sum(-1)
        variation += total_variation(probabilities).sum(-1)
    return MemberRecord(
        total_variation=[round(value, 6) for value in (variation / len(images)).tolist()],
        ensemble_sizes=counts,
        ensemble_accuracy=[[round(value, 6) for value in row] for row in (correct.double() / len(images)).tolist()],
    )


def ensemble_sizes(members: int) -> list[int]:
    """The numbers of members at which ensembles are measured: all up to 8, then powers of 2, and the last."""
    return sorted({count for count in range(1, members + 1) if count <= 8 or count.bit_count() == 1} | {members})


def total_variation(probabilities: Float[Tensor, "seed member example class"]) -> Float[Tensor, "seed example"]:
    """The total-variation distance between two members' predictions, averaged over all pairs of members.

    It is half the sum over classes of |p_i - p_j|, from 0 to 1. In sorted order the k-th of M numbers (from 0) is the
    larger one in k of its pairs and the smaller one in M - 1 - k, which gives the sum over pairs without visiting them.
    """
    members = probabilities.shape[1]
    ranked = probabilities.sort(1).values
    factors = 2 * torch.arange(members, dtype=ranked.dtype, device=ranked.device) - (members - 1)
    pairs = members * (members - 1) / 2
    return torch.einsum("m,smnc->sn", factors, ranked) / (2 * pairs)

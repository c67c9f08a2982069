"""How the members of a variant differ, and what each more of them brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from assay.scoring.record import MemberRecord

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64
    from torch import Tensor

    from assay.models.artifact import Combine


def sums(
    logits: Float[Tensor, "seed member example class"], labels: Int64[Tensor, " example"], how: Combine
) -> Float64[Tensor, "kind seed"]:
    """What adds up over examples: disagreement, total variation, and for each of `ensemble_sizes` what is right."""
    probabilities = logits.double().softmax(-1)
    votes = F.one_hot(logits.argmax(-1), logits.shape[-1])
    adding = {"mean_probability": probabilities, "mean_logit": logits.double(), "majority_vote": votes}
    together = adding[how].cumsum(1)
    first = [together[:, size - 1].argmax(-1) == labels for size in ensemble_sizes(logits.shape[1])]
    kinds = [disagreement(votes.sum(1)), total_variation(probabilities), *first]
    return torch.stack([kind.double().sum(-1) for kind in kinds])


def describe(sums: Float64[Tensor, "kind seed"], members: int, examples: int) -> MemberRecord:
    """The record of so many members (2 or more), from `sums` over so many examples."""
    disagree, vary, *right = [[round(mean, 6) for mean in row] for row in (sums / examples).tolist()]
    return MemberRecord(
        disagreement=disagree, total_variation=vary, ensemble_sizes=ensemble_sizes(members), ensemble_accuracy=right
    )


def ensemble_sizes(members: int) -> list[int]:
    """The numbers of members at which ensembles are measured: all up to 8, then powers of 2, and the last."""
    return sorted({count for count in range(1, members + 1) if count <= 8 or count.bit_count() == 1} | {members})


def disagreement(votes: Int64[Tensor, "seed example class"]) -> Float64[Tensor, "seed example"]:
    """The share of pairs of members that label an example differently, from the votes that each class got.

    It is the disagreement of Kuncheva and Whitaker (2003). There must be two members or more.
    """
    members = votes[0, 0].sum()
    return 1 - (votes * (votes - 1)).sum(-1).double() / (members * (members - 1))


def total_variation(probabilities: Float64[Tensor, "seed member example class"]) -> Float64[Tensor, "seed example"]:
    """The total-variation distance between two members' predictions, averaged over all pairs of two or more members.

    It is half the sum over classes of |p_i - p_j|, from 0 to 1. In sorted order the k-th of M numbers (from 0) is the
    larger one in k of its pairs and the smaller one in M - 1 - k, which gives the sum over pairs without visiting them.
    """
    members = probabilities.shape[1]
    ranked = probabilities.sort(1).values
    factors = 2 * torch.arange(members, dtype=ranked.dtype, device=ranked.device) - (members - 1)
    return torch.einsum("m,smnc->sn", factors, ranked) / (members * (members - 1))

"""How the members of a variant become one prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from assay.models.artifact import Combine


def combine(logits: Float[Tensor, "*copy member example class"], how: Combine) -> Float[Tensor, "*copy example class"]:
    """Probabilities of the ensemble: the members' mean, the softmax of their mean logits, or their shares of votes.

    Args:
        logits: of every member.
        how: `mean_probability` averages what the members say (Lakshminarayanan et al., arXiv 1612.01474); `mean_logit`
            averages before the softmax, as Wortsman et al. (arXiv 2102.10472) evaluate subspaces; `majority_vote`
            counts each member's most probable class.
    """
    if how == "mean_probability":
        return logits.softmax(-1).mean(-3)
    if how == "mean_logit":
        return logits.mean(-3).softmax(-1)
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype).mean(-3)

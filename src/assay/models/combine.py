"""How the members of a variant become one prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn import functional as F

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from assay.artifact import Combine


def combine(logits: Float[Tensor, "*copy member example class"], how: Combine) -> Float[Tensor, "*copy example class"]:
    """Probabilities of the ensemble: the members' mean probability, or the share of their votes for each class."""
    if how == "mean_probability":
        return logits.softmax(-1).mean(-3)
    return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype).mean(-3)

"""The loss: the fifth seam. How much does each example's prediction cost in training?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from assay.core.errors import AssayError

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64

    Labels = Int64[Tensor, "copy batch"] | Float[Tensor, "copy batch class"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits `(copy, batch, class)` and labels to the loss of each example, `(copy, batch)`.

Labels are class numbers, int64 `(copy, batch)`, or class probabilities, floating point `(copy, batch, class)`, of which
those of an example sum to 1: as in PyTorch's `cross_entropy`. Probabilities come of methods that mix examples.
A function of its arguments alone, made of differentiable PyTorch operations; each example counts for itself, so that a
copy trains alone as it does in company. It must not read values on the host (`.item()`): a GPU replays it.
"""


def cross_entropy(logits: Float[Tensor, "copy batch class"], labels: Labels) -> Float[Tensor, "copy batch"]:
    """Cross-entropy of each example, in nats: the loss of every method that gives no other."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(0, 1), reduction="none").view(labels.shape[:2])


def is_correct(logits: Float[Tensor, "copy batch class"], labels: Labels) -> Bool[Tensor, "copy batch"]:
    """Whether the class of the largest logit is the example's own; of mixed examples, the class of the largest share.

    Of equal ones the first counts.
    """
    return logits.argmax(-1) == (labels.argmax(-1) if labels.is_floating_point() else labels)


def of_each_example(
    loss: Loss, logits: Float[Tensor, "copy batch class"], labels: Labels
) -> Float[Tensor, "copy batch"]:
    """The loss, if it has one number for each example.

    Raises:
        AssayError: it has not, and would weigh some examples more than others.
    """
    losses = loss(logits, labels)
    if losses.shape != labels.shape[:2]:
        shapes = map(str, (tuple(losses.shape), tuple(logits.shape), tuple(labels.shape[:2])))
        raise AssayError("the loss gives {} for logits {}; it must give one number an example, {}".format(*shapes))
    return losses


def with_gradient(
    loss: Loss, logits: Float[Tensor, "copy batch class"], labels: Labels
) -> tuple[Float[Tensor, "copy batch"], Float[Tensor, "copy batch class"]]:
    """The loss of each example, and its gradient for the logits: written out for `cross_entropy`, else by autograd."""
    if loss is not cross_entropy:
        leaf = logits.detach().requires_grad_()
        with torch.enable_grad():
            losses = of_each_example(loss, leaf, labels)
        return losses.detach(), torch.autograd.grad(losses.sum(), leaf)[0].contiguous()
    log_probabilities = logits.log_softmax(-1)
    if labels.is_floating_point():
        return -(labels * log_probabilities).sum(-1), log_probabilities.exp().sub_(labels)
    chosen = labels.unsqueeze(-1)
    one_hot = chosen == _classes(logits.shape[-1], logits.device)  # deterministic scatters sort on a GPU: half a step
    gradient = log_probabilities.exp().add_(one_hot, alpha=-1)
    return -log_probabilities.gather(-1, chosen).squeeze(-1), gradient


@cache
def _classes(count: int, device: torch.device) -> Int64[Tensor, " class"]:
    return torch.arange(count, device=device)

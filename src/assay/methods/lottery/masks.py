"""The second seam under masks: what is pruned is exactly 0, at the start and after every update."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from assay.engine.parametrisation import Outcome, Parametrisation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from assay.engine.stack import Weights
    from assay.methods.lottery.pruning import Masks
    from assay.models.artifact import Cost


class Masked(Parametrisation):
    """Several variants side by side in one stack, each with masks of its own.

    A pruned weight starts at 0 and its gradient is always 0. Momentum, Adam's moments and weight decay of such a weight
    are 0 as well, so every optimizer leaves it at exactly 0, and no product with the mask is needed to run.

    Args:
        masks: by variant, then by parameter, `(seed, *shape)`; the copies of the stack stand in this order.
        weights: how many prunable weights there are, pruned or not.
        prior_cost: by variant, what earlier trainings cost that it rests on.
        record: what there is to say beside it.
    """

    def __init__(
        self, masks: Mapping[str, Masks], weights: int, prior_cost: Mapping[str, Cost], record: dict[str, Any]
    ) -> None:
        self._masks, self._weights, self._prior_cost, self._record = masks, weights, prior_cost, record
        first = next(iter(masks.values()))
        self._factors = {name: torch.cat([own[name] for own in masks.values()]).float() for name in first}

    def start(self, weights: Sequence[Weights]) -> Weights:
        """What is stored at first: the weights of each variant `(seed, *shape)`, with 0 in place of what is pruned."""
        parts = [
            {name: torch.where(own[name], tensor, 0) if name in own else tensor for name, tensor in each.items()}
            for own, each in zip(self._masks.values(), weights, strict=True)
        ]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """None for what is pruned."""
        for name, factor in self._factors.items():
            gradients[name].mul_(factor)
        return gradients

    def variants(self, stored: Weights, buffers: Weights) -> dict[str, Outcome]:
        """The variants, each with its masks and its density."""
        found, begin = {}, 0
        for variant, masks in self._masks.items():
            end = begin + len(next(iter(masks.values())))
            pruned = sum(int((~mask[0]).sum()) for mask in masks.values())
            found[variant] = Outcome(
                {name: tensor[begin:end, None] for name, tensor in {**stored, **buffers}.items()},
                density=1 - pruned / self._weights,
                masks={name: mask[:, None].to(torch.uint8) for name, mask in masks.items()},
                prior_cost=self._prior_cost[variant],
            )
            begin = end
        return found

    def record(self, stored: Weights) -> dict[str, Any]:  # noqa: ARG002
        """How many weights each layer has and, in each variant and seed, has left; and what the caller wants said."""
        left = {
            variant: {name: counts_left(mask) for name, mask in masks.items()} for variant, masks in self._masks.items()
        }
        weights = {name: mask[0].numel() for name, mask in next(iter(self._masks.values())).items()}
        return {**self._record, "weights": weights, "left": left}


def counts_left(mask: Tensor) -> list[int]:
    """How many weights of a layer are left in each copy."""
    return mask.flatten(1).sum(1).tolist()

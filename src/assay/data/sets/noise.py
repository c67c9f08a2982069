"""Label noise: a share of the training labels is replaced by random classes, the same ones in every arm of a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from assay.core.runtime import generator

if TYPE_CHECKING:
    from jaxtyping import Int64
    from torch import Tensor


def noisy(labels: Int64[Tensor, " example"], share: float, classes: int, seed: int) -> Int64[Tensor, " example"]:
    """Give the first `int(share * n)` examples of a seeded permutation a class drawn uniformly, their own included.

    As in the authors' code of Wortsman et al., "Learning Neural Network Subspaces" (ICML 2021). A larger share changes
    the examples that a smaller one does, and more.
    """
    drawn = generator(seed, "label noise")
    changed = torch.randperm(len(labels), generator=drawn)
    random = torch.randint(classes, (len(labels),), generator=drawn)
    changed = changed[: int(share * len(labels))]
    result = labels.cpu().clone()
    result[changed] = random[changed]
    return result.to(labels.device)

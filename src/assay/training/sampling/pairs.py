"""The two models of each test on mini-batches of the training set: what the acceptance test asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from assay.training.sampling.acceptance import Losses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor

    from assay.training.stack import Weights

ROWS = 8192  # of a pass: what fits the caches of a core


class Networks(Protocol):
    """Runs pairs of networks on examples of the training set."""

    def logits(
        self, weights: Weights, indices: Int64[Tensor, "unit example"] | slice
    ) -> Float[Tensor, "unit 2 class example"]:
        """Logits of both models of each unit, on its own examples or on a slice of the training set."""
        ...


class NetworkPairs:
    """As `acceptance.Pairs` asks for.

    Args:
        networks: runs them.
        weights: both models of each test, `(test, 2, *shape)`; the tests of a chain stand together.
        labels: of the training set: one list, or one for each chain.
        generators: draw each chain's examples.
        block: b0.
    """

    def __init__(
        self,
        networks: Networks,
        weights: Weights,
        labels: Int64[Tensor, " example"] | Int64[Tensor, "chain example"],
        generators: Sequence[torch.Generator],
        block: int,
    ) -> None:
        self._networks, self._weights, self._generators = networks, weights, generators
        self._labels = labels if labels.dim() == 2 else labels.expand(len(generators), -1)
        self._tests_a_chain = len(next(iter(weights.values()))) // len(generators)
        self.examples, self.block = labels.shape[-1], block

    def sample(self, owners: Int64[Tensor, " unit"]) -> Losses:
        """Both models of each unit's test on `block` examples drawn for this unit alone."""
        chains = owners // self._tests_a_chain
        counts = torch.bincount(chains, minlength=len(self._generators)).tolist()
        drawn = [
            torch.randint(self.examples, (count, self.block), generator=generator)
            for count, generator in zip(counts, self._generators, strict=True)
        ]
        indices = torch.cat(drawn).to(owners.device)
        labels = self._labels[chains[:, None], indices]
        parts = [
            self._run(self._of(unit_owners), unit_indices, unit_labels)
            for unit_owners, unit_indices, unit_labels in zip(
                *(each.split(max(1, ROWS // self.block)) for each in (owners, indices, labels)), strict=True
            )
        ]
        return Losses(*(torch.cat(each) for each in zip(*parts, strict=True)))

    def exact(self, tests: Int64[Tensor, " test"]) -> Losses:
        """Mean losses of these tests over the whole training set."""
        weights, labels = self._of(tests), self._labels[tests // self._tests_a_chain]
        rows = max(1, ROWS // len(tests))
        sums = torch.zeros(3, len(tests), dtype=torch.float64, device=tests.device)
        for start in range(0, self.examples, rows):
            part = slice(start, start + rows)
            for place, each in enumerate(self._run(weights, part, labels[:, part])):
                sums[place] += each.double().sum(1)
        old, new, correct = sums / self.examples
        return Losses(old, new, correct)

    def _of(self, tests: Int64[Tensor, " unit"]) -> Weights:
        return {name: tensor.index_select(0, tests) for name, tensor in self._weights.items()}

    def _run(
        self, weights: Weights, indices: Int64[Tensor, "unit example"] | slice, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Cross-entropy before and after, and whether the old model is right, `(unit, example)` each."""
        logits = self._networks.logits(weights, indices)
        largest = logits.amax(2)
        label = labels[:, None, None].expand(-1, 2, 1, -1)
        of_label = logits.gather(2, label)[:, :, 0]
        losses = (logits - largest[:, :, None]).exp_().sum(2).log_() + largest - of_label
        return losses[:, 0], losses[:, 1], of_label[:, 0] >= largest[:, 0]

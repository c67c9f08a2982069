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
        labels: of the training set, for each chain.
        generators: draw each chain's examples.
        block: b0.
    """

    def __init__(
        self,
        networks: Networks,
        weights: Weights,
        labels: Int64[Tensor, "chain example"],
        generators: Sequence[torch.Generator],
        block: int,
    ) -> None:
        self._networks, self._weights, self._labels, self._generators = networks, weights, labels, generators
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
        labels = self._labels.take(indices + self.examples * chains[:, None])
        units = max(1, ROWS // self.block)
        passes = [slice(start, start + units) for start in range(0, len(owners), units)]
        parts = [self._run(self._of(owners[part]), indices[part], labels[part]) for part in passes]
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
        log_probabilities = self._networks.logits(weights, indices).log_softmax(2)
        of_label = log_probabilities.gather(2, labels[:, None, None].expand(-1, 2, 1, -1))[:, :, 0]
        old, new = of_label.neg().unbind(1)
        return old, new, of_label[:, 0] >= log_probabilities[:, 0].amax(1)

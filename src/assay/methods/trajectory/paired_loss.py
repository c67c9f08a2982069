"""The two models of each test on examples of the training set: what the acceptance test asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from assay.methods.trajectory.acceptance import Moments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from assay.engine.stack import Weights

ROWS = {"cpu": 2048}  # of a pass: what fits the caches of a core
MOST_ROWS = 32768  # of a pass on another device


class Networks(Protocol):
    """Runs networks on examples of the training set."""

    def logits(
        self, weights: Weights, indices: Int64[Tensor, "unit example"] | slice
    ) -> Float[Tensor, "unit model class example"]:
        """Logits of all models of each unit, on the unit's own examples or on a slice of the training set."""
        ...


class NetworkPairs:
    """As `acceptance.Pairs` asks for. What a chain gets does not depend on the chains beside it.

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
        self._rows = ROWS.get(labels.device.type, MOST_ROWS)
        self.examples, self.block = labels.shape[-1], block

    def sample(self, tests: Int64[Tensor, " batch"], counts: Int64[Tensor, " batch"]) -> Moments:
        """Both models of each batch's test on examples drawn for this batch alone; batches of one size run together."""
        chains = tests // self._tests_a_chain
        drawn = self._draw(chains, counts).to(tests.device)
        ends, sizes = counts.cumsum(0), torch.tensor(counts.tolist())
        sums = torch.zeros(5, len(tests), dtype=torch.float64, device=tests.device)
        for size in sizes.unique().tolist():
            group = (sizes == size).nonzero()[:, 0].to(tests.device)
            places = torch.arange(-size, 0, device=tests.device)
            for part in group.split(max(1, self._rows // size)):
                indices = drawn[ends[part, None] + places]
                labels = self._labels.take(indices + self.examples * chains[part, None])
                sums[:, part] = self._sums(tests[part], indices, labels)
        return Moments(counts, sums[:3], *sums[3:])

    def whole(self, tests: Int64[Tensor, " test"], side: int) -> Float64[Tensor, "2 test"]:
        """Mean loss and accuracy of one model of these tests over the training set, chain by chain."""
        chains = tests // self._tests_a_chain
        parts = [self._over_all(tests[chains == c], side, self._labels[c]) for c in chains.unique().tolist()]
        return torch.cat(parts, 1) / self.examples

    def _over_all(
        self, tests: Int64[Tensor, " test"], side: int, labels: Int64[Tensor, " example"]
    ) -> Float64[Tensor, "2 test"]:
        weights = {name: tensor[tests, side].unsqueeze(1) for name, tensor in self._weights.items()}
        rows = max(1, 4 * self._rows // len(tests))
        sums = torch.zeros(2, len(tests), dtype=torch.float64, device=tests.device)
        for start in range(0, self.examples, rows):
            part = slice(start, start + rows)
            known, right = self._classify(weights, part, labels[part].expand(len(tests), -1))
            sums[0] -= known[:, 0].double().sum(1)
            sums[1] += right.sum(1)
        return sums

    def _sums(
        self, tests: Int64[Tensor, " unit"], indices: Int64[Tensor, "unit example"], labels: Tensor
    ) -> Float64[Tensor, "5 unit"]:
        """Σδ, Σδ², Σδ³, the old model's loss, and how often it is right."""
        weights = {name: tensor.index_select(0, tests) for name, tensor in self._weights.items()}
        known, right = self._classify(weights, indices, labels)
        old, new = known.double().unbind(1)
        change = old - new
        square = change * change
        rows = (change, square, square * change, -old)
        return torch.stack([*(each.sum(1) for each in rows), right.sum(1, dtype=torch.float64)])

    def _classify(
        self, weights: Weights, indices: Int64[Tensor, "unit example"] | slice, labels: Tensor
    ) -> tuple[Float[Tensor, "unit model example"], Bool[Tensor, "unit example"]]:
        """The log-probability of the label, and whether the first model is right."""
        log_probabilities = self._networks.logits(weights, indices).log_softmax(2)
        models = log_probabilities.shape[1]
        of_label = log_probabilities.gather(2, labels[:, None, None].expand(-1, models, 1, -1))[:, :, 0]
        return of_label, of_label[:, 0] >= log_probabilities[:, 0].amax(1)

    def _draw(self, chains: Int64[Tensor, " batch"], counts: Int64[Tensor, " batch"]) -> Int64[Tensor, " drawn"]:
        totals = counts.new_zeros(len(self._generators)).index_add_(0, chains, counts).tolist()
        drawn = [
            torch.randint(self.examples, (total,), generator=generator)
            for total, generator in zip(totals, self._generators, strict=True)
            if total
        ]
        return torch.cat(drawn)

"""The second seam filled with a subspace: what is stored are its endpoints, what runs is a point between them."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch

from assay.core.runtime import generator
from assay.engine import batch_norm
from assay.engine.parametrisation import Outcome, Parametrisation, Swept
from assay.methods.subspace import geometry
from assay.models import weight_names
from assay.models.artifact import POINTS, Cost, Sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor, nn

    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights
    from assay.methods.subspace import Options

ALPHAS = tuple(step / 20 for step in range(21))
EXAMPLES_FOR_CURVES = 2048


def layers(network: nn.Module) -> list[str]:
    """The modules that own parameters, in their order: with `layerwise`, each has a point of its own."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name, _ in network.named_parameters()))


class Endpoints(Parametrisation):
    """Stored tensors are `(copy, endpoint, *shape)`; each step runs a point, and moves the endpoints that make it.

    The gradients are written out: autograd would keep and copy more, and at small networks memory is what costs.

    Args:
        options: of the arm.
        network: the plain module.
        buffers: of a fresh stack, for their names and shapes.
        context: the training; each copy's seed decides its points, the data serves batch norm.
    """

    def __init__(self, options: Options, network: nn.Module, buffers: Weights, context: TrainContext) -> None:
        self._options, self._network, self._buffers, self._context = options, network, buffers, context
        self._layers = layers(network) if options.layerwise else [""]
        self._weight_names = list(weight_names(network))
        self._pairs = list(combinations(range(options.count), 2))
        self._step, self._drawn = -1, (torch.empty(0), torch.empty(0))

    def weights(self, stored: Weights, step: int) -> Weights:
        """Each copy's point of this step."""
        coefficients, _ = self._draw(step)
        return {name: geometry.mix(tensor, coefficients[:, self._layer(name)]) for name, tensor in stored.items()}

    def gradients(self, stored: Weights, weights: Weights, gradients: Weights, step: int) -> Weights:  # noqa: ARG002
        """The chain rule to the endpoints, and the gradient of what holds a pair of them apart."""
        coefficients, pairs = self._draw(step)
        carried = {name: geometry.spread(gradients[name], coefficients[:, self._layer(name)]) for name in stored}
        if self._options.beta:
            inner = geometry.products(stored[name] for name in self._weight_names)
            pull = geometry.cosine_gradient(inner, pairs, self._options.beta)
            for name in self._weight_names:
                carried[name].flatten(2).baddbmm_(pull, stored[name].flatten(2))
        return carried

    def evaluated(self, stored: Weights) -> Weights:
        """The midpoint; batch norm's statistics are from the first `EXAMPLES_FOR_CURVES`, to be had at every look."""
        return self._network_at(stored, self._middle(), EXAMPLES_FOR_CURVES)

    def variants(self, stored: Weights, buffers: Weights) -> dict[str, Outcome]:  # noqa: ARG002
        """`midpoint`, `ensemble` (of the endpoints, but for a curve's bend), and of a line or curve also `pair`."""
        options = self._options
        rows = {
            "midpoint": self._middle()[None],
            "ensemble": torch.eye(options.count, dtype=torch.float64)[: options.ends],
        }
        if options.shape != "simplex":
            rows["pair"] = self._at([options.pair, 1 - options.pair])
        return {name: self._outcome(stored, each) for name, each in rows.items()}

    def sweeps(self, stored: Weights, buffers: Weights) -> dict[str, Swept]:  # noqa: ARG002
        """The networks along a line or curve, named after it, at α = 0, 0.05, ..., 1."""
        shape = self._options.shape
        if shape == "simplex":
            return {}
        rows, bent = self._at(ALPHAS), shape == "curve"
        networks = [self._network_at(stored, row) for row in rows] if self._buffers else []
        found = {name: torch.stack([network[name] for network in networks], 1) for name in self._buffers}
        sweep = Sweep(
            axis="alpha",
            at=list(ALPHAS),
            tensors=f"{shape}{POINTS}" if bent else "ensemble",
            coefficients=rows.tolist(),
            combine=self._options.combine,
        )
        return {shape: Swept(sweep, found, stored if bent else None)}

    def record(self, stored: Weights) -> dict[str, Any]:
        """For each seed, how far apart the endpoints are."""
        inner = geometry.products(stored[name].double() for name in self._weight_names)
        cosines, norms = geometry.squared_cosines(inner), inner.diagonal(dim1=1, dim2=2)
        distances = (norms.unsqueeze(2) + norms.unsqueeze(1) - 2 * inner).clamp_min(0).sqrt()
        i, j = zip(*self._pairs, strict=True)
        return {
            "squared_cosine": [round(value, 6) for value in cosines[:, i, j].mean(1).tolist()],
            "distance": [round(value, 4) for value in distances[:, i, j].mean(1).tolist()],
        }

    def _draw(self, step: int) -> tuple[Float[Tensor, "copy layer endpoint"], Float[Tensor, "copy endpoint endpoint"]]:
        """Each copy's points and pair of this step: functions of its seed and the step."""
        if step != self._step:
            count, seeds = self._options.count, self._context.run.seeds
            coefficients, pairs = [], torch.zeros(len(seeds), count, count)
            for copy, seed in enumerate(seeds):
                source = generator(seed, "subspace", step)
                coefficients.append(geometry.draw(self._options.shape, count, len(self._layers), source))
                i, j = self._pairs[int(torch.randint(len(self._pairs), (), generator=source))]
                pairs[copy, i, j] = pairs[copy, j, i] = 1
            device = self._context.device
            self._step, self._drawn = step, (torch.stack(coefficients).float().to(device), pairs.to(device))
        return self._drawn

    def _layer(self, name: str) -> int:
        return self._layers.index(name.rpartition(".")[0]) if self._options.layerwise else 0

    def _at(self, alphas: Sequence[float]) -> Float[Tensor, "point endpoint"]:
        return geometry.along(self._options.shape, torch.tensor(alphas, dtype=torch.float64))

    def _middle(self) -> Float[Tensor, " endpoint"]:
        """Coefficients of the midpoint: α = 1/2, or the centre of the simplex."""
        count = self._options.count
        return (
            torch.full((count,), 1 / count, dtype=torch.float64)
            if self._options.shape == "simplex"
            else self._at([0.5])[0]
        )

    def _network_at(
        self, stored: Weights, coefficients: Float[Tensor, " endpoint"], examples: int | None = None
    ) -> Weights:
        """Parameters and buffers `(copy, *shape)` at one point, the same for all layers and copies."""
        first = next(iter(stored.values()))
        rows = coefficients.to(first).expand(len(first), -1)
        parameters = {name: geometry.mix(tensor, rows) for name, tensor in stored.items()}
        settings = (self._context.data, self._context.run.train.batch_size, examples)
        return parameters | batch_norm.recomputed(self._network, parameters, self._buffers, *settings)

    def _outcome(self, stored: Weights, rows: Float[Tensor, "member endpoint"]) -> Outcome:
        members = [self._network_at(stored, row) for row in rows]
        weights = {name: torch.stack([member[name] for member in members], 1) for name in members[0]}
        samples = len(members) * batch_norm.examples_seen(self._network, self._context.data)
        return Outcome(weights, self._options.combine, prior_cost=Cost(forward_samples=samples))

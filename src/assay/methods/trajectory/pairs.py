"""The two models of each test on training examples: `NetworkPairs` sums losses, the other two run the networks."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import nn

from assay.data.sets.augment import normalise
from assay.engine.stack import Stack
from assay.methods.trajectory.acceptance import Moments

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

    from assay.data.sets.prepared import Prepared
    from assay.engine.stack import Weights

    Indices = Int64[Tensor, "unit example"] | slice

CHUNK = 4096
ROWS = {"cpu": 2048}  # of a pass: what fits the caches of a core
MOST_ROWS = 32768  # of a pass on another device


class Coordinates:
    """A linear map between flat coordinates `(*, d)`, in which a chain moves with one σ, and parameters by name.

    Parameters are coordinates times the layer's scale. Where inputs are centred while sampling, the first layer's bias
    takes up the mean, exactly: W (x - m) + b = W x + (b - W m).

    Args:
        parameters: of the networks, `(copy, *shape)`.
        scales: factors by layer, as in `{output: 4}`; layers that are not named have 1.
        centring: the first linear layer, and the mean m `(input,)` that is taken away from its inputs.
    """

    def __init__(
        self,
        parameters: Weights,
        scales: Mapping[str, float],
        centring: tuple[str, Float[Tensor, " input"]] | None = None,
    ) -> None:
        self._shapes = {name: tensor.shape[1:] for name, tensor in parameters.items()}
        self._sizes, self._centring = [prod(shape) for shape in self._shapes.values()], centring
        some = next(iter(parameters.values()))
        factors = [float(scales.get(name.rpartition(".")[0], 1.0)) for name in self._shapes]
        by_number = torch.tensor(factors, dtype=some.dtype).repeat_interleave(torch.tensor(self._sizes))
        self._factors = by_number.to(some.device)

    def sampled(self, flat: Float[Tensor, "*copy d"]) -> Weights:
        """The parameters at these coordinates, `(*copy, *shape)`, for inputs as the sampler sees them."""
        parts = (flat * self._factors).split_with_sizes(self._sizes, -1)
        return {n: p.view(*flat.shape[:-1], *shape) for (n, shape), p in zip(self._shapes.items(), parts, strict=True)}

    def parameters(self, flat: Float[Tensor, "*copy d"]) -> Weights:
        """The parameters at these coordinates, `(*copy, *shape)`, for inputs as they are."""
        return self._shifted(self.sampled(flat), -1)

    def flat(self, parameters: Weights) -> Float[Tensor, "copy d"]:
        """The coordinates of parameters `(copy, *shape)` for inputs as they are."""
        entered = self._shifted(parameters, 1)
        return torch.cat([entered[name].flatten(1) for name in self._shapes], 1) / self._factors

    def _shifted(self, parameters: Weights, sign: int) -> Weights:
        if self._centring is None:
            return parameters
        layer, mean = self._centring
        bias = parameters[f"{layer}.bias"] + sign * (parameters[f"{layer}.weight"] @ mean)
        return {**parameters, f"{layer}.bias": bias}


class DenseNetworks:
    """Runs networks, a prefix without parameters and then linear layers and ReLUs, on training examples.

    The prefix (pooling, flattening) is applied once to the whole training set. The two models of a test see the same
    examples, so their first layers are one matrix product. All is laid out `(pair, unit of a layer, example)`, along
    which products and sums run. If `centred`, each input's mean is taken away; `centring` is as for `Coordinates`.
    """

    def __init__(
        self, prefix: nn.Sequential, layers: list[tuple[str, nn.Module]], data: Prepared, *, centred: bool
    ) -> None:
        self._names = [name for name, layer in layers if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            chunks = (chunk.to(data.device) for chunk in data.train.images.split(CHUNK))
            parts = [prefix(normalise(chunk, data.mean, data.std)) for chunk in chunks]
        self.inputs: Float[Tensor, "example input"] = torch.cat(parts)
        self.centring = (self._names[0], self.inputs.double().mean(0).float()) if centred else None
        if self.centring:
            self.inputs -= self.centring[1]

    def logits(self, weights: Weights, indices: Indices) -> Float[Tensor, "unit model class example"]:
        """Logits of all models of each unit, parameters `(unit, model, *shape)`, on its own examples or a slice."""
        units, models = next(iter(weights.values())).shape[:2]
        hidden = torch.empty(0)
        for layer, name in enumerate(self._names):
            weight, bias = weights[f"{name}.weight"].flatten(0, 1), weights[f"{name}.bias"].flatten(0, 1)[..., None]
            if layer:
                hidden = torch.baddbmm(bias, weight, hidden.relu_())
            elif isinstance(indices, slice):
                shared = weight.flatten(0, 1) @ self.inputs[indices].mT
                hidden = shared.view(*weight.shape[:2], -1) + bias
            else:
                rows = self.inputs.index_select(0, indices.flatten()).view(*indices.shape, -1)
                pair = torch.baddbmm(bias.view(units, -1, 1), weight.view(units, -1, weight.shape[-1]), rows.mT)
                hidden = pair.view(units * models, -1, indices.shape[1])
        return hidden.view(units, models, -1, hidden.shape[-1])


class StackedNetworks:
    """Runs networks of any kind without buffers on training examples, in eval mode; slower."""

    centring = None

    def __init__(self, network: nn.Module, data: Prepared) -> None:
        self._network, self._data = network.eval(), data

    def logits(self, weights: Weights, indices: Indices) -> Float[Tensor, "unit model class example"]:
        """As `DenseNetworks.logits`."""
        units, models = next(iter(weights.values())).shape[:2]
        train, device = self._data.train, self._data.device
        chosen = train.images[indices].to(device) if isinstance(indices, slice) else train.at(indices)
        inputs = normalise(chosen, self._data.mean, self._data.std)
        if isinstance(indices, slice):
            inputs = inputs.expand(units * models, *inputs.shape)
        else:
            inputs = inputs.view(*indices.shape, *inputs.shape[1:]).repeat_interleave(models, 0)
        stack = Stack(self._network, units * models, device)
        logits = stack.forward({name: tensor.flatten(0, 1) for name, tensor in weights.items()}, inputs)
        return logits.view(units, models, *logits.shape[1:]).mT


@dataclass(frozen=True)
class NetworkPairs:
    """The two models of each test (before and after the move). What a chain gets does not depend on the others."""

    networks: DenseNetworks | StackedNetworks
    weights: Weights  # both models of each test, `(test, 2, *shape)`; the tests of a chain stand together
    labels: Int64[Tensor, "chain example"]  # of the training set
    generators: Sequence[torch.Generator]  # draw each chain's examples
    block: int  # b0, the examples of a pilot, and the least of a batch

    @property
    def examples(self) -> int:
        """N."""
        return self.labels.shape[-1]

    def _chains(self, tests: Int64[Tensor, " test"]) -> Int64[Tensor, " test"]:
        return tests // (len(next(iter(self.weights.values()))) // len(self.generators))

    def sample(self, tests: Int64[Tensor, " batch"], counts: Int64[Tensor, " batch"]) -> Moments:
        """Both models of ascending tests on fresh examples, i.i.d. with replacement; equal counts run together."""
        chains = self._chains(tests)
        totals = counts.new_zeros(len(self.generators)).index_add_(0, chains, counts).tolist()
        sources = zip(totals, self.generators, strict=True)
        drawn = torch.cat([torch.randint(self.examples, (n,), generator=source) for n, source in sources if n])
        drawn = drawn.to(tests.device)
        ends, sizes = counts.cumsum(0), torch.tensor(counts.tolist())
        sums = torch.zeros(5, len(tests), dtype=torch.float64, device=tests.device)
        for size in sizes.unique().tolist():
            group = (sizes == size).nonzero()[:, 0].to(tests.device)
            places = torch.arange(-size, 0, device=tests.device)
            for part in group.split(max(1, ROWS.get(tests.device.type, MOST_ROWS) // size)):
                indices = drawn[ends[part, None] + places]
                labels = self.labels.take(indices + self.examples * chains[part, None])
                weights = {name: tensor.index_select(0, tests[part]) for name, tensor in self.weights.items()}
                known, right = self._classify(weights, indices, labels)
                old, new = known.double().unbind(1)
                change = old - new
                square = change * change
                rows = (change, square, square * change, -old)
                sums[:, part] = torch.stack([*(each.sum(1) for each in rows), right.sum(1, dtype=torch.float64)])
        return Moments(counts, sums[:3], *sums[3:])

    def whole(self, tests: Int64[Tensor, " test"], side: int) -> Float64[Tensor, "2 test"]:
        """Mean loss and accuracy over all examples of the model before (`side` 0) or after (1) the move."""
        chains, found = self._chains(tests), []
        for chain in chains.unique().tolist():
            own = tests[chains == chain]
            weights = {name: tensor[own, side].unsqueeze(1) for name, tensor in self.weights.items()}
            rows = max(1, 4 * ROWS.get(tests.device.type, MOST_ROWS) // len(own))
            sums = torch.zeros(2, len(own), dtype=torch.float64, device=tests.device)
            for start in range(0, self.examples, rows):
                part = slice(start, start + rows)
                known, right = self._classify(weights, part, self.labels[chain, part].expand(len(own), -1))
                sums[0] -= known[:, 0].double().sum(1)
                sums[1] += right.sum(1)
            found.append(sums)
        return torch.cat(found, 1) / self.examples

    def _classify(
        self, weights: Weights, indices: Indices, labels: Tensor
    ) -> tuple[Float[Tensor, "unit model example"], Bool[Tensor, "unit example"]]:
        """The log-probability of the label, and whether the first model is right."""
        log_probabilities = self.networks.logits(weights, indices).log_softmax(2)
        models = log_probabilities.shape[1]
        of_label = log_probabilities.gather(2, labels[:, None, None].expand(-1, models, 1, -1))[:, :, 0]
        return of_label, of_label[:, 0] >= log_probabilities[:, 0].amax(1)

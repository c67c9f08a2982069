"""The unit of training: R copies of one architecture, each parameter one tensor `(R, *shape)`.

There are three strategies to run one, which `strategies` tells and chooses.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from assay.data.sets.augment import normalise
from assay.engine.stack.cuda_graph import GraphedPass
from assay.engine.stack.dense import DenseLayers, cross_entropy
from assay.engine.stack.folded import FoldedLayers
from assay.engine.stack.start import initialise, seeded
from assay.engine.stack.strategies import choose_strategy, draws_random_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int64, UInt8

    from assay.engine.stack.strategies import Strategy

__all__ = ["Gradients", "Stack", "Weigh", "Weights", "example_losses", "initialise", "predict"]
Weights = dict[str, Tensor]
PREDICTION_ROWS = 4096


class Weigh(Protocol):
    """How much each example's loss counts in its copy's loss, seen after the forward pass and before the backward."""

    def __call__(self, losses: Float[Tensor, "copy batch"], copies: slice) -> Float[Tensor, "copy batch"]:
        """Coefficients for the copies of the stack that `copies` names; a copy's loss is their product's sum."""
        ...


@dataclass(frozen=True)
class Gradients:
    """What one pass over a batch gives.

    Attributes:
        losses: cross-entropy of each example, before the update.
        correct: whether each example was classified rightly, before the update.
        used: examples of each copy that the backward pass saw (a coefficient other than 0).
        by_name: the gradient of each copy's loss for each parameter, (copy, *shape); the next pass may write over it.
    """

    losses: Float[Tensor, "copy batch"]
    correct: Bool[Tensor, "copy batch"]
    used: Int64[Tensor, " copy"] | int
    by_name: Weights


class Stack:
    """One architecture, run with stacked weights; it holds no weights itself.

    Args:
        network: the plain module; its own weights are never used.
        copies: R.
        device: where it runs.
        precision: `bfloat16` runs the forward pass under autocast; weights and losses stay float32.
        strategy: how to run; chosen by `choose_strategy` unless a test or a benchmark insists.
    """

    def __init__(
        self,
        network: nn.Module,
        copies: int,
        device: torch.device,
        precision: str = "float32",
        strategy: Strategy | None = None,
    ) -> None:
        self.network, self.copies, self.device = network, copies, device
        self.precision = precision
        self.strategy = strategy or choose_strategy(network, device, precision)
        self.draws = draws_random_numbers(network)
        self._dense = DenseLayers(network) if self.strategy == "dense" else None
        self._graphed = GraphedPass(self._pass) if device.type == "cuda" and not self.draws else None
        self._places = {
            f"{path}.{name}" if path else name: (holder, name)
            for path, module in network.named_modules()
            for holder in (module._parameters, module._buffers)
            for name in holder
        }

    def forward(
        self,
        weights: Weights,
        inputs: Float[Tensor, "copy batch c h w"],
        randomness: Sequence[int] | None = None,
    ) -> Float[Tensor, "copy batch class"]:
        """Logits of every copy on its own inputs, float32, in the mode (train or eval) that the network is in.

        Args:
            weights: parameters and buffers, `(copy, *shape)`; in training mode batch norm updates its statistics here.
            inputs: normalised images.
            randomness: for each copy, the seed of the random numbers that its layers draw in this pass.
        """
        if self._dense:
            return self._dense.forward(weights, inputs)[-1]
        if self.strategy == "sliced":
            parts = [self._copy(_slice(weights, r), inputs[r], _of(randomness, r)) for r in range(self.copies)]
            return torch.stack(parts)
        with FoldedLayers(self.copies), self._autocast():
            logits = self._run(weights, inputs.flatten(0, 1))
        return logits.reshape(self.copies, -1, logits.shape[-1]).float()

    def gradients(
        self,
        weights: Weights,
        buffers: Weights,
        inputs: Float[Tensor, "copy batch c h w"],
        labels: Int64[Tensor, "copy batch"],
        weigh: Weigh | None = None,
        randomness: Sequence[int] | None = None,
    ) -> Gradients:
        """One forward and one backward pass in training mode; a copy's loss depends on its own weights alone.

        Args:
            weights: parameters, `(copy, *shape)`.
            buffers: updated in place where the network does so (batch norm).
            inputs: normalised images.
            labels: class numbers.
            weigh: coefficients of the examples' losses; without it, their mean.
            randomness: as in `forward`.
        """
        if not self.network.training:
            self.network.train()
        if self._graphed and weigh is None:
            return self._graphed(weights, buffers, inputs, labels)
        return self._pass(weights, buffers, inputs, labels, weigh, randomness)

    def _pass(
        self,
        weights: Weights,
        buffers: Weights,
        inputs: Tensor,
        labels: Tensor,
        weigh: Weigh | None = None,
        randomness: Sequence[int] | None = None,
    ) -> Gradients:
        if self._dense:
            return self._dense_gradients(self._dense, weights, inputs, labels, weigh)
        if self.strategy == "folded":
            return self._folded_gradients(weights, buffers, inputs, labels, weigh)
        parts = [
            self._copy_gradients(
                r, _slice(weights, r), _slice(buffers, r), inputs[r], labels[r], weigh, _of(randomness, r)
            )
            for r in range(self.copies)
        ]
        used = parts[0].used if weigh is None else torch.cat([torch.as_tensor(part.used) for part in parts])
        return Gradients(
            torch.cat([part.losses for part in parts]),
            torch.cat([part.correct for part in parts]),
            used,
            {name: torch.stack([part.by_name[name] for part in parts]) for name in weights},
        )

    def _folded_gradients(
        self, weights: Weights, buffers: Weights, inputs: Tensor, labels: Tensor, weigh: Weigh | None
    ) -> Gradients:
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
        logits = self.forward({**leaves, **buffers}, inputs)
        return _differentiate(logits, labels, leaves, weigh, slice(0, self.copies))

    def _dense_gradients(
        self, layers: DenseLayers, weights: Weights, inputs: Tensor, labels: Tensor, weigh: Weigh | None
    ) -> Gradients:
        rows = layers.forward(weights, inputs)
        losses, gradient = cross_entropy(rows[-1], labels)
        coefficients = weigh(losses, slice(0, self.copies)) if weigh else None
        gradient *= 1 / labels.shape[1] if coefficients is None else coefficients.unsqueeze(-1)
        correct = rows[-1].argmax(-1) == labels
        return Gradients(losses, correct, _used(labels, coefficients), layers.backward(weights, rows, gradient))

    def _copy_gradients(
        self,
        copy: int,
        weights: Weights,
        buffers: Weights,
        inputs: Tensor,
        labels: Tensor,
        weigh: Weigh | None,
        seed: int | None,
    ) -> Gradients:
        """One copy alone, so that the activations of only one copy are in memory at a time."""
        leaves = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
        logits = self._copy({**leaves, **buffers}, inputs, seed)
        return _differentiate(logits[None], labels[None], leaves, weigh, slice(copy, copy + 1))

    def _copy(self, weights: Weights, inputs: Tensor, seed: int | None) -> Float[Tensor, "batch class"]:
        with seeded(seed, self.device), self._autocast():
            return self._run(weights, inputs).float()

    def _run(self, weights: Weights, inputs: Tensor) -> Tensor:
        """The network with these weights in the places of its own: `functional_call`, without a tenth of a step."""
        for name, tensor in weights.items():
            holder, attribute = self._places[name]
            holder[attribute] = tensor
        outputs: Tensor = self.network(inputs)
        return outputs

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)


def predict(
    network: nn.Module,
    weights: Weights,
    images: UInt8[Tensor, "n c h w"],
    mean: Sequence[float],
    std: Sequence[float],
) -> Float[Tensor, "copy n class"]:
    """Logits of every copy on the same images, in eval mode, a chunk at a time, without gradients.

    Args:
        network: the plain module.
        weights: parameters and buffers, `(copy, *shape)`, on the device of the images.
        images: raw pixels.
        mean: per channel, on the scale of the pixels (0 to 255).
        std: likewise.
    """
    copies = next(iter(weights.values())).shape[0]
    stack = Stack(network, copies, images.device)
    network.eval()
    rows = max(64, PREDICTION_ROWS // copies)
    chunks = []
    with torch.no_grad():
        for chunk in images.split(rows):
            inputs = normalise(chunk, mean, std)
            chunks.append(stack.forward(weights, inputs.expand(copies, *inputs.shape)))
    return torch.cat(chunks, dim=1)


def example_losses(
    logits: Float[Tensor, "copy batch class"], labels: Int64[Tensor, "copy batch"]
) -> Float[Tensor, "copy batch"]:
    """Cross-entropy of each example, in nats."""
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)


def _differentiate(
    logits: Float[Tensor, "copy batch class"],
    labels: Int64[Tensor, "copy batch"],
    leaves: Weights,
    weigh: Weigh | None,
    copies: slice,
) -> Gradients:
    losses = example_losses(logits, labels)
    coefficients = weigh(losses.detach(), copies) if weigh else None
    total = losses.mean(1).sum() if coefficients is None else (coefficients * losses).sum()
    gradients = torch.autograd.grad(total, list(leaves.values()))
    return Gradients(
        losses.detach(),
        logits.detach().argmax(-1) == labels,
        _used(labels, coefficients),
        dict(zip(leaves, gradients, strict=True)),
    )


def _used(labels: Int64[Tensor, "copy batch"], coefficients: Tensor | None) -> Int64[Tensor, " copy"] | int:
    return labels.shape[1] if coefficients is None else (coefficients != 0).sum(1)


def _slice(weights: Weights, copy: int) -> Weights:
    return {name: tensor[copy] for name, tensor in weights.items()}


def _of(randomness: Sequence[int] | None, copy: int) -> int | None:
    return None if randomness is None else randomness[copy]

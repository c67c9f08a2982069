"""The unit of training: R copies of one architecture, each parameter one tensor `(R, *shape)`.

There are three strategies to run a stack (`docs/decisions/0003`). *Dense*: all copies at once, gradients written out,
where every layer is linear or a ReLU. *Folded*: all copies in one pass through the network. *Sliced*: one copy after
another, where one fills the machine, folding does not know a layer, or copies draw random numbers of their own.
Weights and gradients lie in memory as they are indexed; where layers convolve, a pass has them and everything between
its layers with channels last (`choose_layout`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from assay.core.runtime import key
from assay.data.sets.augment import normalise
from assay.engine.stack.cuda_graph import GraphedPass
from assay.engine.stack.layers import DenseLayers, FoldedLayers, can_fold, frozen_norms, room, split_prefix
from assay.engine.stack.loss import Loss, cross_entropy, is_correct, of_each_example, with_gradient
from assay.models import draws_random_numbers, weight_names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from jaxtyping import Bool, Float, Int64, UInt8

    from assay.engine.stack.loss import Labels

Weights = dict[str, Tensor]
Strategy = Literal["dense", "folded", "sliced"]
Weigh = Callable[[Tensor, slice], Tensor]  # as `Batches.weigh`
PREDICTION_ROWS = 4096
LARGE = 2**15  # pixels and channels of an image above which
PREDICTION_VALUES = 2**24  # bounds a chunk's: 111 of 3×224×224, whose features in a ResNet are 0.4 GB a layer


def choose_strategy(network: nn.Module, device: torch.device, precision: str) -> Strategy:
    """Choose how a stack of this network runs on this device, as `benchmarks/engine.py` measures it.

    The precision is `float32`, or `bfloat16` for autocast, in which gradients that are written out do not take part.
    """
    if not can_fold(network) or draws_random_numbers(network):
        return "sliced"
    if precision == "float32" and split_prefix(network):
        return "dense"
    return "sliced" if kernel_names(network) and device.type == "cpu" else "folded"


def choose_layout(network: nn.Module, device: torch.device, precision: str) -> torch.memory_format:
    """Choose where a pass has the channels of images: last where layers convolve, but on a GPU in bfloat16 alone.

    There float32's kernels are slower with channels last (docs/decisions/0011).
    """
    last = kernel_names(network) and (device.type == "cpu" or precision == "bfloat16")
    return torch.channels_last if last else torch.contiguous_format


def kernel_names(network: nn.Module) -> list[str]:
    """The names of the weights of two-dimensional convolutions."""
    return [name for name, kind in weight_names(network).items() if kind in ("conv", "shortcut")]


def initialise(
    build: Callable[[], nn.Module], seeds: Sequence[int], device: torch.device
) -> tuple[nn.Module, Weights, Weights]:
    """One network for each seed, stacked: the plain module, its parameters and its buffers `(copy, *shape)`.

    Each network is what `build` makes right after `torch.manual_seed`, so it depends on its own seed alone. Buffers
    that are no part of its state dict are constants, which the module keeps.
    """
    networks = []
    for seed in seeds:
        with _seeded(key(seed, "initial weights"), torch.device("cpu")):
            networks.append(build())

    def stacked(states: Sequence[Mapping[str, Tensor]]) -> Weights:
        return {name: torch.stack([state[name].detach() for state in states]).to(device) for name in states[0]}

    parameters = stacked([dict(network.named_parameters()) for network in networks])
    kept = networks[0].state_dict().keys()
    buffers = stacked([{n: one for n, one in network.named_buffers() if n in kept} for network in networks])
    return networks[0].to(device), parameters, buffers


@dataclass(frozen=True)
class BatchStats:
    """What a step saw before it moved: of each example, or the means of some mini-batches."""

    losses: Float[Tensor, "copy batch"]
    correct: Bool[Tensor, "copy batch"] | Float[Tensor, "copy batch"]  # whether classified correctly, or which share


@dataclass(frozen=True)
class Gradients(BatchStats):
    """What one pass over a batch gives, the losses of each example among it."""

    used: Int64[Tensor, " copy"] | int  # examples that the backward pass saw, those with a coefficient other than 0
    by_name: Weights  # of each copy's loss for each parameter, (copy, *shape); the next pass may write over it


class Stack:
    """One architecture, run with stacked weights; it holds no weights itself.

    Attributes:
        layout: where a pass has the channels of images; inputs that lie so in memory are not copied.

    Args:
        network: the plain module; its own weights are never used.
        copies: R.
        device: where it runs.
        precision: `bfloat16` runs the forward pass under autocast; weights and losses stay float32.
        strategy: chosen by `choose_strategy` unless given; `dense` raises a `ValueError` for other layers.
        loss: what `gradients` differentiates.
        frozen: parameters that `gradients` leaves out; batch norms of these alone keep their statistics.
    """

    def __init__(
        self,
        network: nn.Module,
        copies: int,
        device: torch.device,
        precision: str = "float32",
        strategy: Strategy | None = None,
        loss: Loss = cross_entropy,
        frozen: Collection[str] = (),
    ) -> None:
        self.network, self.copies, self.device = network, copies, device
        self.precision, self.loss, self._frozen = precision, loss, frozenset(frozen)
        self._still = [norm for _, norm in frozen_norms(network, self._frozen)]
        self.strategy = strategy or choose_strategy(network, device, precision)
        self.layout = choose_layout(network, device, precision)
        self.draws = draws_random_numbers(network)
        self._kernels = frozenset(kernel_names(network)) if self.layout is torch.channels_last else frozenset()
        self._dense = DenseLayers(network) if self.strategy == "dense" else None
        self._found: Weights = {}  # gradients of a sliced stack, where the last pass's were
        self._graphed = GraphedPass(self._pass) if device.type == "cuda" and not self.draws else None
        self._places = {
            f"{path}.{name}" if path else name: (holder, name)
            for path, module in network.named_modules()
            for holder in (module._parameters, module._buffers)
            for name in holder
        }

    def forward(self, weights: Weights, inputs: Float[Tensor, "copy batch c h w"]) -> Float[Tensor, "copy batch class"]:
        """Logits `float32` of every copy on its own normalised images, in the network's mode (train or eval).

        Weights are parameters and buffers, `(copy, *shape)`; in training mode batch norm updates its statistics there.
        """
        if self._dense:
            return self._dense.forward(weights, inputs)[-1]
        if self.strategy == "sliced":
            return torch.stack([self._run(_of(weights, copy), inputs[copy]) for copy in range(self.copies)])
        with FoldedLayers(self.copies):
            logits = self._run(weights, inputs.flatten(0, 1))
        return logits.reshape(self.copies, -1, logits.shape[-1])

    def gradients(
        self,
        weights: Weights,
        buffers: Weights,
        inputs: Float[Tensor, "copy batch c h w"],
        labels: Labels,
        weigh: Weigh | None = None,
        randomness: Sequence[int] | None = None,
    ) -> Gradients:
        """One forward and one backward pass in training mode; a copy's loss depends on its own weights alone.

        Args:
            weights: parameters, `(copy, *shape)`.
            buffers: updated in place where the network does so (batch norm).
            inputs: normalised images.
            labels: class numbers `(copy, batch)`, or class probabilities `(copy, batch, class)`.
            weigh: coefficients of the examples' losses; without it, their mean.
            randomness: for each copy, the seed of the random numbers that its layers draw in this pass.

        Raises:
            AssayError: the loss has another shape than the labels.
            ValueError: layers draw random numbers, and no seed is given for them.
        """
        if self.draws and randomness is None:
            raise ValueError("the network draws random numbers (dropout): give `randomness`, a seed for each copy")
        if not self.network.training:
            self.network.train()
        for norm in self._still:
            norm.eval()
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
        everything = slice(0, self.copies)
        if self._dense:
            rows = self._dense.forward(weights, inputs)
            losses, gradient = with_gradient(self.loss, rows[-1], labels)
            coefficients = weigh(losses, everything) if weigh else None
            gradient *= 1 / labels.shape[1] if coefficients is None else coefficients.unsqueeze(-1)
            by_name = self._dense.backward(weights, rows, gradient)
            by_name = {name: own for name, own in by_name.items() if name not in self._frozen}
            return Gradients(losses, is_correct(rows[-1], labels), _used(labels, coefficients), by_name)
        if self.strategy == "folded":
            leaves = self._leaves(weights)
            logits = self.forward({**weights, **leaves, **buffers}, inputs)
            whole = self._differentiate(logits, labels, leaves, weigh, everything)
            return replace(whole, by_name={name: own.contiguous() for name, own in whole.by_name.items()})
        self._found = room(self._found, {name: own for name, own in weights.items() if name not in self._frozen})
        parts = []  # one copy at a time, so that the activations of only one are in memory
        for copy, seed in enumerate(randomness or [None] * self.copies):
            of_copy, own = _of(weights, copy), slice(copy, copy + 1)
            leaves = self._leaves(of_copy)
            logits = self._run({**of_copy, **leaves, **_of(buffers, copy)}, inputs[copy], seed)[None]
            part = self._differentiate(logits, labels[own], leaves, weigh, own)
            for name, gradient in part.by_name.items():
                self._found[name][copy] = gradient
            parts.append(replace(part, by_name={}))
        return Gradients(
            torch.cat([part.losses for part in parts]),
            torch.cat([part.correct for part in parts]),
            torch.cat([torch.as_tensor(part.used) for part in parts]) if weigh else labels.shape[1],
            dict(self._found),  # whoever it is given to may take tensors out
        )

    def _differentiate(
        self, logits: Tensor, labels: Tensor, leaves: Weights, weigh: Weigh | None, copies: slice
    ) -> Gradients:
        losses = of_each_example(self.loss, logits, labels)
        coefficients = weigh(losses.detach(), copies) if weigh else None
        total = losses.mean(1).sum() if coefficients is None else (coefficients * losses).sum()
        found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
        by_name = dict(zip(leaves, found, strict=True))
        return Gradients(losses.detach(), is_correct(logits.detach(), labels), _used(labels, coefficients), by_name)

    def _leaves(self, weights: Weights) -> Weights:
        return {name: own.detach().requires_grad_() for name, own in weights.items() if name not in self._frozen}

    def _run(self, weights: Weights, inputs: Tensor, seed: int | None = None) -> Float[Tensor, "row class"]:
        """The network with these weights in the places of its own: `functional_call`, without a tenth of a step."""
        for name, tensor in weights.items():
            holder, attribute = self._places[name]
            holder[attribute] = tensor.movedim(-3, -1).contiguous().movedim(-1, -3) if name in self._kernels else tensor
        if inputs.dim() == 4:
            inputs = inputs.contiguous(memory_format=self.layout)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with _seeded(seed, self.device), autocast:
            outputs: Tensor = self.network(inputs)
        return outputs.float()


def predict(
    network: nn.Module,
    weights: Weights,
    images: UInt8[Tensor, "n c h w"],
    mean: Sequence[float],
    std: Sequence[float],
    precision: str = "float32",
) -> Float[Tensor, "copy n class"]:
    """Logits of every copy on the same raw images, in eval mode, a chunk at a time, without gradients.

    Weights are parameters and buffers, `(copy, *shape)`; `mean` and `std` are per channel, of pixels from 0 to 255; the
    precision is that of the training. It runs where the weights are; images may lie on the host.
    """
    some, chunks = next(iter(weights.values())), []
    copies, values = some.shape[0], math.prod(images.shape[1:])
    rows = PREDICTION_ROWS if values <= LARGE else max(1, PREDICTION_VALUES // values)
    stack = Stack(network, copies, some.device, precision)
    network.eval()
    with torch.no_grad():
        for chunk in images.split(max(min(64, rows), rows // copies)):
            inputs = normalise(chunk.to(some.device), mean, std)
            chunks.append(stack.forward(weights, inputs.expand(copies, *inputs.shape)))
    return torch.cat(chunks, dim=1)


@contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    """Draw from this seed inside; the random numbers of the world outside stay as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        yield


def _of(weights: Weights, copy: int) -> Weights:
    return {name: tensor[copy] for name, tensor in weights.items()}


def _used(labels: Labels, coefficients: Tensor | None) -> Int64[Tensor, " copy"] | int:
    return labels.shape[1] if coefficients is None else (coefficients != 0).sum(1)

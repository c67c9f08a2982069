"""Passes over batches as CUDA graphs: recorded once and replayed, so that a GPU does not wait for Python's launches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from assay.engine.stack import Gradients, Weights

PASSES_BEFORE = 3


class GraphedPass:
    """Runs a pass, and once it has been run a few times on batches of one shape, records and replays it: the same bits.

    The pass moves the buffers in place, draws no random numbers and asks nothing of the device.
    """

    def __init__(self, run: Callable[[Weights, Weights, Tensor, Tensor], Gradients]) -> None:
        self._run = run
        self._shape: tuple[int, ...] = ()
        self._passes = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, weights: Weights, buffers: Weights, inputs: Tensor, labels: Tensor) -> Gradients:
        """What the pass gives; the gradients, but not the losses, lie where the last ones did."""
        if (shape := (*inputs.shape, *labels.shape)) != self._shape:  # class numbers or class probabilities
            self._shape, self._passes, self._graph = shape, 0, None
        self._passes += 1
        if self._passes <= PASSES_BEFORE:
            return self._run(weights, buffers, inputs, labels)
        if self._graph is None:
            self._graph = self._record(weights, buffers, inputs, labels)
        own_weights, own_buffers, own_inputs, own_labels = self._given
        names = list(buffers)
        _copy([*own_weights.values(), own_inputs], [*(weights[name] for name in own_weights), inputs])
        _copy([own_labels, *(own_buffers[name] for name in names)], [labels, *buffers.values()])
        self._graph.replay()
        _copy(buffers.values(), [own_buffers[name] for name in names])
        found = self._found
        return replace(found, losses=found.losses.clone(), correct=found.correct.clone(), by_name=dict(found.by_name))

    def _record(self, weights: Weights, buffers: Weights, inputs: Tensor, labels: Tensor) -> torch.cuda.CUDAGraph:
        """Record the pass on tensors that stay where they are: what a replay is given is copied there."""
        states = [{name: tensor.detach().clone() for name, tensor in each.items()} for each in (weights, buffers)]
        self._given = states[0], states[1], inputs.clone(), labels.clone()
        now, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(now)
        with torch.cuda.stream(aside):
            self._run(*self._given)  # what libraries set up at a first call cannot be recorded
        now.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._found = self._run(*self._given)
        return graph


def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    """One launch for all tensors of a type."""
    of_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        lists = of_type.setdefault(target.dtype, ([], []))
        lists[0].append(target)
        lists[1].append(source.detach())
    for each in of_type.values():
        torch._foreach_copy_(*each)

"""Passes over batches as CUDA graphs: recorded once and replayed, so that a GPU does not wait for Python's launches.

A small network's pass is hundreds of kernels of microseconds, each launched by a call that takes longer. A replay
launches them all at once, and gives the bits that the pass itself gives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from torch import Tensor

    from assay.engine.stack import Gradients, Weights

    Pass = Callable[[Weights, Weights, Tensor, Tensor], Gradients]

PASSES_BEFORE = 3


class GraphedPass:
    """Runs a pass, and once it has been run a few times on batches of one shape, replays it.

    Args:
        run: the pass: from weights, buffers, inputs and labels to gradients; it moves the buffers in place, draws no
            random numbers and asks nothing of the device.
    """

    def __init__(self, run: Pass) -> None:
        self._run = run
        self._shape: tuple[int, ...] = ()
        self._passes = 0
        self._recording: _Recording | None = None

    def __call__(self, weights: Weights, buffers: Weights, inputs: Tensor, labels: Tensor) -> Gradients:
        """What the pass gives; the gradients, but not the losses, lie where the last ones did."""
        if inputs.shape != self._shape:
            self._shape, self._passes, self._recording = inputs.shape, 0, None
        self._passes += 1
        if self._passes <= PASSES_BEFORE:
            return self._run(weights, buffers, inputs, labels)
        if self._recording is None:
            self._recording = _Recording(self._run, weights, buffers, inputs, labels)
        return self._recording.replay(weights, buffers, inputs, labels)


class _Recording:
    """A pass whose tensors stay where they are: what it is given is copied there."""

    def __init__(self, run: Pass, weights: Weights, buffers: Weights, inputs: Tensor, labels: Tensor) -> None:
        self._weights, self._buffers = _clones(weights), _clones(buffers)
        self._inputs, self._labels = inputs.clone(), labels.clone()
        given = (self._weights, self._buffers, self._inputs, self._labels)
        now, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(now)
        with torch.cuda.stream(aside):
            run(*given)  # what libraries set up at a first call cannot be recorded
        now.wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._found = run(*given)

    def replay(self, weights: Weights, buffers: Weights, inputs: Tensor, labels: Tensor) -> Gradients:
        _copy([*self._weights.values(), self._inputs], [*(weights[name] for name in self._weights), inputs])
        _copy([self._labels], [labels])
        _copy(self._buffers.values(), [buffers[name] for name in self._buffers])
        self._graph.replay()
        _copy([buffers[name] for name in self._buffers], self._buffers.values())
        found = self._found
        return replace(found, losses=found.losses.clone(), correct=found.correct.clone(), by_name=dict(found.by_name))


def _clones(tensors: Weights) -> Weights:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _copy(targets: Iterable[Tensor], sources: Iterable[Tensor]) -> None:
    """One launch for all tensors of a type."""
    of_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
    for target, source in zip(targets, sources, strict=True):
        lists = of_type.setdefault(target.dtype, ([], []))
        lists[0].append(target)
        lists[1].append(source.detach())
    for each in of_type.values():
        torch._foreach_copy_(*each)

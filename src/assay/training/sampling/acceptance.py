"""Barker's acceptance test on as few examples as it takes, exact as long as a mini-batch mean is Gaussian.

Barker's test accepts a change ΔL with probability 1 / (1 + exp(s ΔL)): it accepts iff -s ΔL + X > 0 with X logistic.
The logistic is a scale mixture of normals (Andrews and Mallows 1974), X = N(0, T) with T = 2 Σ E_k / k², E_k
exponential. So T is drawn first; then the mini-batch grows until the variance v of its estimate of s ΔL is at most T,
and normal noise of variance T - v makes up the rest. The paper (arXiv 2306.13442) corrects by a table instead (Seita
et al. 2018, arXiv 1610.06848), which has to reach v < 1 in every test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Float64, Int64
    from torch import Tensor

TERMS = 64
TAIL = 2 * (math.pi**2 / 6 - sum(1 / k**2 for k in range(1, TERMS + 1)))
MOST_GROWTH = 4  # the first blocks estimate the variance roughly: no round multiplies a mini-batch by more
MARGIN = 1.05  # a little more than the estimate says, so that most tests end with the next round


@dataclass(frozen=True)
class Losses:
    """What a pair of models (before and after the move) loses on the same examples.

    Attributes:
        old: before; of each example `(unit, block)`, or the mean over all examples `(test,)`.
        new: after, likewise.
        correct: how well the old model classifies: 1 or 0 for each example, or the mean.
    """

    old: Float[Tensor, "*example"]
    new: Float[Tensor, "*example"]
    correct: Float[Tensor, "*example"]


class Pairs(Protocol):
    """The two models of each test, ready to be run.

    Attributes:
        examples: N, how many there are in all.
        block: b0, how many a unit of work holds.
    """

    examples: int
    block: int

    def sample(self, owners: Int64[Tensor, " unit"]) -> Losses:
        """Both models of a test on `block` fresh examples, i.i.d. with replacement, for each unit's own test."""
        ...

    def exact(self, tests: Int64[Tensor, " test"]) -> Losses:
        """Mean losses over all examples, for these tests."""
        ...


@dataclass(frozen=True)
class Decision:
    """What the tests decided.

    Attributes:
        accepted: whether the model moves.
        batch: n, the examples on which each of the two models was run.
        exact: whether the test fell back on all examples.
        loss: of the old model on the first block (all examples in an exact test): an unbiased estimate of its loss.
        correct: its accuracy there.
    """

    accepted: Bool[Tensor, " test"]
    batch: Int64[Tensor, " test"]
    exact: Bool[Tensor, " test"]
    loss: Float64[Tensor, " test"]
    correct: Float64[Tensor, " test"]


def mixing_variance(count: int, generator: torch.Generator) -> Float64[Tensor, " test"]:
    """T of each test: N(0, T) is logistic. `TERMS` terms of the series, and the mean of what they leave out."""
    exponential = torch.empty(count, TERMS, dtype=torch.float64).exponential_(generator=generator)
    weights = 2 / torch.arange(1, TERMS + 1, dtype=torch.float64).square()
    return exponential @ weights + TAIL


def decide(pairs: Pairs, s: float, variance: Float64[Tensor, " test"], normal: Float64[Tensor, " test"]) -> Decision:
    """Test every pair on a mini-batch of its own, grown until its noise is small enough; beyond N, on all examples.

    Args:
        pairs: the two models of each test.
        s: the bias towards low loss.
        variance: T of each test, drawn before any example is.
        normal: ξ of each test, standard normal.
    """
    tests, block = len(variance), pairs.block
    device = variance.device
    n = torch.zeros(tests, dtype=torch.int64, device=device)
    sums = torch.zeros(4, tests, dtype=torch.float64, device=device)
    estimate, noise = torch.zeros_like(variance), torch.zeros_like(variance)
    active = torch.arange(tests, device=device)
    blocks = torch.ones_like(active)
    too_many = n > 0
    if block > pairs.examples:
        active, too_many = active[:0], ~too_many
    first = True
    while len(active):
        _add(sums, pairs, torch.repeat_interleave(active, blocks), first=first)
        first = False
        n[active] += block * blocks
        count, (total, squares) = n[active].double(), sums[:2, active]
        v = s**2 * (squares - total.square() / count).clamp_min(0) / (count - 1) / count
        estimate[active], noise[active] = -s * total / count, v
        short = v > variance[active]
        active, count, v = active[short], count[short], v[short]
        needed = torch.minimum(MARGIN * count * v / variance[active], MOST_GROWTH * count)
        blocks = ((needed - count) / block).ceil().long().clamp_min(1)
        beyond = n[active] + block * blocks > pairs.examples
        too_many[active[beyond]] = True
        active, blocks = active[~beyond], blocks[~beyond]
    loss, correct = sums[2:] / block
    whole = too_many.nonzero()[:, 0]
    if len(whole):
        losses = pairs.exact(whole)
        estimate[whole], noise[whole] = -s * (losses.new - losses.old), 0.0
        loss[whole], correct[whole] = losses.old, losses.correct
        n[whole] += pairs.examples
    accepted = estimate + (variance - noise).clamp_min(0).sqrt() * normal > 0
    return Decision(accepted, n, too_many, loss, correct)


def decide_exactly(
    pairs: Pairs, s: float, variance: Float64[Tensor, " test"], normal: Float64[Tensor, " test"]
) -> Decision:
    """Barker's test over all examples, whatever it costs; arguments as in `decide`."""
    losses = pairs.exact(torch.arange(len(variance), device=variance.device))
    accepted = -s * (losses.new - losses.old) + variance.sqrt() * normal > 0
    batch = torch.full_like(variance, pairs.examples, dtype=torch.int64)
    return Decision(accepted, batch, torch.ones_like(accepted), losses.old, losses.correct)


def _add(sums: Float64[Tensor, "kind test"], pairs: Pairs, owners: Int64[Tensor, " unit"], *, first: bool) -> None:
    """Run the units, and add up by test: Σδ, Σδ², and of the first block the old model's loss and accuracy."""
    losses = pairs.sample(owners)
    difference = (losses.new - losses.old).double()
    sums[0].index_add_(0, owners, difference.sum(1))
    sums[1].index_add_(0, owners, difference.square().sum(1))
    if first:
        sums[2].index_add_(0, owners, losses.old.double().sum(1))
        sums[3].index_add_(0, owners, losses.correct.double().sum(1))

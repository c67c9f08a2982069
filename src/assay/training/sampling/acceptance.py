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
WEIGHTS = 2 / torch.arange(1, TERMS + 1, dtype=torch.float64).square()
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


def exponentials(count: int, generator: torch.Generator) -> Float64[Tensor, "test term"]:
    """E_k of each test, for `mixing_variance`."""
    return torch.empty(count, TERMS, dtype=torch.float64).exponential_(generator=generator)


def mixing_variance(exponential: Float64[Tensor, "*test term"]) -> Float64[Tensor, "*test"]:
    """T of each test: N(0, T) is logistic. `TERMS` terms of the series, and the mean of what they leave out."""
    return exponential @ WEIGHTS + TAIL


def decide(pairs: Pairs, s: float, variance: Float64[Tensor, " test"], normal: Float64[Tensor, " test"]) -> Decision:
    """Test every pair on a mini-batch of its own, grown until its noise is small enough; beyond N, on all examples.

    Args:
        pairs: the two models of each test.
        s: the bias towards low loss.
        variance: T of each test, drawn before any example is.
        normal: ξ of each test, standard normal.
    """
    tests, block, device = len(variance), pairs.block, variance.device
    if block > pairs.examples:
        return decide_exactly(pairs, s, variance, normal)
    first = pairs.sample(torch.arange(tests, device=device))
    loss, correct = first.old.double().mean(1), first.correct.double().mean(1)
    sums, n = _sums(first), torch.full((tests,), block, device=device)
    too_many = n > pairs.examples
    while True:
        total, squares = sums
        noise = s**2 * (squares - total.square() / n).clamp_min(0) / (n - 1) / n
        short = (noise > variance) & ~too_many
        if not short.any():
            break
        needed = torch.minimum(MARGIN * n * noise / variance, MOST_GROWTH * n)
        blocks = ((needed - n) / block).ceil().long().clamp_min(1) * short
        beyond = n + block * blocks > pairs.examples
        too_many |= beyond
        blocks *= ~beyond
        owners = torch.repeat_interleave(blocks)
        if len(owners):
            sums.index_add_(1, owners, _sums(pairs.sample(owners)))
            n += block * blocks
    estimate = -s * total / n
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


def _sums(losses: Losses) -> Float64[Tensor, "2 unit"]:
    """Σδ and Σδ² of each unit, δ what an example loses by the move."""
    difference = (losses.new - losses.old).double()
    return torch.stack((difference.sum(1), difference.square().sum(1)))

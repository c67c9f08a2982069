"""Barker's acceptance test on as few examples as it takes, exact as far as a mini-batch mean is Gaussian.

Barker's test accepts a change ΔL with probability 1 / (1 + exp(s ΔL)): it accepts iff -s ΔL + X > 0 with X logistic.
The logistic is a scale mixture of normals (Andrews and Mallows 1974), X = N(0, T) with T = 2 Σ E_k / k², E_k
exponential. So T is drawn first, then a mini-batch whose estimate of s ΔL has a variance v below T, and noise of
variance T - v makes up the rest. The paper (arXiv 2306.13442) corrects by a table instead (Seita et al. 2018, arXiv
1610.06848), which has to reach v < 1 in every test.

A mean and a variance of the same skewed examples are correlated. So three sets of examples are drawn: a first pilot
decides the size n of the batch, a second one estimates v, and the mean comes from the batch alone. A mean of n examples
keeps their skewness over √n; the noise is given the opposite third cumulant, ξ + a (ξ² - 1) in place of a normal ξ
(Cornish and Fisher 1938).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Bool, Float64, Int64
    from torch import Tensor

    from assay.methods.trajectory.pairs import NetworkPairs

    PerTest = Float64[Tensor, " test"]

TERMS = 64
WEIGHTS = 2 / torch.arange(1, TERMS + 1, dtype=torch.float64).square()
TAIL = 2 * (math.pi**2 / 6 - sum(1 / k**2 for k in range(1, TERMS + 1)))
PILOTS = 2
MARGIN = 1.25  # how much more examples than the first pilot asks for: a variance estimated too low makes too much noise
LARGEST = 0.95  # share of T that the batch's own noise may have, by the second pilot
STEEPEST = 0.3  # largest a of the skewed noise
SIZES_LOG2 = 3  # eight batch sizes between a power of two and the next: tests of one size run as one product


@dataclass(frozen=True)
class Moments:
    """Sums over the examples of a batch, in float64; δ is what an example loses by the move."""

    count: Int64[Tensor, " batch"]  # n
    change: Float64[Tensor, "3 batch"]  # Σδ, Σδ² and Σδ³
    loss: Float64[Tensor, " batch"]  # before the move
    correct: Float64[Tensor, " batch"]  # how many examples the model before the move classifies correctly

    def central(self) -> tuple[Float64[Tensor, " batch"], Float64[Tensor, " batch"]]:
        """Variance and third central moment of δ."""
        mean, square, cube = self.change / self.count
        variance = (square - mean**2).clamp_min(0) * self.count / (self.count - 1)
        return variance, cube - 3 * mean * square + 2 * mean**3


@dataclass(frozen=True)
class Decision:
    """What the tests decided."""

    accepted: Bool[Tensor, " test"]  # whether the model moves
    batch: Int64[Tensor, " test"]  # n, the examples that the test looked at, pilots included
    growing: Int64[Tensor, " test"]  # of these, those whose number grows with the move; 0 for the smallest batch
    forward: Int64[Tensor, " test"]  # two for each example of a mini-batch; N for each model run on all examples
    exact: Bool[Tensor, " test"]  # whether the test was decided on all examples
    change: Float64[Tensor, " test"]  # the estimate of s ΔL
    variance: PerTest  # of this estimate
    loss: PerTest  # of the old model, unbiased: from the pilots or all examples
    correct: PerTest  # its accuracy there
    skewness: PerTest  # |skewness| of δ over √n, which the mean of the batch keeps; 0 in an exact test
    kept_loss: PerTest  # over all examples, of the model that stays; NaN where not known
    kept_correct: PerTest  # its accuracy, likewise


def mixing_variance(count: int, generator: torch.Generator) -> Float64[Tensor, " test"]:
    """T of so many tests: N(0, T) is logistic. `TERMS` terms of the series, and the mean of what they leave out."""
    exponential = torch.empty(count, TERMS, dtype=torch.float64).exponential_(generator=generator)
    return exponential @ WEIGHTS + TAIL


def decide(
    pairs: NetworkPairs, s: float, variance: PerTest, normal: PerTest, known: Float64[Tensor, "2 test"]
) -> Decision:
    """Test every pair on a mini-batch of its own, as large as its noise asks for; beyond N, on all examples.

    T of each test (`variance`) and ξ (`normal`) are drawn before any example is; s is the bias towards low loss. Loss
    and accuracy of the old models over all examples are `known`, or NaN.
    """
    tests, block = len(variance), pairs.block
    if not fits(block, pairs.examples):
        return decide_exactly(pairs, s, variance, normal, known)
    every = torch.arange(tests, device=variance.device)
    pilots = pairs.sample(every.repeat_interleave(PILOTS), torch.full_like(every, block).repeat_interleave(PILOTS))
    squared, cubed = (moment.view(tests, PILOTS).unbind(1) for moment in pilots.central())
    first, second = (s**2 * each for each in squared)
    size = batch_size(torch.maximum(MARGIN * first, second / LARGEST) / variance, block)
    exact = size + PILOTS * block > pairs.examples
    sampled, whole = (~exact).nonzero()[:, 0], exact.nonzero()[:, 0]
    change, own = torch.zeros_like(variance), second / size
    if len(sampled):
        batch = pairs.sample(sampled, size[sampled])
        change[sampled] = s * batch.change[0] / batch.count
    rest = variance - own
    slope = (s**3 * cubed[1] / size**2 / (6 * rest * rest.sqrt())).clamp(-STEEPEST, STEEPEST)
    noise = (rest / (1 + 2 * slope**2)).sqrt() * (normal + slope * (normal**2 - 1))
    accepted = noise - change > 0
    seen = PILOTS * block + size * ~exact
    loss, correct = (each.view(tests, PILOTS).sum(1) / (PILOTS * block) for each in (pilots.loss, pilots.correct))
    skewness = (cubed[1].abs() / (squared[1] * squared[1].sqrt()) / size.sqrt()).nan_to_num(0.0)
    kept = torch.where(accepted, math.nan, known)  # the loss of a new model is not known
    growing = size * (~exact & (size > block))
    decision = Decision(accepted, seen, growing, 2 * seen, exact, change, own, loss, correct, skewness, *kept)
    if len(whole):
        settled = decide_exactly(pairs, s, variance[whole], normal[whole], known[:, whole], whole)
        for name, values in vars(settled).items():
            before = getattr(decision, name)
            before[whole] = values + before[whole] if name in ("batch", "forward") else values
    return decision


def decide_exactly(
    pairs: NetworkPairs,
    s: float,
    variance: PerTest,
    normal: PerTest,
    known: Float64[Tensor, "2 test"],
    tests: Int64[Tensor, " test"] | None = None,
) -> Decision:
    """Barker's test over all examples; the old model is run only where its loss is not known from an earlier test.

    Arguments as in `decide`; `tests` says which of the pairs these tests are about, None for all.
    """
    if tests is None:
        tests = torch.arange(len(variance), device=variance.device)
    old, unknown = known.clone(), known[0].isnan()
    if unknown.any():
        old[:, unknown] = pairs.whole(tests[unknown], 0)
    new = pairs.whole(tests, 1)
    change = s * (new[0] - old[0])
    accepted = variance.sqrt() * normal - change > 0
    batch, nothing = torch.full_like(tests, pairs.examples), torch.zeros_like(variance)
    seen = (batch, 0 * batch, batch * (1 + unknown.long()), torch.ones_like(accepted))
    kept = torch.where(accepted, new, old)
    return Decision(accepted, *seen, change, nothing, old[0], old[1], nothing, kept[0], kept[1])


def fits(block: int, examples: int) -> bool:
    """Whether two pilots and a batch are no more than the examples there are."""
    return (PILOTS + 1) * block <= examples


def batch_size(needed: Float64[Tensor, " test"], block: int) -> Int64[Tensor, " test"]:
    """As many examples as needed, rounded up to blocks or, where that is more, to one of a few sizes."""
    blocks = (needed / block).nan_to_num(math.inf).clamp(1, 2.0**40)
    step = torch.ones_like(needed, dtype=torch.int64) << (blocks.frexp().exponent.long() - 1 - SIZES_LOG2).clamp_min(0)
    return (blocks / step).ceil().long() * step * block

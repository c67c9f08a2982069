"""What a sampler has to say of itself: windows along the run, batch sizes, and whether it may be called a sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from assay.engine.checkpoint import Stateful

if TYPE_CHECKING:
    from collections.abc import Callable

    from jaxtyping import Float, Float64
    from torch import Tensor

    from assay.methods.trajectory.acceptance import Decision

WINDOWS = 60
SUMS = ("tests", "loss", "correct", "accepted", "batch", "exact", "accepted_exactly", "forward", "skewness")
BINS = 24  # of the histogram of batch sizes: powers of two times the block
PROBED = 256  # examples of `Memory`
LEAST_BLOCK = 64
MOST_SKEWNESS = 0.25  # of a mean: uncorrected, it moves an acceptance by up to one point in a hundred


class Diagnostics(Stateful):
    """Sums over tests, for each chain: of the window that is open, of the burn-in, and of the sampling phase."""

    kept = ("_window", "_phases", "_histogram", "_halves", "series")

    def __init__(self, chains: int, block: int, device: torch.device) -> None:
        self._block = block
        self._window = torch.zeros(len(SUMS), chains, dtype=torch.float64, device=device)
        self._phases = torch.zeros(2, len(SUMS), chains, dtype=torch.float64, device=device)
        self._edges = block * 2 ** torch.arange(1, BINS, device=device)
        self._histogram = torch.zeros(chains, BINS, dtype=torch.int64, device=device)
        self._halves = torch.zeros(2, 3, chains, dtype=torch.float64, device=device)
        self.series: dict[str, list[Any]] = {}

    def add(self, decision: Decision, half: int | None) -> None:
        """Add the tests `(chain, model)` of a sweep: of the burn-in (None), or half 0 or 1 of the sampling phase."""
        own = {**vars(decision), "tests": torch.ones_like(decision.loss)}
        own["accepted_exactly"] = decision.exact & decision.accepted
        sums = torch.stack([own[name] for name in SUMS]).sum(2)
        self._window += sums
        self._phases[int(half is not None)] += sums
        bins = torch.bucketize(decision.batch, self._edges, right=True)
        self._histogram.scatter_add_(1, bins, torch.ones_like(bins))
        if half is not None:
            loss = decision.loss.mean(1)
            self._halves[half] += torch.stack([torch.ones_like(loss), loss, loss.square()])

    def close_window(self, moves: int, forward_samples: list[int], sigma: Tensor, s: float) -> None:
        """End a window: its means become a point of the series."""
        tests, *sums = self._window[:5]
        names = ("loss", "accuracy", "acceptance", "batch_a_test")
        means = {name: short(each / tests) for name, each in zip(names, sums, strict=True)}
        ends = {"sigma": short(sigma), "s": float(f"{s:.6g}")}
        for key, value in {"moves": moves, "forward_samples": forward_samples, **means, **ends}.items():
            self.series.setdefault(key, []).append(value)
        self._window.zero_()

    def record(self, examples: int, memory: Float64[Tensor, " chain"]) -> dict[str, Any]:
        """The figures and flags of every chain, as JSON, given N and what `Memory.of` gives."""
        whole, kept = (dict(zip(SUMS, sums, strict=True)) for sums in (self._phases.sum(0), self._phases[1]))
        if not bool((kept["tests"] > 0).all()):
            kept = whole
        means = {name: total / kept["tests"] for name, total in kept.items()}
        # How the mean loss of the sampling phase's second half differs from the first's, and twice its error, a lower
        # bound since sweeps follow each other closely; both relative to the first half.
        count, total, squares = self._halves.unbind(1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0) / count
        drift, error = (mean[1] - mean[0]) / mean[0], 2 * variance.sum(0).sqrt() / mean[0]
        used = max(self._histogram.sum(0).nonzero().flatten().tolist(), default=-1) + 1
        accepted, exact, both = whole["accepted"], whole["exact"], whole["accepted_exactly"]
        decisions = {
            "accepted": accepted - both,
            "rejected": whole["tests"] - exact - accepted + both,
            "accepted_exactly": both,
            "rejected_exactly": exact - both,
        }
        told = torch.stack((means["accepted"], drift, error, memory, means["skewness"]), 1).tolist()
        return {
            "examples": examples,
            "batch_a_test": short(means["batch"]),
            "batch_a_test_whole_run": short(whole["batch"] / whole["tests"]),
            "saving": short(examples / means["batch"]),
            "saving_passes": short(examples * kept["tests"] / kept["forward"]),
            "acceptance": short(means["accepted"]),
            "mean_loss": short(means["loss"]),
            "mean_accuracy": short(means["correct"]),
            "loss_drift": short(drift),
            "memory": short(memory),
            "skewness": short(means["skewness"]),
            "decisions": {name: counts.long().tolist() for name, counts in decisions.items()},
            "batch_histogram": {
                "at_least": [self._block * 2**power for power in range(used)],
                "tests": self._histogram[:, :used].tolist(),
            },
            "series": self.series,
            "flags": [flags(*each, block=self._block) for each in told],
        }


class Memory(Stateful):
    """Whether a chain has forgotten where its sampling began: what a flat mean loss needs to mean anything.

    The losses, `shape` (chain, model, first examples), are taken when sampling begins, half-way and at the end. Their
    mean squared displacement D grows while a chain wanders off, and no longer once it has mixed: D(whole) / D(half) - 1
    is 1 in the first case, and the correlation left after half of the sampling phase in the second.
    """

    kept = ("_start", "_half")

    def __init__(self, first: int, sweeps: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self.examples = shape[2]
        self._first, self._middle = first, first + (sweeps - first + 1) // 2
        self._start = torch.zeros(shape, device=device)
        self._half = torch.zeros(shape[0], dtype=torch.float64, device=device)

    def observe(self, sweep: int, losses: Callable[[], Float[Tensor, "chain model example"]]) -> None:
        """See the networks before a sweep; their losses are asked for at two sweeps only."""
        if sweep == self._first:
            self._start.copy_(losses())
        elif sweep == self._middle:
            self._half.copy_(self._displacement(losses()))

    def of(self, losses: Float[Tensor, "chain model example"]) -> Float64[Tensor, " chain"]:
        """How much each chain remembers, by the losses at the end; all, 1, where nothing had moved half-way."""
        return torch.where(self._half > 0, self._displacement(losses) / self._half - 1, 1.0)

    def _displacement(self, losses: Float[Tensor, "chain model example"]) -> Float64[Tensor, " chain"]:
        squares = (losses - self._start).double().square().flatten(1)
        return torch.stack([chain.mean() for chain in squares])  # one by one: the same bits in any company


def flags(acceptance: float, drift: float, error: float, memory: float, skewness: float, *, block: int) -> list[str]:
    """What keeps a chain from being called a sample of its target.

    The mean loss drifts between the halves of the sampling phase (relative; NaN: there was none), `error` is twice the
    drift's standard error, `memory` as of `Memory.of`, `skewness` the mean |skewness| of a mini-batch mean.
    """
    cooling = abs(drift) > max(0.01, error)
    creeping = memory > 0.5 and not cooling and not math.isnan(drift)
    found = {
        "it does not mix: under 1 % of its moves are accepted after burn-in": acceptance < 0.01,
        "it does not mix: over 99 % of its moves are accepted after burn-in": acceptance > 0.99,
        "too few sweeps after burn-in to tell whether its mean loss is flat": math.isnan(drift),
        "a cooling run: its mean loss is not flat after burn-in, so it is no sample of its target": cooling,
        "it does not mix: it has not forgotten where sampling began, so a flat mean loss means nothing": creeping,
        "biased: losses change by so skewed amounts that a mini-batch mean is not Gaussian": skewness > MOST_SKEWNESS,
        f"biased: pilots of under {LEAST_BLOCK} examples estimate the variance badly": block < LEAST_BLOCK,
    }
    return [line for line, holds in found.items() if holds]


def short(values: Float64[Tensor, " value"]) -> list[float | None]:
    """Six significant digits of each; None where there is no number."""
    return [None if math.isnan(value) else float(f"{value:.6g}") for value in values.tolist()]

"""What a sampler has to say of itself: windows along the run, batch sizes, and whether it may be called a sample."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from jaxtyping import Float64
    from torch import Tensor

    from assay.methods.trajectory.acceptance import Decision

WINDOWS = 60
FIELDS = ("loss", "accuracy", "accepted", "batch", "tests", "exact_tests", "exact_accepted", "forward", "skewness")
SERIES = ("moves", "forward_samples", "loss", "accuracy", "acceptance", "batch_a_test", "sigma", "s")
BINS = 24  # of the histogram of batch sizes: powers of two times the block
LEAST_ACCEPTANCE, MOST_ACCEPTANCE = 0.01, 0.99
DRIFT = 0.01
MOST_MEMORY = 0.5
LEAST_BLOCK = 64
MOST_SKEWNESS = 0.25  # of a mean: uncorrected, it moves an acceptance by up to one point in a hundred


class Diagnostics:
    """Sums over tests, for each chain: of the window that is open, of the burn-in, and of the sampling phase.

    Args:
        chains: C.
        block: b0.
        device: where the chains are.
    """

    def __init__(self, chains: int, block: int, device: torch.device) -> None:
        self._block = block
        self._window = torch.zeros(len(FIELDS), chains, dtype=torch.float64, device=device)
        self._phases = torch.zeros(2, len(FIELDS), chains, dtype=torch.float64, device=device)
        self._edges = block * 2 ** torch.arange(1, BINS, device=device)
        self._histogram = torch.zeros(chains, BINS, dtype=torch.int64, device=device)
        self._halves = torch.zeros(2, 3, chains, dtype=torch.float64, device=device)
        self.series: list[dict[str, Any]] = []

    def add(self, decision: Decision, *, sampling: bool) -> None:
        """Add the tests of a sweep, `(chain, model)`."""
        each = (decision.loss, decision.correct, decision.accepted, decision.batch)
        exact_accepted = decision.exact & decision.accepted
        last = (decision.exact, exact_accepted, decision.forward, decision.skewness)
        rows = torch.stack((*each, torch.ones_like(decision.loss), *last))
        sums = rows.sum(2)
        self._window += sums
        self._phases[int(sampling)] += sums
        bins = torch.bucketize(decision.batch, self._edges, right=True)
        self._histogram.scatter_add_(1, bins, torch.ones_like(bins))

    def sampled(self, half: int, loss: Float64[Tensor, " chain"]) -> None:
        """Add the mean loss of a sweep of the sampling phase, to its first (0) or second (1) half."""
        self._halves[half] += torch.stack([torch.ones_like(loss), loss, loss.square()])

    def close_window(self, moves: int, forward_samples: list[int], sigma: list[float], s: float) -> None:
        """End a window: its means become a point of the series."""
        loss, accuracy, accepted, batch, tests = self._window[:5]
        self.series.append(
            {
                "moves": moves,
                "forward_samples": forward_samples,
                "loss": _short(loss / tests),
                "accuracy": _short(accuracy / tests),
                "acceptance": _short(accepted / tests),
                "batch_a_test": _short(batch / tests),
                "sigma": [_round(each) for each in sigma],
                "s": _round(s),
            }
        )
        self._window.zero_()

    def record(self, examples: int, memory: Float64[Tensor, " chain"]) -> dict[str, Any]:
        """The figures and flags of every chain, as JSON.

        Args:
            examples: N.
            memory: of each chain, as `Memory.of` gives it.
        """
        whole, sampling = self._phases.sum(0), self._phases[1]
        kept = sampling if bool((sampling[4] > 0).all()) else whole
        batch, acceptance, skewness = kept[3] / kept[4], kept[2] / kept[4], kept[8] / kept[4]
        drift, error = self._drift()
        used = int(self._histogram.sum(0).nonzero().max()) + 1 if len(self._histogram.nonzero()) else 0
        exact = whole[5].long()
        return {
            "examples": examples,
            "batch_a_test": _short(batch),
            "batch_a_test_whole_run": _short(whole[3] / whole[4]),
            "saving": _short(examples / batch),
            "saving_passes": _short(examples * kept[4] / kept[7]),
            "acceptance": _short(acceptance),
            "mean_loss": _short(kept[0] / kept[4]),
            "mean_accuracy": _short(kept[1] / kept[4]),
            "loss_drift": _short(drift),
            "memory": _short(memory),
            "skewness": _short(skewness),
            "decisions": {
                "accepted": (whole[2] - whole[6]).long().tolist(),
                "rejected": (whole[4] - whole[5] - whole[2] + whole[6]).long().tolist(),
                "accepted_exactly": whole[6].long().tolist(),
                "rejected_exactly": (exact - whole[6].long()).tolist(),
            },
            "batch_histogram": {
                "at_least": [self._block * 2**power for power in range(used)],
                "tests": self._histogram[:, :used].tolist(),
            },
            "series": {key: [point[key] for point in self.series] for key in SERIES},
            "flags": [
                flags(*each, block=self._block)
                for each in torch.stack((acceptance, drift, error, memory, skewness), 1).tolist()
            ],
        }

    def _drift(self) -> tuple[Float64[Tensor, " chain"], Float64[Tensor, " chain"]]:
        """How the mean loss of the sampling phase's second half differs from the first's, and twice its error.

        Both relative to the first half. Sweeps follow each other closely, so the error is a lower bound.
        """
        count, total, squares = self._halves.unbind(1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp_min(0) / count
        return (mean[1] - mean[0]) / mean[0], 2 * variance.sum(0).sqrt() / mean[0]

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        sums = (self._window, self._phases, self._histogram, self._halves)
        return {"sums": list(sums), "series": self.series}

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        for own, kept in zip((self._window, self._phases, self._histogram, self._halves), state["sums"], strict=True):
            own.copy_(kept)
        self.series = list(state["series"])


def flags(acceptance: float, drift: float, error: float, memory: float, skewness: float, *, block: int) -> list[str]:
    """What keeps a chain from being called a sample of its target.

    Args:
        acceptance: after burn-in.
        drift: the relative change of the mean loss from the first half of the sampling phase to the second; NaN where
            there was none.
        error: twice the standard error of it.
        memory: of where sampling began, as `Memory.of` gives it.
        skewness: mean |skewness| of a mini-batch mean.
        block: b0.
    """
    found = []
    if acceptance < LEAST_ACCEPTANCE:
        found.append("it does not mix: under 1 % of its moves are accepted after burn-in")
    if acceptance > MOST_ACCEPTANCE:
        found.append("it does not mix: over 99 % of its moves are accepted after burn-in")
    if math.isnan(drift):
        found.append("too few sweeps after burn-in to tell whether its mean loss is flat")
    elif abs(drift) > max(DRIFT, error):
        found.append("a cooling run: its mean loss is not flat after burn-in, so it is no sample of its target")
    elif memory > MOST_MEMORY:
        found.append("it does not mix: it has not forgotten where sampling began, so a flat mean loss means nothing")
    if skewness > MOST_SKEWNESS:
        found.append("biased: losses change by so skewed amounts that a mini-batch mean is not Gaussian")
    if block < LEAST_BLOCK:
        found.append(f"biased: pilots of under {LEAST_BLOCK} examples estimate the variance badly")
    return found


def _round(value: float) -> float:
    return float(f"{value:.6g}")


def _short(values: Tensor) -> list[float | None]:
    """Six significant digits; None where there is no number."""
    return [None if math.isnan(value) else _round(value) for value in values.tolist()]

"""Trajectory sampling as an update: a chain of models for each seed, all chains one stack.

Mair, Causer and Garrahan, "Minibatch training of neural network ensembles via trajectory sampling" (arXiv 2306.13442).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from assay.core.runtime import generator
from assay.engine.parametrisation import Outcome
from assay.engine.step_rule import BatchStats, Counters, StepRule
from assay.methods.trajectory.acceptance import Decision
from assay.methods.trajectory.coordinates import Coordinates, shift_bias
from assay.methods.trajectory.diagnostics import WINDOWS, Diagnostics
from assay.methods.trajectory.memory import PROBED, Memory
from assay.methods.trajectory.moves import draw, move_models
from assay.methods.trajectory.paired_loss import NetworkPairs, Networks
from assay.methods.trajectory.proposals import Move, halves

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int64
    from torch import Tensor, nn

    from assay.engine.stack import Weights
    from assay.methods.trajectory.moves import Decide
    from assay.methods.trajectory.schedule import Annealing, Steering


@dataclass(frozen=True)
class Centring:
    """The first linear layer sees centred inputs while sampling; its bias takes the mean up when networks leave.

    Attributes:
        layer: its name.
        mean: what is taken away from its inputs.
    """

    layer: str
    mean: Float[Tensor, " input"]

    def leave(self, parameters: Weights) -> Weights:
        """Parameters `(*copy, *shape)` for inputs as they are."""
        return shift_bias(parameters, f"{self.layer}.weight", f"{self.layer}.bias", self.mean, -1)

    def enter(self, parameters: Weights) -> Weights:
        """Parameters for centred inputs, from those for inputs as they are."""
        return shift_bias(parameters, f"{self.layer}.weight", f"{self.layer}.bias", self.mean, 1)


@dataclass(frozen=True)
class Chains:
    """The state that moves.

    Attributes:
        theta: one chain for each seed; changed in place.
        coordinates: what theta means.
        centring: how inputs are seen while sampling; None for as they are.
    """

    theta: Float[Tensor, "chain tau d"]
    coordinates: Coordinates
    centring: Centring | None

    def weights(self, models: slice) -> Weights:
        """Parameters of some models of each chain, `(chain, model, *shape)`."""
        parameters = self.coordinates.parameters(self.theta[:, models])
        return self.centring.leave(parameters) if self.centring else parameters


class TrajectoryUpdate(StepRule):
    """One step is one sweep: every model of every chain is proposed a move once, every other model at a time.

    Args:
        network: the plain module.
        networks: runs pairs of its copies on training examples.
        labels: of the training set: one list, or one for each chain.
        seeds: one for each chain.
        chains: where they start.
        move: how far a proposal goes.
        decide: the acceptance test.
        annealing: s of each sweep.
        steering: σ.
        sweeps: how many there will be.
        block: b0.
    """

    def __init__(
        self,
        network: nn.Module,
        networks: Networks,
        labels: Int64[Tensor, "*chain example"],
        seeds: Sequence[int],
        chains: Chains,
        move: Move,
        decide: Decide,
        annealing: Annealing,
        steering: Steering,
        sweeps: int,
        block: int,
    ) -> None:
        device = chains.theta.device
        self.network, self.chains, self.steering, self.annealing = network, chains, steering, annealing
        self.counters = Counters(len(seeds), device)
        self.diagnostics = Diagnostics(len(seeds), block, device)
        self._networks, self._seeds, self._block = networks, tuple(seeds), block
        self._labels = labels.expand(len(seeds), -1).contiguous()
        self._move, self._decide = move, decide
        self._sweeps, self._window = sweeps, -(-sweeps // WINDOWS)
        self._halves = halves(chains.theta.shape[1], device)
        self._known = torch.full((2, *chains.theta.shape[:2]), torch.nan, dtype=torch.float64, device=device)
        shape = (*chains.theta.shape[:2], min(PROBED, labels.shape[-1]))
        self._memory = Memory(annealing.sweeps, sweeps, shape, device)

    @property
    def forward_samples(self) -> int:
        """What all chains have cost so far; a warm start, which takes gradients, apart."""
        return int(self._spent().sum())

    def _spent(self) -> Int64[Tensor, " chain"]:
        return self.counters.of("forward_samples")

    @torch.no_grad()
    def step(self, step: int) -> BatchStats:
        """One sweep; what it saw is each model's mini-batch loss and accuracy before its move."""
        theta, burning_in = self.chains.theta, step < self.annealing.sweeps
        self._memory.observe(step, self._probe)
        decisions = []
        for number, half in enumerate(self._halves):
            generators = [generator(seed, f"trajectory half {number}", step) for seed in self._seeds]
            draws = draw(generators, len(half.models), theta.shape[2], self._move.fraction, theta.device)

            def make_pairs(
                old: Tensor, new: Tensor, generators: Sequence[torch.Generator] = generators
            ) -> NetworkPairs:
                weights = self.chains.coordinates.parameters(torch.stack((old, new), 1))
                return NetworkPairs(self._networks, weights, self._labels, generators, self._block)

            decision = move_models(
                theta,
                self._known,
                half,
                self.steering.sigma,
                self.annealing.at(step),
                self._move,
                draws,
                make_pairs,
                self._decide,
            )
            decisions.append(decision)
        sweep = Decision(
            *(torch.cat([getattr(d, f.name).view(len(theta), -1) for d in decisions], 1) for f in fields(Decision))
        )
        self.counters.add("forward_samples", sweep.forward.sum(1))
        self.counters.add("optimizer_steps", 1)
        self.diagnostics.add(sweep, sampling=not burning_in)
        if burning_in:
            self.steering.observe(step, sweep)
        else:
            late = 2 * (step - self.annealing.sweeps) >= self._sweeps - self.annealing.sweeps
            self.diagnostics.sampled(int(late), sweep.loss.mean(1))
        if (step + 1) % self._window == 0 or step + 1 == self._sweeps:
            moves = (step + 1) * theta.shape[1]
            sigma = self.steering.sigma.tolist()
            self.diagnostics.close_window(moves, self._spent().tolist(), sigma, self.annealing.at(step))
        return BatchStats(sweep.loss, sweep.correct)

    def _probe(self) -> Float[Tensor, "chain model example"]:
        """Losses of the first training examples, by every model; a diagnostic, and not billed."""
        examples = slice(self._memory.examples)
        losses = []
        for theta, labels in zip(self.chains.theta, self._labels, strict=True):
            weights = self.chains.coordinates.parameters(theta[:, None])
            logits = self._networks.logits(weights, examples)[:, 0]
            expected = labels[examples].expand(len(theta), -1)
            losses.append(F.cross_entropy(logits, expected, reduction="none"))
        return torch.stack(losses)

    def evaluated(self) -> Weights:
        """The last model of each chain."""
        return {name: tensor[:, 0] for name, tensor in self.chains.weights(slice(-1, None)).items()}

    def variants(self) -> dict[str, Outcome]:
        """The chain as an ensemble, by mean probability or by vote, and its last model alone; each cost a chain."""
        chain, last = slice(None), slice(-1, None)
        return {
            "ensemble": Outcome(self.chains.weights(chain)),
            "vote": Outcome(self.chains.weights(chain), "majority_vote"),
            "last": Outcome(self.chains.weights(last)),
        }

    def record(self) -> dict[str, Any]:
        """Costs, diagnostics and flags; a list holds a value for each seed."""
        theta = self.chains.theta
        distances = theta.diff(dim=1).double().norm(dim=2)
        reference = [float(f"{theta.shape[2] ** 0.5 * sigma:.6g}") for sigma in self.steering.sigma.tolist()]
        return {
            "tau": theta.shape[1],
            "parameters": theta.shape[2],
            "block": self._block,
            "moves": self._sweeps * theta.shape[1],
            "burn_in_moves": self.annealing.sweeps * theta.shape[1],
            "forward_samples": self._spent().tolist(),
            **self.diagnostics.record(self._labels.shape[-1], self._memory.of(self._probe())),
            "neighbour_distance": [[float(f"{d:.6g}") for d in chain] for chain in distances.tolist()],
            "reference_distance": reference,
        }

    def state(self) -> dict[str, Any]:
        """Chains, known losses, σ, counters and diagnostics; all randomness is a function of seed and sweep."""
        return {
            "theta": self.chains.theta,
            "steering": self.steering.state(),
            "known": self._known,
            "counters": self.counters.state(),
            "diagnostics": self.diagnostics.state(),
            "memory": self._memory.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.chains.theta.copy_(state["theta"])
        self.steering.restore(state["steering"])
        self.counters.restore(state["counters"])
        self.diagnostics.restore(state["diagnostics"])
        self._known.copy_(state["known"])
        self._memory.restore(state["memory"])

"""Trajectory sampling as an update: a chain of models for each seed, all chains one stack."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from assay.core.runtime import generator
from assay.engine.stack import BatchStats
from assay.engine.stack.layers import split_prefix
from assay.engine.step_rule import Counters, GradientUpdate, Outcome, StepRule
from assay.methods.trajectory.acceptance import Decision, decide, decide_exactly
from assay.methods.trajectory.diagnostics import PROBED, WINDOWS, Diagnostics, Memory, short
from assay.methods.trajectory.moves import Steering, annealed, draw, halves, move_models, starting_chains
from assay.methods.trajectory.networks import DenseNetworks, NetworkPairs, StackedNetworks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float, Int64

    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights
    from assay.methods.trajectory import Options


class Coordinates:
    """A linear map between flat coordinates `(*, d)`, in which a chain moves with one σ, and parameters by name.

    A layer's parameters are its coordinates times the layer's scale. Where inputs are centred while sampling, the first
    layer's bias takes up the mean, exactly: W (x - m) + b = W x + (b - W m).

    Args:
        parameters: of the networks, `(copy, *shape)`.
        scales: factors by layer, as in `{output: 4}`; layers that are not named have 1.
        centring: the first linear layer, and the mean m `(input,)` that is taken away from its inputs.
    """

    def __init__(
        self,
        parameters: Weights,
        scales: Mapping[str, float],
        centring: tuple[str, Float[Tensor, " input"]] | None = None,
    ) -> None:
        self._shapes = {name: tensor.shape[1:] for name, tensor in parameters.items()}
        self._sizes, self._centring = [prod(shape) for shape in self._shapes.values()], centring
        some = next(iter(parameters.values()))
        factors = [float(scales.get(name.rpartition(".")[0], 1.0)) for name in self._shapes]
        by_number = torch.tensor(factors, dtype=some.dtype).repeat_interleave(torch.tensor(self._sizes))
        self._factors = by_number.to(some.device)

    def sampled(self, flat: Float[Tensor, "*copy d"]) -> Weights:
        """The parameters at these coordinates, `(*copy, *shape)`, for inputs as the sampler sees them."""
        parts = (flat * self._factors).split_with_sizes(self._sizes, -1)
        return {n: p.view(*flat.shape[:-1], *shape) for (n, shape), p in zip(self._shapes.items(), parts, strict=True)}

    def parameters(self, flat: Float[Tensor, "*copy d"]) -> Weights:
        """The parameters at these coordinates, `(*copy, *shape)`, for inputs as they are."""
        return self._shifted(self.sampled(flat), -1)

    def flat(self, parameters: Weights) -> Float[Tensor, "copy d"]:
        """The coordinates of parameters `(copy, *shape)` for inputs as they are."""
        entered = self._shifted(parameters, 1)
        return torch.cat([entered[name].flatten(1) for name in self._shapes], 1) / self._factors

    def _shifted(self, parameters: Weights, sign: int) -> Weights:
        if self._centring is None:
            return parameters
        layer, mean = self._centring
        bias = parameters[f"{layer}.bias"] + sign * (parameters[f"{layer}.weight"] @ mean)
        return {**parameters, f"{layer}.bias": bias}


class TrajectoryUpdate(StepRule):
    """One step is one sweep: every model of every chain is proposed a move once, every other model at a time.

    Each seed is a chain, and all randomness a function of seed and sweep. A warm start by gradients, if the options ask
    for one, comes before the sweeps.
    """

    kept = ("theta", "_known", "steering", "counters", "diagnostics", "_memory")

    def __init__(self, context: TrainContext, options: Options) -> None:
        device, seeds, tau, sweeps = context.device, context.run.seeds, options.tau, context.run.train.steps
        self.options, self._seeds, self._sweeps = options, seeds, sweeps
        chains, self._burn_in = len(seeds), int(options.burn_in * sweeps)
        self.network, parameters, _ = context.fresh(seeds)
        self.counters = Counters(chains, device)
        dense, centring = split_prefix(self.network), None
        self._networks: DenseNetworks | StackedNetworks
        if dense:
            self._networks = networks = DenseNetworks(*dense, context.data, centred=options.centre)
            centring = (networks.first, networks.centre) if options.centre else None
        else:
            self._networks = StackedNetworks(self.network, context.data)
        self._coordinates = Coordinates(parameters, options.layer_scale, centring)
        if options.warm_start:
            warm = _warmed(context, options.warm_start)
            parameters = warm.stored
            self.counters.restore(warm.counters.state())
        start = self._coordinates.flat(parameters)
        self.theta: Float[Tensor, "chain tau d"] = starting_chains(start, seeds, tau, options.sigma, options.start)
        self._labels: Int64[Tensor, "chain example"] = context.labels.expand(chains, -1).contiguous()
        self._known = torch.full((2, chains, tau), torch.nan, dtype=torch.float64, device=device)
        self._halves = halves(tau, device)
        self.steering = Steering(options.sigma, chains, tau, device, steer=options.steer)
        self.diagnostics = Diagnostics(chains, options.block, device)
        probed = (chains, tau, min(PROBED, self._labels.shape[-1]))
        self._memory = Memory(self._burn_in, sweeps, probed, device)

    @torch.no_grad()
    def step(self, step: int) -> BatchStats:
        """One sweep; what it saw is each model's mini-batch loss and accuracy before its move."""
        chains, tau, _ = self.theta.shape
        options, burn_in = self.options, self._burn_in
        s = annealed(options.s_start or options.s, options.s, burn_in, step)
        self._memory.observe(step, self._probe)
        decisions = [vars(self._move_half(number, step, s)) for number in range(len(self._halves))]
        columns = {name: torch.cat([each[name].view(chains, -1) for each in decisions], 1) for name in decisions[0]}
        sweep = Decision(**columns)
        self.counters.add("forward_samples", sweep.forward.sum(1))
        self.counters.add("optimizer_steps", 1)
        self.diagnostics.add(sweep, sampling=step >= burn_in)
        if step < burn_in:
            self.steering.observe(step, sweep)
        else:
            late = 2 * (step - burn_in) >= self._sweeps - burn_in
            self.diagnostics.sampled(int(late), sweep.loss.mean(1))
        done = step + 1
        if done % -(-self._sweeps // WINDOWS) == 0 or done == self._sweeps:
            spent, sigma = self.counters.of("forward_samples").tolist(), self.steering.sigma.tolist()
            self.diagnostics.close_window(done * tau, spent, sigma, s)
        return BatchStats(sweep.loss, sweep.correct)

    def _move_half(self, number: int, step: int, s: float) -> Decision:
        half, options = self._halves[number], self.options
        generators = [generator(seed, f"trajectory half {number}", step) for seed in self._seeds]
        draws = draw(generators, len(half.models), self.theta.shape[2], options.fraction, self.theta.device)

        def make_pairs(old: Tensor, new: Tensor) -> NetworkPairs:
            weights = self._coordinates.sampled(torch.stack((old, new), 1))
            return NetworkPairs(self._networks, weights, self._labels, generators, options.block)

        test = decide if options.test == "minibatch" else decide_exactly
        sigma, beta = self.steering.sigma, options.beta
        return move_models(self.theta, self._known, half, sigma, s, beta, draws, make_pairs, test)

    def _probe(self) -> Float[Tensor, "chain model example"]:
        """Losses of the first training examples, by every model; a diagnostic, and not billed."""
        examples, losses = slice(self._memory.examples), []
        for theta, labels in zip(self.theta, self._labels, strict=True):
            logits = self._networks.logits(self._coordinates.sampled(theta[:, None]), examples)[:, 0]
            losses.append(F.cross_entropy(logits, labels[examples].expand(len(theta), -1), reduction="none"))
        return torch.stack(losses)

    def evaluated(self) -> Weights:
        """The last model of each chain."""
        return self._coordinates.parameters(self.theta[:, -1])

    def variants(self) -> dict[str, Outcome]:
        """The chain as an ensemble, by mean probability or by vote, and its last model alone; each cost a chain."""
        chain, vote = (self._coordinates.parameters(self.theta) for _ in range(2))  # files can't hold shared memory
        last = self._coordinates.parameters(self.theta[:, -1:])
        return {"ensemble": Outcome(chain), "vote": Outcome(vote, "majority_vote"), "last": Outcome(last)}

    def record(self) -> dict[str, Any]:
        """Costs, diagnostics and flags; a list holds a value for each seed."""
        _, tau, parameters = self.theta.shape
        distances = self.theta.diff(dim=1).double().norm(dim=2)
        return {
            "tau": tau,
            "parameters": parameters,
            "block": self.options.block,
            "moves": self._sweeps * tau,
            "burn_in_moves": self._burn_in * tau,
            "forward_samples": self.counters.of("forward_samples").tolist(),
            **self.diagnostics.record(self._labels.shape[-1], self._memory.of(self._probe())),
            "neighbour_distance": [[short(d) for d in chain] for chain in distances.tolist()],
            "reference_distance": [short(parameters**0.5 * sigma) for sigma in self.steering.sigma.tolist()],
        }


def _warmed(context: TrainContext, steps: int) -> GradientUpdate:
    train = context.run.train.model_copy(update={"steps": steps})
    own = replace(context, run=context.run.model_copy(update={"train": train}))
    warm = GradientUpdate(own, own.batches())
    for step in range(steps):
        warm.step(step)
    return warm

"""Ensembles by trajectory sampling: a chain of models, moved by Monte Carlo with a mini-batch acceptance test.

Mair, Causer and Garrahan, "Minibatch training of neural network ensembles via trajectory sampling" (arXiv 2306.13442);
predecessor: Mair, Rose and Garrahan (arXiv 2209.11116). A trajectory is a chain of tau models with the density

    P(θ) ∝ exp(- Σ ‖θ_{t+1} - θ_t‖² / 2σ² - s Σ L(θ_t)),

L the mean cross-entropy over the training set, without augmentation. No gradient is taken. A step of the loop is a
sweep, one proposal for each model of each chain; each seed is a chain.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from assay import models
from assay.core.config import PARAMS_FILE, Section
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.engine.optim import check_warm_up
from assay.engine.stack import BatchStats
from assay.engine.stack.layers import split_prefix
from assay.engine.step_rule import Counters, GradientUpdate, Outcome, StepRule
from assay.methods.trajectory.acceptance import Decision, decide, decide_exactly, fits
from assay.methods.trajectory.diagnostics import PROBED, WINDOWS, Diagnostics, Memory, short
from assay.methods.trajectory.moves import Steering, annealed, draw, halves, move_models
from assay.methods.trajectory.pairs import Coordinates, DenseNetworks, NetworkPairs, StackedNetworks

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

    from assay.core.config import Run, Train
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext
    from assay.engine.stack import Weights

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

PAPER = {
    "key": "mair2023",
    "topic": "Ensembles by trajectory sampling",
    "cited": "Mair, Causer, Garrahan 2023, arXiv 2306.13442",
}
TAKES_GRADIENTS = takes_rates = False
DECISIONS = ("accepted", "rejected", "accepted_exactly", "rejected_exactly")
KEYS = (
    *("tau", "parameters", "block", "moves", "burn_in_moves", "forward_samples", "examples", "batch_a_test"),
    *("batch_a_test_whole_run", "saving", "saving_passes", "skewness", "memory", "acceptance", "mean_loss"),
    *("mean_accuracy", "loss_drift", *(f"decisions.{key}" for key in DECISIONS), "reference_distance"),
)
_CHAIN = {"tau": 3, "s": 300.0, "sigma": 0.1, "s_start": 50.0, "block": 16, "steer": True}
CONTRACT_ARMS: dict[str, dict[str, Any]] = {
    "trajectory": {"options": _CHAIN},
    "trajectory of an mlp, noisy labels": {
        "model": {"name": "mlp", "hidden": [8]},
        "options": {**_CHAIN, "centre": True, "layer_scale": {"output": 0.5}, "beta": 0.7},
        "label_noise": 0.1,
    },
    "trajectory with the full test": {"options": {**_CHAIN, "test": "full"}},
}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        tau: models in a chain; 1 is ordinary Monte Carlo.
        sigma: σ, the stiffness of the chain and the length of a move, where it starts.
        s: the bias towards low loss, of each model, at which samples are kept.
        s_start: the bias at the start; it rises geometrically to `s` over the burn-in. Without it, s is constant.
        burn_in: the share of the sweeps in which s rises and σ is steered; what follows samples at fixed s and σ.
        steer: whether σ is moved, while burning in, to where a forward sample is worth most to this kind of test.
        moves: proposals for a chain, its budget; without it, `steps` sweeps of tau proposals.
        block: b0, the examples of each of the two pilots, and the least of a mini-batch.
        test: `minibatch`, or `full` for the exact test over all examples, which keeps the loss of each model.
        fraction: f, the share of coordinates that a proposal moves.
        beta: of the proposal; 1 is the paper's.
        start: `copies` of one network in a chain, or the paper's random `walk` away from it.
        layer_scale: step sizes of layers, as in `{output: 4}`; other layers have 1.
        centre: take each input's mean over the training set away while sampling; for networks of linear layers.
        warm_start: gradient steps before the first move, over which the shared schedule spans.
    """

    tau: int = Field(default=32, ge=1)
    sigma: Positive = 0.05
    s: float = Field(default=50.0, ge=0, allow_inf_nan=False)
    s_start: Positive | None = None
    burn_in: float = Field(default=0.85, ge=0, lt=1)
    steer: bool = False
    moves: int | None = Field(default=None, ge=1)
    block: int = Field(default=128, ge=2)
    test: Literal["minibatch", "full"] = "minibatch"
    fraction: float = Field(default=1.0, gt=0, le=1)
    beta: float = Field(default=1.0, gt=0, le=1)
    start: Literal["copies", "walk"] = "copies"
    layer_scale: dict[str, Positive] = Field(default_factory=dict)
    centre: bool = False
    warm_start: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _annealing_ends_above_zero(self) -> Options:
        if self.s_start is not None and not self.s:
            raise ValueError("s is 0, to which nothing rises geometrically; leave s_start out, or let s be above 0")
        return self


def budget(train: Train, options: Options) -> Train:
    """The loop's budget by the arm's own one: enough sweeps for its moves."""
    return train if options.moves is None else train.model_copy(update={"steps": -(-options.moves // options.tau)})


def check(run: Run, options: Options, images: Images, examples: int) -> None:
    """Refuse, with an `AssayError`, models, precisions, tests, burn-ins and warm starts that sampling can't do."""
    where = f"{PARAMS_FILE}: arms.{run.arm}"
    if run.train.precision != "float32":
        raise AssayError(f"{where}.precision: got {run.train.precision!r}; the test compares losses: set it to float32")
    network = models.blueprint(run.model.name, images, run.model.arguments)
    if any(True for _ in network.buffers()):
        raise AssayError(f"{where}.model: {run.model.name} has batch norm, which sampling can't move; choose another")
    if options.centre and split_prefix(network) is None:
        raise AssayError(f"{where}.centre: {run.model.name} is no chain of linear layers and ReLUs; leave centre out")
    layers = models.layers(network)
    for layer in options.layer_scale:
        if layer not in layers:
            key = f"{where}.layer_scale.{layer}"
            raise AssayError(f"{key}: the model has no such layer; {suggestion(layer, layers)}")
    if options.test == "minibatch" and not fits(options.block, examples):
        raise AssayError(
            f"{where}.block: two pilots and a batch of {options.block} are more than the {examples} training examples, "
            "so that no test would be on a mini-batch; set it lower, or `test: full`"
        )
    sweeps = run.train.steps
    asked = [key for key in ("s_start", "steer") if getattr(options, key)]
    if asked and not int(options.burn_in * sweeps):
        raise AssayError(
            f"{where}.{asked[0]}: has no effect, since {options.burn_in} (burn_in) of {sweeps} sweeps is none; raise "
            f"burn_in, or the number of {'moves' if options.moves else 'steps'}"
        )
    if options.warm_start:
        check_warm_up(run.train.schedule, options.warm_start, f"{where}.warm_start: the warm start")


def variants(options: Options) -> dict[str, int]:
    """The chain as an ensemble and as a vote, and its last model."""
    return {"ensemble": options.tau, "vote": options.tau, "last": 1}


def record_keys(run: Run, options: Options) -> tuple[str, ...]:
    """The costs and diagnostics of `TrajectoryUpdate.record` that are a number, or one for each seed."""
    sweeps = run.train.steps
    has_halves = sweeps - int(options.burn_in * sweeps) > 1
    return tuple(key for key in KEYS if has_halves or key != "loss_drift")


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
        dense, data = split_prefix(self.network), context.data
        self._networks: DenseNetworks | StackedNetworks = (
            DenseNetworks(*dense, data, centred=options.centre) if dense else StackedNetworks(self.network, data)
        )
        self._coordinates = Coordinates(parameters, options.layer_scale, self._networks.centring)
        if options.warm_start:
            train = context.run.train.model_copy(update={"steps": options.warm_start})
            own = replace(context, run=context.run.model_copy(update={"train": train}))
            warm = GradientUpdate(own, own.batches())
            for step in range(options.warm_start):
                warm.step(step)
            parameters = warm.stored
            self.counters.restore(warm.counters.state())
        start = self._coordinates.flat(parameters)
        self.theta: Float[Tensor, "chain tau d"] = start[:, None].repeat(1, tau, 1)
        if options.start == "walk":  # θ_{t+1} = θ_t + σ ξ, as in the authors' code
            shape = (tau - 1, start.shape[1])
            steps = [torch.randn(shape, generator=generator(seed, "trajectory start")) for seed in seeds]
            self.theta[:, 1:] += options.sigma * torch.stack(steps).cumsum(1).to(start)
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
        late = int(2 * (step - burn_in) >= self._sweeps - burn_in)
        self.diagnostics.add(sweep, late if step >= burn_in else None)
        if step < burn_in:
            self.steering.observe(step, sweep)
        done = step + 1
        if done % -(-self._sweeps // WINDOWS) == 0 or done == self._sweeps:
            spent = self.counters.of("forward_samples").tolist()
            self.diagnostics.close_window(done * tau, spent, self.steering.sigma, s)
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
            "neighbour_distance": [short(chain) for chain in distances],
            "reference_distance": short(parameters**0.5 * self.steering.sigma),
        }


update = TrajectoryUpdate

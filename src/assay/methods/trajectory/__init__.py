"""Ensembles by trajectory sampling: a chain of models, moved by Monte Carlo with a mini-batch acceptance test.

Mair, Causer and Garrahan, "Minibatch training of neural network ensembles via trajectory sampling" (arXiv 2306.13442);
predecessor: Mair, Rose and Garrahan (arXiv 2209.11116). A trajectory is a chain of tau models with the density

    P(θ) ∝ exp(- Σ ‖θ_{t+1} - θ_t‖² / 2σ² - s Σ L(θ_t)),

L the mean cross-entropy over the training set, without augmentation. No gradient is taken. A step of the loop is a
sweep, one proposal for each model of each chain; each seed is a chain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from assay import models
from assay.core.config import PARAMS_FILE, Section
from assay.core.config.parsing import suggestion
from assay.core.errors import AssayError
from assay.engine.optim import check_warm_up
from assay.engine.stack.layers import split_prefix
from assay.methods.trajectory.acceptance import fits
from assay.methods.trajectory.chain import TrajectoryUpdate

if TYPE_CHECKING:
    from assay.core.config import Run, Train
    from assay.data.sets.images import Images
    from assay.engine.context import TrainContext

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]

PAPER = {
    "key": "mair2023",
    "topic": "Ensembles by trajectory sampling",
    "cited": "Mair, Causer, Garrahan 2023, arXiv 2306.13442",
}
TAKES_GRADIENTS = False
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
    """Refuse what sampling can't do with this model and budget.

    Raises:
        AssayError: the model does not fit, losses would be rounded, or test, burn-in or warm start could not do what
            is asked of them.
    """
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


def update(context: TrainContext, options: Options) -> TrajectoryUpdate:
    """Monte Carlo moves of a chain for each seed."""
    return TrajectoryUpdate(context, options)

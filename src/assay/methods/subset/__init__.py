"""Subset pretraining: train on 1/k of the training set, then briefly on everything.

Spoerer, Bermeitinger, Hrycej, Limacher and Handschuh, "Efficient Neural Network Training via Subset Pretraining"
(arXiv 2410.16523, KDIR 2024). The minimum of the training loss is well approximated by that over a subset, if the
subset still over-determines the parameters: if Q = K · M / P is well above 1, with K examples in use, M outputs and P
trainable parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field

from assay import models
from assay.core.config import PARAMS_FILE, Section
from assay.core.errors import AssayError
from assay.core.runtime import generator
from assay.engine.batches import Batches, EpochBatches
from assay.engine.optim import check_warm_up
from assay.engine.stack import draws_random_numbers, predict
from assay.engine.stack.loss import cross_entropy
from assay.engine.step_rule import KINDS, BatchStats, StepRule, StepWrapper
from assay.methods.subset.lbfgs import LbfgsPhase

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int64
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.batches import Score
    from assay.engine.context import TrainContext

PRETRAINING, FINE_TUNING, FROM_SCRATCH = "pretraining", "fine-tuning", "from scratch"
TERMS = ("k", "K", "M", "P", "Q")

PAPER = {"key": "spoerer2024", "topic": "Subset pretraining", "cited": "Spoerer et al. 2024, arXiv 2410.16523"}
CONTRACT_ARMS = {  # phases meet at step 6
    "subset": {"options": {"k": 3, "pretrain": 0.5}},
    "subset from scratch": {"options": {"k": 1}},
    "subset with lbfgs": {"options": {"k": 3, "pretrain": 0.5, "pretrain_with": "lbfgs"}},
}


class Options(Section):
    """What an arm of this method may set beside the shared budget.

    Attributes:
        k: the subset is 1/k of the training set; 1 is the control from scratch: the baseline, measured as its rival is.
        pretrain: the share of the arm's `steps` that goes to the subset, in (0, 1); only for k above 1.
        pretrain_with: the `optimizer` of `train`, or (an extension) full-batch `lbfgs`, one iteration a step.
    """

    k: int = Field(ge=1)
    pretrain: float | None = Field(default=None, gt=0, le=1)
    pretrain_with: Literal["optimizer", "lbfgs"] = "optimizer"

    def pretraining_steps(self, steps: int) -> int:
        """How many of an arm's steps go to the subset."""
        return round((self.pretrain or 0) * steps)


def check(run: Run, options: Options, images: Images, examples: int) -> None:
    """Refuse a subset smaller than a batch, a phase without a step or in which the schedule only warms up, and a
    pretraining of an epoch or less.

    Raises:
        AssayError: the line names the key.
    """
    where, steps, size = f"{PARAMS_FILE}: arms.{run.arm}", run.train.steps, examples // options.k
    if size < run.train.batch_size:
        raise AssayError(
            f"{where}.k: 1/{options.k} of {examples} training examples is {size}, less than one batch of "
            f"{run.train.batch_size}; lower k or batch_size"
        )
    if options.k == 1:
        if options.pretrain is not None or options.pretrain_with != "optimizer":
            key = "pretrain" if options.pretrain is not None else "pretrain_with"
            raise AssayError(f"{where}.{key}: k: 1 trains on everything from the start; remove {key} or raise k")
        return
    if options.pretrain is None:
        raise AssayError(f"{where}.pretrain: missing, and required where k is above 1: the share of steps in (0, 1)")
    pretraining = options.pretraining_steps(steps)
    if not 0 < pretraining < steps:
        starved, remedy = (PRETRAINING, "raise") if pretraining == 0 else (FINE_TUNING, "lower")
        raise AssayError(
            f"{where}.pretrain: {options.pretrain} of {steps} steps leaves no step for {starved}; {remedy} it"
        )
    by_gradient = {FINE_TUNING: steps - pretraining}
    if options.pretrain_with == "optimizer":
        by_gradient[PRETRAINING] = pretraining
    for phase, length in by_gradient.items():
        check_warm_up(run.train.schedule, length, f"{where}.pretrain: {phase}")
    epoch = size // run.train.batch_size
    if options.pretrain_with == "optimizer" and pretraining <= epoch:
        raise AssayError(
            f"{where}.pretrain: {options.pretrain} of {steps} steps is {pretraining}, over before an example of the "
            f"subset comes a second time, as in training on everything; {epoch + 1} steps or more are needed: raise "
            "pretrain, steps or k"
        )
    if options.pretrain_with == "lbfgs":
        network = models.blueprint(run.model.name, images, run.model.arguments)
        if draws_random_numbers(network) or any(True for _ in network.buffers()):
            raise AssayError(
                f"{where}.pretrain_with: lbfgs needs an exact gradient, and {run.model.name} has batch norm or "
                "dropout; choose another model or pretrain_with: optimizer"
            )


def record_keys(run: Run, options: Options) -> tuple[str, ...]:  # noqa: ARG001
    """The terms of Q, each a number; the phases are a list."""
    return tuple(f"subset.{term}" for term in TERMS)


def update(context: TrainContext, options: Options) -> StepRule:
    """Gradient training in phases, whose networks are measured after each."""
    run = context.run
    first = options.pretraining_steps(run.train.steps)
    batches = SubsetBatches(context.labels, run.seeds, run.train.batch_size, options.k, first)
    inner = context.gradient_update(batches)
    moved = LbfgsPhase(inner, batches.subset, first) if options.pretrain_with == "lbfgs" else inner
    return MeasuredPhases(moved, batches, context, options.k)


def split(examples: int, k: int, seed: int) -> tuple[Int64[Tensor, " part"], ...]:
    """A seeded permutation of all N positions, cut into k disjoint subsets; the last of them has ⌊N/k⌋."""
    return torch.randperm(examples, generator=generator(seed, "subset")).tensor_split(k)


def overdetermination(examples: int, outputs: int, parameters: int) -> float:
    """Q = K · M / P: equations for each unknown."""
    return examples * outputs / parameters


class SubsetBatches(Batches):
    """Epochs over a subset for some steps, then epochs over everything, with an optimizer that starts afresh.

    Each phase has a schedule of its own, as long as the phase: pretraining then ends at the minimum over the subset,
    as the method wants it, and the rate of fine-tuning does not depend on k.

    Attributes:
        subset: each copy's positions: the last of k parts, ⌊N/k⌋ examples.
        pretraining: how many steps go to it.
    """

    def __init__(self, labels: Tensor, seeds: Sequence[int], batch_size: int, k: int, pretraining: int) -> None:
        super().__init__(labels, seeds, batch_size)
        self.pretraining = pretraining
        self.phase_starts = frozenset({pretraining} if pretraining else ())
        own = [split(self.examples, k, seed)[-1] for seed in self.seeds]
        self.subset: Int64[Tensor, "copy subset"] = torch.stack(own).to(self.device)
        self._on_subset = EpochBatches(self.labels(self.subset), seeds, batch_size)
        self._on_everything = EpochBatches(labels, seeds, batch_size)

    def schedule_step(self, step: int, steps: int) -> tuple[int, int]:
        """Counted within the phase that the step is in."""
        first = self.pretraining
        return (step, first) if step < first else (step - first, steps - first)

    def select(self, step: int, score: Score) -> Int64[Tensor, "copy batch"]:
        """A batch of the phase that the step is in; each phase begins with a new epoch."""
        if step < self.pretraining:
            return self.subset.gather(1, self._on_subset.select(step, score))
        return self._on_everything.select(step - self.pretraining, score)


class MeasuredPhases(StepWrapper):
    """Measures the networks of each copy at the end of a phase; as with validation, the measuring is not billed.

    Args:
        inner: the update that does everything else.
        batches: of the update, for each copy's subset and labels.
        context: the training, for its data; the validation set may be empty.
        k: the subset is 1/k of the training set.
    """

    def __init__(self, inner: StepRule, batches: SubsetBatches, context: TrainContext, k: int) -> None:
        super().__init__(inner)
        self._data, self._subset, steps = context.data, batches.subset, context.run.train.steps
        self._ends = {steps: FROM_SCRATCH} if k == 1 else {batches.pretraining: PRETRAINING, steps: FINE_TUNING}
        everything = torch.arange(batches.examples, device=context.device)
        self._labels = batches.labels(everything.expand(len(batches.seeds), -1))
        of_q = (self._subset.shape[1], self._data.images.classes, models.parameter_count(inner.network))
        self._terms = dict(zip(TERMS, (k, *of_q, round(overdetermination(*of_q), 6)), strict=True))
        self._phases: list[dict[str, Any]] = []

    def step(self, step: int) -> BatchStats:
        """The inner update's step; then, at the end of a phase, a look at where it led."""
        seen = super().step(step)
        if step + 1 in self._ends:
            cost = self.counters.cost().model_dump()
            spent = {kind: cost[kind] - sum(phase[kind] for phase in self._phases) for kind in KINDS}
            self._phases.append({"phase": self._ends[step + 1], **spent, **self._measure()})
        return seen

    def _measure(self) -> dict[str, dict[str, list[float]]]:
        """Mean loss and accuracy of each copy on the subset, the training set and the validation set."""
        held_out, weights = self._data.validation, self.inner.evaluated()
        of_set = {"train": (self._data.train.images, self._labels)}
        if len(held_out.labels):
            of_set["validation"] = held_out.images, held_out.labels.expand(len(self._labels), -1)
        found = {}
        for name, (images, labels) in of_set.items():
            logits = predict(self.network, weights, images, self._data.mean, self._data.std)
            found[name] = cross_entropy(logits, labels), logits.argmax(-1) == labels
        losses, correct = found["train"]
        found = {"subset": (losses.gather(1, self._subset), correct.gather(1, self._subset)), **found}
        return {
            name: {
                key: [round(mean, 6) for mean in values.double().mean(1).tolist()]
                for key, values in zip(("loss", "accuracy"), pair, strict=True)
            }
            for name, pair in found.items()
        }

    def record(self) -> dict[str, Any]:
        """The inner update's, the terms of Q, and the phases."""
        return {**super().record(), "subset": self._terms, "phases": self._phases}

    def state(self) -> dict[str, Any]:
        """The inner update's, and the phases that are done."""
        return {**super().state(), "phases": self._phases}

    def restore(self, state: dict[str, Any]) -> None:
        """Set the inner update's state, and the phases that are done."""
        super().restore(state)
        self._phases = list(state["phases"])

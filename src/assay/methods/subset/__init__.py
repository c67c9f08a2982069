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
from assay.engine.stack import BatchStats, Stack, predict
from assay.engine.stack.loss import cross_entropy
from assay.engine.step_rule import KINDS, GradientUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Int64
    from torch import Tensor

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.engine.batches import Score
    from assay.engine.context import TrainContext

PRETRAINING, FINE_TUNING, FROM_SCRATCH = "pretraining", "fine-tuning", "from scratch"
ROWS = 1024  # examples in one pass of L-BFGS, so that memory does not grow with the subset
RUNS = 26  # of the subset in an iteration: the first, and the 25 that the line search may take
TERMS = ("k", "K", "M", "P", "Q")  # numbers of the record; the phases are a list

PAPER = {"key": "spoerer2024", "topic": "Subset pretraining", "cited": "Spoerer et al. 2024, arXiv 2410.16523"}
CONTRACT_ARMS = {  # phases meet at step 6
    "subset": {"options": {"k": 3, "pretrain": 0.5}},
    "subset from scratch": {"options": {"k": 1}},
    "subset with lbfgs": {"options": {"k": 3, "pretrain": 0.5, "pretrain_with": "lbfgs"}},
}
record_keys = tuple(f"subset.{term}" for term in TERMS)


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
    """Refuse, with an `AssayError`, a subset below a batch, a phase that only warms up, pretraining within an epoch."""
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
    check_warm_up(run.train.schedule, steps - pretraining, f"{where}.pretrain: {FINE_TUNING}")
    if options.pretrain_with == "lbfgs":
        network = models.blueprint(run.model.name, images, run.model.arguments)
        if models.draws_random_numbers(network) or any(True for _ in network.buffers()):
            raise AssayError(
                f"{where}.pretrain_with: lbfgs needs an exact gradient, and {run.model.name} has batch norm or "
                "dropout; choose another model or pretrain_with: optimizer"
            )
        return
    check_warm_up(run.train.schedule, pretraining, f"{where}.pretrain: {PRETRAINING}")
    epoch = size // run.train.batch_size
    if pretraining <= epoch:
        raise AssayError(
            f"{where}.pretrain: {options.pretrain} of {steps} steps is {pretraining}, over before an example of the "
            f"subset comes a second time, as in training on everything; {epoch + 1} steps or more are needed: raise "
            "pretrain, steps or k"
        )


def takes_rates(options: Options) -> bool:
    """L-BFGS moves all weights by one step of its own."""
    return options.pretrain_with == "optimizer"


def split(examples: int, k: int, seed: int) -> tuple[Int64[Tensor, " part"], ...]:
    """A seeded permutation of all N positions, cut into k disjoint subsets; the last of them has ⌊N/k⌋."""
    return torch.randperm(examples, generator=generator(seed, "subset")).tensor_split(k)


class SubsetBatches(Batches):
    """Epochs over a subset for some steps, then epochs over everything, with an optimizer that starts afresh.

    Each phase has a schedule as long as itself: pretraining ends at the minimum over the subset, and the rate of
    fine-tuning does not depend on k. A copy's subset is the last of k parts, ⌊N/k⌋ examples.
    """

    def __init__(self, labels: Tensor, seeds: Sequence[int], batch_size: int, k: int, pretraining: int) -> None:
        super().__init__(labels, seeds, batch_size)
        self.pretraining = pretraining
        own = [split(self.examples, k, seed)[-1] for seed in self.seeds]
        self.subset: Int64[Tensor, "copy subset"] = torch.stack(own).to(self.device)
        self._on_subset = EpochBatches(self.labels(self.subset), seeds, batch_size, positions=self.subset)
        self._on_everything = EpochBatches(labels, seeds, batch_size)

    def phase(self, step: int, steps: int) -> tuple[int, int]:
        """Pretraining, or fine-tuning."""
        first = self.pretraining
        return (0, first) if step < first else (first, steps - first)

    def select(self, step: int, score: Score) -> Int64[Tensor, "copy batch"]:  # noqa: ARG002
        """A batch of the phase that the step is in; each phase begins with a new epoch."""
        return self.ahead(step)[0]

    def ahead(self, step: int) -> tuple[Int64[Tensor, "copy batch"], Int64[Tensor, "copy batch"]]:
        """Known of every step."""
        if step < self.pretraining:
            return self._on_subset.ahead(step)
        return self._on_everything.ahead(step - self.pretraining)


class SubsetUpdate(GradientUpdate):
    """Gradient training in phases, the first by L-BFGS if asked for; networks are measured after each, unbilled.

    L-BFGS is an extension that the paper motivates: Liu and Nocedal, "On the Limited Memory BFGS Method for Large Scale
    Optimization" (1989), in PyTorch's implementation with a strong Wolfe line search, an iteration a step, on the exact
    gradient of a copy's whole subset; every run of the subset is billed. Each copy has its own optimizer, since an
    inner product over a whole stack would tie the copies together.
    """

    kept: tuple[str, ...] = (*GradientUpdate.kept, "_phases")

    def __init__(self, context: TrainContext, options: Options) -> None:
        run, data, steps = context.run, context.data, context.run.train.steps
        first = options.pretraining_steps(steps)
        batches = SubsetBatches(context.labels, run.seeds, run.train.batch_size, options.k, first)
        super().__init__(context, batches)
        self._data, self._subset, self._first = data, batches.subset, first
        # views, so that the optimizers write into the stack itself
        views = [[each[copy] for each in self.stored.values()] for copy in range(len(run.seeds))]
        self.lbfgs = [
            torch.optim.LBFGS(own, max_iter=1, max_eval=RUNS, line_search_fn="strong_wolfe")
            for own in (views if options.pretrain_with == "lbfgs" else ())
        ]
        self._alone = Stack(self.network, 1, context.device, run.train.precision)
        self._ends = {steps: FROM_SCRATCH} if options.k == 1 else {first: PRETRAINING, steps: FINE_TUNING}
        everything = torch.arange(batches.examples, device=context.device)
        self._labels = batches.labels(everything.expand(len(run.seeds), -1))
        size, outputs, parameters = self._subset.shape[1], data.images.classes, models.parameter_count(self.network)
        terms = (options.k, size, outputs, parameters, round(size * outputs / parameters, 6))
        self._terms = dict(zip(TERMS, terms, strict=True))
        self._phases: list[dict[str, Any]] = []

    def step(self, step: int) -> BatchStats:
        """An iteration of L-BFGS or a gradient step; then, at the end of a phase, a look at where it led."""
        if self.lbfgs and step < self._first:
            seen = self._iterate()
        else:
            self.lbfgs = []  # what they remember is of no more use, and large in a checkpoint
            seen = super().step(step)
        if step + 1 in self._ends:
            cost = self.counters.cost().model_dump()
            spent = {kind: cost[kind] - sum(phase[kind] for phase in self._phases) for kind in KINDS}
            self._phases.append({"phase": self._ends[step + 1], **spent, **self._measure()})
        return seen

    def _iterate(self) -> BatchStats:
        seen, counts = [], []
        for copy, optimizer in enumerate(self.lbfgs):
            runs: list[BatchStats] = []

            def closure(copy: int = copy, runs: list[BatchStats] = runs) -> float:
                runs.append(self._run_subset(copy))
                return runs[-1].losses.double().mean().item()

            optimizer.step(closure)
            seen.append(runs[0])
            counts.append(len(runs))
        self.counters.add("train_samples", self._subset.shape[1] * torch.tensor(counts, device=self._subset.device))
        self.counters.add("optimizer_steps", 1)
        return BatchStats(torch.cat([each.losses for each in seen]), torch.cat([each.correct for each in seen]))

    def _run_subset(self, copy: int) -> BatchStats:
        """Run a copy's whole subset and leave the exact gradient with its weights."""
        weights = dict(zip(self.stored, self.lbfgs[copy].param_groups[0]["params"], strict=True))
        stacked, subset = {name: tensor[None] for name, tensor in weights.items()}, self._subset[copy : copy + 1]
        sums, parts = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}, []
        for part in subset.split(ROWS, 1):
            labels = self._labels[copy : copy + 1].gather(1, part)
            parts.append(self._alone.gradients(stacked, {}, self.loader.batch(part, None), labels))
            for name, tensor in sums.items():
                tensor.add_(parts[-1].by_name.pop(name)[0], alpha=part.shape[1] / subset.shape[1])
        for name, tensor in weights.items():
            tensor.grad = sums[name]
        return BatchStats(torch.cat([part.losses for part in parts], 1), torch.cat([part.correct for part in parts], 1))

    def state(self) -> dict[str, Any]:
        """What is kept, and the curvature that each copy has gathered."""
        return {**super().state(), "lbfgs": [optimizer.state_dict() for optimizer in self.lbfgs]}

    def restore(self, state: dict[str, Any]) -> None:
        """Set what is kept, and the curvature of each copy; after the last step of L-BFGS there is none."""
        super().restore(state)
        self.lbfgs = self.lbfgs[: len(state["lbfgs"])]
        for optimizer, own in zip(self.lbfgs, state["lbfgs"], strict=True):
            optimizer.load_state_dict(own)

    def _measure(self) -> dict[str, dict[str, list[float]]]:
        data, precision, found = self._data, self.train.precision, {}
        for name, split in (("train", data.train), ("validation", data.validation)):
            labels = self._labels if name == "train" else split.labels.expand(len(self._labels), -1)
            if labels.numel():
                logits = predict(self.network, self.evaluated(), split.images, data.mean, data.std, precision)
                own = torch.stack([cross_entropy(logits, labels).double(), (logits.argmax(-1) == labels).double()])
                of_subset = {"subset": own.gather(2, self._subset.expand(2, -1, -1))} if name == "train" else {}
                for part, values in {**of_subset, name: own}.items():
                    losses, accuracies = ([round(mean, 6) for mean in row] for row in values.mean(2).tolist())
                    found[part] = {"loss": losses, "accuracy": accuracies}
        return found

    def record(self) -> dict[str, Any]:
        """The terms of Q, and the phases."""
        return {**super().record(), "subset": self._terms, "phases": self._phases}


update = SubsetUpdate

"""Methods: one folder each, with all the code that no other method uses.

A method is a package in this folder. Its `__init__.py` holds:

- `Options`: a pydantic section, the keys that its arms may set;
- `update(context, options)`: the state of a training and the rule that moves it;
- `CONTRACT_ARMS`: small arms, by name, that the contract suite trains (`tests/contract`);
- `PAPER` (optional): the paper whose claims it tests, a literal that `assay.report.content` reads;
- `check(run, options, images, examples)` (optional): refuses, in one line that names the key, options that do not fit
  the budget, the model or the data, or that leave the method nothing to do, such as choosing among one batch;
- `budget(train, options)` (optional): the arm's own budget in place of the shared one;
- `variants(options)` (optional): the number of members of each variant, in order, unless `{"last": 1}` is all;
- `record_keys(run, options)` (optional): keys of its record, deeper ones as `a.b`, that claims may name: each holds a
  number or one for each seed;
- `TAKES_GRADIENTS = False` (optional): it has no learning rate to tune.

A method is imported by name when an arm asks for it, so a stage depends on the folder of its own method alone.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assay import models
from assay.core.config import ARM_KEYS, LOTTERY, PARAMS_FILE
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.engine.checkpoint import UnusableCheckpointError
from assay.engine.context import TrainContext
from assay.engine.loop import train as run_loop
from assay.methods import _tuning

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.data.sets.prepared import Prepared
    from assay.engine.checkpoint import Scratch
    from assay.engine.loop import Trained
    from assay.engine.step_rule import StepRule
    from assay.models.artifact import Artifact

DEFAULTS: dict[str, Any] = {  # of what is optional in a method
    "check": lambda *_: None,
    "budget": lambda train, _: train,
    "variants": lambda _: {"last": 1},
    "record_keys": lambda *_: (),
    "TAKES_GRADIENTS": True,
}


@dataclass(frozen=True)
class Training:
    """The training of an arm, a pruning round or the baseline, with its method's options parsed once.

    Attributes:
        run: the parameters, with the budget that the method makes of its options.
        method: the method's package; this module's docstring says what it holds.
        options: of type `method.Options`.
    """

    run: Run
    method: ModuleType
    options: Any

    def hook(self, name: str) -> Any:
        """An optional part of the method, or what stands for it."""
        return getattr(self.method, name, DEFAULTS[name])

    @property
    def variants(self) -> dict[str, int]:
        """The number of members of each variant; the bare arm stands for the first."""
        return dict(self.hook("variants")(self.options))

    @property
    def is_tuned(self) -> bool:
        """Whether it has a grid of learning rates; one that takes no gradient step has no rate to choose."""
        return self.run.train.tune is not None and self.hook("TAKES_GRADIENTS")

    @property
    def record(self) -> tuple[str, ...]:
        """The keys of its record, deeper ones as `a.b`, that hold a number, or one for each seed."""
        keys: tuple[str, ...] = self.hook("record_keys")(self.run, self.options)
        if self.is_tuned and self.run.method != LOTTERY:
            keys = (*keys, "tuning.lr", *(f"tuning.samples.{name}" for name in self.variants))
        return keys

    @property
    def evaluations(self) -> int:
        """How often it looks at the validation set: every `evaluate_every` steps and at the end."""
        train = self.run.train
        begin = self.options.rewind if self.run.method == LOTTERY else 0
        whole = train.steps // train.evaluate_every - begin // train.evaluate_every
        return whole + (train.steps % train.evaluate_every > 0)

    @property
    def samples(self) -> int:
        """How many times it shows an example to a network, at most: an estimate of its work, for all seeds.

        Every step shows a batch to each network that it moves: the members, of a round its variants. Of a grid, all
        rates are trained.
        """
        train, variants = self.run.train, self.variants
        networks = len(variants) if self.run.method == LOTTERY else max(variants.values())
        rates = len(train.tune.lr) if train.tune and self.is_tuned else 1
        return train.steps * train.batch_size * networks * len(self.run.seeds) * rates

    def check_model(self, images: Images) -> None:
        """Check that the model exists, takes its arguments and fits the images; errors as of `check`."""
        run = self.run
        models.check(run.model.name, images, run.model.arguments, run.place("model"))

    def check(self, images: Images, examples: int) -> None:
        """Check the batches and the options against the number of training examples.

        Raises:
            AssayError: something does not fit; the line names the key.
        """
        run = self.run
        if run.train.batch_size > examples:
            key = run.place("batch_size")
            raise AssayError(f"{key}: {run.train.batch_size} is more than the {examples} examples to train on")
        if run.label_noise and not int(run.label_noise * examples):
            key = f"{PARAMS_FILE}: arms.{run.arm}.label_noise"
            raise AssayError(f"{key}: {run.label_noise} of {examples} training examples is none; set it to 0 or higher")
        self.hook("check")(run, self.options, images, examples)

    def train(
        self,
        data: Prepared,
        scratch: Scratch,
        parents: Mapping[str, Artifact] | None = None,
        eval_splits: tuple[Literal["validation", "test"], ...] = ("validation",),
    ) -> tuple[Artifact, Trained]:
        """Train to the end: all seeds as one stack.

        Args:
            data: training and validation split, on the device.
            scratch: for checkpoints and live curves.
            parents: the trained networks that a pruning round starts from, by arm.
            eval_splits: the splits whose loss and accuracy the curves show.

        Raises:
            AssayError: an option is wrong, a parent does not belong to the run, or the training diverged.
        """
        self.check_model(data.images)  # of a folder, only its bytes tell the classes and examples
        self.check(data.images, len(data.train.labels))
        context = TrainContext(self.run, data, parents or {}, eval_splits)
        tuning = _tuning.chosen_before(self.run, context.parents) if self.is_tuned else None
        if tuning is not None:
            own, trained = self._train(context, scratch, tuning["lr"])
            return (own if self.run.method == LOTTERY else _tuning.billed(own, tuning)), trained
        if self.is_tuned and self.run.train.tune:
            return _tuning.search(self.run.train.tune.lr, lambda lr: self._train(context, scratch.part(f"lr-{lr}"), lr))
        return self._train(context, scratch)

    def _train(self, context: TrainContext, scratch: Scratch, lr: float | None = None) -> tuple[Artifact, Trained]:
        """Train once, at another learning rate if one is given; from the scratch's checkpoint where it holds one."""
        own = context if lr is None else replace(context, run=_tuning.with_lr(context.run, lr))
        while True:
            update = self.method.update(own, self.options)
            title = own.run.name if lr is None else f"{own.run.name}, lr {lr}"
            try:
                trained = run_loop(update, own, scratch, title)
            except UnusableCheckpointError:  # the checkpoint is dropped: once more, without it
                continue
            return context.artifact(update, trained.curves), trained


def names() -> list[str]:
    """The methods there are."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("[!_]*/__init__.py"))


def resolve(run: Run) -> Training:
    """A run with its method, typed options and the method's own budget.

    Raises:
        AssayError: the method, a key or a value is wrong; the line names the key.
    """
    where = f"arms.{run.arm}."
    if run.method not in names():
        unknown = f"unknown method {run.method!r}; {suggestion(run.method, names())}"
        raise AssayError(f"{PARAMS_FILE}: {where}method: {unknown}")
    method = importlib.import_module(f"{__name__}.{run.method}")
    options = parse(method.Options, run.options, str(PARAMS_FILE), where, also_allowed=ARM_KEYS)
    training = Training(run, method, options)
    train = training.hook("budget")(run.train, options)
    return replace(training, run=run.model_copy(update={"train": train}))


def train(run: Run, *args: Any) -> tuple[Artifact, Trained]:
    """Train a run to the end; arguments as of `Training.train`."""
    return resolve(run).train(*args)


def make_update(context: TrainContext) -> StepRule:
    """The state of a training at its start, and the rule that moves it, by the context's method."""
    training = resolve(context.run)
    update: StepRule = training.method.update(context, training.options)
    return update

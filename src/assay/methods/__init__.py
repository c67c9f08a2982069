"""Methods: one folder each, with all the code that no other method uses.

A method is a package in this folder. Its `__init__.py` holds what follows:

- `Options`: a pydantic section, the keys that its arms may set;
- `update(context, options)`: the state of a training and the rule that moves it;
- `CONTRACT_ARMS`: small arms, by name, that the contract suite trains (`tests/contract`);
- `PAPER` (optional): the paper whose claims it tests, a literal that is read without importing the method;
- `check(run, options, images, examples)` (optional): refuses, in one line that names the key, options that do not fit
  the budget, the model or the data, or that leave the method nothing to do, such as choosing among one batch;
- `budget(train, options)` (optional): the arm's own budget in place of the shared one;
- `variants` (optional): the number of members of each variant, in order; or a function of the options that gives it;
- `record_keys` (optional): keys of its record, deeper ones as `a.b`, that claims may name, each of a number or one for
  each seed; or a function of the run and the options that gives them;
- `moved_networks(options)` (optional): how many networks a step moves for each seed, if not as many as its largest
  variant has members;
- `first_step(options)` (optional): the step at which its loop begins, if not the first;
- `TAKES_GRADIENTS = False` (optional): it has no learning rate to tune;
- `takes_rates` (optional): false, or a function of the options that says so, where weights move by more than the
  optimizer, so that `train.backbone_lr` would not be what it says.

A method is imported by name when an arm asks for it, so a stage depends on the folder of its own method alone.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING, Any

from assay import models
from assay.core.config import ARM_KEYS, BASELINE, PARAMS_FILE
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.engine import loop
from assay.engine.checkpoint import UnusableCheckpointError
from assay.engine.context import TrainContext
from assay.engine.loop import DivergedError, Trained
from assay.engine.optim import check_warm_up
from assay.models import fitting, nets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.core.config import Run
    from assay.data.sets.images import Images
    from assay.data.sets.prepared import Prepared
    from assay.engine.checkpoint import Scratch
    from assay.engine.step_rule import StepRule
    from assay.models.artifact import Artifact

FILE, SEE = "src/assay/methods/{}/__init__.py", "see docs/adding-a-method.md"  # for messages
DEFAULTS: dict[str, Any] = {  # of what is optional in a method
    "check": lambda *_: None,
    "budget": lambda train, _: train,
    "variants": {"last": 1},
    "record_keys": (),
    "moved_networks": None,
    "first_step": 0,
    "TAKES_GRADIENTS": True,
    "takes_rates": True,
}


@dataclass(frozen=True)
class Training:
    """The training of an arm, a pruning round or the baseline, with its method's options parsed once.

    The run has the budget that the method makes of its options; the options are of type `method.Options`.
    """

    run: Run
    method: ModuleType
    options: Any

    def hook(self, name: str, *args: Any) -> Any:
        """An optional part of the method, or what stands for it; called with the arguments if it is a function."""
        found = getattr(self.method, name, DEFAULTS[name])
        if isinstance(found, ModuleType):  # a file of its folder, which is no part whatever its name
            found = DEFAULTS[name]
        return found(*args) if callable(found) else found

    @property
    def variants(self) -> dict[str, int]:
        """The number of members of each variant; the bare arm stands for the first."""
        return dict(self.hook("variants", self.options))

    @property
    def is_tuned(self) -> bool:
        """Whether it has a grid of learning rates; one that takes no gradient step has no rate to choose."""
        return self.run.train.tune is not None and self.hook("TAKES_GRADIENTS")

    @property
    def record(self) -> tuple[str, ...]:
        """The keys of its record, deeper ones as `a.b`, that hold a number, or one for each seed."""
        keys: tuple[str, ...] = self.hook("record_keys", self.run, self.options)
        if self.is_tuned and not self.run.parents:  # who starts from others has their rate
            keys = (*keys, "tuning.lr", *(f"tuning.samples.{name}" for name in self.variants))
        return keys

    @property
    def evaluations(self) -> int:
        """How often it looks at the validation set: every `evaluate_every` steps and at the end."""
        train = self.run.train
        begin: int = self.hook("first_step", self.options)
        whole = train.steps // train.evaluate_every - begin // train.evaluate_every
        return whole + (train.steps % train.evaluate_every > 0)

    @property
    def samples(self) -> int:
        """How many times it shows an example to a network, at most: an estimate of its work, for all seeds and rates.

        Every step shows a batch to each network that it moves.
        """
        train, networks = self.run.train, self.hook("moved_networks", self.options) or max(self.variants.values())
        rates = len(train.tune.lr) if train.tune and self.is_tuned else 1
        return train.steps * train.batch_size * networks * len(self.run.seeds) * rates

    def check(self, images: Images, examples: int) -> None:
        """Check batches and options against the number of training examples; an `AssayError` names the key."""
        run = self.run
        if run.train.batch_size > examples:
            key = run.place("batch_size")
            raise AssayError(f"{key}: {run.train.batch_size} is more than the {examples} examples to train on")
        if run.augment is not None and not self.hook("TAKES_GRADIENTS"):
            raise AssayError(f"{run.place('augment')}: {run.method} does not augment images; remove it")
        if self.hook("TAKES_GRADIENTS"):  # of the budget that the method made, which `Train` has not seen
            check_warm_up(run.train.schedule, run.train.steps, f"{run.place('schedule')}: the training")
        if run.label_noise and not int(run.label_noise * examples):
            key = f"{PARAMS_FILE}: arms.{run.arm}.label_noise"
            raise AssayError(f"{key}: {run.label_noise} of {examples} training examples is none; set it to 0 or higher")
        self._check_rates(images)
        self.hook("check", run, self.options, images, examples)

    def _check_rates(self, images: Images) -> None:
        """Refuse a rate of the backbone that would move nothing otherwise, or that a method does not go by."""
        train, model = self.run.train, self.run.model
        if train.backbone_lr in (None, 1):
            return
        where = self.run.place("backbone_lr")
        if not self.hook("takes_rates", self.options):
            line = f"{self.run.method} moves all weights of {self.run.arm} alike; give the arm `backbone_lr: 1`"
            raise AssayError(f"{where}: {line}")
        network = models.blueprint(model.name, images, model.arguments)
        outer = nets.head(network)
        if not outer:
            raise AssayError(f"{where}: {model.name} has no linear layer that could be its head; leave it out")
        if len(outer) == len(list(network.parameters())):
            raise AssayError(f"{where}: {model.name} is an output layer alone, so it changes nothing; leave it out")

    def train(
        self, data: Prepared, scratch: Scratch, parents: Mapping[str, Artifact] | None = None
    ) -> tuple[Artifact, Trained]:
        """Train to the end, all seeds as one stack; with a grid of learning rates, at each of them.

        A rate that was chosen before is kept: by the arm's first seeds, or for a pruning round by the baseline. The
        parents are the trained networks that a round starts from, by arm.

        Raises:
            AssayError: an option is wrong, a parent does not belong to the run, or the training diverged.
        """
        model = self.run.model  # of a folder of images, only its bytes tell the classes and examples
        network = fitting.check(model.name, data.images, model.arguments, self.run.place("model"))
        if source := nets.source_of(network):  # all that is run from here on has its normalisation
            data = replace(data, mean=source.mean, std=source.std)
        self.check(data.images, len(data.train.labels))
        context, is_round = TrainContext(self.run, data, parents or {}), bool(self.run.parents)
        if not self.is_tuned:
            return self._train(context, scratch)
        before = context.parents.get(self.run.arm) or (context.parents.get(BASELINE) if is_round else None)
        tuning = before.manifest.record.get("tuning") if before else None
        if tuning is None:
            return self._search(context, scratch)
        own, trained = self._train(context, scratch, tuning["lr"])
        return (own if is_round else _billed(own, tuning)), trained

    def _train(self, context: TrainContext, scratch: Scratch, lr: float | None = None) -> tuple[Artifact, Trained]:
        """Train once, at another learning rate if one is given; from the scratch's checkpoint where it holds one."""
        own, title = context, context.run.name
        if lr is not None:
            optimizer = self.run.train.optimizer.model_copy(update={"lr": lr})
            train = self.run.train.model_copy(update={"optimizer": optimizer})
            own, title = replace(context, run=self.run.model_copy(update={"train": train})), f"{title}, lr {lr}"
        while True:
            update = self.method.update(own, self.options)
            try:
                trained = loop.train(update, own, scratch, title)
            except UnusableCheckpointError:  # the checkpoint is dropped: once more, without it
                continue
            return context.artifact(update, trained.curves), trained

    def _search(self, context: TrainContext, scratch: Scratch) -> tuple[Artifact, Trained]:
        """Train at each rate of the grid; give the best, with the grid in its record and the cost of the others billed.

        The best has the highest validation accuracy of the arm's first variant, mean over seeds; of equals, the lower
        validation loss. A rate at which a seed diverges is out. All contenders have the same grid, without which they
        are not comparable (Dahl et al., "Benchmarking Neural Network Training Algorithms", AlgoPerf, arXiv 2306.07179).
        """
        grid: list[dict[str, Any]] = []
        done: list[tuple[tuple[float, float], float, Artifact, Trained]] = []
        for lr in self.run.train.tune.lr if self.run.train.tune else ():
            try:
                made, trained = self._train(context, scratch.part(f"lr-{lr}"), lr)
            except DivergedError as error:
                grid.append({"lr": lr, "diverged": str(error)})
                continue
            first = next(iter(made.manifest.variants.values()))
            if not first.validation_accuracy:
                raise AssayError(f"{PARAMS_FILE}: train.tune: chosen on the validation set, and none is held out")
            done.append(((fmean(first.validation_accuracy), -fmean(first.validation_loss)), lr, made, trained))
            numbers = {"validation_accuracy": first.validation_accuracy, "validation_loss": first.validation_loss}
            grid.append({"lr": lr, **numbers})
        if not done:
            reason = f"every training diverged; give lower rates ({grid[0]['diverged']})"
            raise AssayError(f"{PARAMS_FILE}: train.tune.lr: {reason}")
        _, lr, winner, trained = max(done, key=lambda one: one[0])
        spent = {}
        for name in winner.manifest.variants:
            costs = {rate: other.manifest.variants[name].cost for _, rate, other, _ in done}
            samples = {rate: cost.train_samples + cost.forward_samples for rate, cost in costs.items()}
            others = sum(count for rate, count in samples.items() if rate != lr)
            spent[name] = others + (len(grid) - len(done)) * samples[lr]
        steps, seconds = sum(one.steps for *_, one in done), math.fsum(one.seconds for *_, one in done)
        tuning = {"lr": lr, "samples": spent, "grid": grid}
        return _billed(winner, tuning), Trained(trained.curves, steps, seconds)


def _billed(trained: Artifact, tuning: dict[str, Any]) -> Artifact:
    manifest = trained.manifest
    variants = {
        name: one.model_copy(update={"cost": one.cost.model_copy(update={"tuning_samples": tuning["samples"][name]})})
        for name, one in manifest.variants.items()
    }
    update = {"variants": variants, "record": {**manifest.record, "tuning": tuning}}
    return trained.model_copy(update={"manifest": manifest.model_copy(update=update)})


def names() -> list[str]:
    """The methods there are."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("[!_]*/__init__.py"))


@cache
def load(name: str) -> ModuleType:
    """The module of a method; an `AssayError` names each part of it that is missing, or misspelt and so not used."""
    method, optional = importlib.import_module(f"{__name__}.{name}"), [*DEFAULTS, "PAPER"]
    parts = {key: part for key, part in vars(method).items() if not isinstance(part, ModuleType)}
    lines = [f"{key}: missing" for key in ("CONTRACT_ARMS", "Options", "update") if key not in parts]
    for key in sorted(key for key in parts.keys() - {*optional} if not key.startswith("_")):
        own = getattr(parts[key], "__module__", method.__name__) == method.__name__  # plain data does not say whose
        if own and (meant := get_close_matches(key, optional, 1, 0.8)):
            lines.append(f"{key}: no part of a method; did you mean {meant[0]}? If not, begin its name with _")
    if lines:
        raise AssayError("\n".join(f"{FILE.format(name)}: {line}; {SEE}" for line in lines))
    return method


def resolve(run: Run) -> Training:
    """A run with its method, typed options and the method's own budget; an `AssayError` names the key that is wrong."""
    where = f"arms.{run.arm}."
    if run.method not in names():
        unknown = f"unknown method {run.method!r}; {suggestion(run.method, names())}"
        raise AssayError(f"{PARAMS_FILE}: {where}method: {unknown}")
    method = load(run.method)
    options = parse(method.Options, run.options, str(PARAMS_FILE), where, also_allowed=ARM_KEYS)
    training = Training(run, method, options)
    return replace(training, run=run.model_copy(update={"train": training.hook("budget", run.train, options)}))


def make_update(context: TrainContext) -> StepRule:
    """The state of a training at its start, and the rule that moves it, by the context's method."""
    training = resolve(context.run)
    update: StepRule = training.method.update(replace(context, run=training.run), training.options)
    return update

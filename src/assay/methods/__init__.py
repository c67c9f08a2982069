"""Methods: one file each, which says how the method fills the seams of the loop.

A method is a module of this package with `Options` (a pydantic section: what its arms may set) and
`update(task, options)` (the state and the rule that moves it); it may also have `check(run, options, images, examples)`
(refuses options that do not fit the budget, the model or the data, or leave the method nothing to do),
`budget(train, options)` (an arm's own budget in place of the shared one), `variants(options)` and
`record_keys(run, options)` (what a claim may name of its arms, where that is more than `last`). Modules are imported by
name, when an arm asks for them: a stage depends on the file of its own method, and a new method reruns nothing.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from assay import models
from assay.config import ARM_KEYS, LOTTERY, PARAMS_FILE, Params, Section, Train
from assay.config.parsing import parse, suggestion
from assay.data.sets import catalog
from assay.foundation.errors import AssayError
from assay.methods import _claims, _tuning
from assay.methods._claims import Product
from assay.training.checkpoint import UnusableCheckpointError
from assay.training.loop import train as run_loop
from assay.training.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.artifact import Artifact
    from assay.config import Model, Run
    from assay.data.sets.images import Images
    from assay.data.sets.prepared import Prepared
    from assay.training.checkpoint import Scratch
    from assay.training.loop import Trained
    from assay.training.update import Update


class Method(Protocol):
    """What a module of this package holds."""

    Options: type[Section]

    def update(self, task: Task, options: Any) -> Update:
        """The state of a training by this method, and the rule that moves it."""
        ...


class Checking(Protocol):
    """What a module of this package may hold beside it, where options must fit the budget, the data or the model."""

    def check(self, run: Run, options: Any, images: Images, examples: int) -> None:
        """Refuse, in one line that names the key, what cannot be trained with so many examples of such images.

        Refuse also what would train, but never do what the method is about, such as choosing among one batch: its
        results would carry a verdict on the method.
        """
        ...


class Budgeting(Protocol):
    """What a module of this package may hold beside it, where its arms have a budget of their own kind."""

    def budget(self, train: Train, options: Any) -> Train:
        """The shared budget with the arm's own in place of it."""
        ...


class Producing(Protocol):
    """What a module of this package may hold beside it, where its arms leave more than the variant `last`."""

    def variants(self, options: Any) -> dict[str, int]:
        """The variants in their order, with the number of members of each."""
        ...


class Recording(Protocol):
    """What a module of this package may hold beside it, where its record has numbers for claims."""

    def record_keys(self, run: Run, options: Any) -> tuple[str, ...]:
        """The keys of the record, deeper ones as `a.b`, that hold a number, or a list with one for each seed."""
        ...


def names() -> list[str]:
    """The methods there are."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def train(
    run: Run,
    data: Prepared,
    scratch: Scratch,
    ancestors: Mapping[str, Artifact] | None = None,
    watched: tuple[Literal["validation", "test"], ...] = ("validation",),
) -> tuple[Artifact, Trained]:
    """Train an arm (the baseline, or a pruning round) to the end: all its seeds as one stack.

    Args:
        run: the parameters as resolved for the arm.
        data: training and validation split, on the device.
        scratch: for checkpoints and live curves.
        ancestors: the trained networks that a pruning round starts from, by arm.
        watched: the splits whose loss and accuracy the curves show.

    Raises:
        AssayError: an option is wrong, an ancestor does not belong to the run, or the training diverged.
    """
    run = _with_budget(run)
    _check_model(run, data.images)  # of a folder, only its bytes tell the classes and how many examples there are
    _check_options(run, data.images, len(data.train.labels))
    task = Task(run, data, ancestors or {}, watched)
    if not _tuning.is_tuned(run):
        return _train(task, scratch)
    tuning = _tuning.chosen_before(run, task.ancestors)
    if tuning is not None:
        own, trained = _train(task, scratch, tuning["lr"])
        return (own if run.method == LOTTERY else _tuning.billed(own, tuning)), trained
    rates = run.train.tune.lr if run.train.tune else ()
    return _tuning.search(rates, lambda lr: _train(task, scratch.part(f"lr-{lr}"), lr))


def _train(task: Task, scratch: Scratch, lr: float | None = None) -> tuple[Artifact, Trained]:
    """Train once, at another learning rate if one is given; from the scratch's checkpoint where it holds one."""
    own = task if lr is None else replace(task, run=_tuning.with_lr(task.run, lr))

    def run() -> tuple[Artifact, Trained]:
        update = make_update(own)
        plan = own.plan(update)
        title = plan.title if lr is None else f"{plan.title}, lr {lr}"
        trained = run_loop(update, replace(plan, title=title), own.data, scratch)
        return task.artifact(update, trained.curves), trained

    try:
        return run()
    except UnusableCheckpointError:  # the checkpoint is dropped
        return run()


def make_update(task: Task) -> Update:
    """The state of a training at its start, and the rule that moves it, by the task's method."""
    return _method(task.run.method, task.run.arm).update(task, options(task.run))


def options(run: Run) -> Section:
    """The method's own options for an arm.

    Raises:
        AssayError: the method, a key or a value is wrong; the line names the key.
    """
    kind = _method(run.method, run.arm).Options
    return parse(kind, run.options, str(PARAMS_FILE), f"arms.{run.arm}.", also_allowed=ARM_KEYS)


def check(params: Params, own: tuple[Images, int] | None = None) -> None:
    """Check all that can be known before any byte of data is there, for every arm, so that nothing trains in vain.

    Args:
        params: all of params.yaml.
        own: of a folder of the user's own images, where it is there: their shape, and how many are left to train on.

    Raises:
        AssayError: a method or option is wrong, a model or batch does not fit the data, or a claim names what its arms
            will not have.
    """
    catalog.check(params.data)
    images, examples = catalog.images_of(params.data), catalog.training_examples(params.data)
    if own is not None:
        images, examples = own
    fitting: list[Model] = []
    for run in params.runs():
        options(run)
        if images is not None and run.model not in fitting:
            _check_model(run, images)
            fitting.append(run.model)
        if examples is not None and run.train.batch_size > examples:
            key = run.place("batch_size")
            raise AssayError(f"{key}: {run.train.batch_size} is more than the {examples} examples to train on")
        if images is not None and examples is not None:
            _check_options(run, images, examples)
    _tuning.check(params)
    _claims.check(params, {run.arm: product(run) for run in params.runs()})


def product(run: Run) -> Product:
    """What an arm's training will leave for claims to name."""
    run, method, own = _with_budget(run), _method(run.method, run.arm), options(run)
    variants = cast("Producing", method).variants(own) if hasattr(method, "variants") else {"last": 1}
    keys = cast("Recording", method).record_keys(run, own) if hasattr(method, "record_keys") else ()
    if _tuning.is_tuned(run) and run.method != LOTTERY:
        keys = (*keys, "tuning.lr", *(f"tuning.samples.{name}" for name in variants))
    return Product(run, variants, keys)


def samples(run: Run) -> int:
    """How many times a training shows an example to a network, at most: an estimate of its work, for all seeds.

    Every step shows a batch to each network that it moves: the members, of a round its variants. Of a grid, all rates
    are trained.
    """
    made = product(run)
    networks = len(made.variants) if run.method == LOTTERY else max(made.variants.values())
    rates = len(run.train.tune.lr) if run.train.tune is not None and _tuning.is_tuned(run) else 1
    return made.run.train.steps * made.run.train.batch_size * networks * len(run.seeds) * rates


def _check_model(run: Run, images: Images) -> None:
    models.check(run.model.name, images, run.model.arguments, run.place("model"))


def _check_options(run: Run, images: Images, examples: int) -> None:
    """Check an arm against the number of examples; the method itself has its say, where it has something to check."""
    if run.label_noise and not int(run.label_noise * examples):
        key = f"{PARAMS_FILE}: arms.{run.arm}.label_noise"
        raise AssayError(f"{key}: {run.label_noise} of {examples} training examples is none; set it to 0 or higher")
    method = _method(run.method, run.arm)
    if hasattr(method, "check"):
        cast("Checking", method).check(run, options(run), images, examples)


def _with_budget(run: Run) -> Run:
    """The run with the budget that its method makes of its options, where it has one of its own."""
    method = _method(run.method, run.arm)
    if not hasattr(method, "budget"):
        return run
    return run.model_copy(update={"train": cast("Budgeting", method).budget(run.train, options(run))})


def _method(name: str, arm: str) -> Method:
    if name not in names():
        raise AssayError(f"{PARAMS_FILE}: arms.{arm}.method: unknown method {name!r}; {suggestion(name, names())}")
    return cast("Method", importlib.import_module(f"{__name__}.{name}"))

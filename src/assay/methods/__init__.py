"""Methods: one folder each, with all the code that no other method uses.

A method is a package in this folder. Its `__init__.py` holds:

- `Options`: a pydantic section, the keys that its arms may set;
- `update(context, options)`: the state of a training and the rule that moves it;
- `CONTRACT_ARMS`: small arms, by name, that the contract suite trains (`tests/contract`);
- `PAPER` (optional): the paper whose claims it tests, a literal that `assay.report.papers` reads;
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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from assay import models
from assay.core.config import ARM_KEYS, LOTTERY, PARAMS_FILE, Params, Section
from assay.core.config.parsing import parse, suggestion
from assay.core.errors import AssayError
from assay.data.sets import catalog
from assay.engine.checkpoint import UnusableCheckpointError
from assay.engine.context import TrainContext
from assay.engine.loop import train as run_loop
from assay.methods import _claims, _tuning
from assay.methods._claims import Product

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assay.core.config import Model, Run
    from assay.data.sets.images import Images
    from assay.data.sets.prepared import Prepared
    from assay.engine.checkpoint import Scratch
    from assay.engine.loop import Trained
    from assay.engine.step_rule import StepRule
    from assay.models.artifact import Artifact


class Method(Protocol):
    """What every method has; the docstring of this module lists what it may also have."""

    Options: type[Section]

    def update(self, context: TrainContext, options: Any) -> StepRule:
        """The state of a training by this method, and the rule that moves it."""
        ...


def names() -> list[str]:
    """The methods there are."""
    return sorted(path.parent.name for path in Path(__file__).parent.glob("[!_]*/__init__.py"))


def train(
    run: Run,
    data: Prepared,
    scratch: Scratch,
    parents: Mapping[str, Artifact] | None = None,
    eval_splits: tuple[Literal["validation", "test"], ...] = ("validation",),
) -> tuple[Artifact, Trained]:
    """Train an arm (the baseline, or a pruning round) to the end: all its seeds as one stack.

    Args:
        run: the parameters as resolved for the arm.
        data: training and validation split, on the device.
        scratch: for checkpoints and live curves.
        parents: the trained networks that a pruning round starts from, by arm.
        eval_splits: the splits whose loss and accuracy the curves show.

    Raises:
        AssayError: an option is wrong, a parent does not belong to the run, or the training diverged.
    """
    run = _with_budget(run)
    _check_model(run, data.images)  # of a folder, only its bytes tell the classes and how many examples there are
    _check_options(run, data.images, len(data.train.labels))
    context = TrainContext(run, data, parents or {}, eval_splits)
    if not _tuning.is_tuned(run):
        return _train(context, scratch)
    tuning = _tuning.chosen_before(run, context.parents)
    if tuning is not None:
        own, trained = _train(context, scratch, tuning["lr"])
        return (own if run.method == LOTTERY else _tuning.billed(own, tuning)), trained
    rates = run.train.tune.lr if run.train.tune else ()
    return _tuning.search(rates, lambda lr: _train(context, scratch.part(f"lr-{lr}"), lr))


def _train(context: TrainContext, scratch: Scratch, lr: float | None = None) -> tuple[Artifact, Trained]:
    """Train once, at another learning rate if one is given; from the scratch's checkpoint where it holds one."""
    own = context if lr is None else replace(context, run=_tuning.with_lr(context.run, lr))

    def run() -> tuple[Artifact, Trained]:
        update = make_update(own)
        title = own.run.name if lr is None else f"{own.run.name}, lr {lr}"
        trained = run_loop(update, own, scratch, title)
        return context.artifact(update, trained.curves), trained

    try:
        return run()
    except UnusableCheckpointError:  # the checkpoint is dropped
        return run()


def make_update(context: TrainContext) -> StepRule:
    """The state of a training at its start, and the rule that moves it, by the context's method."""
    return _method(context.run.method, context.run.arm).update(context, options(context.run))


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
    variants: dict[str, int] = getattr(method, "variants", lambda _: {"last": 1})(own)
    keys: tuple[str, ...] = getattr(method, "record_keys", lambda *_: ())(run, own)
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
    own_check = getattr(_method(run.method, run.arm), "check", lambda *_: None)
    own_check(run, options(run), images, examples)


def _with_budget(run: Run) -> Run:
    """The run with the budget that its method makes of its options, where it has one of its own."""
    budget = getattr(_method(run.method, run.arm), "budget", lambda train, _: train)
    return run.model_copy(update={"train": budget(run.train, options(run))})


def _method(name: str, arm: str) -> Method:
    if name not in names():
        raise AssayError(f"{PARAMS_FILE}: arms.{arm}.method: unknown method {name!r}; {suggestion(name, names())}")
    return cast("Method", importlib.import_module(f"{__name__}.{name}"))

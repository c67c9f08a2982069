"""All of params.yaml checked against its methods, models and data; no training depends on this file."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from string import digits
from typing import TYPE_CHECKING

from assay.core.config import BASELINE, PARAMS_FILE, split_variant
from assay.core.config.claim import RECORD
from assay.core.config.parsing import suggestion
from assay.core.config.sections import FOLDER
from assay.core.errors import AssayError
from assay.core.plain import literals
from assay.data import catalog
from assay.data.sets import transforms
from assay.data.sets.images import Images
from assay.methods import FILE, SEE, resolve
from assay.models import fitting
from assay.scoring.metrics import RECALL, lookup
from assay.scoring.predictions import FEW_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assay.core.config import Model, Params
    from assay.core.config.claim import Claim
    from assay.methods import Training

OF_MEMBERS = ("disagreement", "total_variation")
OF_CURVES = ("best_step", "best_step_accuracy")


def check(params: Params, own: tuple[Images, int] | None = None, names: Sequence[str] = ()) -> dict[str, Training]:
    """Check all that can be known before any byte of data is there; gives every training of the file, by arm.

    Of a folder of the user's own images that is there, `own` gives their shape and how many are left to train on, and
    `names` the classes.

    Raises:
        AssayError: a method or option is wrong, a model or batch does not fit the data, or a claim names what its arms
            will not have, or misspells the key of a method's paper.
    """
    catalog.check(params.data)
    check_papers(params.claims)
    images, examples = own or (catalog.images_of(params.data), catalog.training_examples(params.data))
    trainings = {run.arm: resolve(run) for run in params.runs()}
    checked: list[Model] = []
    for training in trainings.values():
        if images is None or examples is None:  # of a folder that is not here nothing is known
            break
        if (model := training.run.model) not in checked:
            fitting.check(model.name, images, model.arguments, training.run.place("model"))
            checked.append(model)
        training.check(images, examples)
    _check_grids(params, trainings)
    _check_augmentation(params, images)
    classes = list(catalog.DATA_SETS[params.data.name].class_names if params.data.name in catalog.DATA_SETS else names)
    claims = [claim for claim in params.claims if claim.preset is None]
    lines = [line for claim in claims for line in _problems(claim, params, trainings, classes)]
    if lines:
        raise AssayError("\n".join(f"{PARAMS_FILE}: claims.{line}" for line in lines))
    return trainings


def check_papers(claims: Iterable[Claim], methods: Path = Path(__file__).parent) -> None:
    """Refuse a `PAPER` that the report, which reads those of all methods, could not use, and its key misspelt."""
    found = {path.parent.name: own for path, own in literals(methods.glob("[!_]*/__init__.py"), "PAPER").items()}
    fits = {name: isinstance(own, dict) and {*own} == {"key", "topic", "cited"} for name, own in found.items()}
    wrong = [name for name, own in found.items() if not fits[name] or not all(isinstance(v, str) for v in own.values())]
    what = "PAPER: must have the texts key, topic and cited, and no other key"
    lines = [f"{FILE.format(name)}: {what}; {SEE}" for name in wrong]
    keys = [own["key"] for name, own in found.items() if name not in wrong]
    for claim in claims:  # what no method names is allowed, and an author's other years are other papers
        author = claim.paper.rstrip(digits)
        like = {key.rstrip(digits): key for key in keys if claim.paper.removeprefix(author) in key}
        if claim.paper not in keys and (close := get_close_matches(author, like, 1, 0.8)):
            key = f"{PARAMS_FILE}: claims.{claim.id}.paper"
            lines.append(f"{key}: no method names {claim.paper!r}; did you mean {like[close[0]]}?")
    if lines:
        raise AssayError("\n".join(lines))


def _check_augmentation(params: Params, images: Images | None) -> None:
    """Try out what training does to images: the data's, and that of each arm that has its own."""
    entries = [(f"{PARAMS_FILE}: data.augment", params.data.augment)]
    entries += [(run.place("augment"), run.augment) for run in params.runs() if run.augment is not None]
    for place, augment in entries:
        transforms.check(augment, images or Images(3, 32, 32, 2), place)


def _check_grids(params: Params, trainings: Mapping[str, Training]) -> None:
    """Refuse grids that differ between contenders, stand where no rate is used, or that nothing can choose from."""
    shared = params.train.tune
    for name, arm in params.arms.items():
        where, grid = f"{PARAMS_FILE}: arms.{name}.tune", trainings[name].run.train.tune
        if not trainings[name].hook("TAKES_GRADIENTS"):
            if "tune" in arm.model_fields_set:
                raise AssayError(f"{where}: {arm.method} takes no gradient step; remove it")
        elif grid != shared:
            own, others = (f"lr {list(each.lr)}" if each else "none" for each in (grid, shared))
            raise AssayError(
                f"{where}: {name} has {own}, {BASELINE} has {others}; all arms that train by gradients must have the "
                "same grid: give it once, under train.tune"
            )
    if shared and not params.data.validation and params.data.name != FOLDER:
        raise AssayError(f"{PARAMS_FILE}: train.tune: chosen on the validation set, and data.validation is 0; raise it")


def _problems(claim: Claim, params: Params, trainings: Mapping[str, Training], classes: list[str]) -> list[str]:
    """Why a claim could not be decided for want of a variant, of a number, or of a common seed."""
    sides: dict[str, tuple[str, str]] = {}
    for key, named in claim.arms.items():
        arm, variant = split_variant(named)
        allowed = list(trainings[arm].variants)
        if variant is not None and variant not in allowed:
            return [f"{claim.id}.{key}: {arm} has no variant {variant!r}; {suggestion(variant, allowed)}"]
        sides[key] = arm, variant or allowed[0]
    if sides["arm"] == sides.get("against"):
        return [f"{claim.id}.against: is {'/'.join(sides['arm'])}, as arm is; name another variant"]
    seeds = [set(trainings[arm].run.seeds) for arm, _ in sides.values()]
    if not set.intersection(*seeds):
        return [f"{claim.id}: {claim.arm} and {claim.against} have no seed in common, so they cannot be paired"]
    found = [_lacking(str(claim.metric), trainings[arm], variant, params) for arm, variant in sides.values()]
    found.append(_without_class(str(claim.metric), params.data.name, classes))
    return [f"{claim.id}.metric: {reason}" for reason in dict.fromkeys(found) if reason]


def _without_class(metric: str, data: str, classes: list[str]) -> str | None:
    """Why there is no such metric of these classes; of a folder that is not here they are not known."""
    if metric == "top_5" and 0 < len(classes) <= FEW_CLASSES:
        return f"top_5 needs more than {FEW_CLASSES} classes, and {data} has {len(classes)}; claim accuracy"
    name = metric.removeprefix(RECALL)
    if metric.startswith(RECALL) and classes and name not in classes:
        return f"{data} has no class {name!r}; {suggestion(name, classes)}"
    return None


def _lacking(metric: str, training: Training, variant: str, params: Params) -> str | None:
    run, train = training.run, training.run.train
    if metric.startswith(RECORD):
        key = metric.removeprefix(RECORD)
        if key in training.record:
            return None
        return f"the record of {run.arm} has no number {key!r} for each seed; {suggestion(key, list(training.record))}"
    if metric in OF_MEMBERS and training.variants[variant] < 2:
        return f"{metric} is between members, and {run.arm}/{variant} has one; choose another metric"
    unvalidated = not params.data.validation and params.data.name != FOLDER
    if unvalidated and (metric == "temperature" or lookup(metric).control_of):
        return f"{metric} rests on a temperature fitted on the validation set, and data.validation is 0; set it higher"
    if metric not in OF_CURVES:
        return None
    if unvalidated:
        return f"{metric} is read off the validation curve, and data.validation is 0; set it higher"
    if metric == "best_step_accuracy" and "test" not in run.eval_splits:
        having = f"{BASELINE}, the pruning rounds and arms with label_noise"
        return f"{metric} needs the curve of the test set, which only {having} have, not {run.arm}"
    if training.evaluations < 2:
        place = run.place("evaluate_every").partition(": ")[2]
        return f"{metric} is read off the validation curve, and that of {run.arm} has one point; set {place} lower"
    schedule, labels_learned_by_heart = train.schedule, metric == "best_step_accuracy" and run.label_noise
    decays = (
        schedule.at[0] < train.steps if schedule.name == "step" else schedule.name == "cosine" and schedule.final < 1
    )
    if decays and not labels_learned_by_heart:
        place = run.place("schedule").partition(": ")[2]
        return (
            f"{metric} says nothing of {run.arm}, whose learning rate decays ({place}): the least loss is then at the "
            "end; claim another metric, or give both arms a constant rate"
        )
    return None

"""`metrics/evaluate/<name>.json`: what evaluation found of one arm, and the predictions beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE, parsing, split_variant
from assay.core.config.blocks import block_name, read_blocks
from assay.core.config.parsing import InList, suggestion
from assay.core.errors import AssayError, again
from assay.models.artifact import Cost, ModelRecord
from assay.scoring import joined, predictions
from assay.scoring.cost import costs
from assay.scoring.metrics import METRICS, measured, per_seed, reliability

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.models.artifact import Manifest
    from assay.scoring.predictions import Predictions

RECORDS, PREDICTIONS = Path("metrics/evaluate"), Path("data/predictions")
DECIMALS = 6
BY_SEED = ("best_step", "best_step_accuracy", "validation_accuracy", "validation_loss")  # as the manifest has them


class MemberRecord(BaseModel):
    """The members of a variant; all empty where there is one.

    Attributes:
        disagreement: for each seed, the share of examples that two members label differently, averaged over pairs.
        total_variation: for each seed, the distance between two members' predictions, averaged over pairs.
        ensemble_sizes: numbers of members, from 1 up to all of them.
        ensemble_accuracy: for each of these numbers, the accuracy of so many of the first members, one number a seed.
    """

    model_config = ConfigDict(frozen=True)

    disagreement: list[float] = []
    total_variation: list[float] = []
    ensemble_sizes: list[int] = []
    ensemble_accuracy: list[list[float]] = []


class SweepRecord(BaseModel):
    """Along a path of networks, by point and seed.

    Attributes:
        axis: what changes along it, such as `alpha`.
        at: where on the axis each point is.
        accuracy: for each point, one number a seed.
        nll: likewise; nats.
        ensemble_sizes: numbers of points, evenly spaced from the first to the last (1: the middle), whose
            probabilities (or, where the arm says so, logits) are averaged.
        ensemble_accuracy: for each of these numbers, one number a seed.
        ensemble_nll: likewise.
    """

    model_config = ConfigDict(frozen=True)

    axis: str
    at: list[float]
    accuracy: list[list[float]]
    nll: list[list[float]]
    ensemble_sizes: list[int] = []
    ensemble_accuracy: list[list[float]] = []
    ensemble_nll: list[list[float]] = []


class VariantRecord(MemberRecord):
    """One variant: what it costs and, in lists with one number a seed, how good it is.

    A metric of the table `METRICS` without a field here is an extra key.

    Attributes:
        balanced_accuracy: mean recall of the classes.
        macro_f1: mean F1 of the classes.
        members: M, the networks whose predictions are combined.
        combine: how they are combined.
        density: the share of weights that is not pruned.
        accuracy: on the test set, as are the other metrics.
        nll: nats.
        brier: summed over classes.
        ece: 20 equal bins.
        train_samples: examples that one network saw forward and backward.
        forward_samples: examples that it saw forward only.
        optimizer_steps: updates of its weights.
        tuning_samples: examples that the other trainings of its grid ran; not part of the training cost.
        best_step: the step of the least validation loss; empty where nothing was validated.
        best_step_accuracy: on the test set at that step: the retroactive early stop; empty where it was not watched.
        validation_accuracy: at the end of training; empty where there is no validation set.
        validation_loss: likewise; nats.
        reliability: for each bin of confidence, all seeds together: examples, mean confidence, share that is right.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    balanced_accuracy: list[float]
    macro_f1: list[float]
    members: int
    combine: str
    density: float
    accuracy: list[float]
    nll: list[float]
    brier: list[float]
    ece: list[float]
    train_samples: float
    forward_samples: float
    optimizer_steps: float
    tuning_samples: float = 0
    best_step: list[int] = []
    best_step_accuracy: list[float] = []
    validation_accuracy: list[float] = []
    validation_loss: list[float] = []
    reliability: list[tuple[int, float, float]] = []


class Record(InList, parsing.Digested):
    """One arm: where it comes from, and its variants in the order in which a reader should meet them.

    Attributes:
        block: which of the arm's blocks of seeds; 0 is the first, and all of them together.
        class_counts: test examples of each class, by label.
        record: what its method has to say of the training, as the manifest has it.
        sweeps: paths of networks that were evaluated point by point, by name.
        predictions_sha256: of the file of predictions; `write` fills it in.
    """

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    arm: str
    method: str
    seeds: list[int]
    model: ModelRecord
    parameters: dict[str, Any]
    data: str
    data_digest: str
    test_examples: int
    class_counts: dict[str, int]
    variants: dict[str, VariantRecord]
    record: dict[str, Any] = Field(default_factory=dict)
    sweeps: dict[str, SweepRecord] = Field(default_factory=dict)
    predictions_sha256: str = ""
    block: int = 0

    @property
    def majority_share(self) -> float:
        """The share of the test set that is of its most frequent class: the accuracy of always answering that class."""
        return max(self.class_counts.values()) / self.test_examples


@dataclass(frozen=True)
class Evaluation:
    """A record with the predictions that it summarises."""

    record: Record
    predictions: Mapping[str, Predictions]


def make(
    manifest: Manifest,
    data: str,
    class_counts: Mapping[str, int],
    found: Mapping[str, tuple[Predictions, Mapping[str, Any], MemberRecord]],
    sweeps: Mapping[str, SweepRecord],
) -> Record:
    """The record of an arm.

    Args:
        manifest: of the trained networks.
        data: the data set's name.
        class_counts: test examples of each class, by its name.
        found: for every variant of the manifest, its predictions, its metrics by class, and how its members differ.
        sweeps: the paths of the manifest, evaluated.
    """
    variants = {}
    for name, variant in manifest.variants.items():
        answers, classes, members = found[name]
        variants[name] = VariantRecord(
            members=variant.members,
            combine=variant.combine,
            density=variant.density,
            **{metric: per_seed(metric, answers).tolist() for metric in measured()},
            **{kind: getattr(variant.cost, kind) for kind in Cost.model_fields},
            **{name: getattr(variant, name) for name in BY_SEED},
            reliability=reliability(answers),
            **classes,
            **dict(members),
        )
    return Record(
        arm=manifest.arm,
        method=manifest.method,
        seeds=manifest.seeds,
        model=manifest.model,
        parameters=manifest.parameters,
        data=data,
        data_digest=manifest.data_digest,
        test_examples=next(iter(found.values()))[0].correct.shape[1],
        class_counts=dict(class_counts),
        variants=variants,
        record=manifest.record,
        sweeps=dict(sweeps),
        block=manifest.block,
    )


def shown(record: Record) -> dict[str, float]:
    """What DVC shows of an arm: `test_accuracy` and the like of its first variant, means over seeds, and what it cost.

    `training_cost` is that of one seed, in passes of one example through one network.
    """
    first = next(iter(record.variants.values()))
    means = {
        f"test_{metric}": round(fmean(getattr(first, metric)), DECIMALS)
        for metric, about in METRICS.items()
        if about.shown
    }
    return {**means, "training_cost": round(costs(record, first).training_cost, DECIMALS)}


def write(root: Path, evaluation: Evaluation) -> None:
    """Write the predictions, then the record, each atomically, where `read` looks for them."""
    name = block_name(evaluation.record.arm, evaluation.record.block)
    digest = predictions.write(root / PREDICTIONS / f"{name}.safetensors", evaluation.predictions)
    record = evaluation.record.model_copy(update={"predictions_sha256": digest})
    files.write_json(root / RECORDS / f"{name}.json", {**shown(record), parsing.EVALUATION: [record.signed()]})


def read_record(root: Path, name: str) -> Record:
    """Read the record of `baseline`, an arm or a round, under the repository root.

    Raises:
        AssayError: it is missing or not what it should be.
    """
    path = root / RECORDS / f"{name}.json"
    record = parsing.read(Record, path, "`dvc pull` fetches it, `dvc repro` writes it", again(path))
    record.verify(path, again(path))
    return record


def read(root: Path, name: str) -> Evaluation:
    """Read the evaluation of `baseline`, an arm or a round, under the repository root.

    Raises:
        AssayError: a file is missing or not what it should be.
    """
    path, record = root / RECORDS / f"{name}.json", read_record(root, name)
    where = root / PREDICTIONS / f"{name}.safetensors"
    return Evaluation(record, predictions.read(where, list(record.variants), record.predictions_sha256, path))


def read_all(root: Path, arms: Iterable[str]) -> dict[str, Evaluation]:
    """Read the baseline and these arms or pruning rounds (`round-<n>`), in this order, each with all its blocks.

    Raises:
        AssayError: a file is missing or damaged, two arms were evaluated on different data, or a block does not belong
            to its arm.
    """
    blocks = read_blocks(root / SEEDS_FILE)
    evaluations = {
        name: joined.together([read(root, one) for one in (name, *blocks.of(name))]) for name in (BASELINE, *arms)
    }
    digest = evaluations[BASELINE].record.data_digest
    for name, one in evaluations.items():
        if one.record.data_digest != digest:
            raise AssayError(
                f"{root / RECORDS / name}.json: evaluated on data {one.record.data_digest[:12]}, "
                f"{BASELINE} on {digest[:12]}; run `dvc repro`"
            )
    return evaluations


def find(evaluations: Mapping[str, Evaluation], name: str, where: str) -> tuple[Record, str, Predictions]:
    """The variant that `arm` (its first) or `arm/variant` names: its arm's record, its name, its predictions.

    Args:
        evaluations: by arm.
        name: what is looked for.
        where: the key that names it, for the message.

    Raises:
        AssayError: there is no such arm or variant; the line lists those that there are.
    """
    arm, variant = split_variant(name)
    if arm not in evaluations:
        raise AssayError(f"{where}: {arm!r} was not evaluated; {suggestion(arm, list(evaluations))}")
    evaluation = evaluations[arm]
    variant = variant or next(iter(evaluation.record.variants))
    if variant not in evaluation.predictions:
        allowed = suggestion(variant, list(evaluation.record.variants))
        raise AssayError(f"{where}: {arm} has no variant {variant!r}; {allowed}")
    return evaluation.record, variant, evaluation.predictions[variant]

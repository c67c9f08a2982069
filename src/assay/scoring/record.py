"""`metrics/evaluate/<name>.json`: what evaluation found of one arm, and the predictions beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE, parsing
from assay.core.config.blocks import block_name, read_blocks
from assay.core.config.parsing import InList
from assay.core.errors import AssayError, again
from assay.models.artifact import Cost, ModelRecord
from assay.scoring import merging, predictions
from assay.scoring.metrics import METRICS, has, per_seed, quality, reliability

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assay.models.artifact import Manifest
    from assay.scoring.predictions import Predictions

RECORDS, PREDICTIONS = Path("metrics/evaluate"), Path("data/predictions")
DECIMALS = 6
ALIKE = ("arm", "method", "model", "parameters", "data", "data_digest", "class_counts")  # in all blocks of an arm
FORWARD_AND_BACKWARD = 3  # passes: a backward pass is two matrix products a layer, a forward pass one


class SweepRecord(BaseModel, frozen=True):
    """Along a path of networks: for each point, or size of an ensemble, one number a seed; NLL in nats.

    `at` says where on the axis, such as `alpha`, each point is. Ensembles are of points evenly spaced from the first to
    the last (of one: the middle), whose probabilities (or, where the arm says so, logits) are averaged.
    """

    axis: str
    at: list[float]
    accuracy: list[list[float]]
    nll: list[list[float]]
    ensemble_sizes: list[int] = []
    ensemble_accuracy: list[list[float]] = []
    ensemble_nll: list[list[float]] = []


class VariantRecord(BaseModel, frozen=True, extra="allow"):
    """One variant: what it costs and, in lists with one number a seed, how good it is.

    A metric of the table `METRICS` without a field here is an extra key.

    Attributes:
        members: M, the networks whose predictions are combined; these and the costs are as in the manifest.
        best_step: the step of the least validation loss; empty where nothing was validated.
        best_step_accuracy: on the test set at that step: the retroactive early stop; empty where it was not watched.
        validation_accuracy: at the end of training, as the loss in nats; empty where there is no validation set.
        reliability: for each bin of confidence, all seeds together: examples, mean confidence, share that is right.
        disagreement: the share of examples that two members label differently, mean over pairs; as `total_variation`,
            the distance between their predictions, and what follows, empty where there is one member.
        temperature: fitted on the validation set, above 1 where the variant is too sure; empty where there is none.
        ensemble_accuracy: for each number in `ensemble_sizes` of the first members, the accuracy of each seed.
    """

    disagreement: list[float] = []
    total_variation: list[float] = []
    temperature: list[float] = []
    ensemble_sizes: list[int] = []
    ensemble_accuracy: list[list[float]] = []
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

    @property
    def validation(self) -> tuple[float, float] | None:
        """Accuracy and loss on the validation set, means over seeds; None where one is missing or not finite."""
        means = [fmean(one) for one in (self.validation_accuracy, self.validation_loss) if one]
        return (means[0], means[1]) if len(means) == 2 and all(map(math.isfinite, means)) else None


class Costs(NamedTuple):
    """What training one seed of a variant costs, and one prediction (members times density), in passes of one example.

    FLOPs are those that PyTorch counts in the arm's network; None where not known. A pruned weight counts as saved.
    """

    training_cost: float
    training_flops: float | None
    inference_cost: float
    inference_flops: float | None


class Record(InList, parsing.Digested):
    """One arm: where it comes from, and its variants in the order in which a reader should meet them.

    Attributes:
        block: which of the arm's blocks of seeds; 0 is the first, and all of them together.
        class_counts: test examples of each class, by its name.
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
        """The share of the test set that is of its most frequent class."""
        return max(self.class_counts.values()) / self.test_examples

    def costs(self, variant: VariantRecord) -> Costs:
        """What training one seed of a variant cost, and what one prediction costs."""
        samples, scored, inference = variant.train_samples, variant.forward_samples, variant.members * variant.density
        forward, both = self.model.flops_per_sample, self.model.flops_per_train_sample
        operations = None if forward is None or both is None else samples * both + scored * forward
        each = None if forward is None else inference * forward
        return Costs(FORWARD_AND_BACKWARD * samples + scored, operations, inference, each)


@dataclass(frozen=True)
class Evaluation:
    """A record with the predictions that it summarises."""

    record: Record
    predictions: Mapping[str, Predictions]


def make(
    manifest: Manifest,
    data: str,
    class_counts: Mapping[str, int],
    found: Mapping[str, tuple[Predictions, Mapping[str, Any]]],
    sweeps: Mapping[str, SweepRecord],
) -> Record:
    """The record of an arm, from its manifest, the data set's name and the number of test examples of each class.

    `found` has of every variant its predictions, and what else evaluation found: its temperatures, and metrics of its
    members; `sweeps` has the paths of the manifest as evaluated.
    """
    variants = {}
    for name, variant in manifest.variants.items():
        answers, others = found[name]
        variants[name] = VariantRecord(
            **variant.model_dump(include=set(VariantRecord.model_fields)),
            **variant.cost.model_dump(include=set(Cost.model_fields)),
            **{metric: per_seed(metric, answers).tolist() for metric in quality() if has(metric, answers)},
            **others,
            reliability=reliability(answers),
        )
    return Record(
        **manifest.model_dump(include=Record.model_fields.keys() - {"variants", "sweeps", "digest"}),
        data=data,
        test_examples=next(iter(found.values()))[0].correct.shape[1],
        class_counts=dict(class_counts),
        variants=variants,
        sweeps=dict(sweeps),
    )


def shown(record: Record) -> dict[str, float]:
    """What DVC shows of an arm: the metrics of its first variant, means over seeds, and its training cost in passes."""
    first = next(iter(record.variants.values()))
    found = {f"test_{name}": fmean(getattr(first, name)) for name, about in METRICS.items() if about.shown}
    found["training_cost"] = record.costs(first).training_cost
    return {name: round(value, DECIMALS) for name, value in found.items()}


def write(root: Path, evaluation: Evaluation) -> None:
    """Write the predictions, then the record, each atomically, where `read` looks for them."""
    name = block_name(evaluation.record.arm, evaluation.record.block)
    digest = predictions.write(root / PREDICTIONS / f"{name}.safetensors", evaluation.predictions)
    record = evaluation.record.model_copy(update={"predictions_sha256": digest})
    files.write_json(root / RECORDS / f"{name}.json", {**shown(record), parsing.EVALUATION: [record.signed()]})


def read_record(root: Path, name: str) -> Record:
    """Read the record of `baseline`, an arm, a round, or a block of one, under the repository root.

    Raises:
        AssayError: it is missing or not what it should be.
    """
    path = root / RECORDS / f"{name}.json"
    record = parsing.read(Record, path, "`dvc pull` fetches it, `dvc repro` writes it", again(path))
    record.verify(path, again(path))
    return record


def read(root: Path, name: str) -> Evaluation:
    """Read a record, as `read_record`, with its predictions; errors as there."""
    record, where = read_record(root, name), root / RECORDS / f"{name}.json"
    path = root / PREDICTIONS / f"{name}.safetensors"
    return Evaluation(record, predictions.read(path, list(record.variants), record.predictions_sha256, where))


def read_all(root: Path, arms: Iterable[str]) -> dict[str, Evaluation]:
    """Read the baseline and these arms or pruning rounds, in this order, each with all its blocks.

    Raises:
        AssayError: a file is missing or damaged, two arms were evaluated on different data, or a block was trained or
            evaluated otherwise than the first seeds of its arm.
    """
    blocks = read_blocks(root / SEEDS_FILE)
    evaluations = {name: _joined([read(root, one) for one in (name, *blocks.of(name))]) for name in (BASELINE, *arms)}
    digest = evaluations[BASELINE].record.data_digest
    for name, one in evaluations.items():
        if one.record.data_digest != digest:
            raise AssayError(
                f"{root / RECORDS / name}.json: evaluated on data {one.record.data_digest[:12]}, "
                f"{BASELINE} on {digest[:12]}; run `dvc repro`"
            )
    return evaluations


def _joined(parts: Sequence[Evaluation]) -> Evaluation:
    """The evaluation of an arm with all its seeds, from those of its first seeds and of its blocks."""
    first, records = parts[0].record, [part.record for part in parts]
    for one in records:
        if differs := [field for field in ALIKE if getattr(one, field) != getattr(first, field)]:
            where = RECORDS / f"{block_name(one.arm, one.block)}.json"
            raise AssayError(f"{where}: its {differs[0]} is not that of {first.arm}; run `dvc repro`")
    if len(parts) == 1:
        return parts[0]
    answers = {name: predictions.joined([part.predictions[name] for part in parts]) for name in first.variants}
    dumps = [one.model_dump(include={"seeds", "variants", "record", "sweeps"}) for one in records]
    merged = merging.together(dumps, [len(one.seeds) for one in records])
    for name, own in merged["variants"].items():
        own[merging.POOLED] = reliability(answers[name])
    return Evaluation(Record.model_validate(first.model_dump() | merged), answers)

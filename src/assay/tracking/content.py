"""What a run of an arm says: parameters, metrics, curves, the table of seeds, the data, the description."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.analysis import curves
from assay.core.plain import flat
from assay.scoring.metrics import quality

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from assay.scoring.record import VariantRecord
    from assay.tracking.records import ArmRecord, Meta

COST = ("train_samples", "forward_samples", "optimizer_steps", "members", "density")
NOT_BY_SEED = ("reliability", "ensemble_sizes", "ensemble_accuracy")  # even where they have as many entries as seeds
DECIMALS = 8  # 0.9775, not 0.9774999999999999
LONGEST_PARAMETER = 6000  # MLflow refuses a longer one
SHOWN_DIGEST = 12  # a column of MLflow's tables has room for it; the data set's profile holds all of it


class Point(NamedTuple):
    """One point of a curve: of one series, such as `validation_loss` at step 300."""

    series: str
    step: int
    value: float


def parameters(arm: ArmRecord, meta: Meta) -> dict[str, str]:
    """The parameters as resolved for the arm, under the names that params.yaml has for them.

    The arm's own options stand under their bare names, as they do under `arms.<arm>`; lists are JSON.
    """
    manifest = arm.manifest
    shared = {
        "method": manifest.method,
        "seeds": manifest.seeds,
        "variants": list(manifest.variants),
        "data": {"name": meta.name, "augment": meta.augment, **meta.counts},
    }
    options = manifest.parameters.get("options", {})
    resolved = {name: value for name, value in manifest.parameters.items() if name != "options"}
    found = {**dict(flat(resolved)), **dict(flat(options)), **dict(flat(shared))}
    return {name: _text(value) for name, value in sorted(found.items()) if name}


def metrics_of(scores: VariantRecord) -> dict[str, float]:
    """The few metrics that every variant of every arm has: means over seeds, and what it cost."""
    means = {f"test_{name}": statistics.fmean(getattr(scores, name)) for name in quality()}
    if len(scores.accuracy) > 1:
        means["test_accuracy_std"] = statistics.stdev(scores.accuracy)
    means = {name: round(value, DECIMALS) for name, value in means.items()}
    return {**means, **{name: float(getattr(scores, name)) for name in COST}}


def metrics(arm: ArmRecord) -> dict[str, float]:
    """The metrics of a run: the first variant under plain names, the accuracy of the others, and the seconds.

    MLflow has a column and a chart for each name there is, so of another variant a run has the accuracy alone; the
    rest of its scores stand on the page of its model.
    """
    found = metrics_of(arm.evaluation.variants[arm.first])
    for variant in list(arm.manifest.variants)[1:]:
        found[f"test_accuracy.{variant}"] = metrics_of(arm.evaluation.variants[variant])["test_accuracy"]
    return found | ({"seconds": arm.seconds} if arm.timings else {})


def table_of_seeds(arm: ArmRecord) -> dict[str, list[Any]]:
    """A table by column: for each variant and seed, everything that the evaluation has a value a seed for."""
    seeds = arm.manifest.seeds
    rows: list[dict[str, Any]] = []
    for variant in arm.manifest.variants:
        scores = arm.evaluation.variants[variant].model_dump()
        lists = {
            name: values
            for name, values in {**dict.fromkeys(quality()), **scores}.items()
            if name not in NOT_BY_SEED and isinstance(values, list) and len(values) == len(seeds)
        }
        rows += [
            {"variant": variant, "seed": seed, **{name: values[i] for name, values in lists.items()}}
            for i, seed in enumerate(seeds)
        ]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in columns}


def read_points(*paths: Path, first: str | None = None) -> list[Point]:
    """Read a file of curves, or those of all blocks of an arm.

    Raises:
        AssayError: a file is missing or not a table of curves.
    """
    return points_of([row for path in paths for row in curves.rows(path)], first)


def points_of(rows: Iterable[curves.Row], first: str | None = None) -> list[Point]:
    """The points by step, then by series.

    The rows of a pruning round belong to `round-<n>/<variant>`: the series of the first variant keep their plain
    names, those of the others end in the variant's name, as the metrics of the test set do.

    Args:
        rows: of the arm.
        first: the variant whose series keep their plain names; the first that the rows name where None.
    """
    sums: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        variant = row.arm.partition("/")[2]
        first = first or variant
        suffix = f".{variant}" if variant not in ("", first) else ""
        for quantity, value in (("loss", row.loss), ("accuracy", row.accuracy)):
            if value is not None:
                sums[row.step, f"{row.split}_{quantity}{suffix}"].append(value)
    return [Point(series, step, sum(values) / len(values)) for (step, series), values in sorted(sums.items())]


def description(arm: ArmRecord, meta: Meta) -> str:
    """What a person should know who meets the run: Markdown."""
    manifest, others = arm.manifest, list(arm.manifest.variants)[1:]
    lines = [
        (
            f"**{manifest.arm}**: method `{manifest.method}`, {manifest.model.name} on {meta.name}, "
            f"{len(manifest.seeds)} seeds. Metrics are means over the seeds; each seed's own values are the artifact "
            "`seeds.json`."
        )
    ]
    if others:
        shown = ", ".join(f"`test_accuracy.{variant}`" for variant in others)
        lines.append(
            f"The arm predicts in {1 + len(others)} ways. Plain names are its `{arm.first}`; see also {shown}."
        )
    if arm.no_better_than_majority:
        shown = ", ".join(f"`{variant}`" for variant in arm.no_better_than_majority)
        lines.append(f"Its accuracy is no better than always answering the largest class of the test set: {shown}.")
    return "\n\n".join(lines)


def dataset_input(meta: Meta) -> Any:
    """The data set as MLflow's `log_inputs` takes it: what it was, how much of it, and its digest."""
    import numpy as np
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import Schema, TensorSpec

    images = meta.images
    shape = (-1, images["channels"], images["height"], images["width"])
    features = Schema([TensorSpec(np.dtype("uint8"), shape)]).to_json()
    targets = Schema([TensorSpec(np.dtype("int64"), (-1,))]).to_json()
    profile = {
        "num_rows": sum(meta.counts.values()),
        **meta.counts,
        "classes": meta.class_names or images["classes"],
        **meta.model_dump(include={"mean", "std", "augment", "digest"}),
    }
    dataset = Dataset(
        name=meta.name,
        digest=meta.digest[:SHOWN_DIGEST],
        source_type="local",
        source=json.dumps({"uri": "data/prepared"}),
        schema=json.dumps({"mlflow_tensorspec": {"features": features, "targets": targets}}),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "training and test")])


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_PARAMETER else f"{text[: LONGEST_PARAMETER - 3]}..."

"""What a run of an arm says: parameters, metrics, curves, the table of seeds, the data, the description."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from assay.core.plain import flat
from assay.scoring import merging
from assay.scoring.metrics import is_exact, quality
from assay.scoring.record import VariantRecord

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.analysis.curves import Row
    from assay.tracking.records import ArmRecord, Meta

COST = [name for name in VariantRecord.model_fields if is_exact(name)]
NOT_BY_SEED = (*merging.BY_POINT, merging.POOLED)  # even where they have as many entries as seeds
DECIMALS = 8  # 0.9775, not 0.9774999999999999
LONGEST_PARAMETER = 6000  # MLflow refuses a longer one
SHOWN_DIGEST = 12  # a column of MLflow's tables has room for it; the data set's profile holds all of it


def parameters(arm: ArmRecord, meta: Meta, defaults: Mapping[str, Any]) -> dict[str, str]:
    """The parameters as resolved for the arm, under the names that params.yaml has for them.

    Options stand under their bare names, as they do under `arms.<arm>`, else with their `defaults`; lists are JSON.
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
    found = dict(item for part in (resolved, {**defaults, **options}, shared) for item in flat(part) if item[0])
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in sorted(found.items())}
    most = LONGEST_PARAMETER
    return {name: text if len(text) <= most else f"{text[: most - 3]}..." for name, text in texts.items()}


def metrics_of(scores: VariantRecord) -> dict[str, float]:
    """The few metrics that every variant of every arm has: means over seeds, and what it cost."""
    means = {f"test_{name}": statistics.fmean(own) for name in quality() if (own := getattr(scores, name, []))}
    if len(scores.accuracy) > 1:
        means["test_accuracy_std"] = statistics.stdev(scores.accuracy)
    means = {name: round(value, DECIMALS) for name, value in means.items()}
    return {**means, **{name: float(getattr(scores, name)) for name in COST}}


def metrics(arm: ArmRecord) -> dict[str, float]:
    """The metrics of a run: the first variant under plain names, the accuracy of the others, and the seconds.

    MLflow has a column and a chart for each name there is, so of another variant a run has the accuracy alone; the
    rest of its scores stand on the page of its model.
    """
    first, *others = ((name, metrics_of(arm.evaluation.variants[name])) for name in arm.manifest.variants)
    found = first[1] | {f"test_accuracy.{name}": scores["test_accuracy"] for name, scores in others}
    return found if arm.seconds is None else {**found, "seconds": arm.seconds}


def table_of_seeds(arm: ArmRecord) -> dict[str, list[Any]]:
    """A table by column: for each variant and seed, everything that the evaluation has a value a seed for."""
    seeds = arm.manifest.seeds
    rows: list[dict[str, Any]] = []
    for variant in arm.manifest.variants:
        keys, scores = {"variant": [variant] * len(seeds), "seed": seeds}, arm.evaluation.variants[variant].model_dump()
        lists = {
            name: values
            for name, values in (keys | dict.fromkeys(quality()) | scores).items()
            if name not in NOT_BY_SEED and isinstance(values, list) and len(values) == len(seeds)
        }
        rows += [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}


def points_of(rows: Iterable[Row], start: int, end: int, first: str = "") -> list[Any]:
    """MLflow's metrics of curves, means over seeds, by step and then by series, such as `validation_loss`.

    The steps are spread evenly from `start` to `end`, milliseconds since 1970. The rows of a pruning round belong to
    `round-<n>/<variant>`: the series of the variant `first` (where empty, of the first that the rows name) keep their
    plain names, those of the others end in the variant's name, as the metrics of the test set do.
    """
    from mlflow.entities import Metric

    values: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        variant = row.arm.partition("/")[2]
        first = first or variant
        suffix = f".{variant}" if variant not in ("", first) else ""
        for quantity, value in (("loss", row.loss), ("accuracy", row.accuracy)):
            if value is not None:
                values[row.step, f"{row.split}_{quantity}{suffix}"].append(value)
    means = [(series, step, sum(own) / len(own)) for (step, series), own in sorted(values.items())]
    last = max((step for step, _ in values), default=0) or 1
    return [Metric(series, mean, start + (end - start) * step // last, step) for series, step, mean in means]


def description(arm: ArmRecord, meta: Meta) -> str:
    """What a person should know who meets the run: Markdown."""
    manifest, others = arm.manifest, list(arm.manifest.variants)[1:]
    text = (
        f"**{manifest.arm}**: method `{manifest.method}`, {manifest.model.name} on {meta.name}, "
        f"{len(manifest.seeds)} seeds. Metrics are means over the seeds; each seed's own values are the artifact "
        "`seeds.json`."
    )
    if others:
        shown = ", ".join(f"`test_accuracy.{variant}`" for variant in others)
        text += f"\n\nThe arm predicts in {1 + len(others)} ways. Plain names are its `{arm.first}`; see also {shown}."
    if arm.no_better_than_majority:
        shown = ", ".join(f"`{variant}`" for variant in arm.no_better_than_majority)
        text += f"\n\nIts accuracy is no better than always answering the largest class of the test set: {shown}."
    return text


def dataset_input(meta: Meta) -> Any:
    """The data set as MLflow's `log_inputs` takes it: what it was, how much of it, and its digest."""
    import numpy as np
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import Schema, TensorSpec

    features = Schema([TensorSpec(np.dtype("uint8"), (-1, *meta.images.shape))]).to_json()
    targets = Schema([TensorSpec(np.dtype("int64"), (-1,))]).to_json()
    profile = {
        "num_rows": sum(meta.counts.values()),
        **meta.counts,
        "classes": meta.class_names or meta.images.classes,
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

"""The data set as an MLflow input of a run: what it was, how much of it, and its digest."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.tracking.records import Meta

SHOWN_DIGEST = 12  # a table's column has room for it; the profile holds all of it


def digest_of(meta: Meta) -> str:
    """The digest as MLflow's tables show it: the beginning of the data's own."""
    return meta.digest[:SHOWN_DIGEST]


def dataset_input(meta: Meta) -> Any:
    """The entity that `log_inputs` takes."""
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.types import Schema, TensorSpec

    images = meta.images
    shape = (-1, images["channels"], images["height"], images["width"])
    profile = {
        "num_rows": sum(meta.counts.values()),
        **meta.counts,
        "classes": meta.class_names or images["classes"],
        "mean": meta.mean,
        "std": meta.std,
        "augment": meta.augment,
        "digest": meta.digest,
    }
    dataset = Dataset(
        name=meta.name,
        digest=digest_of(meta),
        source_type="local",
        source=json.dumps({"uri": "data/prepared"}),
        schema=_schema(Schema, TensorSpec, shape),
        profile=json.dumps(profile),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", "training and test")])


def _schema(schema: Any, tensor: Any, shape: tuple[int, ...]) -> str:
    import numpy as np

    features = schema([tensor(np.dtype("uint8"), shape)]).to_json()
    targets = schema([tensor(np.dtype("int64"), (-1,))]).to_json()
    return json.dumps({"mlflow_tensorspec": {"features": features, "targets": targets}})

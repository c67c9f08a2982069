"""The variants of an arm as MLflow models: exported, so that whoever loads one needs torch and nothing of ours."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

from assay.models import artifact
from assay.tracking import content, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.tracking.export import Exporter
    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.runs import Draft
    from assay.tracking.store import Store

MODEL_TYPE = "image classifier"


def log_models(draft: Draft, exporter: Exporter, arm: ArmRecord, meta: Meta, digest: str) -> list[Any]:
    """Log one model for each variant; gives their scores, which are yet to be logged.

    A model takes uint8 images, since an exported graph is fixed to one type. Each has its scores under plain names, so
    that MLflow's table of models compares all variants of all arms; the run's own scores are later than these.

    Args:
        draft: the run.
        exporter: writes the models.
        arm: what is logged.
        meta: the data, for its normalisation.
        digest: of the data set as the run names it.

    Raises:
        AssayError: the weights are missing or damaged.
    """
    from mlflow.entities import LoggedModelOutput

    trained = _Trained(arm)
    newest_last = reversed(arm.manifest.variants)  # MLflow's tables have the newest on top
    models = {variant: _log_one(draft, exporter, trained, arm, variant, meta) for variant in newest_last}
    draft.store.client.log_outputs(draft.id, [LoggedModelOutput(model, step=0) for model in models.values()])
    linked = {"dataset_name": meta.name, "dataset_digest": digest}
    return [
        metric
        for variant, model in models.items()
        for metric in draft.scores(content.metrics_of(arm.evaluation.variants[variant]), model_id=model, **linked)
    ]


def write_again(store: Store, exporter: Exporter, arm: ArmRecord, meta: Meta, run: str, models: Iterable[Any]) -> None:
    """Write the files of models that a run has already, as `log_models` wrote them.

    Raises:
        AssayError: the weights are missing or damaged.
    """
    trained = _Trained(arm)
    for model in models:
        _write(store, exporter, trained, arm, model.tags[tags.VARIANT], meta, model.model_id, run)


class _Trained:
    """The networks of an arm's seeds, each block read once and when it is asked for."""

    def __init__(self, arm: ArmRecord) -> None:
        self._arm = arm
        self._read: dict[str, artifact.Artifact] = {}

    def best(self, variant: str) -> tuple[artifact.Artifact, int]:
        """The artifact that holds the best seed of a variant, and its index there."""
        files, index = self._arm.place(self._arm.best_seed(variant))
        if files.name not in self._read:
            self._read[files.name] = artifact.read(files.model)
        return self._read[files.name], index


def _log_one(draft: Draft, exporter: Exporter, trained: _Trained, arm: ArmRecord, variant: str, meta: Meta) -> str:
    manifest = arm.manifest
    record = manifest.variants[variant]
    index = arm.best_seed(variant)
    logged = draft.store.client.create_logged_model(
        draft.experiment,
        name=f"{manifest.arm}-{variant}",
        source_run_id=draft.id,
        tags={
            tags.ARM: manifest.arm,
            tags.VARIANT: variant,
            tags.CURRENT: draft.store.current,
            tags.NOTE: _note(arm, variant),
        },
        params={
            "arm": manifest.arm,
            "variant": variant,
            "method": manifest.method,
            "model": manifest.model.name,
            "members": str(record.members),
            "combine": record.combine,
            "density": str(record.density),
            "seed": str(manifest.seeds[index]),
        },
        model_type=MODEL_TYPE,
    )
    model = str(logged.model_id)
    _write(draft.store, exporter, trained, arm, variant, meta, model, draft.id)
    draft.store.client.finalize_logged_model(model, "READY")
    return model


def _write(
    store: Store,
    exporter: Exporter,
    trained: _Trained,
    arm: ArmRecord,
    variant: str,
    meta: Meta,
    model: str,
    run: str,
) -> None:
    """Write the files of one model."""
    from assay.tracking.predictor import predictor

    manifest = arm.manifest
    record = manifest.variants[variant]
    holder, seed = trained.best(variant)
    network = predictor(holder, variant, seed, meta.mean, meta.std)
    form = json.dumps([manifest.model.model_dump(), record.members, record.combine], sort_keys=True)
    folder = exporter.write(network, form, manifest.images, model, run)
    store.client.log_model_artifacts(model, str(folder))
    shutil.rmtree(folder)


def _note(arm: ArmRecord, variant: str) -> str:
    """What a person should know who meets the model: Markdown."""
    manifest, index = arm.manifest, arm.best_seed(variant)
    record, images = manifest.variants[variant], manifest.images
    networks = "one network" if record.members == 1 else f"{record.members} networks ({record.combine})"
    chosen = "the best on the validation set" if record.validation_loss else "the first"
    shape = f"n, {images['channels']}, {images['height']}, {images['width']}"
    return (
        f"`{manifest.arm}/{variant}`: {networks} of {manifest.model.name}, from raw uint8 images ({shape}) to "
        f"probabilities (n, {images['classes']}); the normalisation is inside.\n\n"
        f"The metrics are means over {len(manifest.seeds)} seeds. The model itself is that of seed "
        f"{manifest.seeds[index]}, {chosen}; its own test accuracy is {arm.accuracy(variant, index):.4f}."
    )

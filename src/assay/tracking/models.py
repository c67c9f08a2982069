"""The variants of an arm as MLflow models: exported, so that whoever loads one needs torch and nothing of ours."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from assay import artifact
from assay.tracking import content, tags

if TYPE_CHECKING:
    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.runs import Draft

MODEL_TYPE = "image classifier"


def log_models(draft: Draft, arm: ArmRecord, meta: Meta, digest: str) -> None:
    """Log one model for each variant, with its scores.

    A model takes uint8 images, since an exported graph is fixed to one type. Each has its scores under plain names, so
    that MLflow's table of models compares all variants of all arms; the run's own scores are logged later than these.

    Args:
        draft: the run.
        arm: what is logged.
        meta: the data, for its normalisation.
        digest: of the data set as the run names it.

    Raises:
        AssayError: the weights are missing or damaged.
    """
    trained = artifact.read(arm.files.model)
    models = {variant: _log_one(draft, trained, variant, meta) for variant in arm.manifest.variants}
    for variant, model in models.items():  # after all models: MLflow gives a model the scores that its run has by then
        scores = content.metrics_of(arm.evaluation.variants[variant])
        draft.log_metrics(scores, model_id=model, dataset_name=meta.name, dataset_digest=digest)


def _log_one(draft: Draft, trained: artifact.Artifact, variant: str, meta: Meta) -> str:
    import mlflow.pytorch
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

    from assay.tracking.predictor import best_seed, predictor

    manifest = trained.manifest
    record, images = manifest.variants[variant], manifest.images
    shape = (images["channels"], images["height"], images["width"])
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, *shape))]),
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, images["classes"]))]),
    )
    index = best_seed(record)
    seed = manifest.seeds[index]
    logged = draft.store.client.create_logged_model(
        draft.experiment,
        name=f"{manifest.arm}-{variant}",
        source_run_id=draft.id,
        tags={tags.ARM: manifest.arm, tags.VARIANT: variant, tags.NOTE: _note(manifest, variant, seed)},
        params={
            "arm": manifest.arm,
            "variant": variant,
            "method": manifest.method,
            "model": manifest.model.name,
            "members": str(record.members),
            "combine": record.combine,
            "density": str(record.density),
            "seed": str(seed),
        },
        model_type=MODEL_TYPE,
    )
    # `mlflow.pytorch.log_model` is this call without run_id, and puts the model into the experiment that is active
    Model.log(
        artifact_path=None,
        flavor=mlflow.pytorch,
        model_id=logged.model_id,
        run_id=draft.id,
        pytorch_model=predictor(trained, variant, index, meta.mean, meta.std),
        signature=signature,
        input_example=_ramp((2, *shape)),  # a batch of one would fix the size of every batch
        pip_requirements=[f"torch=={version('torch')}"],  # else MLflow spends ten seconds to infer them
        serialization_format="pt2",
    )
    return str(logged.model_id)


def _note(manifest: artifact.Manifest, variant: str, seed: int) -> str:
    """What a person should know who meets the model: Markdown."""
    record, images = manifest.variants[variant], manifest.images
    networks = "one network" if record.members == 1 else f"{record.members} networks ({record.combine})"
    chosen = "the least validation loss" if record.validation_loss else "the first place"
    shape = f"n, {images['channels']}, {images['height']}, {images['width']}"
    return (
        f"`{manifest.arm}/{variant}`: {networks} of {manifest.model.name}, from raw uint8 images ({shape}) to "
        f"probabilities (n, {images['classes']}); the normalisation is inside.\n\n"
        f"The metrics are means over {len(manifest.seeds)} seeds. The model itself is that of seed {seed}, "
        f"the one with {chosen}."
    )


def _ramp(shape: tuple[int, ...]) -> object:
    import numpy as np

    return (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)

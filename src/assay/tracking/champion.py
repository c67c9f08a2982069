"""The best model by validation: a version of one registered model, under an alias that moves when another is best."""

from __future__ import annotations

import json
from statistics import fmean
from typing import TYPE_CHECKING, Any

from assay.tracking import runs, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.tracking.records import ArmRecord
    from assay.tracking.store import Store

ALIAS = "champion"


def choose(arms: Iterable[ArmRecord]) -> tuple[ArmRecord, str] | None:
    """The arm and its variant with the highest validation accuracy, a mean over its seeds.

    Of equal ones the lower validation loss wins, then the first. The test set has no say, and nor has the cost: an
    ensemble may win. None where nothing was validated; a variant that diverged is passed over.
    """
    found = [
        (record.validation, arm, variant)
        for arm in arms
        for variant, record in arm.evaluation.variants.items()
        if record.validation
    ]
    return max(found, key=lambda one: (one[0][0], -one[0][1]))[1:] if found else None


def crown(store: Store, experiment: str, name: str, champion: tuple[ArmRecord, str] | None, run: str) -> Any:
    """Let the alias of the registered model `name` point at the champion's version, which is made if there is none yet.

    Earlier champions keep their versions. Where there is no champion, the alias is taken away: it would lie.
    `experiment` and `run`, that of the champion's arm, are ids. Gives the logged model that the alias points at.
    """
    from mlflow.exceptions import MlflowException

    client = store.client
    registered = _registered(client, name)
    if champion is None:
        if registered is not None and ALIAS in registered.aliases:
            client.delete_registered_model_alias(name, ALIAS)
        return None
    arm, variant = champion
    about = _about(store, name, arm.manifest.images)
    if registered is None:
        try:
            registered = client.create_registered_model(name, description=about)
        except MlflowException:  # another host was faster, or the name is refused
            registered = _registered(client, name)
            if registered is None:
                raise
    elif registered.description != about:
        client.update_registered_model(name, about)
    model = next(one for one in runs.models_of(experiment, run) if one.tags.get(tags.VARIANT) == variant)
    versions = client.search_model_versions(f"name = '{name}'")
    # a database does not give `version.model_id` back
    known = next((one for one in versions if one.source == model.model_uri), None)
    if known is None:
        record, index = arm.evaluation.variants[variant], arm.best_seed(variant)
        seed, accuracy = arm.manifest.seeds[index], record.accuracy[index]
        told = {tags.ARM: arm.name, tags.VARIANT: variant, tags.SEED: str(seed), tags.ACCURACY: str(accuracy)}
        description = (
            f"`{arm.name}/{variant}`, seed {seed}. Chosen by its validation accuracy, "
            f"{fmean(record.validation_accuracy):.4f} as a mean over seeds. Its own test accuracy is {accuracy:.4f}."
        )
        known = client.create_model_version(
            name, model.model_uri, run_id=run, tags=told, description=description, model_id=model.model_id
        )
    version = str(known.version)
    link = json.dumps([{"name": name, "version": version}])
    if model.tags.get(tags.VERSIONS) != link:  # what the model's own page has of its registration
        client.set_logged_model_tags(model.model_id, {tags.VERSIONS: link})
    if str(registered.aliases.get(ALIAS)) != version:
        client.set_registered_model_alias(name, ALIAS, version)
    return model


def _registered(client: Any, name: str) -> Any:
    return next(iter(client.search_registered_models(f"name = '{name}'")), None)


def _about(store: Store, name: str, images: dict[str, int]) -> str:
    shape = f"5, {images['channels']}, {images['height']}, {images['width']}"
    return (
        f"The best model by validation, under the alias `{ALIAS}`: from raw uint8 images to probabilities.\n\n"
        "```python\n"
        "import mlflow, torch\n\n"
        f'mlflow.set_tracking_uri("{store.shown.replace("//***@", "//")}")\n'
        f'model = mlflow.pytorch.load_model("models:/{name}@{ALIAS}")\n'
        f"images = torch.zeros({shape}, dtype=torch.uint8)\n"
        f"probabilities = model(images)  # (5, {images['classes']})\n"
        "```\n\n"
        "A version for each model that has been the best; each version's description says which it is."
    )

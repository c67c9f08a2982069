"""The best model by validation: a version of one registered model, under an alias that moves when another is best."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assay.tracking import runs, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.tracking.records import ArmRecord
    from assay.tracking.store import Store

ALIAS = "champion"


@dataclass(frozen=True)
class Champion:
    """The best variant there is."""

    arm: ArmRecord
    variant: str
    validation_accuracy: float  # the mean over its seeds, by which it was chosen

    @property
    def index(self) -> int:
        """Which of the arm's seeds the model holds, 0 to S - 1."""
        return self.arm.best_seed(self.variant)

    @property
    def name(self) -> str:
        """Arm and variant, as claims name them."""
        return f"{self.arm.name}/{self.variant}"


def choose(arms: Iterable[ArmRecord]) -> Champion | None:
    """The variant with the highest validation accuracy, a mean over its seeds.

    Of equal ones the lower validation loss wins, then the first. The test set has no say, and nor has the cost: an
    ensemble may win. None where nothing was validated; a variant that diverged is passed over.
    """
    found = [
        (record.validation, arm, variant)
        for arm in arms
        for variant, record in arm.evaluation.variants.items()
        if record.validation
    ]
    if not found:
        return None
    (accuracy, _), arm, variant = max(found, key=lambda one: (one[0][0], -one[0][1]))
    return Champion(arm, variant, accuracy)


def crown(store: Store, experiment: str, name: str, champion: Champion | None, run: str) -> None:
    """Let the alias of the registered model `name` point at the champion's version, which is made if there is none yet.

    Earlier champions keep their versions. Where there is no champion, the alias is taken away: it would lie.
    `experiment` and `run`, that of the champion's arm, are ids.
    """
    client = store.client
    registered = next(iter(client.search_registered_models(f"name = '{name}'")), None)
    if champion is None:
        if registered is not None and ALIAS in registered.aliases:
            client.delete_registered_model_alias(name, ALIAS)
        return
    about = _about(store, name, champion.arm.manifest.images)
    if registered is None:
        registered = client.create_registered_model(name, description=about)
    elif registered.description != about:
        client.update_registered_model(name, about)
    models = runs.models_of(experiment, run)
    model = next(model for model in models if model.tags.get(tags.VARIANT) == champion.variant)
    version = _version(store, name, model, champion, run)
    link = json.dumps([{"name": name, "version": version}])
    if model.tags.get(tags.VERSIONS) != link:  # what the model's own page has of its registration
        client.set_logged_model_tags(model.model_id, {tags.VERSIONS: link})
    if str(registered.aliases.get(ALIAS)) != version:
        client.set_registered_model_alias(name, ALIAS, version)


def _about(store: Store, name: str, images: dict[str, int]) -> str:
    """The description of the registered model: Markdown."""
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


def _version(store: Store, name: str, model: Any, champion: Champion, run: str) -> str:
    """The version of a logged model, which is made if there is none."""
    for version in store.client.search_model_versions(f"name = '{name}'"):
        if version.source == model.model_uri:  # a database does not give `version.model_id` back
            return str(version.version)
    arm, variant = champion.arm, champion.variant
    seed, accuracy = arm.manifest.seeds[champion.index], arm.evaluation.variants[variant].accuracy[champion.index]
    told = {tags.ARM: arm.name, tags.VARIANT: variant, tags.SEED: str(seed), tags.ACCURACY: str(accuracy)}
    description = (
        f"`{champion.name}`, seed {seed}. Chosen by its validation accuracy, "
        f"{champion.validation_accuracy:.4f} as a mean over seeds. Its own test accuracy is {accuracy:.4f}."
    )
    made = store.client.create_model_version(
        name, model.model_uri, run_id=run, tags=told, description=description, model_id=model.model_id
    )
    return str(made.version)

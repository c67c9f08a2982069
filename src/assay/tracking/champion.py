"""The best model by validation: a version of one registered model, under an alias that moves when another is best."""

from __future__ import annotations

import json
import math
import statistics
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
    """The best variant there is, and the best of its seeds."""

    arm: ArmRecord
    variant: str
    validation_accuracy: float  # the mean over its seeds, by which it was chosen

    @property
    def index(self) -> int:
        """Which of the arm's seeds the model holds, 0 to S - 1."""
        return self.arm.best_seed(self.variant)

    @property
    def seed(self) -> int:
        """That seed."""
        return self.arm.manifest.seeds[self.index]

    @property
    def name(self) -> str:
        """Arm and variant, as claims name them."""
        return f"{self.arm.files.name}/{self.variant}"


def registered_name(data: str, model: str) -> str:
    """The registered model of an experiment: MLflow takes no colon here."""
    return f"{data}-{model}"


def choose(arms: Iterable[ArmRecord]) -> Champion | None:
    """The variant with the highest validation accuracy, a mean over its seeds.

    Of equal ones the lower validation loss wins, then the first. The test set has no say, and nor has the cost: an
    ensemble may win. None where nothing was validated; a variant that diverged is passed over.
    """
    ranked = [
        (statistics.fmean(record.validation_accuracy), -statistics.fmean(record.validation_loss), arm, variant)
        for arm in arms
        for variant, record in arm.manifest.variants.items()
        if record.validation_accuracy
    ]
    finite = [one for one in ranked if math.isfinite(one[0]) and math.isfinite(one[1])]
    accuracy, _, arm, variant = max(finite, key=lambda one: one[:2], default=(0.0, 0.0, None, ""))
    return Champion(arm, variant, accuracy) if arm else None


def crown(store: Store, experiment: str, name: str, champion: Champion | None, run: str | None) -> None:
    """Let the alias point at the champion's version, which is made if there is none yet.

    Earlier champions keep their versions. Where there is no champion, the alias is taken away: it would lie.

    Args:
        store: where.
        experiment: the id of its experiment.
        name: of the registered model.
        champion: as `choose` gives it.
        run: the id of its arm's run.
    """
    from mlflow.exceptions import MlflowException

    try:
        registered = store.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        registered = None
    if champion is None or run is None:
        if registered is not None and ALIAS in registered.aliases:
            store.client.delete_registered_model_alias(name, ALIAS)
        return
    about = _about(store, name, champion.arm.manifest.images)
    if registered is None:
        registered = store.client.create_registered_model(name, description=about)
    elif registered.description != about:
        store.client.update_registered_model(name, about)
    models = runs.models_of(store, experiment, run)
    model = next(model for model in models if model.tags.get(tags.VARIANT) == champion.variant)
    version = _version_of(store, name, model) or _new_version(store, name, model, champion, run)
    link = json.dumps([{"name": name, "version": version}])
    if model.tags.get(tags.VERSIONS) != link:  # what the model's own page has of its registration
        store.client.set_logged_model_tags(model.model_id, {tags.VERSIONS: link})
    if str(registered.aliases.get(ALIAS)) != version:
        store.client.set_registered_model_alias(name, ALIAS, version)


def _about(store: Store, name: str, images: dict[str, int]) -> str:
    """The description of the registered model: Markdown."""
    shape = f"5, {images['channels']}, {images['height']}, {images['width']}"
    return (
        f"The best model by validation, under the alias `{ALIAS}`: from raw uint8 images to probabilities.\n\n"
        "```python\n"
        "import mlflow, torch\n\n"
        f'mlflow.set_tracking_uri("{store.bare}")\n'
        f'model = mlflow.pytorch.load_model("models:/{name}@{ALIAS}")\n'
        f"images = torch.zeros({shape}, dtype=torch.uint8)\n"
        f"probabilities = model(images)  # (5, {images['classes']})\n"
        "```\n\n"
        "A version for each model that has been the best; each version's description says which it is."
    )


def _version_of(store: Store, name: str, model: Any) -> str | None:
    """The version that was made of a logged model."""
    for version in store.client.search_model_versions(f"name = '{name}'"):
        if version.source == model.model_uri:  # a database does not give `version.model_id` back
            return str(version.version)
    return None


def _new_version(store: Store, name: str, model: Any, champion: Champion, run: str) -> str:
    accuracy = champion.arm.accuracy(champion.variant, champion.index)
    told = {
        tags.ARM: champion.arm.files.name,
        tags.VARIANT: champion.variant,
        tags.SEED: str(champion.seed),
        tags.ACCURACY: str(accuracy),
    }
    description = (
        f"`{champion.name}`, seed {champion.seed}. Chosen by its validation accuracy, "
        f"{champion.validation_accuracy:.4f} as a mean over seeds. Its own test accuracy is {accuracy:.4f}."
    )
    made = store.client.create_model_version(
        name, model.model_uri, run_id=run, tags=told, description=description, model_id=model.model_id
    )
    return str(made.version)

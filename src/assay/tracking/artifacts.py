"""The artifacts of runs and models that are there already: whether they exist, and how they are written again."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from assay.tracking import content, location, models, runs, tags
from assay.tracking.export import CARD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assay.tracking.export import Exporter
    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.store import Store

SEEDS = "seeds.json"
MODEL_FILES = (CARD, "data/model.pt2")


def names_of(arm: ArmRecord) -> list[str]:
    """The artifacts of an arm's run."""
    return [SEEDS, *(f"files/{path.relative_to(arm.files.root).as_posix()}" for path in arm.files.logged)]


def write(store: Store, run: str, arm: ArmRecord, names: Iterable[str]) -> None:
    """Write those artifacts of an arm's run that are named."""
    for name in names:
        if name == SEEDS:
            store.client.log_table(run, content.table_of_seeds(arm), SEEDS)
        else:
            path = PurePath(name)
            store.client.log_artifact(run, str(arm.files.root / path.relative_to("files")), str(path.parent))


def absent(uri: str, names: Iterable[str], listed: Callable[[], list[Any]]) -> list[str]:
    """Which artifacts are not there.

    On a file system each file is looked for. Elsewhere the top folder is listed, which is one request: a file that is
    missing in a folder of it is not noticed.

    Args:
        uri: where they should be.
        names: paths of files below it.
        listed: asks the store for the content of its top folder.
    """
    folder = location.local_path(uri)
    if folder is not None:
        return [name for name in names if not (folder / name).is_file()]
    top = {PurePath(info.path).name for info in listed()}
    return [name for name in names if PurePath(name).parts[0] not in top]


def complete(store: Store, experiment: str, run: Any, arm: ArmRecord, meta: Meta, exporter: Exporter) -> bool | None:
    """Write those artifacts of an arm's run, and those models, that have been lost since.

    Args:
        store: an open store.
        experiment: the id of its experiment.
        run: the finished run, as MLflow gives it.
        arm: what it tells of.
        meta: the data.
        exporter: writes the models.

    Returns:
        Whether all was there; None where models themselves are deleted, so that only a new run can have them.

    Raises:
        AssayError: the weights are missing or damaged.
    """
    client, id_ = store.client, run.info.run_id
    logged = runs.models_of(store, experiment, id_)
    if sorted(model.tags.get(tags.VARIANT, "") for model in logged) != sorted(arm.manifest.variants):
        return None
    lost = [model for model in logged if absent(model.artifact_location, MODEL_FILES, _listing(client, model))]
    names = absent(run.info.artifact_uri, names_of(arm), lambda: client.list_artifacts(id_))
    if lost:
        models.write_again(store, exporter, arm, meta, id_, lost)
    write(store, id_, arm, names)
    return not lost and not names


def _listing(client: Any, model: Any) -> Callable[[], list[Any]]:
    return lambda: list(client.list_logged_model_artifacts(model.model_id))

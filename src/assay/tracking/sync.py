"""Bring MLflow up to what is on disk: one run an arm and one for the report, each looked up before it is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from assay.analysis import curves
from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE
from assay.core.config.blocks import read_blocks, stages_of
from assay.models.predictor import NoOnnxError
from assay.pipeline import lockfile
from assay.tracking import champion, comparison, content, follow, location, runs, tags
from assay.tracking.models import NEEDED, ONNX, Models
from assay.tracking.records import read_arm, read_meta
from assay.tracking.store import SHARE, exclusive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.tracking.records import ArmRecord
    from assay.tracking.store import Store

    Artifacts = Mapping[str, Path | dict[str, list[Any]]]  # by name in the run: a file, or a table by column

RECORD = Path("metrics/mlflow.json")


@dataclass
class Synced:
    """What a sync did."""

    experiment: str  # its name
    registered: str  # the name of the registered model
    champion: str = ""  # the variant under its alias, as `arm/variant`; empty where nothing was validated
    no_onnx: str = ""  # why the champion has none, where it has none
    page: str = ""  # the experiment's table of runs in the view `Results`, as MLflow's pages address it
    keys: dict[str, str] = field(default_factory=dict)  # of each run, by name
    made: list[str] = field(default_factory=list)  # the runs that were not there before
    healed: list[str] = field(default_factory=list)  # those that had lost artifacts or models, written again


def experiment_name(data: str, model: str) -> str:
    """The experiment of a data set and the model that its baseline has."""
    return f"{data}: {model}"


def sync(store: Store, arms: Iterable[str], defaults: Mapping[str, Mapping[str, Any]] | None = None) -> Synced:
    """Log what is on disk of the baseline, of these arms and of the report, as far as it is not there yet.

    All small files are read and checked before anything is written. `metrics/mlflow.json` is written at the end:
    names and keys, nothing that varies from store to store.

    The results of an experiment that DVC runs in a temporary folder become runs that carry its name. They do not become
    the current ones and the alias of the champion does not move, until `dvc exp apply` brings them to the workspace.

    Args:
        store: an open store; its root is the repository's.
        arms: their names, without the baseline; `round-<n>` for a pruning round.
        defaults: by arm, what the options of its method are where it does not set them.

    Raises:
        AssayError: a file is missing, damaged, or not the one that dvc.lock records.
    """
    meta = read_meta(store.root)
    blocks = read_blocks(store.root / SEEDS_FILE)
    records = {name: read_arm(store.root, name, meta, blocks.of(name)) for name in (BASELINE, *arms)}
    page = comparison.read_report(store.root)
    told = comparison.read_verdicts(store.root, records.values())
    locked = lockfile.read(store.root)
    model = records[BASELINE].manifest.model.name
    done = Synced(experiment_name(meta.name, model), f"{meta.name}-{model}")  # a registered model takes no colon
    for name, arm in records.items():
        stages = [stage for part in arm.parts for stage in stages_of(part.name)]
        done.keys[name] = runs.key(store.root, locked, stages, [*arm.logged, *(part.weights for part in arm.parts)])
    report_key = runs.key(store.root, locked, [comparison.STAGE], page.values())
    with exclusive(store.home), TemporaryDirectory(prefix="assay-track-") as scratch:
        experiment = store.experiment(done.experiment)
        done.page = f"/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={SHARE}"
        # Nobody knows when an arm was trained: its files may come from a cache. The starts put the baseline on top. It
        # is logged last, as MLflow's tables look up the models of the runs on top among the fifty newest alone.
        newest = int((time.time() - max(arm.seconds or 0 for arm in records.values())) * 1000)
        models = Models(store, meta, Path(scratch))
        current = {
            name: _arm_run(store, experiment, arm, models, done, newest - i, (defaults or {}).get(name, {}))
            for i, (name, arm) in reversed(list(enumerate(records.items())))
        }
        done.made.reverse()
        for name, run in current.items():
            if name in done.made or not store.dvc_experiment:  # an experiment says nothing of the workspace's runs
                comparison.write_verdicts(store, run, told[name])
        best = champion.choose(records.values())
        done.champion = f"{best[0].name}/{best[1]}" if best else ""
        report_run = _report_run(store, experiment, report_key, page, done)
        if not store.dvc_experiment:
            run = current[best[0].name] if best else ""
            crowned = champion.crown(store, experiment, done.registered, best, run)
            if best and _absent(crowned.artifact_location, [ONNX]):
                try:
                    models.write_onnx(*best, crowned.model_id)
                except NoOnnxError as error:
                    done.no_onnx = str(error)
            runs.mark_current(store, experiment, [*current.values(), report_run])
            follow.remove_finished(store, experiment, done.keys)
    record = {
        "experiment": done.experiment,
        "runs": {name: {"name": name, "key": key} for name, key in done.keys.items()},
        "report": {"name": comparison.NAME, "key": report_key},
        "champion": {"model": done.registered, "variant": done.champion} if best else None,
    }
    files.write_json(store.root / RECORD, record)
    return done


def _arm_run(
    store: Store, experiment: str, arm: ArmRecord, models: Models, done: Synced, start: int, defaults: Mapping[str, Any]
) -> str:
    """Find an arm's run or make it, and write what it has lost; gives its id, and notes in `done` what was done."""
    from mlflow.entities import Metric, Param

    name, key, meta = arm.name, done.keys[arm.name], models.meta
    logged = {f"files/{path.relative_to(store.root).as_posix()}": path for path in arm.logged}
    artifacts: Artifacts = {"seeds.json": content.table_of_seeds(arm), **logged}
    found = runs.find(store, experiment, key)
    if found is not None:
        run = str(found.info.run_id)
        logged_models = runs.models_of(experiment, run)
        variants = sorted(model.tags.get(tags.VARIANT, "") for model in logged_models)
        if variants == sorted(arm.manifest.variants):
            lost = [model for model in logged_models if _absent(model.artifact_location, NEEDED)]
            for model in lost:
                models.write(arm, model.tags[tags.VARIANT], model.model_id, run)
            if _restored(store, found, artifacts) or lost:
                done.healed.append(name)
            return run
        done.healed.append(name)  # models themselves are deleted, and only a new run can have them
        runs.delete(store, experiment, run)
    end = start + max(1, int((arm.seconds or 0) * 1000))
    about = tags.of_run("arm", content.description(arm, meta), stages_of(name)[0])
    about |= {tags.ARM: name, tags.VARIANT: arm.first}
    with runs.drafted(store, experiment, name, key, about, start, end) as run:
        store.client.log_inputs(run, datasets=[content.dataset_input(meta)])
        metrics = models.log(arm, experiment, run, start)  # at the start: MLflow shows the latest, which is the arm's
        metrics += [Metric(metric, value, end, 0) for metric, value in content.metrics(arm).items()]
        rows = [row for part in arm.parts for row in curves.rows(part.curves)]
        metrics += content.points_of(rows, start, end, arm.first)
        store.client.log_batch(run, metrics, [Param(*one) for one in content.parameters(arm, meta, defaults).items()])
        _upload(store, run, artifacts)
    if name not in done.healed:
        done.made.append(name)
    return run


def _report_run(store: Store, experiment: str, key: str, page: Mapping[str, Path], done: Synced) -> str:
    found = runs.find(store, experiment, key)
    if found is not None:
        if _restored(store, found, page):
            done.healed.append(comparison.NAME)
        return str(found.info.run_id)
    about, now = tags.of_run("report", comparison.note(store.root), comparison.STAGE), int(time.time() * 1000)
    with runs.drafted(store, experiment, comparison.NAME, key, about, now, now + 1) as run:
        _upload(store, run, page)
    done.made.append(comparison.NAME)
    return run


def _upload(store: Store, run: str, artifacts: Artifacts) -> None:
    for name, found in artifacts.items():
        if isinstance(found, Path):
            store.client.log_artifact(run, str(found), name.rpartition("/")[0] or None)
        else:
            store.client.log_table(run, found, name)


def _restored(store: Store, run: Any, artifacts: Artifacts) -> bool:
    """Write those artifacts again that a finished run has lost; gives whether there were any."""
    lost = _absent(run.info.artifact_uri, artifacts)
    _upload(store, run.info.run_id, {name: artifacts[name] for name in lost})
    return bool(lost)


def _absent(uri: str, names: Iterable[str]) -> list[str]:
    """Which of these files are not below `uri`.

    On a file system each file is looked for. Elsewhere the top folder is listed, which is one request: a file that is
    missing in a folder of it is not noticed.
    """
    import mlflow.artifacts

    folder = location.local_path(uri)
    if folder is not None:
        return [name for name in names if not (folder / name).is_file()]
    top = {PurePath(info.path).name for info in mlflow.artifacts.list_artifacts(uri)}
    return [name for name in names if PurePath(name).parts[0] not in top]

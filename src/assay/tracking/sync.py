"""Bring MLflow up to what is on disk: one run an arm and one for the report, each looked up before it is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE
from assay.core.config.blocks import read_blocks, stages_of
from assay.pipeline import lockfile
from assay.tracking import artifacts, champion, content, keys, live, lock, runs, tags, verdicts, view
from assay.tracking.dataset import dataset_input, digest_of
from assay.tracking.export import Exporter
from assay.tracking.models import log_models
from assay.tracking.records import ArmRecord, Meta, read_arm, read_meta
from assay.tracking.report import NAME as REPORT
from assay.tracking.report import STAGE as REPORT_STAGE
from assay.tracking.report import log_report, note, read_report, report_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.tracking.store import Store

RECORD = Path("metrics/mlflow.json")


@dataclass
class Synced:
    """What a sync did.

    Attributes:
        experiment: its name.
        registered: the name of the registered model.
        champion: the variant under its alias, as `arm/variant`; empty where nothing was validated.
        page: its table of runs, as MLflow's pages address it.
        keys: of each run, by name.
        made: the runs that were not there before.
        healed: the runs that had lost artifacts or models, which were written again.
    """

    experiment: str
    registered: str
    champion: str = ""
    page: str = ""
    keys: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)


def experiment_name(data: str, model: str) -> str:
    """The experiment of a data set and the model that its baseline has."""
    return f"{data}: {model}"


def sync(store: Store, arms: Iterable[str]) -> Synced:
    """Log what is on disk of the baseline, of these arms and of the report, as far as it is not there yet.

    All small files are read and checked before anything is written. `metrics/mlflow.json` is written at the end:
    names and keys, nothing that varies from store to store.

    The results of an experiment that DVC runs in a temporary folder become runs that carry its name. They do not become
    the current ones and the alias of the champion does not move, until `dvc exp apply` brings them to the workspace.

    Args:
        store: an open store; its root is the repository's.
        arms: their names, without the baseline; `round-<n>` for a pruning round.

    Raises:
        AssayError: a file is missing, damaged, or not the one that dvc.lock records.
    """
    meta = read_meta(store.root)
    blocks = read_blocks(store.root / SEEDS_FILE)
    records = [read_arm(store.root, name, meta, blocks.of(name)) for name in (BASELINE, *arms)]
    report = read_report(store.root)
    told = verdicts.read(store.root, records)
    locked = lockfile.read(store.root)
    model = records[0].manifest.model.name
    done = Synced(experiment_name(meta.name, model), champion.registered_name(meta.name, model))
    for arm in records:
        read = [*arm.files.logged, *(part.weights for part in arm.files.parts)]
        stages = [stage for part in arm.files.parts for stage in stages_of(part.name)]
        done.keys[arm.files.name] = keys.key(store.root, locked, stages, read)
    report_key = keys.key(store.root, locked, [REPORT_STAGE], report)
    with lock.exclusive(store.home):
        experiment = store.experiment(done.experiment)
        done.page = view.page(experiment)
        view.save(store, experiment)
        # Nobody knows when an arm was trained: its files may come from a cache. The starts put the baseline on top. It
        # is logged last, as MLflow's tables look up the models of the runs on top among the fifty newest alone.
        newest = int((time.time() - max(arm.seconds for arm in records)) * 1000)
        with Exporter() as exporter:
            current = {
                arm.files.name: _arm_run(store, experiment, arm, meta, done, exporter, newest - i)
                for i, arm in reversed(list(enumerate(records)))
            }
        done.made.reverse()
        for name, run in current.items():
            if name in done.made or not store.dvc_experiment:  # an experiment says nothing of the workspace's runs
                verdicts.write(store, run, told[name])
        best = champion.choose(records)
        done.champion = best.name if best else ""
        report_run = _report_run(store, experiment, report_key, done)
        if not store.dvc_experiment:
            crowned = current.get(best.arm.files.name) if best else None
            champion.crown(store, experiment, done.registered, best, crowned)
            runs.mark_current(store, experiment, [*current.values(), report_run])
            live.remove_finished(store, experiment, done.keys)
    by_name = {name: {"name": name, "key": key} for name, key in done.keys.items()}
    content_ = {
        "experiment": done.experiment,
        "runs": by_name,
        "report": {"name": REPORT, "key": report_key},
        "champion": {"model": done.registered, "variant": done.champion} if best else None,
    }
    files.write_json(store.root / RECORD, content_)
    return done


def _arm_run(
    store: Store, experiment: str, arm: ArmRecord, meta: Meta, done: Synced, exporter: Exporter, start: int
) -> str:
    name, key = arm.files.name, done.keys[arm.files.name]
    found = runs.find(store, experiment, key)
    if found is not None:
        whole = artifacts.complete(store, experiment, found, arm, meta, exporter)
        if not whole:
            done.healed.append(name)
        if whole is not None:
            return str(found.info.run_id)
        runs.delete(store, experiment, found.info.run_id)
    arm_tags = {
        **_tags(store, "arm", key, stages_of(name)[0], content.description(arm, meta)),
        tags.ARM: name,
        tags.VARIANT: arm.first,
    }
    with runs.drafted(store, experiment, name, arm_tags, start, arm.seconds) as draft:
        _log_arm(draft, exporter, arm, meta)
    if name not in done.healed:
        done.made.append(name)
    return draft.id


def _log_arm(draft: runs.Draft, exporter: Exporter, arm: ArmRecord, meta: Meta) -> None:
    from assay.tracking.points import read_points

    client: Any = draft.store.client
    client.log_inputs(draft.id, datasets=[dataset_input(meta)])
    scores = log_models(draft, exporter, arm, meta, digest_of(meta)) + draft.scores(content.metrics(arm))
    points = read_points(*(part.curves for part in arm.files.parts), first=arm.first)
    draft.log(content.parameters(arm, meta), draft.curves(points) + scores)
    artifacts.write(draft.store, draft.id, arm, artifacts.names_of(arm))


def _report_run(store: Store, experiment: str, key: str, done: Synced) -> str:
    found = runs.find(store, experiment, key)
    if found is not None:
        run = str(found.info.run_id)
        if artifacts.absent(
            found.info.artifact_uri, report_names(store.root), lambda: store.client.list_artifacts(run)
        ):
            log_report(store, run)
            done.healed.append(REPORT)
        return run
    report_tags = _tags(store, "report", key, REPORT_STAGE, note(store.root))
    with runs.drafted(store, experiment, REPORT, report_tags, int(time.time() * 1000)) as draft:
        log_report(store, draft.id)
    done.made.append(REPORT)
    return draft.id


def _tags(store: Store, kind: str, key: str, stage: str, description: str) -> dict[str, str]:
    return {
        **({tags.DVC_EXPERIMENT: store.dvc_experiment} if store.dvc_experiment else {}),
        tags.KIND: kind,
        tags.KEY: key,
        tags.CURRENT: store.current,
        tags.NOTE: description,
        tags.SOURCE_NAME: stage,
        tags.SOURCE_TYPE: "LOCAL",
    }

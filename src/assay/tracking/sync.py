"""Bring MLflow up to what is on disk: one run an arm and one for the report, each looked up before it is made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE
from assay.core.config.blocks import read_blocks, stages_of
from assay.pipeline import lockfile
from assay.tracking import champion, content, follow, location, report, runs, tags, verdicts, view
from assay.tracking.models import CARD, Exporter, Models
from assay.tracking.records import read_arm, read_meta
from assay.tracking.store import exclusive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from assay.tracking.records import ArmRecord, Meta
    from assay.tracking.store import Store

RECORD = Path("metrics/mlflow.json")
SEEDS = "seeds.json"
MODEL_FILES = (CARD, "data/model.pt2")


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
    page = report.read_report(store.root)
    told = verdicts.read(store.root, records)
    locked = lockfile.read(store.root)
    model = records[0].manifest.model.name
    done = Synced(experiment_name(meta.name, model), champion.registered_name(meta.name, model))
    for arm in records:
        read = [*arm.files.logged, *(part.weights for part in arm.files.parts)]
        stages = [stage for part in arm.files.parts for stage in stages_of(part.name)]
        done.keys[arm.files.name] = runs.key(store.root, locked, stages, read)
    report_key = runs.key(store.root, locked, [report.STAGE], page.values())
    with exclusive(store.home):
        experiment = store.experiment(done.experiment)
        done.page = view.page(experiment)
        view.save(store, experiment)
        # Nobody knows when an arm was trained: its files may come from a cache. The starts put the baseline on top. It
        # is logged last, as MLflow's tables look up the models of the runs on top among the fifty newest alone.
        newest = int((time.time() - max(arm.seconds for arm in records)) * 1000)
        with Exporter() as exporter:
            current = {
                arm.files.name: _ArmRun(store, experiment, arm, meta, exporter).bring_up(done, newest - i)
                for i, arm in reversed(list(enumerate(records)))
            }
        done.made.reverse()
        for name, run in current.items():
            if name in done.made or not store.dvc_experiment:  # an experiment says nothing of the workspace's runs
                verdicts.write(store, run, told[name])
        best = champion.choose(records)
        done.champion = best.name if best else ""
        report_run = _report_run(store, experiment, report_key, page, done)
        if not store.dvc_experiment:
            crowned = current.get(best.arm.files.name) if best else None
            champion.crown(store, experiment, done.registered, best, crowned)
            runs.mark_current(store, experiment, [*current.values(), report_run])
            follow.remove_finished(store, experiment, done.keys)
    by_name = {name: {"name": name, "key": key} for name, key in done.keys.items()}
    content_ = {
        "experiment": done.experiment,
        "runs": by_name,
        "report": {"name": report.NAME, "key": report_key},
        "champion": {"model": done.registered, "variant": done.champion} if best else None,
    }
    files.write_json(store.root / RECORD, content_)
    return done


@dataclass(frozen=True)
class _ArmRun:
    """The run of one arm, with a model for each variant."""

    store: Store
    experiment: str
    arm: ArmRecord
    meta: Meta
    exporter: Exporter

    def bring_up(self, done: Synced, start: int) -> str:
        """Find the run or make it, and write what it has lost; gives its id, and notes in `done` what was done."""
        store, arm, name = self.store, self.arm, self.arm.files.name
        key = done.keys[name]
        found = runs.find(store, self.experiment, key)
        if found is not None:
            whole = self._complete(found)
            if not whole:
                done.healed.append(name)
            if whole is not None:
                return str(found.info.run_id)
            runs.delete(store, self.experiment, found.info.run_id)
        about = _tags(store, "arm", key, stages_of(name)[0], content.description(arm, self.meta))
        about |= {tags.ARM: name, tags.VARIANT: arm.first}
        with runs.drafted(store, self.experiment, name, about, start, arm.seconds) as draft:
            store.client.log_inputs(draft.id, datasets=[content.dataset_input(self.meta)])
            scores = self._models().log(draft) + draft.scores(content.metrics(arm))
            points = content.read_points(*(part.curves for part in arm.files.parts), first=arm.first)
            draft.log(content.parameters(arm, self.meta), draft.curves(points) + scores)
            self._write(draft.id, self._artifacts())
        if name not in done.healed:
            done.made.append(name)
        return draft.id

    def _models(self) -> Models:
        return Models(self.store, self.exporter, self.arm, self.meta)

    def _artifacts(self) -> dict[str, Path]:
        """The files of the run by their names there; the table of seeds, which is no file, is made when written."""
        root = self.arm.files.root
        logged = {f"files/{path.relative_to(root).as_posix()}": path for path in self.arm.files.logged}
        return {SEEDS: Path(SEEDS), **logged}

    def _write(self, run: str, artifacts: dict[str, Path]) -> None:
        if artifacts.pop(SEEDS, None):
            self.store.client.log_table(run, content.table_of_seeds(self.arm), SEEDS)
        _upload(self.store, run, artifacts)

    def _complete(self, run: Any) -> bool | None:
        """Write those artifacts of a finished run, and those models, that have been lost since.

        Returns:
            Whether all was there; None where models themselves are deleted, so that only a new run can have them.
        """
        client = self.store.client
        logged = runs.models_of(self.store, self.experiment, run.info.run_id)
        if sorted(model.tags.get(tags.VARIANT, "") for model in logged) != sorted(self.arm.manifest.variants):
            return None

        def is_lost(model: Any) -> bool:
            listed = lambda: list(client.list_logged_model_artifacts(model.model_id))  # noqa: E731
            return bool(_absent(model.artifact_location, MODEL_FILES, listed))

        lost = [model for model in logged if is_lost(model)]
        artifacts = _lost(self.store, run, self._artifacts())
        if lost:
            self._models().write_again(run.info.run_id, lost)
        self._write(run.info.run_id, dict(artifacts))
        return not lost and not artifacts


def _report_run(store: Store, experiment: str, key: str, page: Mapping[str, Path], done: Synced) -> str:
    found = runs.find(store, experiment, key)
    if found is not None:
        if lost := _lost(store, found, page):
            _upload(store, found.info.run_id, lost)
            done.healed.append(report.NAME)
        return str(found.info.run_id)
    about = _tags(store, "report", key, report.STAGE, report.note(store.root))
    with runs.drafted(store, experiment, report.NAME, about, int(time.time() * 1000)) as draft:
        _upload(store, draft.id, page)
    done.made.append(report.NAME)
    return draft.id


def _upload(store: Store, run: str, artifacts: Mapping[str, Path]) -> None:
    for name, path in artifacts.items():
        store.client.log_artifact(run, str(path), name.rpartition("/")[0] or None)


def _lost(store: Store, run: Any, artifacts: Mapping[str, Path]) -> dict[str, Path]:
    """Those artifacts that a run should have and has not."""
    listed = lambda: list(store.client.list_artifacts(run.info.run_id))  # noqa: E731
    return {name: artifacts[name] for name in _absent(run.info.artifact_uri, artifacts, listed)}


def _absent(uri: str, names: Iterable[str], listed: Callable[[], list[Any]]) -> list[str]:
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


def _tags(store: Store, kind: str, key: str, stage: str, description: str) -> dict[str, str]:
    experiment = {tags.DVC_EXPERIMENT: store.dvc_experiment} if store.dvc_experiment else {}
    return tags.of_run(kind, description, stage) | {tags.KEY: key, tags.CURRENT: store.current} | experiment

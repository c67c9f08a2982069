"""Runs looked up by their key, else made; one that a kill left half-made is deleted and made again.

The key is equal where the stages behind a run are.
"""

from __future__ import annotations

import os
import platform
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from assay.core import files
from assay.core.errors import AssayError, again
from assay.pipeline import lockfile
from assay.tracking import tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from assay.tracking.store import Store

PATIENCE = 600.0  # seconds after which an unfinished run of another machine counts as left by a kill
LAYOUT = 3
"""Raised whenever a change of this package logs something else: then every run is made anew, beside the old one."""


def key(root: Path, lock: dict[str, Any], stages: Sequence[str], read: Iterable[Path]) -> str:
    """The key of a run that tells of these stages and is made from the files `read`: 16 hex digits.

    It is a digest of the stages' entries in dvc.lock, which name everything that went in and came out. Where a stage
    was run by hand and has no entry, the files themselves stand in for it.

    Raises:
        AssayError: a file is not the one that dvc.lock records, so the key would name another result.
    """
    read = list(read)
    entries = {stage: lock[stage] for stage in stages if stage in lock}
    content: dict[str, Any] = {"layout": LAYOUT, "stages": entries}
    for out in (out for entry in entries.values() for out in entry.get("outs", [])):
        path = root / out["path"]
        known = any(one.is_relative_to(path) for one in read)
        if known and out.get("md5") not in (None, lockfile.digest(path)):
            raise AssayError(f"{out['path']}: not what {lockfile.NAME} records; {again(Path(out['path']))}")
    if len(entries) < len(stages):
        content["files"] = {str(path.relative_to(root)): files.file_digest(path) for path in sorted(read)}
    return files.content_digest(content)[:16]


def find(store: Store, experiment: str, key: str) -> Any:
    """The finished run with this key; None where there is none.

    One that another process is writing is waited for. Unfinished runs with the key (a kill left them) and twins of the
    first (two hosts began them at once) are deleted.
    """
    told = False
    while any(map(_is_written, found := search(experiment, tags.KEY, key))):
        if not told:
            print("another clone is writing the same run; waiting for it", flush=True)
        told = True
        time.sleep(1)
    finished = sorted((run for run in found if run.info.status == "FINISHED"), key=lambda run: run.info.start_time)
    for run in found:
        if run not in finished[:1]:
            delete(store, experiment, run.info.run_id)
    return finished[0] if finished else None


def _writer() -> str:
    return f"{platform.node()} {os.getpid()} {psutil.Process().create_time()} {time.time():.0f}"


def _is_written(run: Any) -> bool:
    """Whether another process is at work on an unfinished run, as far as can be told from this machine."""
    writer = run.data.tags.get(tags.WRITER, "").split()
    if run.info.status != "RUNNING" or len(writer) < 4:
        return False
    machine, process, began, at = writer
    if machine != platform.node():
        return time.time() < float(at) + PATIENCE
    try:
        return int(process) != os.getpid() and psutil.Process(int(process)).create_time() == float(began)
    except psutil.Error:
        return False


def search(experiment: str, tag: str, value: str, *, deleted: bool = False) -> list[Any]:
    """All runs of an experiment of the open store with this value of a tag, or those of them in MLflow's bin."""
    import mlflow
    from mlflow.entities import ViewType

    view = ViewType.DELETED_ONLY if deleted else ViewType.ACTIVE_ONLY
    return list(mlflow.search_runs([experiment], tags.filter_of(tag, value), view, output_format="list"))


def models(experiment: str, which: str) -> list[Any]:
    """All logged models of an experiment of the open store that MLflow's filter `which` selects."""
    import mlflow

    return list(mlflow.search_logged_models([experiment], which, output_format="list"))


def models_of(experiment: str, run: str) -> list[Any]:
    """The models that a run logged."""
    return models(experiment, f"source_run_id = '{run}'")


@contextmanager
def drafted(
    store: Store, experiment: str, name: str, key: str, about: Mapping[str, str], start: int, end: int
) -> Iterator[str]:
    """The id of a new run; it counts as finished when the block ends without error, and is deleted otherwise.

    `about` is its further tags. `start` and `end` are milliseconds since 1970; MLflow's table has the latest on top.
    """
    own = {tags.KEY: key, tags.CURRENT: store.current, tags.WRITER: _writer()}
    if store.dvc_experiment:
        own[tags.DVC_EXPERIMENT] = store.dvc_experiment
    run = store.client.create_run(experiment, start_time=start, tags={**about, **own}, run_name=name).info.run_id
    try:
        yield run
    except Exception:
        delete(store, experiment, run)
        raise
    store.client.set_terminated(run, "FINISHED", end_time=end)
    store.client.delete_tag(run, tags.WRITER)


def delete(store: Store, experiment: str, run: str) -> None:
    """Delete a run and the models that it logged; MLflow keeps them in its bin until `mlflow gc`."""
    for model in models_of(experiment, run):
        store.client.delete_logged_model(model.model_id)
    store.client.delete_run(run)


def mark_current(store: Store, experiment: str, current: Iterable[str]) -> None:
    """Tag these runs, with their models, as the current ones of the experiment, and all others as history.

    Models whose run somebody deleted in MLflow are deleted too, as `delete` would have.
    """
    current = set(current)
    marked = {run.info.run_id for run in search(experiment, tags.CURRENT, "true")}
    for ids, value in ((marked - current, "false"), (current - marked, "true")):
        for run in sorted(ids):
            for model in models_of(experiment, run):
                store.client.set_logged_model_tags(model.model_id, {tags.CURRENT: value})
            store.client.set_tag(run, tags.CURRENT, value)
    deleted = {run.info.run_id for run in search(experiment, tags.CURRENT, "true", deleted=True)}
    for model in models(experiment, tags.filter_of(tags.CURRENT, "true")):
        if model.source_run_id in deleted:
            store.client.delete_logged_model(model.model_id)

"""Live runs: the curves of trainings that are still going on, and their end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assay.tracking import lock, runs, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assay.tracking.store import Store

SCRATCH = Path(".assay/scratch")
CURVES = "curves.csv"
LIVE_KIND = "live"


def stages_running(root: Path) -> dict[str, Path]:
    """The live curves there are, by the folder's name (`<stage>-<hash>`)."""
    return {path.parent.name: path for path in sorted((root / SCRATCH).glob(f"*/{CURVES}"))}


def live_run(store: Store, experiment: str, arm: str, folder: str) -> str:
    """The id of the live run of a training, which is created where there is none."""
    with lock.exclusive(store.home):
        for run in runs.search(store, experiment, tags.LIVE, arm):
            if run.data.tags.get(tags.SCRATCH) == folder:
                return str(run.info.run_id)
        live_tags = {
            tags.KIND: LIVE_KIND,
            tags.LIVE: arm,
            tags.SCRATCH: folder,
            tags.NOTE: f"`{arm}` while it trains; `make track` puts its finished run in this one's place.",
            tags.SOURCE_NAME: folder.rpartition("-")[0],
            tags.SOURCE_TYPE: "LOCAL",
        }
        return str(store.client.create_run(experiment, tags=live_tags, run_name=f"{arm} (live)").info.run_id)


def last_steps(store: Store, run: str) -> dict[str, int]:
    """The last step that a run has of each series."""
    series = store.client.get_run(run).data.metrics
    return {name: max(metric.step for metric in store.client.get_metric_history(run, name)) for name in series}


def remove_finished(store: Store, experiment: str, finished: Iterable[str]) -> None:
    """Delete the live runs of these arms, but not those of a training that still goes on in this clone."""
    running, finished = stages_running(store.root), set(finished)
    for run in runs.search(store, experiment, tags.KIND, LIVE_KIND):
        if run.data.tags[tags.LIVE] in finished and run.data.tags.get(tags.SCRATCH) not in running:
            runs.delete(store, experiment, run.info.run_id)

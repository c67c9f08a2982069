"""Trainings that are still going on: their curves are streamed to live runs, which the finished runs replace."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assay.analysis import curves
from assay.core.errors import AssayError
from assay.tracking import runs, tags
from assay.tracking.content import points_of
from assay.tracking.store import exclusive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from assay.tracking.store import Store

SCRATCH, CURVES = Path(".assay/scratch"), "curves.csv"
LIVE_KIND = "live"


class Followed(NamedTuple):
    """A training that is followed: its arm, the id of its live run, and the last step logged of each series."""

    arm: str
    run: str
    steps: dict[str, int]


def follow(
    store: Store, experiment_name: str, interval: float, grace: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Log each new point of every running training, until none has been running for `grace` seconds, or Ctrl-C.

    A run that is interrupted so goes on when it is followed again.

    Args:
        store: an open store; its root is the repository's.
        experiment_name: that of the live runs, which the finished runs will be in too.
        interval: seconds between two looks.
        grace: seconds to wait for a first or a next training, such as while a stage loads its libraries.
        sleep: waits so many seconds.
    """
    experiment = store.experiment(experiment_name)
    followed: dict[str, Followed] = {}
    idle = 0.0
    try:
        while idle < grace:
            running = _running(store.root)
            for folder in followed.keys() - running.keys():
                ended = followed.pop(folder)
                store.client.set_terminated(ended.run, "FINISHED")
                print(f"{ended.arm} has ended")
            for path in running.values():
                _look(store, experiment, path, followed)
            idle = 0.0 if running else idle + interval
            sleep(interval)
    except KeyboardInterrupt:
        print("no longer following; the training goes on")


def _running(root: Path) -> dict[str, Path]:
    """The live curves there are, by the folder's name (`<stage>-<hash>`)."""
    return {path.parent.name: path for path in sorted((root / SCRATCH).glob(f"*/{CURVES}"))}


def _look(store: Store, experiment: str, path: Path, followed: dict[str, Followed]) -> None:
    try:
        rows = curves.rows(path)
    except AssayError:
        if path.is_file():
            raise
        return  # the training ended between the two looks
    if not rows:
        return
    folder = path.parent.name
    if folder not in followed:
        followed[folder] = _live_run(store, experiment, rows[0].arm.partition("/")[0], folder)
        print(f"following {followed[folder].arm}")
    known, now = followed[folder], int(time.time() * 1000)
    new = [point for point in points_of(rows, now, now) if point.step > known.steps.get(point.key, -1)]
    if new:
        store.client.log_batch(known.run, metrics=new)
    known.steps.update({point.key: point.step for point in new})


def _live_run(store: Store, experiment: str, arm: str, folder: str) -> Followed:
    """The live run of a training, which is created where there is none, with the last step of each series."""
    client = store.client
    with exclusive(store.home):
        own = [one for one in runs.search(experiment, tags.LIVE, arm) if one.data.tags.get(tags.SCRATCH) == folder]
        if not own:
            note = f"`{arm}` while it trains; `make track` puts its finished run in this one's place."
            about = tags.of_run(LIVE_KIND, note, folder.rpartition("-")[0]) | {tags.LIVE: arm, tags.SCRATCH: folder}
            own = [client.create_run(experiment, tags=about, run_name=f"{arm} (live)")]
    run = str(own[0].info.run_id)
    client.update_run(run, status="RUNNING")
    steps = {name: max(one.step for one in client.get_metric_history(run, name)) for name in own[0].data.metrics}
    return Followed(arm, run, steps)


def remove_finished(store: Store, experiment: str, finished: Iterable[str]) -> None:
    """Delete the live runs of these arms, but not those of a training that still goes on in this clone."""
    running, finished = _running(store.root), set(finished)
    for run in runs.search(experiment, tags.KIND, LIVE_KIND):
        if run.data.tags[tags.LIVE] in finished and run.data.tags.get(tags.SCRATCH) not in running:
            runs.delete(store, experiment, run.info.run_id)

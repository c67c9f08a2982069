"""Stream the curves of trainings that are still going on."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assay.analysis import curves
from assay.core.errors import AssayError
from assay.tracking import live, runs
from assay.tracking.points import points_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from assay.tracking.store import Store


@dataclass
class Followed:
    """A training that is followed.

    Attributes:
        arm: what it trains.
        run: the id of its live run.
        steps: the last step logged of each series.
    """

    arm: str
    run: str
    steps: dict[str, int] = field(default_factory=dict)


def follow(
    store: Store,
    experiment_name: str,
    interval: float = 2.0,
    grace: float = 60.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Log each new point of every running training, until none has been running for `grace` seconds, or Ctrl-C.

    A run that is interrupted so goes on when it is followed again.

    Args:
        store: an open store; its root is the repository's.
        experiment_name: the experiment of the live runs, the one that the finished runs will be in.
        interval: seconds between two looks.
        grace: seconds to wait for a first or a next training, such as while a stage loads its libraries.
        sleep: waits so many seconds.
    """
    experiment = store.experiment(experiment_name)
    followed: dict[str, Followed] = {}
    idle = 0.0
    try:
        while idle < grace:
            running = live.stages_running(store.root)
            for folder in followed.keys() - running.keys():
                ended = followed.pop(folder)
                store.client.set_terminated(ended.run, "FINISHED")
                print(f"{ended.arm} has ended")
            for folder, path in running.items():
                _look(store, experiment, folder, path, followed)
            idle = 0.0 if running else idle + interval
            sleep(interval)
    except KeyboardInterrupt:
        print("no longer following; the training goes on")


def _look(store: Store, experiment: str, folder: str, path: Path, followed: dict[str, Followed]) -> None:
    """Log what is new in one file of curves."""
    try:
        rows = curves.rows(path)
    except AssayError:
        if path.is_file():
            raise
        rows = []
    if not rows:
        return  # the training ended between the two looks, or has nothing to show yet
    arm, points = rows[0].arm.partition("/")[0], points_of(rows)
    if folder not in followed:
        run = live.live_run(store, experiment, arm, folder)
        store.client.update_run(run, status="RUNNING")
        followed[folder] = Followed(arm, run, live.last_steps(store, run))
        print(f"following {arm}")
    known = followed[folder]
    new = [point for point in points if point.step > known.steps.get(point.series, -1)]
    now = int(time.time() * 1000)
    runs.log_points(store, known.run, new, lambda _step: now)
    known.steps |= {point.series: point.step for point in new}

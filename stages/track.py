"""Write what the stages left on disk to MLflow, or with --follow the curves of a training that still goes on."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.core import config
from assay.core.errors import one_line_errors
from assay.pipeline import leftovers
from assay.tracking import tags, view
from assay.tracking.champion import ALIAS
from assay.tracking.follow import follow
from assay.tracking.records import read_meta
from assay.tracking.store import opened
from assay.tracking.sync import experiment_name, sync


def main() -> None:
    """Look up the run of each arm, make those that are missing, and say how many."""
    params = config.load()
    arms = [*params.arms, *params.lottery.names]
    with opened(Path.cwd()) as store:
        done = sync(store, arms)
        leftovers.remove(Path.cwd(), arms)  # after the sync: where params.yaml names what never ran, nothing is deleted
        print(f"{done.experiment}: {len(done.made)} of {len(done.keys) + 1} runs are new, in {store.shown}")
        if done.healed:
            print(f"Artifacts had been lost and were written again: {', '.join(done.healed)}")
        if store.dvc_experiment:
            name = store.dvc_experiment
            print(f"Search for {tags.filter_of(tags.DVC_EXPERIMENT, name)}; `dvc exp apply {name}` and `make track`")
            print("make them the current runs, and the best of them the champion")
        elif done.champion:
            print(f"The best by validation is {done.champion}: models:/{done.registered}@{ALIAS}")
        server = store.shown if store.is_server else f"after `make ui` at {view.address()}"
        print(f"See them {server}{done.page}")


def stream(interval: float, grace: float) -> None:
    """Follow the trainings that are going on."""
    model = config.load().model
    with opened(Path.cwd()) as store:
        name = experiment_name(read_meta(store.root).name, model.name)
        print(f"{name}: waiting for a training, at most {grace:g} s, in {store.shown}")
        follow(store, name, interval, grace)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--follow", action="store_true", help="stream live curves until no training is left")
    parser.add_argument("--interval", type=float, default=2.0, help="seconds between two looks (%(default)s)")
    parser.add_argument("--grace", type=float, default=60.0, help="seconds to wait for a next training (%(default)s)")
    arguments = parser.parse_args()
    if arguments.interval <= 0 or arguments.grace < 0:
        parser.error("--interval must be above 0, --grace 0 or more")
    with one_line_errors():
        if arguments.follow:
            stream(arguments.interval, arguments.grace)
        else:
            main()

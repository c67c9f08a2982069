"""Write what the stages left on disk to MLflow."""

from __future__ import annotations

from pathlib import Path

from assay import methods
from assay.core import config
from assay.core.errors import start
from assay.pipeline import leftovers
from assay.tracking import tags
from assay.tracking.champion import ALIAS
from assay.tracking.store import address, opened
from assay.tracking.sync import sync


def main() -> None:
    """Look up the run of each arm, make those that are missing, and say how many."""
    params = config.load()
    arms = [*params.arms, *params.lottery.names]
    defaults = {run.arm: methods.resolve(run).options.model_dump(mode="json") for run in params.runs()}
    with opened(Path.cwd()) as store:
        done = sync(store, arms, defaults)
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
        if done.no_onnx:
            print(f"The champion is there as PyTorch's pt2 alone: {done.no_onnx}")
        server = store.shown if store.is_server else f"after `make ui` at {address()}"
        print(f"See them {server}{done.page}")


if __name__ == "__main__":
    start(main)

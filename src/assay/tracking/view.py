"""The table of runs as a person should meet it: MLflow itself would show no metric until one asks for its column."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from assay.tracking import tags

if TYPE_CHECKING:
    from assay.tracking.store import Store

HOST = "127.0.0.1"
NAME, SHARE = "Results", "results"
# as MLflow sorts
METRICS = ("difference", "members", "test_accuracy", "test_accuracy_std", "test_nll", "train_samples")
STATE = {
    "searchFilter": tags.filter_of(tags.CURRENT, "true"),
    "orderByKey": "metrics.`test_accuracy`",
    "orderByAsc": False,
    "lifecycleFilter": "Active",
    "selectedColumns": [*(f"metrics.`{name}`" for name in METRICS), "params.`method`", "tags.`verdict`"],
}


def port() -> str:
    """The port at which `make ui` opens MLflow's pages: that of the variable PORT, or 5000."""
    return os.environ.get("PORT") or "5000"


def address() -> str:
    """Where `make ui` opens MLflow's pages."""
    return f"http://{HOST}:{port()}"


def page(experiment: str) -> str:
    """The table of an experiment in this view, as MLflow's pages address it."""
    return f"/#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey={SHARE}"


def save(store: Store, experiment: str) -> None:
    """Put the view among those that the button *Views* lists; where it is there already, nothing is written.

    MLflow keeps a saved view as a tag of the experiment. A version that does not know this form shows its own columns.
    """
    found = store.client.get_experiment(experiment)
    when = found.creation_time or 0
    view = json.dumps({"name": NAME, "createdAt": when, "updatedAt": when, "state": json.dumps(STATE)})
    if found.tags.get(tags.SAVED_VIEW + SHARE) != view:
        store.client.set_experiment_tag(experiment, tags.SAVED_VIEW + SHARE, view)

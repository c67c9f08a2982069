"""The tags that make runs and models findable; a person filters by them, and `sync` looks runs up by them."""

from __future__ import annotations

KEY = "assay.key"
ARM = "assay.arm"
KIND = "assay.kind"
CURRENT = "assay.current"
DVC_EXPERIMENT = "assay.experiment"
LIVE = "assay.live"
WRITER = "assay.writer"  # of a run: the machine, the process and its start, and when it began the run
VARIANT = "assay.variant"
SEED = "assay.seed"
ACCURACY = "assay.test_accuracy"
SCRATCH = "assay.scratch"
# MLflow's own: what its pages show as description and source, and which set of pages an experiment gets
NOTE = "mlflow.note.content"
EXPERIMENT_KIND = "mlflow.experimentKind"
VERSIONS = "mlflow.modelVersions"
SAVED_VIEW = "mlflow.sharedViewState."
SOURCE_NAME, SOURCE_TYPE = "mlflow.source.name", "mlflow.source.type"


def of_run(kind: str, note: str, source: str) -> dict[str, str]:
    """The tags of every run: its kind, the Markdown that its page shows, and the stage that it is from."""
    return {KIND: kind, NOTE: note, SOURCE_NAME: source, SOURCE_TYPE: "LOCAL"}


def filter_of(name: str, value: str) -> str:
    """The search that finds a tag's value."""
    return f"tags.`{name}` = '{value}'"

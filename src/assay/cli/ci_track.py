"""Bring MLflow up to date with the results, unless the stage `track` has just written them there."""

from __future__ import annotations

from pathlib import Path

from assay.core.errors import one_line_errors
from assay.pipeline import dvc
from assay.tracking.store import identity


def main() -> None:
    """Fetch what runs are made of, models and predictions, and write those that the store lacks.

    Raises:
        AssayError: the DVC remote or the store does not answer.
    """
    root = Path.cwd()
    if dvc.is_tracked(root, identity(root)):
        print("MLflow has it all: the stage `track` ran with these results")
        return
    from stages import track  # with all of MLflow

    dvc.fill(root)
    track.main()


if __name__ == "__main__":
    with one_line_errors():
        main()

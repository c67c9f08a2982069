"""Run the pipeline, arms side by side: `python -m stages.repro`. It ends as `dvc repro` does, sooner."""

from __future__ import annotations

from pathlib import Path

from assay.foundation.errors import one_line_errors
from assay.pipeline import side_by_side


def main() -> None:
    """Run whatever a change touched, and nothing else.

    Raises:
        AssayError: a stage fails, or a number of jobs or threads is none.
    """
    side_by_side.reproduce(Path.cwd())


if __name__ == "__main__":
    with one_line_errors():
        main()

"""Run the pipeline, arms side by side: `python -m assay.cli.repro`. It ends as `dvc repro` does, sooner."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from assay.core.errors import one_line_errors
from assay.pipeline import plan, side_by_side


def main() -> None:
    """Run whatever a change touched, and nothing else.

    Raises:
        AssayError: a stage fails, or a number of jobs or threads is none.
    """
    root = Path.cwd()
    side_by_side.reproduce(root, lambda: costs(root))


@cache
def costs(root: Path) -> dict[str, plan.Cost]:
    """What the training of each stage takes here; it loads PyTorch, so it is asked for once something has to run."""
    from assay.cli import costing

    return costing.of(root)


if __name__ == "__main__":
    with one_line_errors():
        main()

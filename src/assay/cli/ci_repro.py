"""Run what a change touched, with everything else from the team's remote, and push what is new."""

from __future__ import annotations

import time
from pathlib import Path

from assay.cli import check
from assay.core.errors import one_line_errors
from assay.pipeline import dvc
from assay.tracking.store import identity


def main() -> None:
    """Check params.yaml, reproduce and push; keep what ran for the report.

    Raises:
        AssayError: params.yaml is wrong, the remote does not answer, or a stage fails.
    """
    check.main()
    root = Path.cwd()
    start = time.monotonic()
    done = dvc.reproduce(root)
    seconds = time.monotonic() - start
    dvc.write_done(root, done, round(seconds, 1), identity(root))
    print(f"{len(done.ran)} stages ran, {len(done.restored)} were restored, {seconds:.0f} s: {', '.join(done.ran)}")


if __name__ == "__main__":
    with one_line_errors():
        main()

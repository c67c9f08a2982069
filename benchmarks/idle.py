"""What DVC takes to see that nothing is to be done: `dvc repro`, of this pipeline and of a small one."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from typing import TYPE_CHECKING

from assay.core.errors import AssayError
from benchmarks import torture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

RUNS = 3
SMALL = {  # the baseline and one arm: eight stages
    **torture.PARAMS,
    "model": {"name": "linear"},
    "arms": {"cyclic": {"method": "sgd", "batches": "fixed"}},
    "lottery": {"prune_fraction": 0.2, "scope": "layerwise", "rewind": 0, "rounds": {}, "controls": []},
    "claims": [],
}


def measure(root: Path, environment: Mapping[str, str] = os.environ) -> tuple[int, float]:
    """The number of stages, and the median seconds of a `dvc repro` that runs none of them.

    Args:
        root: a repository whose pipeline is up to date.
        environment: of the command.

    Raises:
        AssayError: it is not up to date.
    """
    seconds, stages = [], 0
    for _ in range(RUNS):
        start = time.perf_counter()
        done = subprocess.run(["dvc", "repro"], cwd=root, env=environment, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        stages = done.stdout.count("didn't change, skipping")
        if done.returncode:
            raise AssayError(f"dvc repro ended with exit code {done.returncode}: {done.stderr.strip()}")
        if "Running stage" in done.stdout:
            raise AssayError("dvc repro had something to do; run `make repro` first, then `make bench`")
    return stages, statistics.median(seconds)


def measure_small(source: Path, folder: Path) -> tuple[int, float]:
    """As `measure`, of a copy of a repository with a small params.yaml, which is run to its end first.

    Raises:
        AssayError: the pipeline did not end.
    """
    clone = torture.Clone(source, folder / "small", SMALL)
    if clone.run():
        raise AssayError(f"the small pipeline did not end; {clone.log} says why")
    return measure(clone.folder, clone.environment)

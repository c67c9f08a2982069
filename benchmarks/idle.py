"""What DVC takes to see that nothing is to be done: `dvc repro`, of this pipeline and of a small one."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import time
from pathlib import Path

from ruamel.yaml import YAML

from assay.core import config
from assay.core.errors import AssayError

RUNS = 3
SMALL = {  # the baseline and one arm: eight stages
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "linear"},
    "train": {"steps": 40, "batch_size": 32, "optimizer": {"name": "adam", "lr": 0.01}, "evaluate_every": 10},
    "arms": {"cyclic": {"method": "sgd", "batches": "fixed"}},
    "lottery": {"prune_fraction": 0.2, "scope": "layerwise", "rewind": 0, "rounds": {}, "controls": []},
    "claims": [],
}


def measure(root: Path) -> tuple[int, float]:
    """The number of stages, and the median seconds of a `dvc repro` that runs none of them.

    Args:
        root: a repository whose pipeline is up to date.

    Raises:
        AssayError: it is not.
    """
    seconds, stages = [], 0
    for _ in range(RUNS):
        start = time.perf_counter()
        done = _dvc(root, "repro")
        seconds.append(time.perf_counter() - start)
        stages = done.stdout.count("didn't change, skipping")
        if done.returncode:
            raise AssayError(f"dvc repro ended with exit code {done.returncode}: {done.stderr.strip()}")
        if "Running stage" in done.stdout:
            raise AssayError("dvc repro had something to do; run `make repro` first, then `make bench`")
    return stages, statistics.median(seconds)


def small_pipeline(folder: Path) -> Path:
    """A clone of this repository, as committed, with a small params.yaml, run to its end.

    Args:
        folder: where the clone goes.

    Raises:
        AssayError: this is no git repository, or the pipeline did not end.
    """
    root = folder / "small"
    clone = ["git", "clone", "--quiet", str(Path.cwd()), str(root)]
    done = subprocess.run(clone, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssayError(f"make bench runs a small pipeline in a clone of this repository: {done.stderr.strip()}")
    (root / "dvc.lock").unlink(missing_ok=True)
    shutil.rmtree(root / "metrics", ignore_errors=True)
    with (root / config.PARAMS_FILE).open("w") as stream:
        YAML().dump(SMALL, stream)
    done = _dvc(root, "repro")
    if done.returncode:
        raise AssayError(f"the small pipeline did not end: {done.stderr.strip() or done.stdout.strip()}")
    return root


def _dvc(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """DVC in a repository, with its own code, on the CPU; nobody's MLflow server hears of it."""
    own = {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root)]), "ASSAY_DEVICE": "cpu"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW")} | own
    return subprocess.run(["dvc", *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False)

"""`assay repro` and `assay plan`. With nothing to do neither loads PyTorch, nor `repro` MLflow: it ends in seconds."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

from assay.core import files
from assay.pipeline import dvc, side_by_side, wording
from assay.pipeline import plan as plans
from assay.pipeline.dag import lock_at
from assay.tracking.store import identity

CHECKED, TRACKED = Path(".assay/checked.json"), Path("metrics/mlflow.json")
CHECKED_FILES = ("params.yaml", "seeds.yaml", "dvc.yaml", "src/assay/**/*.py", "src/assay/**/*.yaml")


def main() -> None:
    """Check params.yaml, run whatever a change touched and nothing else, and bring MLflow up to date.

    It ends as `dvc repro` does, sooner.

    Raises:
        AssayError: params.yaml is wrong, a stage fails, or a number of jobs or threads is none.
    """
    root, begin = Path.cwd(), time.time()
    check()
    side_by_side.reproduce(root, lambda: costs(root))
    if dvc.is_tracked(root, identity(root)):
        print("MLflow has it all.")
        return
    if (
        not (root / TRACKED).is_file() or (root / TRACKED).stat().st_mtime < begin
    ):
        from stages import track  # unless the stage has just run

        track.main()
    dvc.write_tracked(root, identity(root))


def check() -> None:
    """As `assay check`; of files, code and environment that passed last time it repeats what it said then.

    Raises:
        AssayError: something is wrong.
    """
    found = {str(path): files.file_digest(path) for name in CHECKED_FILES for path in sorted(Path().glob(name))}
    state = files.content_digest([found, {key: value for key, value in os.environ.items() if key.startswith("ASSAY_")}])
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = files.read_json(CHECKED)
        if known["state"] == state:
            print(known["said"])
            return
    print("Checking params.yaml", flush=True)
    from assay.cli.check import passed  # with PyTorch

    said, lasting = passed()
    print(said, flush=True)
    if lasting:
        files.write_json(CHECKED, {"state": state, "said": said})


@cache
def costs(root: Path) -> dict[str, plans.Cost]:
    """What the training of each stage takes here; it loads PyTorch, so it is asked for once something has to run."""
    from assay.cli.costing import Costing
    from assay.core import config

    return Costing(root, config.load(root / config.PARAMS_FILE)).by_stage()


def plan(since: str | None, ask_remote: bool, as_json: bool) -> None:
    """Check params.yaml, then print which stages a change reruns, why, and what it takes.

    Raises:
        AssayError: params.yaml is wrong, a file of the pipeline cannot be read, or there is no such revision.
    """
    from assay.core import config

    config.load()
    root = Path.cwd()
    found = plans.make(root, None if since is None else lock_at(root, since), ask_remote, lambda: costs(root))
    try:
        print(json.dumps(wording.as_data(found), indent=2) if as_json else wording.as_text(found), flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` has; the flush at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

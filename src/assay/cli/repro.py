"""`assay check`, `repro` and `plan`. With nothing to do none loads PyTorch, nor `repro` MLflow: it ends in seconds.

What `check` passes runs: DVC resolves the stages, each of them accepts its parameters, and every claim can be decided.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from assay.cli import ROOT
from assay.core import files
from assay.core.errors import AssayError
from assay.pipeline import dvc, side_by_side
from assay.pipeline import plan as plans
from assay.pipeline.dag import lock_at
from assay.tracking.store import identity

if TYPE_CHECKING:
    from assay.core.config import Data
    from assay.data.sets.images import Images

CHECKED, TRACKED = Path(".assay/checked.json"), Path("metrics/mlflow.json")
CHECKED_FILES = ("params.yaml", "seeds.yaml", "dvc.yaml", "src/assay/**/*.py", "src/assay/**/*.yaml")


def main(on: str) -> None:
    """Check params.yaml, run whatever a change touched and nothing else, and bring MLflow up to date."""
    root, begin = Path.cwd(), time.time()
    check_changes()
    reproduce(root, on)
    if dvc.is_tracked(root, identity(root)):
        print("MLflow has it all.")
        return
    if not (root / TRACKED).is_file() or (root / TRACKED).stat().st_mtime < begin:
        from stages import track  # unless the stage has just run

        track.main()
    dvc.write_tracked(root, identity(root))


def reproduce(root: Path, on: str) -> None:
    """Bring the pipeline up to date, `here` or on a cluster of `ray`; errors as of either."""
    if on == "ray":
        from assay.pipeline import on_ray

        on_ray.reproduce(root, costs)
    else:
        side_by_side.reproduce(root, costs)


def at_a_time(root: Path, on: str) -> int:
    """How many units run at a time, `here` or on `ray`."""
    if on == "ray":
        from assay.pipeline import on_ray

        return on_ray.slots(root)
    return side_by_side.jobs()


def check_changes() -> None:
    """As `check`; of files, code and environment that passed last time it repeats what it said then."""
    found = {str(path): files.file_digest(path) for name in CHECKED_FILES for path in sorted(Path().glob(name))}
    state = files.content_digest([found, {key: value for key, value in os.environ.items() if key.startswith("ASSAY_")}])
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = files.read_json(CHECKED)
        if known["state"] == state:
            print(known["said"])
            return
    print("Checking params.yaml", flush=True)
    said, lasting = _passed()
    print(said, flush=True)
    if lasting:
        files.write_json(CHECKED, {"state": state, "said": said})


def check() -> None:
    """Check params.yaml, seeds.yaml and the environment variables that a run reads; say what they ask for."""
    print(_passed()[0])


def _passed() -> tuple[str, bool]:
    """What `check` says, and whether it holds as long as the files and the code: own images may change without them."""
    from assay.core import config, runtime
    from assay.data import splits
    from assay.engine.loop import EMULATED
    from assay.methods import checks
    from assay.scoring import metrics

    params = config.load()
    needed = ROOT.is_file() and str(config.SEEDS_FILE) in ROOT.read_text(encoding="utf-8")
    if needed and not config.SEEDS_FILE.is_file():
        raise AssayError(f"{config.SEEDS_FILE}: not found, and {ROOT} needs it; `git checkout {config.SEEDS_FILE}`")
    metrics.check(params.claims, params.rule)
    images, counts, class_names = _own_images(params.data)
    checks.check(params, (images, counts["train"]) if images else None, class_names)
    runtime.check()
    runs = [*params.runs(), *config.block_runs(params)]
    networks = sum(len(run.seeds) for run in runs)
    said = f"{config.PARAMS_FILE}: fine; {params.data.name}, {len(runs)} runs, {networks} networks"
    said += f"\n{splits.told(counts)}" if images else ""
    rounded = next((run for run in runs if run.train.precision == "bfloat16"), None)
    if rounded and not runtime.has_bfloat16(runtime.device()):
        said += f"\n{EMULATED.format(rounded.place('precision'))}"
    return said, params.data.side is None


def _own_images(data: Data) -> tuple[Images | None, dict[str, int], tuple[str, ...]]:
    """The user's images, by names alone: shape, how many each split has, and classes; None where they are not here."""
    import numpy as np

    from assay.data import folder, listing, raw, splits
    from assay.data.sets.images import Images

    root = folder.root_of_images()
    if data.side is None or not root.is_dir():
        return None, {}, ()
    tree = listing.Tree(root)
    raw.check_own(data, tree.counts, str(root))
    labels = np.array([label for _, label in tree.images["train"]])
    chosen = splits.choose(labels, data, tree.class_names, tree.groups_of("train"))
    images = Images(*raw.preparation_of(data).shape, classes=len(tree.class_names))
    counts = {split: len(positions) for split, positions in chosen.items()}
    return images, {**counts, **tree.counts, "train": counts["train"]}, tree.class_names


def costs() -> dict[str, plans.Cost]:
    """What the training of each stage takes here; it loads PyTorch, so it is asked for once something has to run."""
    from assay.cli.costing import Costing
    from assay.core import config

    return Costing(Path(), config.load()).by_stage()


def plan(since: str | None, ask_remote: bool, as_json: bool) -> None:
    """Check params.yaml, then print which stages a change reruns, why, and what it takes."""
    from assay.core import config

    config.load()
    root = Path.cwd()
    found = plans.make(root, None if since is None else lock_at(root, since), ask_remote, costs)
    try:
        print(json.dumps(plans.as_data(found), indent=2) if as_json else plans.as_text(found), flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` has; the flush at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

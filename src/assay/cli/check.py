"""`assay check`: params.yaml and seeds.yaml, with one line for each thing wrong.

What it passes runs: DVC resolves the stages, each of them accepts its parameters, and every claim can be decided.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.core import config, runtime
from assay.core.errors import AssayError
from assay.data import folder, listing, preparation, raw
from assay.data.sets.images import Images
from assay.methods import checks
from assay.scoring import metrics

if TYPE_CHECKING:
    from assay.core.config import Data

PIPELINE = Path("dvc.yaml")


def main() -> None:
    """Check the file and the environment variables that a run reads; say what the file asks for.

    Raises:
        AssayError: something is wrong.
    """
    print(passed()[0])


def passed() -> tuple[str, bool]:
    """What `main` says, and whether it holds as long as the files and the code: own images may change without them.

    Raises:
        AssayError: something is wrong.
    """
    params = config.load()
    needed = PIPELINE.is_file() and str(config.SEEDS_FILE) in PIPELINE.read_text(encoding="utf-8")
    if needed and not config.SEEDS_FILE.is_file():
        raise AssayError(f"{config.SEEDS_FILE}: not found, and {PIPELINE} needs it; `git checkout {config.SEEDS_FILE}`")
    metrics.check(params.claims, params.rule)
    checks.check(params, own_images(params.data))
    runtime.check()
    runs = [*params.runs(), *config.block_runs(params)]
    networks = sum(len(run.seeds) for run in runs)
    said = f"{config.PARAMS_FILE}: fine; {params.data.name}, {len(runs)} runs, {networks} networks"
    return said, params.data.side is None


def own_images(data: Data) -> tuple[Images, int] | None:
    """The shape of the user's images, and how many are left to train on, by the names in the folder alone.

    None for a published data set, and where the folder is not there: nothing is known then.

    Raises:
        AssayError: the folder is not laid out as it should be, or so many images cannot be held out.
    """
    root = folder.root_of_images()
    if data.side is None or not root.is_dir():
        return None
    tree = listing.Tree(root)
    raw.check_own(data, tree.counts, str(root))
    held_out = preparation.held_out(np.array([label for _, label in tree.images["train"]]), data, tree.class_names)
    return Images(3, data.side, data.side, len(tree.class_names)), tree.counts["train"] - len(held_out)

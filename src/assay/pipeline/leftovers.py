"""Removes what the stages wrote of arms, pruning rounds and blocks of seeds that are no longer asked for.

`compare` and `track` depend on whole folders, since DVC cannot make a dependency of each arm. A file that stays behind
would count there: a clone that has it and one that does not would take turns in finding each other's results stale.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE
from assay.core.config.blocks import read_blocks
from assay.models.artifact import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

WRITTEN = {
    "metrics/evaluate": ".json",
    "metrics/curves": ".csv",
    "metrics/timings": ".json",
    "data/predictions": ".safetensors",
}
MODELS = "models"
NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*|round-\d+)(?:-\d+)?")  # of an arm, a pruning round, or a block of one


def remove(root: Path, arms: Iterable[str]) -> None:
    """Delete the results of all but the baseline, these arms and their blocks (seeds.yaml).

    What killed processes left half written goes too. Files of other names, folders without a manifest and what a living
    process writes are left alone. A line says what was deleted; DVC's cache still holds its models and predictions.

    Args:
        root: the repository's root.
        arms: their names, and those of the pruning rounds (`round-<n>`).
    """
    blocks = read_blocks(root / SEEDS_FILE)
    found = sorted(_leftovers(root, {name for arm in (BASELINE, *arms) for name in (arm, *blocks.of(arm))}))
    for path in found:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if found:
        names = ", ".join(str(path.relative_to(root)) for path in found)
        print(f"Removed what params.yaml and seeds.yaml no longer name: {names}")


def _leftovers(root: Path, names: set[str]) -> Iterator[Path]:
    for folder, suffix in {**WRITTEN, MODELS: ""}.items():
        for path in (root / folder).glob("*"):
            result = path.suffix == suffix and NAME.fullmatch(path.stem) and _is_ours(path)
            if files.left_behind(path) or (result and path.stem not in names):
                yield path


def _is_ours(path: Path) -> bool:
    """Whether a path that has the name of an arm is a result of one: a file, or a folder with a manifest."""
    return path.is_file() if path.suffix else (path / MANIFEST).is_file() and not path.is_symlink()

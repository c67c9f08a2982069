"""Removes what the stages wrote of arms, pruning rounds and blocks of seeds that are no longer asked for.

`compare` and `track` depend on whole folders, since DVC cannot make a dependency of each arm. A file that stays behind
would count there: a clone that has it and one that does not would take turns in finding each other's results stale.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.config import BASELINE, SEEDS_FILE
from assay.core.config.blocks import read_blocks
from assay.models.artifact import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WRITTEN = {  # the suffix of a result in each folder; a model is a folder with a manifest
    "metrics/evaluate": ".json",
    "metrics/curves": ".csv",
    "metrics/timings": ".json",
    "data/predictions": ".safetensors",
    "models": "",
}
NAME = re.compile(r"(?:[A-Za-z][A-Za-z0-9_]*|round-\d+)(?:-\d+)?")  # of an arm, a pruning round, or a block of one


def remove(root: Path, arms: Iterable[str]) -> None:
    """Delete the results of all but the baseline, these arms and pruning rounds, and their blocks (seeds.yaml).

    What killed processes left half written goes too. Files of other names, folders without a manifest and what a living
    process writes are left alone. A line says what was deleted; DVC's cache still holds its models and predictions.
    """
    blocks, found = read_blocks(root / SEEDS_FILE), []
    names = {name for arm in (BASELINE, *arms) for name in (arm, *blocks.of(arm))}
    for folder, suffix in WRITTEN.items():
        for path in sorted((root / folder).glob("*")):
            is_ours = path.is_file() if suffix else (path / MANIFEST).is_file() and not path.is_symlink()
            is_ours = is_ours and path.suffix == suffix and NAME.fullmatch(path.stem) is not None
            if files.left_behind(path) or (is_ours and path.stem not in names):
                files.remove(path)
                found.append(str(path.relative_to(root)))
    if found:
        print(f"Removed what params.yaml and seeds.yaml no longer name: {', '.join(sorted(found))}")

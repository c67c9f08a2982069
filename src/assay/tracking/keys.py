"""A key for each run: equal where the stages behind it are, so that a run is looked up before it is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError, again
from assay.pipeline import lockfile

if TYPE_CHECKING:
    from collections.abc import Iterable

LAYOUT = 2
"""Raised whenever a change of this package logs something else: then every run is made anew, beside the old one."""


def key(root: Path, lock: dict[str, Any], stages: Iterable[str], read: Iterable[Path]) -> str:
    """The key of a run: 16 hex digits.

    It is a digest of the stages' entries in dvc.lock, which name everything that went in and came out. Where a stage
    was run by hand and has no entry, the files themselves stand in for it.

    Args:
        root: the repository's root.
        lock: as `lockfile.read` gives it.
        stages: those that the run tells of.
        read: the files that the run is made from.

    Raises:
        AssayError: a file is not the one that dvc.lock records, so the key would name another result.
    """
    entries = {stage: lock[stage] for stage in stages if stage in lock}
    content: dict[str, Any] = {"layout": LAYOUT, "stages": entries}
    read = list(read)
    for entry in entries.values():
        _refuse_other_files(root, entry, read)
    if list(entries) != list(stages):
        content["files"] = {str(path.relative_to(root)): files.file_digest(path) for path in sorted(read)}
    return files.content_digest(content)[:16]


def _refuse_other_files(root: Path, entry: dict[str, Any], read: list[Path]) -> None:
    for out in entry.get("outs", []):
        path = root / out["path"]
        if not any(one.is_relative_to(path) for one in read):
            continue
        if out.get("md5") not in (None, lockfile.digest(path)):
            raise AssayError(f"{out['path']}: not what {lockfile.NAME} records; {again(Path(out['path']))}")

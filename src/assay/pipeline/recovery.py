"""Repairs what a killed `dvc`, or one that met a full disk, left of its own files.

DVC rewrites dvc.lock and `.dvc/tmp/rwlock`, its list of running commands, in place. Where a kill cuts that short, every
later command of DVC refuses to run.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.pipeline import dag, lockfile

if TYPE_CHECKING:
    from pathlib import Path


def recover(root: Path) -> None:
    """Make DVC's files at `root` readable again, with a line for what is lost by it; nothing is done if they are."""
    _drop_dead_commands(root)
    path = root / lockfile.NAME
    if not path.is_file() or _is_whole(path.read_bytes().decode(errors="replace")):
        return
    committed = ""
    with suppress(AssayError):
        committed = dag.git(root, "show", f"HEAD:{lockfile.NAME}")
    if committed:
        files.write_text(path, committed)
    else:
        path.unlink()
    taken = "that of the last commit takes its place" if committed else "it is removed"
    print(f"{lockfile.NAME}: cut short, as by a kill; {taken}, and DVC restores from its cache what was computed since")


def _is_whole(text: str) -> bool:
    """Whether this is a dvc.lock that DVC reads, or one with a merge's conflicts, which a person must solve."""
    if "<<<<<<<" in text:
        return True
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        COMPILED_LOCKFILE_SCHEMA(yaml_of(text, lockfile.NAME))
    except (AssayError, Invalid):
        return False
    return text.endswith("\n")


def _drop_dead_commands(root: Path) -> None:
    """Remove the list of running commands if it is damaged or none of them runs: their numbers may belong to others."""
    path = root / ".dvc/tmp/rwlock"
    if not path.is_file() or not _is_stale(path):
        return
    from dvc.lock import make_lock

    with make_lock(f"{path}.lock", tmp_dir=str(path.parent), wait=True):
        if _is_stale(path):
            path.unlink()


def _is_stale(path: Path) -> bool:
    try:
        content = files.read_json(path)
        writers, readers = content.get("write", {}).values(), content.get("read", {}).values()
        pids = [int(one["pid"]) for one in [*writers, *(one for some in readers for one in some)]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return True
    return bool(pids) and not any(map(_is_dvc, pids))


def _is_dvc(pid: int) -> bool:
    import psutil

    try:
        return any("dvc" in word for word in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False

"""The team's DVC remote: reached before hours of training, not after, and believed only where its bytes are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError
from assay.pipeline import dag, restore

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def ready(repo: Any) -> tuple[str, bool]:
    """Check that the default remote answers; gives its name, and whether DVC verifies what comes from it.

    Raises:
        AssayError: no remote is configured, it cannot be reached, or the folder or bucket it names is not there (as
            when a network drive is not mounted: DVC would take it for an empty remote and train everything anew).
    """
    with restore.remote_of(repo) as remote:
        name = repo.config["core"]["remote"]
        base = remote.path.removesuffix("/files/md5")
        if not any(remote.fs.exists(place) for place in _places(remote.fs, base)):
            raise AssayError(f"DVC remote {name!r}: {base} is not there; mount it, or create it if it is new")
        return name, bool(repo.config["remote"][name].get("verify"))


def _places(fs: Any, base: str) -> Sequence[str]:
    """What must exist of a remote that may be new: its folder, or for object stores (without folders) its bucket."""
    return [base] if fs.protocol in ("local", "ssh") else [base, base.partition("/")[0]]


def absent(repo: Any, readers: Collection[str]) -> list[str]:
    """The stages that write what these stages read, where it is not here; in the pipeline's order, without these."""
    stages = dag.in_order(repo)
    made = dag.producers(stages)
    wanted = {
        writer.addressing
        for stage in stages
        if stage.addressing in readers
        for dep in stage.deps
        for out, writer in made[dep.fs_path]
        if not out.exists and writer.addressing not in readers
    }
    return [stage.addressing for stage in stages if stage.addressing in wanted]

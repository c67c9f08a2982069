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


def push_metrics(repo: Any) -> int:
    """Push what the run-cache's entries say of files that git holds (metrics, curves); gives how many files they are.

    `dvc push --run-cache` pushes the entries, and the data that dvc.lock records, but not the copies of metrics that
    an entry needs to be restored: without them another clone would train again.

    Raises:
        AssayError: the remote fails.
    """
    from dvc_data.hashfile.hash_info import HashInfo

    with restore.remote_of(repo):
        digests = {digest for entry in restore.entries(repo) for digest in entry.values()}
        files = {HashInfo("md5", one) for one in digests if not one.endswith(".dir") and repo.cache.local.exists(one)}
        done = repo.cloud.push(files)
        if done.failed:
            raise AssayError(f"DVC remote: {len(done.failed)} files of metrics could not be pushed; run this again")
        return len(done.transferred)


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

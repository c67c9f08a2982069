"""What DVC's caches hold of a stage that is about to run: then it is restored, not run.

DVC keys its run-cache by a stage's command, the digests of its dependencies and its parameters; an entry lists what
came out. The key can be computed without the data: of what is not here, dvc.lock and the entries know the digests.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.pipeline.dag import touches

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Source = Literal["cache", "remote"]  # the local cache, or the remote alone


@contextmanager
def remote_of(repo: Any) -> Iterator[Any]:
    """The default remote, as DVC's object database.

    Raises:
        AssayError: none is configured, or it fails while it is in use.
    """
    from dvc.config import ConfigError

    try:
        yield repo.cloud.get_remote_odb(None, "plan", hash_name="md5")
    except ConfigError as error:
        reason = str(error).partition("\n")[0]
        raise AssayError(f".dvc/config: {reason}; docs/ci.md shows how to set a remote") from None
    except AssayError:
        raise
    except Exception as error:  # each kind of remote has errors of its own
        raise AssayError(f"DVC remote: {type(error).__name__}: {' '.join(str(error).split())}") from error


def find(
    repo: Any, stage: Any, known: Mapping[str, str | None], remote: Any
) -> tuple[Source, Mapping[str, str]] | None:
    """Where a stale stage's outputs are, so that it need not run, and their digests by path; None where nobody knows.

    Args:
        repo: DVC's.
        stage: its dependencies filled from dvc.lock; their digests are brought up to date here.
        known: by path, the digests of what stages before it will write; None for what they have yet to compute.
        remote: to look there too, at the cost of two requests; or None.
    """
    cached = all(not out.persist and (out.use_cache or out.metric or out.plot) for out in stage.outs)
    keyed = stage.cmd and stage.deps and stage.outs and not (stage.is_callback or stage.always_changed)
    if not (cached and keyed and _fill(stage, known)):  # DVC's own conditions for an entry in the run-cache
        return None
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    key = _get_cache_hash(to_single_stage_lockfile(stage), key=True)
    newest = max(Path(repo.stage_cache._get_cache_dir(key)).glob("*"), key=os.path.getmtime, default=None)
    entry = _outputs(newest.read_text(encoding="utf-8")) if newest else None  # DVC takes the newest too
    if entry and all(repo.cache.local.exists(digest) for digest in entry.values()):
        return "cache", entry
    if remote is None:
        return None
    folder = remote.fs.join(remote.path.removesuffix("/files/md5"), "runs", key[:2], key)
    paths = remote.fs.find(folder) if remote.fs.exists(folder) else []
    there = (_outputs(remote.fs.read_text(path, encoding="utf-8")) for path in paths)
    for candidate in filter(None, chain([entry], there)):
        if all(map(remote.exists, candidate.values())):
            return "remote", candidate
    return None


def _fill(stage: Any, known: Mapping[str, str | None]) -> bool:
    """Give every dependency the digest that it will have; False where a stage has yet to compute it."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    for dep in stage.deps:
        if digest := known.get(dep.def_path):
            dep.hash_info, dep.meta = HashInfo("md5", digest), Meta()
        elif touches(dep.def_path, *known):
            return False  # a part of a folder that is to be written: which digest it will have stands in no entry
        elif dep.exists:
            dep.save()
        elif not dep.hash_info:
            return False
    return True


def _outputs(text: str) -> Mapping[str, str] | None:
    """An entry's outputs, a digest by path; None where it is damaged, as DVC takes it too."""
    try:
        return {out["path"]: out["md5"] for out in yaml_of(text, "run-cache")["outs"]}
    except (AssayError, TypeError, KeyError):
        return None


def missing(repo: Any, stages: Sequence[Any]) -> dict[str, Source | None]:
    """Of stages that stand: those whose data is not here, and where it is (None: not in the local cache)."""
    found: dict[str, Source | None] = {}
    for stage in stages:
        if absent := [out for out in stage.outs if not out.exists and out.use_cache]:
            here = all(out.hash_info and repo.cache.local.exists(out.hash_info.value) for out in absent)
            found[stage.addressing] = "cache" if here else None
    return found

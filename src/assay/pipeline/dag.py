"""DVC's repository: its stages in the order in which it would run them, their dvc.lock entries, and its caches."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from assay.core.errors import AssayError
from assay.core.plain import yaml_of
from assay.pipeline import lockfile, quick_dvc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Source = Literal["cache", "remote"]  # the local cache, or the remote alone


@contextmanager
def opened(root: Path) -> Iterator[Any]:
    """DVC's `Repo` at `root`; to open it writes nothing.

    Raises:
        AssayError: there is no DVC repository, or dvc.yaml, dvc.lock or .dvc/config cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo, quick_dvc.quick():
            yield repo
    except DvcException as error:
        lockfile.read(root)  # says it better where a merge left its marks there
        raise AssayError(" ".join(str(error).split())) from error


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


def in_order(repo: Any) -> list[Any]:
    """Every stage after all those that it depends on; otherwise as dvc.yaml lists them."""
    import networkx as nx

    place = {stage.addressing: number for number, stage in enumerate(repo.index.stages)}
    graph = repo.index.graph.reverse()
    return list(nx.lexicographical_topological_sort(graph, key=lambda stage: place[stage.addressing]))


def named(repo: Any, names: Iterable[str]) -> list[Any]:
    """These stages, of those that there are; no other is parsed, which takes a second for 400."""
    from dvc.dvcfile import PROJECT_FILE, load_file
    from dvc.stage.exceptions import StageNotFound

    stages, found = load_file(repo, PROJECT_FILE).stages, []
    for name in names:
        with suppress(StageNotFound):
            found.append(stages[name])
    return found


def touches(path: str, *others: str) -> bool:
    """Whether a path is one of the others, or lies above or below one."""
    return any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in others)


def made(stages: Sequence[Any]) -> dict[str, list[Any]]:
    """For each path that a stage depends on: the outputs that lie at, above or below it."""
    outs = [out for stage in stages for out in stage.outs]
    paths = {dep.fs_path for stage in stages for dep in stage.deps}
    return {path: [out for out in outs if touches(path, out.fs_path)] for path in paths}


def git(root: Path, *arguments: str) -> str:
    """What a git command prints; bytes that are not UTF-8, as an old commit's subject may have, are replaced.

    Raises:
        AssayError: it fails; the line holds git's own reason.
    """
    command, environment = ["git", *arguments], {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise AssayError(f"git {' '.join(arguments)}: {reason}")
    return done.stdout


def lock_at(root: Path, revision: str) -> dict[str, Any]:
    """The entries of dvc.lock in a git revision; none where it has no such file.

    Raises:
        AssayError: there is no such revision, or its dvc.lock is not YAML.
    """
    try:
        git(root, "rev-parse", "--verify", f"{revision}^{{commit}}")
    except AssayError:
        raise AssayError(f"no git revision {revision!r} here; fetch it, or name another") from None
    if not git(root, "ls-tree", "--name-only", revision, lockfile.NAME):
        return {}
    return lockfile.parse(git(root, "show", f"{revision}:{lockfile.NAME}"), f"{lockfile.NAME} of {revision}")


def restorable(
    repo: Any, stage: Any, known: Mapping[str, str | None], remote: Any
) -> tuple[Source, Mapping[str, str]] | None:
    """Where a stale stage's outputs are, so that it need not run, and their digests by path; None where nobody knows.

    DVC keys its run-cache by a stage's command, the digests of its dependencies and its parameters; an entry lists what
    came out. The key can be computed without the data: of what is not here, dvc.lock and the entries know the digests.

    The stage's dependencies are filled from dvc.lock, and brought up to date here. `known` has by path the digests of
    what stages before it will write, None for what they have yet to compute; a `remote` costs two requests.
    """
    cached = all(not out.persist and (out.use_cache or out.metric or out.plot) for out in stage.outs)
    keyed = stage.cmd and stage.deps and stage.outs and not (stage.is_callback or stage.always_changed)
    if not (cached and keyed and _fill(stage, known)):  # DVC's own conditions for an entry in the run-cache
        return None
    key = run_key(stage)
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


def run_key(stage: Any) -> str:
    """The key in DVC's run-cache: of the command, the parameters and the digests of what a stage depends on."""
    from dvc.stage.cache import _get_cache_hash
    from dvc.stage.serialize import to_single_stage_lockfile

    return str(_get_cache_hash(to_single_stage_lockfile(stage), key=True))


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


def missing(repo: Any, stages: Sequence[Any], remote: Any = None) -> dict[str, Source | None]:
    """Of stages that stand: those whose data is not here, and where it is; None where none that is asked has it."""
    places: list[tuple[Source, Any]] = [("cache", repo.cache.local)]
    if remote is not None:
        places.append(("remote", remote))
    found: dict[str, Source | None] = {}
    for stage in stages:
        if absent := [out.hash_info for out in stage.outs if not out.exists and out.use_cache]:
            has = (name for name, place in places if all(one and place.exists(one.value) for one in absent))
            found[stage.addressing] = next(has, None)
    return found

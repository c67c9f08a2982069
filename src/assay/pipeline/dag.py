"""The stages of dvc.yaml as DVC resolves them, in the order in which it would run them, with their dvc.lock entries."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from assay.core.errors import AssayError
from assay.pipeline import lockfile, quick_dvc

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


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


def in_order(repo: Any) -> list[Any]:
    """Every stage after all those that it depends on; otherwise as dvc.yaml lists them."""
    import networkx as nx

    place = {stage.addressing: number for number, stage in enumerate(repo.index.stages)}
    graph = repo.index.graph.reverse()
    return list(nx.lexicographical_topological_sort(graph, key=lambda stage: place[stage.addressing]))


def touches(path: str, *others: str) -> bool:
    """Whether a path is one of the others, or lies above or below one."""
    return any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in others)


def producers(stages: Sequence[Any]) -> dict[str, list[tuple[Any, Any]]]:
    """For each path that a stage depends on: the outputs that lie at, above or below it, each with its stage."""
    outs = [(out, stage) for stage in stages for out in stage.outs]
    paths = {dep.fs_path for stage in stages for dep in stage.deps}
    return {path: [one for one in outs if touches(path, one[0].fs_path)] for path in paths}


def git(root: Path, *arguments: str) -> str:
    """What a git command prints; bytes that are not UTF-8, as an old commit's subject may have, are replaced.

    Raises:
        AssayError: it fails; the line holds git's own reason.
    """
    command, environment = ["git", *arguments], {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(
        command, cwd=root, env=environment, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
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

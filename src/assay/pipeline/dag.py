"""The stages of dvc.yaml as DVC resolves them, in the order in which it would run them, with their dvc.lock entries."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML, YAMLError

from assay.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOCK_FILE = "dvc.lock"
RESOLVE = f"drop {LOCK_FILE} and run `dvc repro --pull`, which restores from the run-cache what was computed before"


@contextmanager
def opened(root: Path) -> Iterator[Any]:
    """DVC's `Repo` at `root`. Nothing that is done with it here writes to the repository.

    Raises:
        AssayError: there is no DVC repository, or dvc.yaml, dvc.lock or .dvc/config cannot be read.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    read_lock(root)
    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise AssayError(" ".join(str(error).split())) from error


def in_order(repo: Any) -> list[Any]:
    """Every stage after all those that it depends on; otherwise as dvc.yaml lists them."""
    import networkx as nx

    place = {stage.addressing: number for number, stage in enumerate(repo.index.stages)}
    graph = repo.index.graph.reverse()
    return list(nx.lexicographical_topological_sort(graph, key=lambda stage: place[stage.addressing]))


def read_lock(root: Path) -> dict[str, Any]:
    """The entries of dvc.lock by stage; none where there is no such file.

    Raises:
        AssayError: it is not YAML, as after a merge with conflicts.
    """
    path = root / LOCK_FILE
    return parse_lock(path.read_text(encoding="utf-8"), LOCK_FILE) if path.is_file() else {}


def parse_lock(text: str, where: str) -> dict[str, Any]:
    """The entries of a dvc.lock by stage.

    Args:
        text: the file's content.
        where: what to call it in an error.

    Raises:
        AssayError: it is not YAML.
    """
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError:
        raise AssayError(f"{where}: not valid YAML, as after a merge with conflicts; {RESOLVE}") from None
    return dict((content or {}).get("stages", {}))


def gathering(stages: Sequence[Any]) -> list[Any]:
    """The stages that read a whole folder into which several stages write: `compare` and `track`.

    DVC pulls what a stage depends on where it is absent; a folder with holes is not absent, so somebody else must fill
    it before these stages run.
    """
    outs = [Path(out.fs_path) for stage in stages for out in stage.outs]
    return [stage for stage in stages if any(Path(dep.fs_path) in out.parents for dep in stage.deps for out in outs)]


def git(root: Path, *arguments: str) -> str:
    """What a git command prints.

    Raises:
        AssayError: it fails; the line holds git's own reason.
    """
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise AssayError(f"git {' '.join(arguments)}: {reason}")
    return done.stdout


def producers(stages: Sequence[Any]) -> dict[str, list[tuple[Any, Any]]]:
    """For each path that a stage depends on: the outputs that lie at, above or below it, each with its stage."""
    outs = [(Path(out.fs_path), out, stage) for stage in stages for out in stage.outs]
    found: dict[str, list[tuple[Any, Any]]] = {}
    for name in {dep.fs_path for stage in stages for dep in stage.deps}:
        path = Path(name)
        found[name] = [
            (out, stage) for at, out, stage in outs if path == at or at in path.parents or path in at.parents
        ]
    return found


def lock_at(root: Path, revision: str) -> dict[str, Any]:
    """The entries of dvc.lock in a git revision; none where it has no such file.

    Raises:
        AssayError: there is no such revision, or its dvc.lock is not YAML.
    """
    text = text_at(root, revision, LOCK_FILE)
    return {} if text is None else parse_lock(text, f"{LOCK_FILE} of {revision}")


def text_at(root: Path, revision: str, path: str) -> str | None:
    """A file's text in a git revision; None where it has no such file.

    Raises:
        AssayError: there is no such revision.
    """
    try:
        commit = git(root, "rev-parse", "--verify", f"{revision}^{{commit}}").strip()
    except AssayError:
        raise AssayError(f"no git revision {revision!r} here; fetch it, or name another") from None
    if not git(root, "ls-tree", "--name-only", commit, path):
        return None
    return git(root, "show", f"{commit}:{path}")

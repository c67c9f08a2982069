"""What a head sends to every node of a cluster: the tree as it is as a git bundle, and what a node should be like."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from assay.core.errors import AssayError
from assay.pipeline import dag, node, warm

if TYPE_CHECKING:
    from collections.abc import Iterable

CPUS, GPUS = "ASSAY_UNIT_CPUS", "ASSAY_UNIT_GPUS"  # what the head asks for each unit
# of the remote's options those that are no secret: a node has credentials of its own
OPTIONS = (
    *("url", "endpointurl", "region", "profile", "user", "port", "timeout", "use_ssl", "ssl_verify", "verify"),
    *("projectname", "account_name", "acl", "sse", "listobjects"),
)


def packed(root: Path) -> tuple[node.Job, bytes]:
    """What every node is asked, and the tree as it is as a git bundle of one commit; weights of the user's own too."""
    with tempfile.TemporaryDirectory(prefix="assay-bundle-") as folder:
        moment = "2000-01-01T00:00:00Z"  # the same tree is the same commit
        who = {f"GIT_{one}_{what}": "assay" for one in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        when = {f"GIT_{one}_DATE": moment for one in ("AUTHOR", "COMMITTER")}
        environment = {**os.environ, **who, **when, "GIT_INDEX_FILE": f"{folder}/index"}

        def git(*arguments: str) -> str:
            done = subprocess.run(["git", *arguments], cwd=root, env=environment, capture_output=True, text=True)
            if done.returncode:
                raise AssayError(f"git {arguments[0]}: {' '.join(done.stderr.split())}")
            return done.stdout.strip()

        git("read-tree", "HEAD")
        git("add", "--all")
        if (root / "weights").is_dir():
            git("add", "--force", "weights")
        commit = git("commit-tree", git("write-tree"), "-m", "assay")
        name, bundle = f"refs/assay/{commit}", Path(folder, "bundle")
        git("update-ref", name, commit)
        try:
            git("bundle", "create", "--quiet", str(bundle), name)
        finally:
            git("update-ref", "-d", name)
        content = bundle.read_bytes()
    lock, project = ((root / name).read_text(encoding="utf-8") for name in ("requirements.lock", "pyproject.toml"))
    pins = {one.name: str(one.specifier).removeprefix("==") for one in _required(lock.splitlines())}
    pins |= {name: metadata.version(name) for name in ("ray", "torch")}  # with the build, as in 2.14.1+cpu
    needed = [one.name for one in _required(tomllib.loads(project)["project"]["dependencies"])]
    forwarded = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("ASSAY_") and name not in ("ASSAY_JOBS", "ASSAY_THREADS", CPUS, GPUS, warm.MARK)
    }
    forwarded[warm.NODE] = "1"
    job = node.Job(commit, _config(root), pins, tuple(needed), platform.python_version(), forwarded)
    return job, content


def _required(lines: Iterable[str]) -> list[Requirement]:
    """What these lines ask for on this Python and system, names as packages are compared."""
    asked = [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]
    for one in asked:
        one.name = canonicalize_name(one.name)
    return [one for one in asked if one.marker is None or one.marker.evaluate()]


def _config(root: Path) -> str:
    """DVC's settings for the remote as they are here, without secrets."""
    with dag.opened(root) as repo:
        name = repo.config["core"]["remote"]
        options = repo.config["remote"][name]
        given = [f"    {key} = {options[key]}\n" for key in OPTIONS if options.get(key) is not None]
    return f"[core]\n    remote = {name}\n    analytics = false\n['remote \"{name}\"']\n{''.join(given)}"

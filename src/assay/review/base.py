"""Which commit a branch is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.foundation.errors import AssayError
from assay.pipeline import dag

if TYPE_CHECKING:
    from pathlib import Path


def commit(root: Path, name: str) -> str:
    """The commit at which this branch left `name`: what `name` gained since is no doing of the branch.

    `origin/<name>` goes before a local branch of that name, which may be old.

    Raises:
        AssayError: there is no such branch here, or no common commit (as in a shallow clone).
    """
    for candidate in (f"origin/{name}", name):
        try:
            dag.git(root, "rev-parse", "--verify", f"{candidate}^{{commit}}")
        except AssayError:
            continue
        try:
            return dag.git(root, "merge-base", candidate, "HEAD").strip()
        except AssayError:
            raise AssayError(f"BASE={name}: no commit in common with this branch; fetch all of git's history") from None
    raise AssayError(f"BASE={name}: no such branch or commit here; git fetch origin {name}")

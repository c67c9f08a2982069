"""Which commit a branch is compared with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assay.core.errors import AssayError
from assay.pipeline import dag

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ABBREVIATED = 12


@dataclass(frozen=True)
class Commit:
    """A commit and the first line of its message."""

    sha: str
    subject: str

    def text(self, quote: Callable[[str], str]) -> str:
        """The abbreviated hash, and the subject as `quote` renders it."""
        return f"{self.sha[:ABBREVIATED]} {quote(self.subject or '(no subject)')}"


@dataclass(frozen=True)
class Base:
    """The commit that a branch is compared with, and how it was found.

    Attributes:
        name: what the user gave: a branch, or anything else that git resolves to a commit.
        reference: the full name of the ref that `name` stands for; empty where it is no ref, as with `HEAD~1`.
        named: the commit that `name` resolves to.
        commit: the merge base of `named` and HEAD, which is `named` itself where that is an ancestor of HEAD.
        is_head: whether `commit` is HEAD.
    """

    name: str
    reference: str
    named: Commit
    commit: Commit
    is_head: bool = False

    def text(self, quote: Callable[[str], str]) -> str:
        """One sentence: the commit that is used, its subject, and how it follows from the name."""
        name = quote(self.name) + (f" ({self.reference})" if self.reference not in ("", self.name) else "")
        same = self.named.sha == self.commit.sha
        how = f"which is {name}" if same else f"where this branch left {name}, which is now at {self.named.text(quote)}"
        end = "; it is HEAD, so only uncommitted changes can differ." if self.is_head else "."
        return f"Compared with {self.commit.text(quote)}, {how}{end}"


def find(root: Path, name: str) -> Base:
    """The commit at which this branch left `name`: what `name` gained since is not the branch's doing.

    A branch of this name comes first, at the origin (a local one may be old) and then here; so a branch goes before a
    tag of the same name, and before the abbreviated hash that it looks like. Everything else is resolved by git.

    Raises:
        AssayError: there is no such branch or commit here, or no common commit (as in a shallow clone).
    """
    reference, sha = _resolve(root, name)
    common = _try(root, "merge-base", sha, "HEAD") if sha else None
    if not common:
        what = "no commit in common with this branch" if sha else "no such branch or commit here"
        remedy = "they have separate histories; name a base that this branch comes from"
        if not sha:
            remedy = "`git fetch origin` gets what the origin has; else name another"
        if _try(root, "rev-parse", "--is-shallow-repository") == "true":
            remedy = "this clone is shallow: git fetch --unshallow origin"
        raise AssayError(f"BASE={name}: {what}; {remedy}")
    common = common.split()[0]
    head = _try(root, "rev-parse", "HEAD")
    return Base(name, reference, _commit(root, sha), _commit(root, common), common == head)


def _resolve(root: Path, name: str) -> tuple[str, str]:
    """The ref that `name` stands for, or nothing, and the commit's hash; both empty where there is no such commit."""
    branches = [] if name == "HEAD" or re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name) else ["remotes/origin", "heads"]
    for reference in (f"refs/{kind}/{name}" for kind in branches):
        if _try(root, "show-ref", "--verify", "--quiet", "--", reference) is not None:
            return reference, _try(root, "rev-parse", "--verify", f"{reference}^{{commit}}") or ""
    found = "" if name.startswith("-") else _try(root, "rev-parse", "--verify", "--quiet", name) or ""
    sha = _try(root, "rev-parse", "--verify", "--quiet", f"{found}^{{commit}}") if found.isalnum() else None
    return (_try(root, "rev-parse", "--symbolic-full-name", name) or "", sha) if sha else ("", "")


def _commit(root: Path, sha: str) -> Commit:
    return Commit(sha, dag.git(root, "log", "-1", "--no-show-signature", "--no-color", "--format=%s", sha).strip())


def _try(root: Path, *arguments: str) -> str | None:
    """What a git command prints; None where it fails."""
    try:
        return dag.git(root, *arguments).strip()
    except AssayError:
        return None

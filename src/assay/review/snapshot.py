"""A branch and its base: which commit that is, and what git holds of the parameters and results of each.

The base's files were written by the base's code, so only the keys that the design fixes are required.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, model_validator

from assay.analysis import seeds
from assay.analysis.claims import of_a_bound
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import json_of, yaml_of
from assay.pipeline import dag

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from assay.analysis.seeds import Seeds

FILES = PARAMS, CLAIMS, SEEDS, TIMINGS = "params.yaml", "metrics/claims.json", str(seeds.PATH), "metrics/timings.json"
OTHER_BASE = "name another BASE"  # nobody changes a file in a revision
ABBREVIATED = 12
SUBJECT = ("log", "-1", "--no-show-signature", "--no-color", "--format=%s")


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
    """The commit that a branch is compared with, and how it was found."""

    name: str  # what the user gave: a branch, or anything else that git resolves to a commit
    reference: str  # the full name of the ref that it stands for; empty where it is no ref, as with `HEAD~1`
    named: Commit  # what the name resolves to
    commit: Commit  # the merge base of `named` and HEAD, which is `named` itself where that is an ancestor of HEAD
    is_head: bool = False

    def text(self, quote: Callable[[str], str]) -> str:
        """One sentence: the commit that is used, its subject, and how it follows from the name."""
        name = quote(self.name) + (f" ({self.reference})" if self.reference not in ("", self.name) else "")
        same = self.named.sha == self.commit.sha
        how = f"which is {name}" if same else f"where this branch left {name}, which is now at {self.named.text(quote)}"
        end = "; it is HEAD, so only uncommitted changes can differ." if self.is_head else "."
        return f"Compared with {self.commit.text(quote)}, {how}{end}"


def find_base(root: Path, name: str) -> Base:
    """The commit at which this branch left `name`: what `name` gained since is not the branch's doing.

    A branch of this name comes first, at the origin (a local one may be old) and then here; so a branch goes before a
    tag of the same name, and before the abbreviated hash that it looks like. Everything else is resolved by git.

    Raises:
        AssayError: there is no such branch or commit here, or no common commit (as in a shallow clone).
    """
    reference, sha = _resolve(root, name)
    common = (_try(root, "merge-base", sha, "HEAD") if sha else "").partition("\n")[0]
    if not common:
        what, remedy = "no such branch or commit here", "`git fetch origin` gets what the origin has; else name another"
        if sha:
            what = "no commit in common with this branch"
            remedy = "they have separate histories; name a base that this branch comes from"
        if _try(root, "rev-parse", "--is-shallow-repository") == "true":
            remedy = "this clone is shallow: git fetch --unshallow origin"
        raise AssayError(f"BASE={name}: {what}; {remedy}")
    named, commit = (Commit(one, dag.git(root, *SUBJECT, one).strip()) for one in (sha, common))
    return Base(name, reference, named, commit, common == _try(root, "rev-parse", "HEAD"))


def _resolve(root: Path, name: str) -> tuple[str, str]:
    """The ref that `name` stands for, or nothing, and the commit's hash; both empty where there is no such commit."""
    if name != "HEAD" and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", name):
        for reference in (f"refs/remotes/origin/{name}", f"refs/heads/{name}"):
            if sha := _try(root, "show-ref", "--verify", "--hash", "--", reference):
                return reference, sha
    found = "" if name.startswith("-") else _try(root, "rev-parse", "--verify", "--quiet", name)
    sha = _try(root, "rev-parse", "--verify", "--quiet", f"{found}^{{commit}}") if found.isalnum() else ""
    return (_try(root, "rev-parse", "--symbolic-full-name", name), sha) if sha else ("", "")


def _try(root: Path, *arguments: str) -> str:
    """What a git command prints; empty where it fails."""
    try:
        return dag.git(root, *arguments).strip()
    except AssayError:
        return ""


class Claim(BaseModel, frozen=True):
    """A claim and its verdict; other keys of metrics/claims.json are ignored."""

    _direction = model_validator(mode="before")(of_a_bound)

    id: str
    statement: str = ""
    metric: str = ""
    asks: str = ""
    more_is_better: bool | None = None
    margin: float = 0.0
    at_most: float | None = None
    at_least: float | None = None
    arm: str = ""
    against: str = ""
    difference: float | None = None
    interval: tuple[float, float] | None = None
    seeds: int = 0
    archived: str = ""
    verdict: str


@dataclass(frozen=True)
class Snapshot:
    """The parameters and results of one commit, or of the working tree."""

    params: Any  # params.yaml as plain data
    claims: Mapping[str, Claim]  # by id
    seeds: Mapping[str, Seeds]  # by `<arm>/<variant>`, from metrics/seeds.csv
    timings: Mapping[str, Any] = field(default_factory=dict)  # by training, what is recorded of its machine


def read(root: Path, revision: str = "") -> Snapshot:
    """The snapshot of a git revision, by default of the working tree.

    Raises:
        AssayError: there is no such revision, or a file is damaged.
    """
    if revision:
        there = dag.git(root, "ls-tree", "--name-only", revision, *FILES).splitlines()
        found = {name: dag.git(root, "show", f"{revision}:./{name}") for name in there}
    else:
        here = (name for name in FILES if (root / name).is_file())
        found = {name: (root / name).read_text(encoding="utf-8", errors="replace") for name in here}
    of, again = (f" of {revision}", OTHER_BASE) if revision else ("", seeds.AGAIN)
    texts = dict.fromkeys(FILES, "") | found
    claims, timings = (json_of(texts[name] or "null", name + of, again) for name in (CLAIMS, TIMINGS))
    for name, content, kind in ((CLAIMS, claims, list), (TIMINGS, timings, dict)):
        if texts[name] and not isinstance(content, kind):
            raise AssayError(f"{name + of}: not a JSON {'list' if kind is list else 'object'}; {again}")
    parsed = [parse(Claim, one, CLAIMS + of) for one in claims or ()]
    return Snapshot(
        params=yaml_of(texts[PARAMS], PARAMS + of) or {},
        claims={claim.id: claim for claim in parsed},
        seeds=seeds.parse(texts[SEEDS], SEEDS + of, again),
        timings=timings or {},
    )

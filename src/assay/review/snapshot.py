"""A branch or its base: what git holds of its parameters and results, read as they were written then.

The base's files were written by the base's code, so only the keys that the design fixes are required.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from assay.analysis import seeds
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import json_of, yaml_of
from assay.pipeline import dag

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from assay.analysis.seeds import Seeds

FILES = PARAMS, CLAIMS, SEEDS, TIMINGS = "params.yaml", "metrics/claims.json", str(seeds.PATH), "metrics/timings.json"
OTHER_BASE = "name another BASE"  # nobody changes a file in a revision


class Claim(BaseModel):
    """A claim and its verdict; other keys of metrics/claims.json are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

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


def of_tree(root: Path) -> Snapshot:
    """The snapshot of the working tree.

    Raises:
        AssayError: a file is damaged.
    """
    here = [name for name in FILES if (root / name).is_file()]
    return _read(here, lambda name: (root / name).read_text(encoding="utf-8", errors="replace"), "")


def of_revision(root: Path, revision: str) -> Snapshot:
    """The snapshot of a git revision.

    Raises:
        AssayError: there is no such revision, or a file in it is damaged.
    """
    there = dag.git(root, "ls-tree", "--name-only", revision, *FILES).splitlines()
    return _read(there, lambda name: dag.git(root, "show", f"{revision}:./{name}"), f" of {revision}")


def _read(there: Collection[str], read: Callable[[str], str], of: str) -> Snapshot:
    texts = {name: read(name) if name in there else "" for name in FILES}
    again = OTHER_BASE if of else seeds.AGAIN
    claims, timings = (json_of(texts[name] or "null", name + of, again) for name in (CLAIMS, TIMINGS))
    for name, found, kind in ((CLAIMS, claims, list), (TIMINGS, timings, dict)):
        if texts[name] and not isinstance(found, kind):
            raise AssayError(f"{name + of}: not a JSON {'list' if kind is list else 'object'}; {again}")
    parsed = [parse(Claim, one, CLAIMS + of) for one in claims or ()]
    return Snapshot(
        params=yaml_of(texts[PARAMS], PARAMS + of) or {},
        claims={claim.id: claim for claim in parsed},
        seeds=seeds.parse(texts[SEEDS], SEEDS + of, again),
        timings=timings or {},
    )

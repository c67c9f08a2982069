"""A branch or its base: what git holds of its parameters and results, read as they were written then.

The base's files were written by the base's code, so only the keys that the design fixes are required.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from assay.analysis import seeds
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.core.plain import json_of, yaml_of
from assay.pipeline import dag, lockfile

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from assay.analysis.seeds import Seeds

PARAMS, CLAIMS, SEEDS, TIMINGS = "params.yaml", "metrics/claims.json", str(seeds.PATH), "metrics/timings.json"
AGAIN = "take it from git again, or delete it and run `dvc repro compare`"


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
    verdict: str


@dataclass(frozen=True)
class Snapshot:
    """The parameters and results of one commit, or of the working tree.

    Attributes:
        params: params.yaml as plain data.
        claims: by id.
        seeds: the results by `<arm>/<variant>`, from metrics/seeds.csv.
        timings: by training, what metrics/timings.json records of its machine.
        lock_text: dvc.lock, and its name in an error.
    """

    params: Any
    claims: Mapping[str, Claim]
    seeds: Mapping[str, Seeds]
    timings: Mapping[str, Any] = field(default_factory=dict)
    lock_text: tuple[str, str] = ("", lockfile.NAME)

    @cached_property
    def lock(self) -> Mapping[str, Any]:
        """The entries of dvc.lock by stage, parsed on demand since the file is large.

        Raises:
            AssayError: it is not YAML.
        """
        return lockfile.parse(*self.lock_text)


def of_tree(root: Path) -> Snapshot:
    """The snapshot of the working tree.

    Raises:
        AssayError: a file is damaged.
    """

    def text(name: str) -> str:
        path = root / name
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else ""
        except UnicodeDecodeError:
            raise AssayError(f"{name}: not UTF-8 text; {AGAIN}") from None

    return _read(text, "")


def of_revision(root: Path, revision: str) -> Snapshot:
    """The snapshot of a git revision.

    Raises:
        AssayError: there is no such revision, or a file in it is damaged.
    """
    names = (PARAMS, CLAIMS, SEEDS, TIMINGS, lockfile.NAME)
    listed = dag.git(root, "ls-tree", "--name-only", revision, *names).splitlines()
    return _read(
        lambda name: dag.git(root, "show", f"{revision}:./{name}") if name in listed else "", f" of {revision}"
    )


def _read(text: Callable[[str], str], of: str) -> Snapshot:
    def json(name: str, kind: type) -> Any:
        content = text(name)
        found = json_of(content, name + of, AGAIN) if content else kind()
        if not isinstance(found, kind):
            raise AssayError(f"{name + of}: not a JSON {'list' if kind is list else 'object'}; {AGAIN}")
        return found

    claims = [parse(Claim, one, CLAIMS + of) for one in json(CLAIMS, list)]
    return Snapshot(
        params=yaml_of(text(PARAMS), PARAMS + of) or {},
        claims={claim.id: claim for claim in claims},
        seeds=seeds.parse(text(SEEDS), SEEDS + of),
        timings=json(TIMINGS, dict),
        lock_text=(text(lockfile.NAME), lockfile.NAME + of),
    )

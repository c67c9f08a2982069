"""One side of a comparison, a branch or its base: what git holds of its results, read as it was written then.

The base's files were written by the base's code, so only the keys that the design fixes are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from assay.core.config.parsing import InList, parse
from assay.core.errors import AssayError
from assay.core.plain import json_of, yaml_of
from assay.pipeline import dag, lockfile
from assay.scoring import merging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

PARAMS, CLAIMS, RECORDS = "params.yaml", "metrics/claims.json", "metrics/evaluate/"
TIMINGS = "metrics/timings/"


def _no_file(name: str) -> str | None:  # noqa: ARG001 (a side without files)
    return None


class Claim(BaseModel):
    """A claim and its verdict; other keys of metrics/claims.json are left alone."""

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


class Evaluation(InList, BaseModel):
    """An arm's test results; variants hold lists with a number a seed, among numbers of other kinds.

    `model` and `record` are what claims on costs and on `record.<key>` read.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    arm: str
    block: int = 0
    seeds: list[int] = []
    data_digest: str = ""
    test_examples: int = 0
    model: Any = None
    record: Any = None
    variants: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Side:
    """What one side holds.

    Attributes:
        params: params.yaml as plain data.
        claims: by id.
        evaluations: by arm.
        lock_text: dvc.lock, and what to call it in an error.
        text: gives the content of a file of this side by its path; None where there is no such file.
    """

    params: Any
    claims: Mapping[str, Claim]
    evaluations: Mapping[str, Evaluation]
    lock_text: tuple[str, str] = ("", lockfile.NAME)
    text: Callable[[str], str | None] = field(default=_no_file, compare=False)

    @cached_property
    def lock(self) -> Mapping[str, Any]:
        """The entries of dvc.lock by stage; it is large, and not every comparison asks for it.

        Raises:
            AssayError: it is not YAML.
        """
        return lockfile.parse(*self.lock_text)

    def timings(self, arm: str) -> Mapping[str, Any]:
        """What `metrics/timings/<arm>.json` says of the machine that trained an arm; empty where nothing is known.

        Raises:
            AssayError: the file is not JSON.
        """
        name = f"{TIMINGS}{arm}.json"
        content = _json(self.text(name), name)
        return content if isinstance(content, dict) else {}


def of_tree(root: Path) -> Side:
    """The side that lies in the working tree.

    Raises:
        AssayError: a file is damaged.
    """
    names = [str(path.relative_to(root)) for path in (root / RECORDS).glob("*.json")]

    def text(name: str) -> str | None:
        path = root / name
        try:
            return path.read_text(encoding="utf-8") if path.is_file() else None
        except UnicodeDecodeError:
            raise AssayError(f"{name}: not UTF-8 text; take it from git again, or run `dvc repro --pull`") from None

    return _read(names, text, "")


def of_revision(root: Path, revision: str) -> Side:
    """The side that a git revision holds.

    Raises:
        AssayError: there is no such revision, or a file in it is damaged.
    """
    names = (PARAMS, CLAIMS, lockfile.NAME, RECORDS, TIMINGS)
    listed = dag.git(root, "ls-tree", "--name-only", revision, *names).splitlines()

    def text(name: str) -> str | None:
        return dag.git(root, "show", f"{revision}:./{name}") if name in listed else None

    return _read([name for name in listed if name.startswith(RECORDS)], text, f" of {revision}")


def _read(names: Iterable[str], text: Callable[[str], str | None], of: str) -> Side:
    claims = [parse(Claim, one, CLAIMS + of) for one in _json(text(CLAIMS), CLAIMS + of) or []]
    evaluations = [
        parse(Evaluation, _json(text(name), name + of), name + of) for name in sorted(names) if name.endswith(".json")
    ]
    arms = {one.arm for one in evaluations}
    return Side(
        params=yaml_of(text(PARAMS) or "", PARAMS + of) or {},
        claims={claim.id: claim for claim in claims},
        evaluations={arm: _together([one for one in evaluations if one.arm == arm]) for arm in sorted(arms)},
        lock_text=(text(lockfile.NAME) or "", lockfile.NAME + of),
        text=text,
    )


def _together(blocks: list[Evaluation]) -> Evaluation:
    """The evaluation of an arm with all its seeds, from those of its blocks."""
    first, *others = sorted(blocks, key=lambda one: one.block)
    if not others:
        return first
    parts = [one.model_dump(include={"seeds", "record", "variants"}) for one in (first, *others)]
    return first.model_copy(update=merging.together(parts, [len(part["seeds"]) for part in parts]))


def _json(text: str | None, where: str) -> Any:
    return None if text is None else json_of(text, where, "delete it and run `dvc repro --pull`")

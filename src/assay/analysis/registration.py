"""`metrics/plan.json`: what is claimed and how it will be decided, written down before anything trains.

A claim that is new or that was changed is marked where results of its arms were there already: whoever changed it could
have seen them. The mark stays with the claim as long as it stays what it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from assay.core import files
from assay.core.config import parsing, split_variant
from assay.core.errors import ANEW
from assay.scoring.metrics import is_exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assay.core.config import Run
    from assay.core.config.claim import Claim, Rule

PATH = Path("metrics/plan.json")
WORDS = {"id", "paper", "statement", "differs_from_paper"}  # of a claim: they decide nothing


class Entry(BaseModel, frozen=True):
    """A claim: the digest of itself without its wording, of the rule and its arms' parameters.

    It was changed after results if results of its arms were there when it got this digest.
    """

    digest: str
    changed_after_results: bool = False


class Registration(BaseModel, frozen=True):
    """The file: the digest of all claims, and each of those that are tested, by id."""

    digest: str = ""
    claims: dict[str, Entry] = {}


def register(
    claims: Iterable[Claim], rule: Rule, runs: Mapping[str, Run], evaluated: Iterable[str], before: Iterable[Entry]
) -> Registration:
    """Register the claims of params.yaml that are tested.

    `runs` are the baseline, the arms and the rounds as they are to be trained; `evaluated` names those whose results
    with these very parameters are there. Of entries of `before` with one digest the last counts.
    """
    known, there = {entry.digest: entry for entry in before}, set(evaluated)
    found = {}
    for claim in claims:
        if claim.preset is not None or is_exact(claim.metric):
            continue
        arms = [split_variant(name)[0] for name in claim.arms.values()]
        decides = {
            "claim": claim.model_dump(mode="json", exclude=WORDS),
            "rule": rule.model_dump(mode="json"),
            "runs": [[runs[arm].method, runs[arm].parameters] for arm in arms],
        }
        digest = files.content_digest(decides)
        found[claim.id] = known.get(digest) or Entry(digest=digest, changed_after_results=there.issuperset(arms))
    return Registration(digest=files.content_digest([found[id_].digest for id_ in sorted(found)]), claims=found)


def read(root: Path) -> Registration:
    """What was registered before training; an `AssayError` says that metrics/plan.json is missing or damaged."""
    return parsing.read(Registration, root / PATH, "`dvc repro register` writes it", ANEW)


def is_result(content: Any, run: Run, data: str) -> bool:
    """Whether the content of `metrics/evaluate/<arm>.json` is a result of a run with these parameters on this data."""
    try:
        record = content["evaluation"][0]
        return (record["method"], record["parameters"], record["data"]) == (run.method, run.parameters, data)
    except (TypeError, KeyError, IndexError):
        return False

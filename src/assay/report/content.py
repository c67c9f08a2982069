"""What a report is made of, the papers, and how arms fall into groups: each method beside its controls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import assay
from assay.core.config import BASELINE, split_variant
from assay.core.config.claim import Rule
from assay.core.plain import literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.claims import ClaimRecord
    from assay.analysis.curves import Curves
    from assay.report.summary import Row
    from assay.report.tables import Table
    from assay.scoring.record import Evaluation, Record, VariantRecord

METHODS = Path(assay.__file__).parent / "methods"


class Paper(NamedTuple):
    """A paper: the topic it stands for, and how it is cited."""

    topic: str
    cited: str


@cache
def papers(methods: Path = METHODS) -> dict[str, Paper]:
    """The `PAPER` of every method, by key, without importing it: the report knows nothing of methods or PyTorch."""
    found = [own for file in sorted(methods.glob("*/__init__.py")) if (own := literal(file, "PAPER"))]
    return {own["key"]: Paper(own["topic"], own["cited"]) for own in found}


def paper(key: str) -> Paper:
    """The paper of a claim; a key that no method names stands for itself."""
    return papers().get(key, Paper(key, ""))


@dataclass(frozen=True)
class Content:
    """What a report is made of: evaluations by arm, the baseline first, the summary, the decided claims, the curves.

    Attributes:
        sparsity: what a benchmark measured of pruned networks, an entry a round; empty where none ran.
        matters: the smallest difference in accuracy that matters.
        archived: the claims of archived runs by data set; None where nothing is archived.
        registered: the digest of claims, rule and arms as they were before training.
    """

    evaluations: Mapping[str, Evaluation]
    rows: Sequence[Row]
    claims: Sequence[ClaimRecord]
    curves: Curves
    sparsity: Sequence[Mapping[str, Any]] = ()
    matters: float = Rule().matters
    archived: Table | None = None
    registered: str = ""

    def record(self, arm: str) -> Record:
        """An arm's record."""
        return self.evaluations[arm].record

    def variant(self, row: Row) -> VariantRecord:
        """The numbers of each seed behind a row."""
        return self.record(row.arm).variants[row.variant]

    def baseline(self) -> VariantRecord:
        """The numbers of each seed of the baseline."""
        return next(iter(self.record(BASELINE).variants.values()))

    def noise(self, arm: str) -> float:
        """The share of an arm's training labels that were replaced."""
        return float(self.record(arm).parameters.get("label_noise", 0.0))

    def clean(self) -> list[Row]:
        """The rows whose arms were trained on the labels as they are."""
        return [row for row in self.rows if not self.noise(row.arm)]

    def groups(self) -> dict[str, list[str]]:
        """Arms to compare with each other, by a title: the baseline, then the arms by the paper whose claims name them.

        An arm counts first as what is claimed, then as a control. One that no claim names goes where its method is, or
        else where the arm before it in params.yaml is, unless no arm with a claim follows; what is left comes last.
        """
        methods = {row.arm: row.method for row in self.rows}
        of_baseline = methods.pop(BASELINE, None)
        owner: dict[str, str] = {}
        for side in ("arm", "against"):
            for claim in self.claims:
                arm = split_variant(getattr(claim, side))[0]
                if arm in methods:
                    owner.setdefault(arm, claim.paper)
        of_method = {methods[arm]: key for arm, key in owner.items() if methods[arm] != of_baseline}
        last_named = max((i for i, arm in enumerate(methods) if arm in owner), default=-1)
        found: dict[str, list[str]] = {"Baseline": [BASELINE]} | {paper(claim.paper).topic: [] for claim in self.claims}
        before: str | None = None
        for i, (arm, method) in enumerate(methods.items()):
            before = owner.get(arm) or of_method.get(method) or (before if i < last_named else None)
            found.setdefault(paper(before).topic if before else "Other arms", []).append(arm)
        return {title: arms for title, arms in found.items() if arms}

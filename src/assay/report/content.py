"""What a report is made of, the papers, and how arms fall into groups: each method beside its controls."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import assay
from assay.core.config import BASELINE, split_variant
from assay.core.config.claim import Rule
from assay.core.plain import literals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.claims import ClaimRecord
    from assay.analysis.curves import Curves
    from assay.report.summary import Row
    from assay.report.tables import Table
    from assay.scoring.record import Evaluation, Record, VariantRecord

METHODS = Path(assay.__file__).parent / "methods"
OTHER, ROUND = "Other arms", "round-"


class Paper(NamedTuple):
    """A paper: the topic it stands for, and how it is cited."""

    topic: str
    cited: str


@cache
def of_methods(methods: Path = METHODS) -> dict[str, dict[str, str]]:
    """The `PAPER` of every method that has one, by the method's name; methods of one topic stand in one group.

    It is read without importing the method: its code and PyTorch's stay out of the report, which is blind to methods.
    """
    return {path.parent.name: own for path, own in literals(methods.glob("[!_]*/__init__.py"), "PAPER").items()}


def papers(methods: Path = METHODS) -> dict[str, Paper]:
    """The paper of every method that names one, by key."""
    return {own["key"]: Paper(own["topic"], own["cited"]) for own in of_methods(methods).values()}


def paper(key: str) -> Paper:
    """The paper of a claim; a key that no method names stands for itself."""
    return papers().get(key, Paper(key, ""))


def family(arm: str, variant: str | None) -> str:
    """What a claim is about: an arm, and of a pruning round this variant of any round."""
    return f"{ROUND}/{variant}" if arm.startswith(ROUND) else arm


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

    def names(self) -> list[str]:
        """The names of the classes, by label."""
        return list(self.record(BASELINE).class_counts)

    def baseline(self) -> VariantRecord:
        """The numbers of each seed of the baseline."""
        return next(iter(self.record(BASELINE).variants.values()))

    def noise(self, arm: str) -> float:
        """The share of an arm's training labels that were replaced."""
        return float(self.record(arm).parameters.get("label_noise", 0.0))

    def clean(self) -> list[Row]:
        """The rows whose arms were trained on the labels as they are."""
        return [row for row in self.rows if not self.noise(row.arm)]

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Arms to compare with each other, by a title: the baseline, then the arms by the topic whose claims name them.

        An arm counts first as what is claimed, then as a control. One that no claim names goes where named arms of its
        method are, or else to the topic of the method's own paper. One of the baseline's method goes with the arms that
        have a topic right before and after it in params.yaml, if they have the same. What is left comes last.
        """
        methods = {row.arm: row.method for row in self.rows}
        of_baseline = methods.pop(BASELINE, None)
        owner: dict[str, str] = {}
        for side in ("arm", "against"):
            for claim in self.claims:
                arm = split_variant(getattr(claim, side))[0]
                if arm in methods:
                    owner.setdefault(arm, paper(claim.paper).topic)
        of_method = {name: own["topic"] for name, own in of_methods().items()}
        of_method |= {methods[arm]: topic for arm, topic in owner.items() if methods[arm] != of_baseline}
        topics = [owner.get(arm) or of_method.get(method) for arm, method in methods.items()]
        found: dict[str, list[str]] = {"Baseline": [BASELINE]} | {paper(claim.paper).topic: [] for claim in self.claims}
        for i, (arm, method) in enumerate(methods.items()):
            before, after = (next(filter(None, part), None) for part in (reversed(topics[:i]), topics[i:]))
            beside = before if method == of_baseline and before == after else None
            found.setdefault(topics[i] or beside or OTHER, []).append(arm)
        return {title: found[title] for title in sorted(found, key=OTHER.__eq__) if found[title]}

    def named(self, side: str) -> set[str]:
        """The `family` of each arm that claims name on a side, `arm` or `against`."""
        return {family(*split_variant(name)) for claim in self.claims if (name := getattr(claim, side))}

    @cached_property
    def controls(self) -> set[tuple[str, str]]:
        """Arm and variant of the controls: claims name them as rivals alone, or their group's are about another method.

        Of pruning rounds, they are variants that no claim is about. Without claims there are none.
        """
        about, rivals, found = self.named("arm"), self.named("against"), set()
        of_baseline = {row.method for row in self.rows if row.arm == BASELINE}
        for arms in self.groups.values() if about else ():
            own = [(row, family(row.arm, row.variant)) for row in self.rows if row.arm in arms and row.arm != BASELINE]
            claimed = {row.method for row, name in own if name in about}
            for row, name in own:
                rival = name not in about and (name in rivals or row.arm.startswith(ROUND))
                if rival or row.method not in (claimed - of_baseline or claimed):
                    found.add((row.arm, row.variant))
        return found

"""The same claim in this run and in every archived one, and whether it holds across them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.analysis.archives import EARLIER_RULE
from assay.report import numbers, verdicts
from assay.report.tables import Cell, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.archives import Archive
    from assay.analysis.claims import ClaimRecord
    from assay.scoring.record import Record

SAME = ("asks", "metric", "more_is_better", "margin", "at_most", "at_least")  # else it is not the same claim
OUTCOMES = {"reproduced": "yes", "refuted": "no", "negligible": "no"}


def table(claims: Sequence[ClaimRecord], here: Record, archives: Mapping[str, Archive]) -> Table | None:
    """A row for each claim that at least two runs tested, a column for each run that tested one of them.

    Args:
        claims: of this run, decided.
        here: the baseline's record of this run.
        archives: by name.

    Returns:
        None where no claim was tested twice.
    """
    rows = {claim.id: runs for claim in claims if len(runs := _by_run(claim, archives)) > 1}
    if not rows:
        return None
    settings = {"": f"{here.data}, {here.model.name}"}
    settings |= {name: f"{archive.data}, {archive.model}" for name, archive in archives.items()}
    shown = {name: about for name, about in settings.items() if any(name in runs for runs in rows.values())}
    lines = []
    for identifier, runs in rows.items():
        across = Cell(holds([claim.verdict for claim in runs.values()]))
        lines.append((identifier, (*(_cell(runs.get(name)) for name in shown), across)))
    headings = (name or "This run" for name in shown)
    return Table(("Claim", *headings, "Holds across them"), ("", *shown.values(), ""), tuple(lines))


def holds(decided: Sequence[str]) -> str:
    """Whether a claim holds across runs: `yes`, `no`, `mixed` or `undecided`.

    Args:
        decided: the verdict of each run. One that is undecided leaves the whole undecided, unless others contradict
            each other already; `negligible` does not hold.
    """
    outcomes = {OUTCOMES.get(one, "undecided") for one in decided}
    if {"yes", "no"} <= outcomes:
        return "mixed"
    return outcomes.pop() if len(outcomes) == 1 else "undecided"


def _by_run(claim: ClaimRecord, archives: Mapping[str, Archive]) -> dict[str, ClaimRecord]:
    """The claim as each run that tested it decided it, by the run's name; this run has none."""
    runs = {"": claim} if not claim.archived and claim.verdict in (*OUTCOMES, "undecided") else {}
    for name, archive in archives.items():
        tested = archive.tested(claim.id)
        if tested and tested.verdict in (*OUTCOMES, "undecided") and _same(tested, claim):
            runs[name] = tested
    return runs


def _same(tested: ClaimRecord, claim: ClaimRecord) -> bool:
    """Whether both ask the same; a claim that is not tested here asks nothing yet."""
    return not claim.asks or all(getattr(tested, key) == getattr(claim, key) for key in SAME)


def _cell(claim: ClaimRecord | None) -> Cell:
    if claim is None:
        return Cell(numbers.MISSING)
    (view,) = verdicts.views([claim.model_copy(update={"preset": ""})], ())
    measured = " ".join(filter(None, [view.difference, view.interval, view.unit]))
    rule = ", earlier rule" if claim.reason.startswith(EARLIER_RULE) else ""
    return Cell(f"{view.mark} {view.verdict}", f"{measured}, {claim.seeds} seeds{rule}")

"""The same claim in this run and in every archived one, and whether it holds across them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.analysis.archives import EARLIER_RULE
from assay.report import numbers, tables, verdicts
from assay.report.tables import Cell

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.analysis.archives import Archive
    from assay.analysis.claims import ClaimRecord
    from assay.scoring.record import Record

SAME = ("asks", "metric", "more_is_better", "margin", "at_most", "at_least")  # else it is not the same claim
HOLDS = {"reproduced": "yes", "refuted": "no", "negligible": "no"}


def table(claims: Sequence[ClaimRecord], here: Record, archives: Mapping[str, Archive]) -> tables.Table | None:
    """A row for each claim that at least two runs tested, a column for each run that tested one of them; or None.

    The claims are those of this run, decided; `here` is its baseline's record.
    """
    rows: dict[str, dict[str, ClaimRecord]] = {}
    for claim in claims:
        runs = {"": claim} if claim.tested else {}
        for name, archive in archives.items():
            found = archive.tested(claim.id)
            # a claim that is not tested here asks nothing yet
            same = found and (not claim.asks or all(getattr(found, key) == getattr(claim, key) for key in SAME))
            if found and same and found.tested:
                runs[name] = found
        if len(runs) > 1:
            rows[claim.id] = runs
    settings = {"": f"{here.data}, {here.model.name}"}
    settings |= {name: f"{archive.data}, {archive.model}" for name, archive in archives.items()}
    shown = {name: about for name, about in settings.items() if any(name in runs for runs in rows.values())}
    lines = []
    for identifier, runs in rows.items():
        cells = [_cell(runs[name]) if name in runs else numbers.MISSING for name in shown]
        lines.append((identifier, [*cells, holds([claim.verdict for claim in runs.values()])]))
    headings = [(name or "This run", about) for name, about in shown.items()]
    return tables.table("Claim", [*headings, ("Holds across them", "")], lines) if rows else None


def holds(decided: Sequence[str]) -> str:
    """Whether a claim holds across runs with these verdicts: `yes`, `no`, `mixed` or `undecided`.

    One that is undecided leaves the whole undecided, unless others contradict each other already; `negligible` does not
    hold.
    """
    outcomes = {HOLDS.get(one, "undecided") for one in decided}
    if {"yes", "no"} <= outcomes:
        return "mixed"
    return outcomes.pop() if len(outcomes) == 1 else "undecided"


def _cell(claim: ClaimRecord) -> Cell:
    found = verdicts.view(claim.model_copy(update={"preset": ""}), {})
    measured = " ".join(filter(None, [found.difference, found.interval, found.unit]))
    rule = ", earlier rule" if claim.reason.startswith(EARLIER_RULE) else ""
    return Cell(f"{found.mark} {found.verdict}", f"{measured}, {claim.seeds} seeds{rule}")

"""The one comment that a pull request gets: what changed, what it did to the results, what ran and why, in Markdown.

Sections stand in order of importance. Where the whole is longer than GitHub takes, statements are shortened first, then
the last sections are cut (`markdown.fit`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assay.pipeline import plan as plans
from assay.pipeline import reasons
from assay.report.report import FOLDER, REPORT
from assay.review import differences
from assay.review.markdown import Section, code, codes, fit, row, table, text
from assay.scoring.metrics import measured

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assay.pipeline.plan import Plan
    from assay.review.differences import Moved, Regression
    from assay.review.github import PullRequest
    from assay.review.snapshot import Base, Snapshot

MARKER = "<!-- assay: the one comment of this pull request -->"
FEW_VARIANTS = 12  # so many are listed whatever changed them
MOST_STAGES, MOST_ARMS, MOST_MACHINES = 40, 8, 4  # are named
FACTS = ("device", "processor", "instructions", "threads", "torch")  # of a machine, that weights depend on
ON_GPU = ("device", "torch")  # the processor computes nothing there that the weights depend on


@dataclass(frozen=True)
class Results:
    """What the final comment shows beyond the plan."""

    branch: Snapshot
    base: Snapshot
    done: Mapping[str, Any] | None = None  # what the last run did, as `.assay/ci/done.json` has it; None: not known
    links: Sequence[str] = ()  # to the report and what belongs to it, in Markdown, as `links` gives them

    @cached_property
    def failed(self) -> Sequence[Regression]:
        """The claims that fail the check."""
        return differences.regressions(self.branch, self.base)

    @cached_property
    def moved(self) -> Sequence[Moved]:
        """The verdicts that changed."""
        return differences.moved(self.branch, self.base)

    @property
    def headline(self) -> str:
        """`1 claim regressed`, or that none did and how many verdicts changed."""
        if count := len(self.failed):
            return f"{count} claim{'' if count == 1 else 's'} regressed"
        own = sum(not one.because for one in self.moved)
        changed = f"{own} verdict{'' if own == 1 else 's'} changed" if own else "no verdict changed"
        others = f", {len(self.moved) - own} moved without a change of their arms" if len(self.moved) > own else ""
        return f"No claim regressed; {changed}{others}"


def of_plan(base: Base, parameters: Sequence[reasons.Reason], plan: Plan) -> str:
    """The comment before anything ran: the parameters that differ from the base, and what will run."""
    headline = plans.headline(plan)
    steps = Section(f"### The plan\n\n{headline}.\n\n", [(1.0, _steps(plan))], rest="stages; `make plan` lists them.")
    head = Section(f"{MARKER}\n## … {headline}\n\n{base.text(code)}\n")
    return fit([head, _parameters(base, parameters, share=0.5), steps])


def of_results(base: Base, plan: Plan, results: Results) -> str:
    """The comment when the results are there; `plan` is what differs from the base's dvc.lock: why stages ran."""
    machine = elsewhere(results.branch, results.base)
    mark = "✗" if results.failed else "✓"
    head = f"{MARKER}\n## {mark} {results.headline}\n\n{base.text(code)}\n"
    return fit(
        [
            Section(f"{head}\n{machine}\n" if machine else head),
            *_verdicts(base, results),
            _parameters(base, reasons.changes(results.base.params, results.branch.params), share=0.3),
            *_metrics(base, plan, results),
            Section(f"### What ran\n\n{ran(results.done)}\n"),
            Section(
                f"<details><summary>Why: {plans.headline(plan)}</summary>\n\n",
                [(0.7, _steps(plan))],
                "\n</details>\n",
                f"stages; `make plan` and the lock file of {code(base.name)} have the reasons.",
            ),
            *(Section(f"{line}\n") for line in results.links),
        ]
    )


def ran(done: Mapping[str, Any] | None) -> str:
    """A sentence on what the last run did."""
    if done is None:
        return "What ran is not known here."
    if not done["ran"] and not done["restored"]:
        return "Nothing: every result was there already."
    found = codes(done["ran"], MOST_STAGES, "stages") or "Nothing"
    if done["restored"]:
        found += f"; restored, not run: {codes(done['restored'], MOST_STAGES, 'stages')}"
    return f"{found}. {done['seconds']:.0f} s, of which {done['training_seconds']:.0f} s were training."


def elsewhere(branch: Snapshot, base: Snapshot) -> str:
    """One line that names the arms trained on another machine than the base's; empty where there is none.

    Only arms whose results differ count, and only facts that both sides know: older timings lack some.
    """
    found: dict[str, list[str]] = {}
    for arm in dict.fromkeys(name.partition("/")[0] for name in differences.changed(branch, base)):
        old, new = (side.timings.get(arm) for side in (base, branch))
        if not isinstance(old, dict) or not isinstance(new, dict):
            continue
        on_gpu = all(side.get("device", "cpu") != "cpu" for side in (old, new))
        facts = [fact for fact in (ON_GPU if on_gpu else FACTS) if old.get(fact) and new.get(fact)]
        change = [f"{one} {code(str(old[one]))} → {code(str(new[one]))}" for one in facts if old[one] != new[one]]
        if change:
            found.setdefault(", ".join(change), []).append(arm)
    if not found:
        return ""
    parts = [f"{codes(arms, MOST_ARMS, 'arms')} ({change})" for change, arms in list(found.items())[:MOST_MACHINES]]
    if len(found) > MOST_MACHINES:
        parts.append(f"and arms on {len(found) - MOST_MACHINES} more kinds of machine")
    return (
        f"Trained on another machine than the base's: {'; '.join(parts)}. All numbers of these arms may differ a "
        "little for that reason alone."
    )


def _verdicts(base: Base, results: Results) -> Iterable[Section]:
    """Regressions, the other verdicts that changed, and those that moved though nothing of their claims did."""
    failed = {one.claim.id: one for one in results.failed}
    if failed:
        full = [f"- **Regression of {code(name)}**: {one}\n" for name, one in failed.items()]
        brief = [f"- **Regression of {code(name)}**\n" for name in failed]
        yield Section("", [(0.4, full), (1.0, brief)], rest="regressions; `make ci-report` prints them.")
    moved = sorted(results.moved, key=lambda one: one.claim.id not in failed)
    own = [one for one in moved if not one.because]
    other = [one for one in moved if one.because]
    name, rest = code(base.name, 60, in_table=True), "claims; metrics/claims.json has them."
    if own:
        head = table("claim", name, "this branch", "difference, interval")
        yield Section(f"### Verdicts\n\n{head}", _claims(own), rest=rest)
    else:
        claims = len(results.branch.claims)
        yield Section(f"### Verdicts\n\nNo verdict changed{f' (of {claims})' if claims and not other else ''}.\n")
    if other:
        head = (
            "### Verdicts moved without a change of their arms\n\nThe branch changed neither the definition of these "
            "claims nor the results of the base's seeds, so they cannot fail the check.\n\n"
        )
        yield Section(head + table("claim", name, "this branch", "because"), _claims(other), rest=rest)


def _claims(moved: Sequence[Moved]) -> list[tuple[float, list[str]]]:
    """The rows of verdicts that changed, with the whole statement, a part of it, or none."""
    forms: list[tuple[float, list[str]]] = []
    for share, most in ((0.5, 400), (0.5, 100), (1.0, 0)):
        rows = []
        for one in moved:
            statement = f": {text(one.claim.statement, most)}" if most and one.claim.statement else ""
            name, new = code(one.claim.id, in_table=True) + statement, one.new or "— (removed)"
            rows.append(row(name, one.old or "— (new)", f"**{new}**", one.because or one.interval))
        forms.append((share, rows))
    return forms


def _parameters(base: Base, parameters: Sequence[reasons.Reason], share: float) -> Section:
    if not parameters:
        return Section(f"No parameter differs from {code(base.name)}.\n")
    rows = [row(code(one.what, in_table=True), text(one.old, 160), text(one.new, 160)) for one in parameters]
    head = f"### Parameters\n\n{table('parameter', code(base.name, 60, in_table=True), 'this branch')}"
    return Section(head, [(share, rows)], rest="parameters; `git diff` of params.yaml shows them.")


def _metrics(base: Base, plan: Plan, results: Results) -> Iterable[Section]:
    """The variants that this branch is about, and folded those that differ for reasons that all arms share."""
    branch = results.branch
    names = differences.changed(branch, results.base)
    if not names:
        yield Section(f"### Metrics\n\nNo test result differs from {code(base.name)}.\n")
        return
    first, comparisons = names, len(names) * len(measured())
    if len(names) > FEW_VARIANTS:
        own = differences.with_own_cause(plan, {name.partition("/")[0] for name in branch.seeds})
        first = [
            name
            for name in names
            if name.partition("/")[0] in own or differences.significant(branch, results.base, name, comparisons)
        ]
    others = [name for name in names if name not in first]
    columns = differences.columns()
    head = table("", *columns, numbers=len(columns))
    legend = (
        f"Means over seeds; changes against {code(base.name)} are paired by seed, with Student's interval over seeds. "
        "▲ better, ▼ worse: the interval excludes 0.\n"
    )
    rest = "variants differ; the report has them."
    if first:
        yield Section(f"### Metrics\n\n{head}", [(0.6, _rows(results, first))], f"\n{legend}", rest)
    else:
        yield Section(f"### Metrics\n\nNo arm has a change of its own, or differs significantly.\n\n{legend}")
    if others:
        count = f"{len(others)}{' more' if first else ''} variants differ"
        why = "for reasons that most arms share (see below); taken together, none of them significantly"
        fold = f"<details><summary>{count}, {why}</summary>\n\n{head}"
        yield Section(fold, [(0.5, _rows(results, others))], "\n</details>\n", rest)


def _rows(results: Results, names: Sequence[str]) -> list[str]:
    return [row(text(name), *differences.cells(results.branch, results.base, name)) for name in names]


def _steps(plan: Plan) -> list[str]:
    found = []
    for step in plan.steps:
        note = plans.note(step)
        reasons = "; ".join(text(line, 200) for line in plans.because(step))
        found.append(f"- **{text(step.stage)}**{f', {note}' if note else ''}: {reasons}\n")
    return found


def links(request: PullRequest | None, commit: str, tracked: str, done: Mapping[str, Any] | None = None) -> list[str]:
    """The picture of all claims, then where the report, its charts and the runs are.

    Args:
        request: where the comment will stand; None gives paths instead of addresses.
        commit: at which files are shown.
        tracked: the URI of the tracking server; its password is left out, and a database of this machine too.
        done: as in `Results`; the job has the page among its artifacts where `compare` or `track` was reproduced.
    """
    home = f"{request.pages}/{request.repository}/" if request else ""
    at, raw = (f"{home}blob/{commit}/", "?raw=true") if request else ("", "")
    found = [f"[The whole report]({at}{REPORT})"]
    reproduced = {*done["ran"], *done["restored"]} if done else set()
    if request and request.job and reproduced & {"compare", "track"}:
        found.append(f"[page and charts]({home}actions/runs/{request.job}#artifacts)")
    if tracked.startswith("http"):
        found.append(f"tracked in {re.sub('//[^@/]*@', '//', tracked)}")
    return [f"![Every claim against what matters]({at}{FOLDER / 'claims.svg'}{raw})", " · ".join(found)]

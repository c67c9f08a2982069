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
from assay.review import differences, machines, regressions
from assay.review.markdown import Section, code, fit, row, table, text
from assay.scoring.metrics import measured

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assay.pipeline.plan import Plan
    from assay.review.base import Base
    from assay.review.github import PullRequest
    from assay.review.regressions import Moved, Regression
    from assay.review.snapshot import Snapshot

MARKER = "<!-- assay: the one comment of this pull request -->"
FEW_VARIANTS = 12  # so many are listed whatever changed them
MOST_NAMES = 40


@dataclass(frozen=True)
class Results:
    """What the final comment shows beyond the plan.

    Attributes:
        branch: one side.
        base: the other.
        done: what the last run did, as `.assay/ci/done.json` has it; None where that is not known here.
        links: to the report and what belongs to it, in Markdown, as `links` gives them.
    """

    branch: Snapshot
    base: Snapshot
    done: Mapping[str, Any] | None = None
    links: Sequence[str] = ()

    @cached_property
    def failed(self) -> Sequence[Regression]:
        """The claims that fail the check."""
        return regressions.regressions(self.branch, self.base)

    @cached_property
    def moved(self) -> Sequence[Moved]:
        """The verdicts that changed."""
        return regressions.moved(self.branch, self.base)

    @property
    def headline(self) -> str:
        """What happened, in a few words."""
        return regressions.headline(self.failed, self.moved)


def of_plan(base: Base, parameters: Sequence[reasons.Change], plan: Plan) -> str:
    """The comment before anything ran.

    Args:
        base: what the branch is compared with.
        parameters: those that differ from it.
        plan: what will run.
    """
    return fit(
        [
            Section(f"{MARKER}\n## … {plans.headline(plan)}\n\n{base.text(code)}\n"),
            _parameters(base, parameters, share=0.5),
            Section(
                f"### The plan\n\n{plans.headline(plan)}.\n\n",
                [(1.0, _steps(plan))],
                rest="stages; `make plan` lists them.",
            ),
        ]
    )


def of_results(base: Base, plan: Plan, results: Results) -> str:
    """The comment when the results are there.

    Args:
        base: what the branch is compared with.
        plan: what differs from the base's dvc.lock: why stages ran.
        results: both sides, and what belongs beside them.
    """
    machine = machines.elsewhere(results.branch, results.base, code)
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
    parts = [_names(done["ran"]) if done["ran"] else "Nothing"]
    if done["restored"]:
        parts.append(f"restored, not run: {_names(done['restored'])}")
    training = done["training_seconds"]
    return f"{'; '.join(parts)}. {done['seconds']:.0f} s, of which {training:.0f} s were training."


def _verdicts(base: Base, results: Results) -> Iterable[Section]:
    """Regressions, the other verdicts that changed, and those that moved though nothing of their claims did."""
    if results.failed:
        names = [code(one.claim.id) for one in results.failed]
        full = [f"- **Regression of {name}**: {one}\n" for name, one in zip(names, results.failed, strict=True)]
        brief = [f"- **Regression of {name}**\n" for name in names]
        yield Section("", [(0.4, full), (1.0, brief)], rest="regressions; `make ci-report` prints them.")
    failed = {one.claim.id for one in results.failed}
    moved = sorted(results.moved, key=lambda one: one.claim.id not in failed)
    own = [one for one in moved if not one.because]
    other = [one for one in moved if one.because]
    rest = "claims; metrics/claims.json has them."
    if own:
        head = table("claim", code(base.name, 60, in_table=True), "this branch", "difference, interval")
        yield Section(f"### Verdicts\n\n{head}", _claims(own, lambda one: one.interval), rest=rest)
    else:
        claims = len(results.branch.claims)
        yield Section(f"### Verdicts\n\nNo verdict changed{f' (of {claims})' if claims and not other else ''}.\n")
    if other:
        head = table("claim", code(base.name, 60, in_table=True), "this branch", "because")
        reason = (
            "The branch changed neither the definition of these claims nor the results of the base's seeds, so "
            "they cannot fail the check."
        )
        yield Section(
            f"### Verdicts moved without a change of their arms\n\n{reason}\n\n{head}",
            _claims(other, lambda one: one.because),
            rest=rest,
        )


def _claims(moved: Sequence[Moved], last: Any) -> list[tuple[float, list[str]]]:
    """The rows of verdicts that changed, with the whole statement, a part of it, or none."""

    def rows(most: int) -> list[str]:
        found = []
        for one in moved:
            statement = f": {text(one.claim.statement, most)}" if most and one.claim.statement else ""
            old, new = one.old or "— (new)", one.new or "— (removed)"
            found.append(row(f"{code(one.claim.id, in_table=True)}{statement}", old, f"**{new}**", last(one)))
        return found

    return [(0.5, rows(400)), (0.5, rows(100)), (1.0, rows(0))]


def _parameters(base: Base, parameters: Sequence[reasons.Change], share: float) -> Section:
    if not parameters:
        return Section(f"No parameter differs from {code(base.name)}.\n")
    rows = [row(code(one.name, in_table=True), text(one.old, 160), text(one.new, 160)) for one in parameters]
    head = table("parameter", code(base.name, 60, in_table=True), "this branch")
    return Section(
        f"### Parameters\n\n{head}", [(share, rows)], rest="parameters; `git diff` of params.yaml shows them."
    )


def _metrics(base: Base, plan: Plan, results: Results) -> Iterable[Section]:
    """The variants that this branch is about, and folded those that differ for reasons that all arms share."""
    branch = results.branch
    names = differences.changed(branch, results.base)
    if not names:
        yield Section(f"### Metrics\n\nNo test result differs from {code(base.name)}.\n")
        return
    first, others = names, []
    if len(names) > FEW_VARIANTS:
        arms = dict.fromkeys(name.partition("/")[0] for name in branch.seeds)
        own = differences.with_own_cause(plan, arms)
        comparisons = len(names) * len(measured())
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


def links(request: PullRequest | None, commit: str, tracked: str) -> list[str]:
    """The picture of all claims, then where the report, its charts and the runs are.

    Args:
        request: where the comment will stand; None gives paths instead of addresses.
        commit: at which files are shown.
        tracked: the URI of the tracking server; its password is left out, and a database of this machine too.
    """

    def file(name: str) -> str:
        return request.link(f"blob/{commit}/{name}") if request else name

    found = [f"[The whole report]({file(str(REPORT))})"]
    if request and request.job:
        found.append(f"[page and charts]({request.link(f'actions/runs/{request.job}')}#artifacts)")
    if tracked.startswith("http"):
        found.append(f"tracked in {re.sub('//[^@/]*@', '//', tracked)}")
    raw = "?raw=true" if request else ""
    return [f"![Every claim against what matters]({file(str(FOLDER / 'claims.svg'))}{raw})", " · ".join(found)]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(code(name) for name in names[:MOST_NAMES])
    return f"{shown} and {len(names) - MOST_NAMES} more stages" if len(names) > MOST_NAMES else shown

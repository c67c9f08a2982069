"""The one comment that a pull request gets: what changed, what it did to the results, what ran and why, in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assay.evaluation.scoring.metrics import METRICS
from assay.pipeline import values, wording
from assay.review import changes, differences, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.pipeline.plan import Plan
    from assay.review.side import Side
    from assay.review.verdicts import Moved, Regression

MARKER = "<!-- assay: the one comment of this pull request -->"
MOST_VARIANTS = 60
MOST_CHARACTERS = 65_000  # GitHub refuses more than 65,536


@dataclass(frozen=True)
class Results:
    """What the final comment shows beyond the plan.

    Attributes:
        branch: one side.
        base: the other.
        done: what the last run did, as `.assay/ci/done.json` has it; None where that is not known here.
        plots: title and link of each.
        report: a link to the whole report; empty where there is none.
        tracked: where the runs are tracked, without passwords; empty where they are not.
    """

    branch: Side
    base: Side
    done: Mapping[str, Any] | None = None
    plots: Sequence[tuple[str, str]] = ()
    report: str = ""
    tracked: str = ""

    @cached_property
    def failed(self) -> Sequence[Regression]:
        """The claims that fail the check."""
        return verdicts.regressions(self.branch, self.base)

    @cached_property
    def moved(self) -> Sequence[Moved]:
        """The verdicts that changed."""
        return verdicts.moved(self.branch, self.base)

    @property
    def headline(self) -> str:
        """What happened, in a few words."""
        return changes.headline(self.failed, self.moved)


def of_plan(base: str, parameters: Sequence[values.Change], plan: Plan) -> str:
    """The comment before anything ran.

    Args:
        base: what to call the base.
        parameters: those that differ from it.
        plan: what will run.
    """
    return _render(base, parameters, plan, {"mark": "…", "headline": wording.headline(plan), "plan_only": True})


def of_results(base: str, plan: Plan, results: Results) -> str:
    """The comment when the results are there.

    Args:
        base: what to call the base.
        plan: what differs from the base's dvc.lock: why stages ran.
        results: both sides, and what belongs beside them.
    """
    parameters = values.changes(results.base.params, results.branch.params)
    names = differences.changed(results.branch, results.base)
    content = {
        "mark": "✗" if results.failed else "✓",
        "headline": results.headline,
        "plan_only": False,
        "regressions": [{"id": one.claim.id, "text": changes.describe(one)} for one in results.failed],
        "moved": [changes.moved(one) for one in results.moved],
        "claims": len(results.branch.claims),
        "metric_names": [changes.NAMES[metric] for metric in METRICS],
        "metrics": [(name, changes.row(results.branch, results.base, name)) for name in names[:MOST_VARIANTS]],
        "cut": max(0, len(names) - MOST_VARIANTS),
        "ran": ran(results.done),
        "plots": results.plots,
        "report": results.report,
        "tracked": results.tracked,
    }
    text = _render(base, parameters, plan, content)
    if len(text) > MOST_CHARACTERS:  # the reasons and plots go first: the report has the plots, `make plan` the reasons
        text = re.sub(r"<details>.*?</details>\n", "", text, flags=re.DOTALL)
    if len(text) > MOST_CHARACTERS:
        text = text[: MOST_CHARACTERS - 40] + "\n\n(cut; the report has the rest)\n"
    return text


def ran(done: Mapping[str, Any] | None) -> str:
    """A sentence on what the last run did."""
    if done is None:
        return "What ran is not known here."
    if not done["ran"] and not done["restored"]:
        return "Nothing: every result was there already."
    parts = [f"{', '.join(f'`{name}`' for name in done['ran'])}" if done["ran"] else "Nothing"]
    if done["restored"]:
        parts.append(f"restored, not run: {', '.join(f'`{name}`' for name in done['restored'])}")
    training = done["training_seconds"]
    return f"{'; '.join(parts)}. {done['seconds']:.0f} s, of which {training:.0f} s were training."


def _render(base: str, parameters: Sequence[values.Change], plan: Plan, content: Mapping[str, Any]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(  # noqa: S701 (Markdown is not HTML: GitHub removes what is unsafe in it)
        loader=PackageLoader("assay.review"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    steps = [(step.stage, wording.note(step), [_code(line) for line in wording.because(step)]) for step in plan.steps]
    always = {"marker": MARKER, "base": base, "parameters": parameters, "plan": steps, "cell": _cell}
    text = environment.get_template("comment.md.j2").render(always, plan_headline=wording.headline(plan), **content)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _cell(text: str) -> str:
    """Text that stays inside its cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _code(text: str) -> str:
    """Text whose characters Markdown takes as they are."""
    return re.sub(r"([\\`*_<>\[\]|])", r"\\\1", text)

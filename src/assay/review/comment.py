"""The one comment that a pull request gets: what changed, what it did to the results, what ran and why, in Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay.pipeline import values, wording
from assay.reporting import numbers
from assay.review import differences, verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assay.pipeline.plan import Plan
    from assay.review.differences import Difference
    from assay.review.side import Side
    from assay.review.verdicts import Moved, Regression

MARKER = "<!-- assay: the one comment of this pull request -->"
NAMES = {"accuracy": "Accuracy, %", "nll": "NLL, nats", "brier": "Brier", "ece": "ECE, %"}
PERCENT = ("accuracy", "ece")
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
    plots: Sequence[tuple[str, str]] = field(default=())
    report: str = ""
    tracked: str = ""


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
    failed = verdicts.regressions(results.branch, results.base)
    moved = verdicts.moved(results.branch, results.base)
    names = differences.changed(results.branch, results.base)
    content = {
        "mark": "✗" if failed else "✓",
        "headline": headline(failed, moved),
        "plan_only": False,
        "regressions": [{"id": one.claim.id, "text": describe(one)} for one in failed],
        "moved": [_moved(one) for one in moved],
        "claims": len(results.branch.claims),
        "metric_names": [NAMES[metric] for metric in differences.METRICS],
        "metrics": [(name, _row(results, name)) for name in names[:MOST_VARIANTS]],
        "cut": max(0, len(names) - MOST_VARIANTS),
        "ran": ran(results.done),
        "plots": results.plots,
        "report": results.report,
        "tracked": results.tracked,
    }
    text = _render(base, parameters, plan, content)
    if len(text) > MOST_CHARACTERS:  # the reasons and plots go first: the report has the plots, `make plan` the reasons
        text = re.sub(r"<details>.*?</details>\n", "", text, flags=re.DOTALL)
    return (
        text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 40] + "\n\n(cut; the report has the rest)\n"
    )


def headline(failed: Sequence[Regression], moved: Sequence[Moved]) -> str:
    """`1 claim regressed`, or that none did and how many verdicts changed."""
    if failed:
        return f"{len(failed)} claim{'' if len(failed) == 1 else 's'} regressed"
    changed = f"{len(moved)} verdict{'' if len(moved) == 1 else 's'} changed" if moved else "no verdict changed"
    return f"No claim regressed; {changed}"


def describe(one: Regression) -> str:
    """Why a claim fails the check."""
    parts = [f"its verdict moved from {one.was} to {one.claim.verdict}"] if one.was else []
    if one.difference:
        parts.append(f"{one.claim.metric} of {one.claim.arm} is worse by {_change(one.difference)}")
    return "; ".join(parts)


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


def _moved(one: Moved) -> dict[str, str]:
    interval = ""
    if one.new and one.new.asks != "ratio" and one.new.difference is not None:
        interval = _signed(one.new.metric, one.new.difference, one.new.interval)
    elif one.new and one.new.difference is not None:
        ends = f" [{numbers.span(*one.new.interval, 3)}]" if one.new.interval else ""
        interval = f"{numbers.fixed(one.new.difference, 3)}{ends}"
    absent = numbers.MISSING
    return {
        "id": one.id,
        "statement": one.statement,
        "old": one.old.verdict if one.old else f"{absent} (new)",
        "new": one.new.verdict if one.new else f"{absent} (removed)",
        "interval": interval,
    }


def _row(results: Results, name: str) -> list[tuple[str, str]]:
    cells = []
    for metric in differences.METRICS:
        found = differences.between(results.branch, results.base, name, metric)
        if found is None:
            cells.append((numbers.MISSING, ""))
        else:
            scale, places = _scale(metric), _places(metric, found.interval)
            cells.append((numbers.fixed(scale * found.branch, places), _change(found)))
    return cells


def _change(found: Difference) -> str:
    mark = {1: " ▲", 0: "", -1: " ▼"}[found.direction]
    if found.difference is None:
        return found.reason
    text = _signed(found.metric, found.difference, found.interval)
    return f"{text}{mark}" + (f" ({found.reason})" if found.reason else "")


def _signed(metric: str, difference: float, interval: tuple[float, float] | None) -> str:
    scale, places = _scale(metric), _places(metric, interval)
    text = numbers.signed(scale * difference, places)
    return f"{text} {numbers.interval(scale * interval[0], scale * interval[1], places)}" if interval else text


def _scale(metric: str) -> int:
    return 100 if metric in PERCENT else 1


def _places(metric: str, interval: tuple[float, float] | None) -> int:
    default = 2 if metric in PERCENT else 4
    return numbers.decimals([_scale(metric) * (interval[1] - interval[0]) / 2] if interval else [], default)

"""A plan in words, for a terminal, and as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.pipeline.plan import Plan, Step

SOURCES = {"cache": "restored from the local cache", "remote": "restored from the remote"}


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON can hold it."""
    steps = [
        {
            "stage": step.stage,
            "reasons": [vars(reason) | {"text": str(reason)} for reason in step.reasons],
            "restored": step.restored,
            "seconds": step.cost and step.cost.seconds,
            "measured": step.cost and step.cost.measured,
        }
        for step in plan.steps
    ]
    return vars(plan) | {"steps": steps}


def as_text(plan: Plan) -> str:
    """The plan as lines: what happens in a sentence, then each stage with its reasons, then the rest."""
    lines = [headline(plan)]
    for step in plan.steps:
        lines += ["", f"{step.stage}  {note(step)}".rstrip(), *(f"    {line}" for line in because(step))]
    if plan.removed:
        lines += ["", f"no longer in dvc.yaml: {', '.join(plan.removed)}"]
    away = sum(source is None for source in plan.missing.values())
    here = len(plan.missing) - away
    if plan.missing:
        lines.append("")
    if here:
        lines.append(f"{here} up-to-date stages lack their files: `dvc checkout` takes them from the cache")
    if away:
        way = "`dvc pull` fetches them" if plan.remote else "no remote is configured, so `dvc repro` computes them anew"
        if plan.anew:
            way += f"; training them anew takes about {duration(plan.anew)}"
        lines.append(f"{away} up-to-date stages have no data here: {way}")
    return "\n".join(lines)


def headline(plan: Plan) -> str:
    """`4 of 10 stages run, 1 is restored; what trains took 3 min last time`; where not all was timed, what it takes."""
    total = len(plan.steps) + len(plan.unchanged)
    if not plan.steps:
        away = sum(source is None for source in plan.missing.values())
        if away:
            return f"All {total} stages have results, but the data of {away} is not here"
        return f"Nothing to do: all {total} stages are up to date"
    restored = len(plan.steps) - len(plan.running)
    text = f"{len(plan.running)} of {total} stages run"
    if restored:
        text += f", {restored} {'is' if restored == 1 else 'are'} restored"
    known = [step.cost for step in plan.running if step.cost]
    if not known:
        return text
    seconds = duration(sum(cost.seconds for cost in known))
    if all(cost.measured for cost in known):
        return f"{text}; what trains took {seconds} last time"
    return f"{text}; what trains takes about {seconds}, an estimate"


def note(step: Step) -> str:
    """What there is to say of a stage beside its reasons."""
    if step.restored:
        return SOURCES[step.restored]
    if step.cost is None:
        return ""
    seconds = duration(step.cost.seconds)
    return f"last time {seconds}" if step.cost.measured else f"about {seconds}, an estimate"


def because(step: Step, most: int = 8, most_stages: int = 4) -> list[str]:
    """The reasons, one a line; what lies before the stage in one line, and after `most` a count."""
    upstream = [reason.what for reason in step.reasons if reason.kind == "upstream"]
    lines = [str(reason) for reason in step.reasons if reason.kind != "upstream"]
    if len(lines) > most:
        lines = [*lines[: most - 1], f"and {len(lines) - most + 1} more"]
    if len(upstream) > most_stages:
        upstream = [*upstream[: most_stages - 1], f"{len(upstream) - most_stages + 1} more"]
    if len(upstream) > 1:
        return [*lines, f"{', '.join(upstream[:-1])} and {upstream[-1]} rerun"]
    return [*lines, *(f"{name} reruns" for name in upstream)]


def duration(seconds: float) -> str:
    """`8 s`, `3 min`, `2.5 h`, `12 days`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * 86400 else f"{seconds / 86400:.0f} days"

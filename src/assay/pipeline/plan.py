"""Which stages a change reruns, why, what the caches restore of them, and the time that they take.

No data is needed: dvc.lock holds the digest of everything that went in and came out. The plan is an upper bound: a
stage that reruns and writes the bytes that it wrote before leaves the stages after it alone.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.core import files
from assay.pipeline import dag, reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.pipeline.reasons import Reason

SCAN, REGISTER = "scan", "register"  # the stages that digest the user's own images and the arms' networks


class Cost(NamedTuple):
    """The seconds of a training; `measured` is False where they are an estimate."""

    seconds: float
    measured: bool


@dataclass(frozen=True)
class Step:
    """A stage that DVC would not skip."""

    stage: str
    reasons: tuple[Reason, ...]  # at least one
    restored: dag.Source | None  # where its outputs come from, so that it does not run
    cost: Cost | None  # of its training; None where that is unknown, or it does not train


@dataclass(frozen=True)
class Plan:
    """What `dvc repro --pull --allow-missing` would do."""

    steps: tuple[Step, ...]  # the stages that it would not skip, in the order in which it takes them
    unchanged: tuple[str, ...]  # those that it skips
    missing: Mapping[str, dag.Source | None]  # of these, those without data here; where it is
    removed: tuple[str, ...]  # stages that dvc.lock knows and dvc.yaml no longer has
    remote: bool  # whether a default remote is configured that was not asked, so that it may have what is missing
    anew: float | None = None  # seconds of the trainings whose data is nowhere that was asked


def make(
    where: Path | Any,
    since: Mapping[str, Any] | None = None,
    ask_remote: bool = False,
    costs: Callable[[], Mapping[str, Cost]] = dict,
) -> Plan:
    """The plan for a repository as its files are now.

    Args:
        where: the repository's root, or the open repository of DVC.
        since: entries of an older dvc.lock, to compare sources and parameters with; caches are not asked then, and what
            the stages have written since is no reason.
        ask_remote: also look for results in the default remote.
        costs: gives what each stage's training takes; asked where anything trains.

    Raises:
        AssayError: a file of the pipeline cannot be read, or the remote cannot be reached.
    """
    with dag.opened(where) if isinstance(where, Path) else nullcontext(where) as repo:
        stages = dag.in_order(repo)
        # as DVC has parsed dvc.lock; what `dvc add` tracks has a file of its own, and none such
        ours = next((stage for stage in stages if hasattr(stage.dvcfile, "lockfile_contents")), None)
        recorded = ours.dvcfile.lockfile_contents.get("stages", {}) if ours else {}
        entries = recorded if since is None else since
        for stage in stages:
            _fill(stage, entries.get(stage.addressing))
        with dag.remote_of(repo) if ask_remote else nullcontext() as remote:
            find = partial(dag.restorable, repo, remote=remote) if since is None else None
            steps = _steps(stages, entries, find)
            going = {step.stage for step in steps}
            unchanged = [stage for stage in stages if stage.addressing not in going]
            missing = dag.missing(repo, unchanged, remote)
        away = [name for name, source in missing.items() if source is None]
        known = costs() if steps or away else {}
        return Plan(
            steps=tuple(replace(step, cost=known.get(step.stage)) for step in steps),
            unchanged=tuple(stage.addressing for stage in unchanged),
            missing=missing,
            removed=tuple(name for name in entries if name not in {stage.addressing for stage in stages}),
            remote=bool(repo.config["core"].get("remote")) and not ask_remote,
            anew=sum(known[name].seconds for name in away if name in known) or None,
        )


def _fill(stage: Any, entry: Mapping[str, Any] | None) -> None:
    """Have the stage's dependencies and outputs remember what this entry records, instead of what dvc.lock does."""
    from dvc.stage.loader import StageLoader
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta

    for item in (*stage.deps, *stage.outs):
        item.hash_info, item.meta = HashInfo(), Meta()
    StageLoader.fill_from_lock(stage, entry)


def _steps(
    stages: Sequence[Any],
    entries: Mapping[str, Any],
    find: Callable[[Any, Mapping[str, str | None]], tuple[dag.Source, Mapping[str, str]] | None] | None,
) -> list[Step]:
    """Without `find`, as for a comparison with the past, neither caches nor what stages wrote since count."""
    made, digests = dag.made(stages), dict[str, Any]()
    written: dict[str, tuple[str, str | None]] = {}  # path: the stage that will write it, the digest it will have
    steps = []
    for stage in stages:
        why = reasons.own(stage, entries.get(stage.addressing), made, digests, find is not None)
        if stage.addressing == SCAN and stage.cmd.endswith(" folder") and _are_images_new(stage, find is not None):
            why.append(reasons.Reason("images", stage.outs[0].def_path))
        before = {}  # the stages that will write, or may write, something else than this one read last
        for dep in stage.deps:
            for path, (name, digest) in written.items():
                same = path == dep.def_path and digest is not None and digest == dep.hash_info.value
                if dag.touches(dep.def_path, path) and not same:
                    before[name] = reasons.Reason("upstream", name)
        why = [one for one in why if one.kind != "file" or not dag.touches(one.what, *written)]  # a consequence
        why += before.values()
        if not why:
            continue
        known = {path: digest for path, (_, digest) in written.items()}
        source, restored = (find(stage, known) if find else None) or (None, {})
        written |= {out.def_path: (stage.addressing, restored.get(out.def_path)) for out in stage.outs}
        if stage.addressing == REGISTER:
            _foresee(stages, written)
        steps.append(Step(stage.addressing, tuple(why), source, None))
    return steps


def _are_images_new(scan: Any, results_count: bool) -> bool:
    """Whether the user's own images changed: no file that DVC knows, and in the past only their digest is known."""
    if not results_count:
        return reasons.altered(scan.outs[0])
    from assay.data import folder  # with NumPy, which a plan needs for nothing else

    with redirect_stdout(sys.stderr):  # its warnings are no part of the plan
        return folder.stale("folder", Path(scan.repo.root_dir)) is not None


def _foresee(stages: Sequence[Any], written: dict[str, tuple[str, str | None]]) -> None:
    """Give stages the digests of networks that `register` is going to write, as the parameters that they will read."""
    from assay import models  # with PyTorch, which only a plan that runs something needs
    from assay.core import config

    if written.pop(models.DIGESTS, None) is None:
        return
    root = Path(stages[0].repo.root_dir)
    params = config.load(root / config.PARAMS_FILE)
    digests = {f"networks.{arm}": digest for arm, digest in models.digests(params.runs(), root).items()}
    for dep in (dep for stage in stages for dep in stage.deps if dep.def_path == models.DIGESTS):
        known = {key: digests[key] for key in dep.params if key in digests}
        dep.read_params = lambda known=known, **_: known


def seconds_of(stage: Any) -> float | None:
    """From the file of timings that the stage wrote when it ran last."""
    with suppress(OSError, ValueError, TypeError, KeyError, StopIteration):
        content = files.read_json(Path(next(out.fs_path for out in stage.outs if "timings/" in out.def_path)))
        return float(content["seconds"]) + float(content.get("start_up_seconds", 0))
    return None


def as_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON can hold it."""
    steps = []
    for step in plan.steps:
        why = [vars(reason) | {"text": str(reason)} for reason in step.reasons]
        cost = step.cost._asdict() if step.cost else {"seconds": None, "measured": None}
        steps.append({"stage": step.stage, "reasons": why, "restored": step.restored, **cost})
    return vars(plan) | {"steps": steps}


def as_text(plan: Plan) -> str:
    """The plan as lines: what happens in a sentence, then each stage with its reasons, then the rest."""
    lines = [headline(plan)]
    for step in plan.steps:
        lines += ["", f"{step.stage}  {note(step)}".rstrip(), *(f"    {line}" for line in because(step))]
    if plan.removed:
        many = f"{len(plan.removed)} {'stage is' if len(plan.removed) == 1 else 'stages are'} no longer in dvc.yaml"
        lines += ["", f"{many} ({', '.join([*plan.removed[:4], *['…'][: len(plan.removed) > 4]])})"]
    lines += [""] if plan.missing else []
    where = [*plan.missing.values()]
    if here := where.count("cache"):
        lines.append(f"{here} up-to-date stages lack their files: `dvc checkout` takes them from the cache")
    if there := where.count("remote"):
        lines.append(f"{there} up-to-date stages have their files in the remote: `dvc pull` fetches them")
    if away := where.count(None):
        way = "`dvc pull` fetches them" if plan.remote else "no remote has it, so `dvc repro` computes them anew"
        if plan.anew:
            way += f"; training them anew takes about {duration(plan.anew)}"
        lines.append(f"{away} up-to-date stages have no data here: {way}")
    return "\n".join(lines)


def headline(plan: Plan) -> str:
    """`4 of 10 stages run, 1 is restored; what trains took 3 min last time`; where not all was timed, what it takes."""
    total = len(plan.steps) + len(plan.unchanged)
    if not plan.steps:
        if away := sum(source is None for source in plan.missing.values()):
            return f"All {total} stages have results, but the data of {away} is not here"
        return f"Nothing to do: all {total} stages are up to date"
    running = [step for step in plan.steps if step.restored is None]
    text = f"{len(running)} of {total} stages run"
    if restored := len(plan.steps) - len(running):
        text += f", {restored} {'is' if restored == 1 else 'are'} restored"
    known = [step.cost for step in running if step.cost]
    if not known:
        return text
    seconds = duration(sum(cost.seconds for cost in known))
    if all(cost.measured for cost in known):
        return f"{text}; what trains took {seconds} last time"
    return f"{text}; what trains takes about {seconds}, an estimate"


def note(step: Step) -> str:
    """What there is to say of a stage beside its reasons."""
    if step.restored:
        return f"restored from the {'local cache' if step.restored == 'cache' else 'remote'}"
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

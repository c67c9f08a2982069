"""Which stages a change reruns, why, what the caches restore of them, and the time that they take.

No data is needed: dvc.lock, which is in git, holds the digest of everything that went in and came out. The plan is an
upper bound: a stage that reruns and writes the bytes that it wrote before leaves the stages after it alone.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from assay.core import files
from assay.pipeline import dag, reasons, restore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assay.pipeline.reasons import Reason

TIMINGS = "metrics/timings/"
SCAN = "scan"  # the stage that takes the digest of the user's own images
REGISTER = "register"  # the stage that takes the digests of the arms' networks


class Cost(NamedTuple):
    """The seconds of a training; `measured` is False where they are an estimate."""

    seconds: float
    measured: bool


@dataclass(frozen=True)
class Step:
    """A stage that DVC would not skip."""

    stage: str
    reasons: tuple[Reason, ...]  # at least one
    restored: restore.Source | None  # where its outputs come from, so that it does not run
    cost: Cost | None  # of its training; None where that is unknown, or it does not train


@dataclass(frozen=True)
class Plan:
    """What `dvc repro --pull --allow-missing` would do."""

    steps: tuple[Step, ...]  # the stages that it would not skip, in the order in which it takes them
    unchanged: tuple[str, ...]  # those that it skips
    missing: Mapping[str, restore.Source | None]  # of these, those without data here; whether the local cache has it
    removed: tuple[str, ...]  # stages that dvc.lock knows and dvc.yaml no longer has
    remote: bool  # whether a default remote is configured
    anew: float | None = None  # seconds of the trainings whose data is neither here nor in the local cache

    @property
    def running(self) -> tuple[Step, ...]:
        """The steps that compute something."""
        return tuple(step for step in self.steps if step.restored is None)


def make(
    where: Path | Any,
    since: Mapping[str, Any] | None = None,
    ask_remote: bool = False,
    costs: Callable[[], Mapping[str, Cost]] = dict,
) -> Plan:
    """The plan for a repository as its files are now.

    Args:
        where: the repository's root, or the open repository of DVC.
        since: entries of an older dvc.lock, to which the sources and parameters are compared then: what the stages
            have written since is a consequence of that, no reason, and caches are not asked.
        ask_remote: also look for results in the default remote.
        costs: gives what each stage's training takes; asked where anything trains.

    Raises:
        AssayError: a file of the pipeline cannot be read, or the remote cannot be reached.
    """
    with dag.opened(where) if isinstance(where, Path) else nullcontext(where) as repo:
        stages = dag.in_order(repo)
        recorded = stages[0].dvcfile.lockfile_contents.get("stages", {}) if stages else {}
        entries = recorded if since is None else since
        for stage in stages:
            _fill(stage, entries.get(stage.addressing))
        with restore.remote_of(repo) if ask_remote else nullcontext() as remote:
            find = partial(restore.find, repo, remote=remote) if since is None else None
            steps = _steps(stages, entries, find)
        going = {step.stage for step in steps}
        unchanged = [stage for stage in stages if stage.addressing not in going]
        missing = restore.missing(repo, unchanged)
        away = [name for name, source in missing.items() if source is None]
        known = costs() if steps or away else {}
        return Plan(
            steps=tuple(replace(step, cost=known.get(step.stage)) for step in steps),
            unchanged=tuple(stage.addressing for stage in unchanged),
            missing=missing,
            removed=tuple(name for name in entries if name not in {stage.addressing for stage in stages}),
            remote=bool(repo.config["core"].get("remote")),
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
    find: Callable[[Any, Mapping[str, str | None]], restore.Restored | None] | None,
) -> list[Step]:
    """Without `find`, as for a comparison with the past, neither caches nor what stages wrote since count."""
    made, digests = dag.producers(stages), dict[str, Any]()
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
                if restore.touches(dep.def_path, (path,)) and not same:
                    before[name] = reasons.Reason("upstream", name)
        why = [one for one in why if one.kind != "file" or not restore.touches(one.what, written)]  # a consequence
        why += before.values()
        if not why:
            continue
        found = find(stage, {path: digest for path, (_, digest) in written.items()}) if find else None
        restored = found.digests if found else {}
        written |= {out.def_path: (stage.addressing, restored.get(out.def_path)) for out in stage.outs}
        if stage.addressing == REGISTER:
            _foresee(stages, written)
        steps.append(Step(stage.addressing, tuple(why), found.source if found else None, None))
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
    params = config.load(Path(stages[0].repo.root_dir) / config.PARAMS_FILE)
    digests = {f"networks.{arm}": digest for arm, digest in models.digests(params.runs()).items()}
    for dep in (dep for stage in stages for dep in stage.deps if dep.def_path == models.DIGESTS):
        known = {key: digests[key] for key in dep.params if key in digests}
        dep.read_params = lambda known=known, **_: known


def seconds_of(stage: Any) -> float | None:
    """From the file of timings that the stage wrote when it ran last."""
    with suppress(OSError, ValueError, TypeError, KeyError, StopIteration):
        content = files.read_json(Path(next(out.fs_path for out in stage.outs if out.def_path.startswith(TIMINGS))))
        return float(content["seconds"]) + float(content.get("start_up_seconds", 0))
    return None

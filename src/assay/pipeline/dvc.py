"""DVC's own commands, run for CI as a person would type them, and what they did."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assay import files
from assay.errors import AssayError
from assay.pipeline import dag, lockfile, plan, remote

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

REPRO = ("repro", "--pull", "--allow-missing")
MOST_TARGETS = 8  # DVC takes almost a second for each target, and five for all 75 stages
DONE_FILE = ".assay/ci/done.json"


@dataclass
class Done:
    """What running the pipeline did: the stages that ran, and those that were restored."""

    ran: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)


def reproduce(root: Path) -> Done:
    """Run what a change touched; everything else stays in the remote, except what the last stages read.

    What was computed is pushed even when a later stage fails, so that no training is lost.

    Raises:
        AssayError: the remote does not answer, a stage fails, or the results cannot be pushed.
    """
    _connect(root)
    done = Done()
    gathering, others = _stages(root)
    try:
        going = {step.stage for step in plan.make(root).steps}
        first = [name for name in others if name in going]  # by name: DVC is slow to find that seventy others stand
        _fill(root, done, first)
        if first:
            _run(done, *REPRO, *first)
        last = {step.stage for step in plan.make(root).steps} & set(gathering)
        if last:
            _fill(root, done, last)
            _run(done, *REPRO, "--no-run-cache")  # it was pulled a moment ago
    finally:
        push(root)
    return done


def push(root: Path) -> None:
    """Push what is new, so that any clone can restore it.

    Raises:
        AssayError: the remote fails.
    """
    _run(Done(), "push", "--run-cache")
    remote.push_metrics(root)


def fill(root: Path) -> None:
    """Bring here what `compare` and `track` read; what the remote lost is computed anew.

    Raises:
        AssayError: the remote does not answer, or a stage fails.
    """
    gathering, _ = _stages(root)
    if remote.absent(root, gathering):
        _connect(root)
        _fill(root, Done(), gathering)


def _stages(root: Path) -> tuple[list[str], list[str]]:
    """The stages that read whole folders into which others write, and the others, in the pipeline's order."""
    with dag.opened(root) as repo:
        stages = dag.in_order(repo)
        gathering = [stage.addressing for stage in dag.gathering(stages)]
        return gathering, [stage.addressing for stage in stages if stage.addressing not in gathering]


def _fill(root: Path, done: Done, readers: Collection[str]) -> None:
    """Bring here what these stages read of others, if dvc.lock knows of it."""
    known = lockfile.read(root)
    names = [name for name in remote.absent(root, readers) if name in known]
    if not names:
        return
    several = [] if len(names) > MOST_TARGETS else names
    _run(done, "pull", "--allow-missing", *several, check=False)  # at once; what fails is looked at one by one
    absent = remote.absent(root, readers)
    lost = [name for name in names if name in absent]
    if lost:
        remote.ready(root)
        _run(done, "repro", "--pull", "--single-item", *lost)


def _connect(root: Path) -> None:
    name, verifies = remote.ready(root)
    if not verifies:
        _run(Done(), "config", "--local", f"remote.{name}.verify", "true")


class _Listener(logging.Handler):
    """Takes down which stages DVC says that it runs or restores."""

    def __init__(self, done: Done) -> None:
        super().__init__(logging.INFO)
        self.done = done

    def emit(self, record: logging.LogRecord) -> None:
        """Called for each line that DVC logs."""
        line = record.getMessage().strip()
        for pattern, names in (
            (r"Running stage '(.+)'", self.done.ran),
            (r"Stage '(.+)' is cached", self.done.restored),
        ):
            found = re.match(pattern, line)
            if found:
                names.append(found[1])


def _run(done: Done, *arguments: str, check: bool = True) -> None:
    """Run a command of DVC on the working directory, in this process, where it starts at once."""
    from dvc.cli import main

    print(f"+ dvc {' '.join(arguments)}", flush=True)
    listener = _Listener(done)
    logger = logging.getLogger("dvc")
    logger.addHandler(listener)
    try:
        code = main(list(arguments))
    finally:
        logger.removeHandler(listener)
    if check and code:
        raise AssayError(f"dvc {arguments[0]} failed with exit code {code}; its own lines above say why")


def write_done(root: Path, done: Done, seconds: float) -> None:
    """Keep for the report what ran, how long it took, and the share of it that was training."""
    with dag.opened(root) as repo:
        known = {stage.addressing: plan.seconds_of(stage) for stage in repo.index.stages}
    training = sum(known.get(name) or 0 for name in done.ran)
    content = {"ran": done.ran, "restored": done.restored, "seconds": seconds, "training_seconds": training}
    files.write_json(root / DONE_FILE, content)


def read_done(root: Path) -> dict[str, Any] | None:
    """What `write_done` kept; None where the last run was elsewhere."""
    path = root / DONE_FILE
    return dict(files.read_json(path)) if path.is_file() else None

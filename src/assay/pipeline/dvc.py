"""DVC's own commands, run for CI as a person would type them, and what they did."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError
from assay.pipeline import dag, lockfile, plan, quick_dvc, remote, warm

if TYPE_CHECKING:
    from collections.abc import Collection

REPRO = ("repro", "--pull", "--allow-missing")
MOST_TARGETS = 8  # DVC takes almost a second for each target, and five for all stages at once
TRACK = "track"  # the stage
DONE_FILE, TRACKED_FILE = ".assay/ci/done.json", ".assay/ci/tracked.json"


@dataclass
class Done:
    """What running the pipeline did: the stages that ran, those that were restored, and the seconds of training."""

    ran: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    training_seconds: float = 0.0


def reproduce(root: Path) -> Done:
    """Run what a change touched; everything else stays in the remote, except what these stages read.

    What was computed is pushed even when a later stage fails, so that no training is lost.

    Raises:
        AssayError: the remote does not answer, a stage fails, or the results cannot be pushed.
    """
    done = Done()
    with dag.opened(root) as repo:
        _connect(repo)
        going = {step.stage for step in plan.make(repo).steps}
        try:
            if going:
                with warm.started():
                    _fill(repo, done, going)
                    _run(done, *REPRO)
        finally:
            _run(Done(), "push", "--run-cache")  # what is new, so that any clone can restore it
        ran = (stage for stage in repo.index.stages if stage.addressing in done.ran)
        done.training_seconds = round(sum(plan.seconds_of(stage) or 0 for stage in ran), 1)
    return done


def fill(root: Path) -> None:
    """Bring here what `track` reads; what the remote lost is computed anew.

    Raises:
        AssayError: the remote does not answer, or a stage fails.
    """
    with dag.opened(root) as repo:
        if remote.absent(repo, [TRACK]):
            _connect(repo)
            _fill(repo, Done(), [TRACK])


def _fill(repo: Any, done: Done, readers: Collection[str]) -> None:
    """Bring here what these stages read of others, if dvc.lock knows of it.

    DVC pulls what a stage depends on where that is absent, but a folder with holes is not absent.
    """
    known = lockfile.read(Path(repo.root_dir))
    names = [name for name in remote.absent(repo, readers) if name in known]
    if not names:
        return
    several = [] if len(names) > MOST_TARGETS else names
    _run(done, "pull", "--allow-missing", *several, check=False)  # at once; what fails is looked at one by one
    absent = remote.absent(repo, readers)
    lost = [name for name in names if name in absent]
    if lost:
        remote.ready(repo)
        _run(done, "repro", "--pull", "--single-item", *lost)


def _connect(repo: Any) -> None:
    name, verifies = remote.ready(repo)
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
    print(f"+ dvc {' '.join(arguments)}", flush=True)
    listener = _Listener(done)
    logger = logging.getLogger("dvc")
    logger.addHandler(listener)
    try:
        code = quick_dvc.main(list(arguments))
    finally:
        logger.removeHandler(listener)
    if check and code:
        raise AssayError(f"dvc {arguments[0]} failed with exit code {code}; its own lines above say why")


def write_done(root: Path, done: Done, seconds: float, store: str) -> None:
    """Keep for the report what ran, how long it took, and the share of it that was training.

    Args:
        root: the repository's root.
        done: what ran.
        seconds: in all.
        store: which MLflow store `track` wrote to, where it ran.
    """
    files.write_json(root / DONE_FILE, {**asdict(done), "seconds": seconds})
    if TRACK in done.ran:
        write_tracked(root, store)


def write_tracked(root: Path, store: str) -> None:
    """Keep that this store has what dvc.lock records now."""
    files.write_json(root / TRACKED_FILE, {"store": store, "lock": files.file_digest(root / lockfile.NAME)})


def is_tracked(root: Path, store: str) -> bool:
    """Whether `track` wrote to this very store what dvc.lock records now.

    Args:
        root: the repository's root.
        store: which one; empty where it is not there.
    """
    with suppress(OSError, ValueError):
        lock = files.file_digest(root / lockfile.NAME)
        return bool(store and files.read_json(root / TRACKED_FILE) == {"store": store, "lock": lock})
    return False


def read_done(root: Path) -> dict[str, Any] | None:
    """What `write_done` kept; None where the last run was elsewhere.

    Raises:
        AssayError: the file is damaged.
    """
    path = root / DONE_FILE
    try:
        return dict(files.read_json(path)) if path.is_file() else None
    except (ValueError, TypeError) as error:
        raise AssayError(f"{DONE_FILE}: not JSON ({error}); delete it and run `make ci-repro`") from None

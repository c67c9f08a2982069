"""DVC's own commands, run for CI as a person would type them, what they did, and the remote that they restore from."""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError
from assay.pipeline import dag, lockfile, plan, quick_dvc, warm

if TYPE_CHECKING:
    from collections.abc import Collection

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
                    _run(done, "repro", "--pull", "--allow-missing")
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
        if absent(repo, [TRACK]):
            _connect(repo)
            _fill(repo, Done(), [TRACK])


def absent(repo: Any, readers: Collection[str]) -> list[str]:
    """The stages that write what these stages read, where it is not here; in the pipeline's order, without these."""
    stages = dag.in_order(repo)
    read = {dep.fs_path for stage in stages if stage.addressing in readers for dep in stage.deps}
    outs = [(stage.addressing, out) for stage in stages for out in stage.outs if dag.touches(out.fs_path, *read)]
    wanted = {name for name, out in outs if not out.exists} - {*readers}
    return [stage.addressing for stage in stages if stage.addressing in wanted]


def _fill(repo: Any, done: Done, readers: Collection[str]) -> None:
    """Bring here what these stages read, if dvc.lock knows of it: to DVC a folder with holes is not absent."""
    known = lockfile.read(Path(repo.root_dir))
    names = [name for name in absent(repo, readers) if name in known]
    if not names:
        return
    targets = names if len(names) <= 8 else []  # DVC takes almost a second for each, and five for all stages at once
    _run(done, "pull", "--allow-missing", *targets, check=False)  # at once; what fails is looked at one by one
    if lost := [name for name in absent(repo, readers) if name in names]:
        _connect(repo)
        _run(done, "repro", "--pull", "--single-item", *lost)


def _connect(repo: Any) -> None:
    """Check that the default remote is there, before hours of training, and have DVC verify what comes from it.

    Where a network drive is not mounted, DVC would take it for an empty remote and train everything anew.
    """
    with dag.remote_of(repo) as remote:
        name = repo.config["core"]["remote"]
        base = remote.path.removesuffix("/files/md5")
        # of a remote that may be new its folder is there, or in an object store, without folders, its bucket
        places = [base] if remote.fs.protocol in ("local", "ssh") else [base, base.partition("/")[0]]
        if not any(map(remote.fs.exists, places)):
            raise AssayError(f"DVC remote {name!r}: {base} is not there; mount it, or create it if it is new")
    if not repo.config["remote"][name].get("verify"):
        _run(Done(), "config", "--local", f"remote.{name}.verify", "true")


def _run(done: Done, *arguments: str, check: bool = True) -> None:
    """Run a command of DVC in this process, where it starts at once; note in `done` what it runs and restores."""
    print(f"+ dvc {' '.join(arguments)}", flush=True)
    logger, logged = logging.getLogger("dvc"), BufferingHandler(sys.maxsize)
    logged.setLevel(logging.INFO)
    logger.addHandler(logged)
    try:
        code = quick_dvc.main(list(arguments))
    finally:
        logger.removeHandler(logged)
        lines = [record.getMessage().strip() for record in logged.buffer]
        done.ran += [found[1] for line in lines if (found := re.match(r"Running stage '(.+)'", line))]
        done.restored += [found[1] for line in lines if (found := re.match(r"Stage '(.+)' is cached", line))]
    if check and code:
        raise AssayError(f"dvc {arguments[0]} failed with exit code {code}; its own lines above say why")


def write_done(root: Path, done: Done, seconds: float, store: str) -> None:
    """Keep for the report what ran and the seconds in all, and where `track` ran, that this MLflow store has it."""
    files.write_json(root / DONE_FILE, {**asdict(done), "seconds": seconds})
    if TRACK in done.ran:
        write_tracked(root, store)


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


def write_tracked(root: Path, store: str) -> None:
    """Keep that this store has what dvc.lock records now."""
    files.write_json(root / TRACKED_FILE, {"store": store, "lock": files.file_digest(root / lockfile.NAME)})


def is_tracked(root: Path, store: str) -> bool:
    """Whether `track` wrote to this very store, empty where it is not there, what dvc.lock records now."""
    with suppress(OSError, ValueError):
        lock = files.file_digest(root / lockfile.NAME)
        return bool(store and files.read_json(root / TRACKED_FILE) == {"store": store, "lock": lock})
    return False

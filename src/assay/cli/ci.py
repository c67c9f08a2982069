"""`assay ci-plan`, `ci-repro`, `ci-commit`, `ci-track`, `ci-report`: each runs anywhere with git (docs/ci.md)."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from assay.cli.repro import check, costs
from assay.core import config, files
from assay.core.errors import AssayError
from assay.pipeline import dag, dvc, reasons
from assay.pipeline import plan as plans
from assay.review import comment, github, snapshot
from assay.tracking.store import identity

COMMENT = Path(".assay/ci/report.md")
NAME, ADDRESS = "assay", "assay@users.noreply.github.com"
WRITTEN = ("dvc.lock", "metrics", "data/own.json")


def plan(base: str) -> None:
    """Print what a branch reruns, comment it, and hand the number of stages that are not up to date to later jobs."""
    config.load()
    root = Path.cwd()
    compared = snapshot.find_base(root, base)
    found = plans.make(root, costs=costs)
    print(f"{plans.as_text(found)}\n\n{compared.text(repr)}")
    before, now = snapshot.read(root, compared.commit.sha), snapshot.read(root)
    text = comment.of_plan(compared, reasons.changes(before.params, now.params), found)
    github.append("GITHUB_STEP_SUMMARY", text)
    github.append("GITHUB_OUTPUT", f"stages={len(found.steps)}")
    request = github.from_environment()
    if request and found.steps:  # with nothing to run, the comment that is there stays
        print(request.comment(comment.MARKER, text))


def repro() -> None:
    """Check params.yaml, run what a change touched with all else from the remote, push; keep what ran."""
    check()
    root = Path.cwd()
    start = time.monotonic()
    done = dvc.reproduce(root)
    seconds = time.monotonic() - start
    dvc.write_done(root, done, round(seconds, 1), identity(root))
    print(f"{len(done.ran)} stages ran, {len(done.restored)} were restored, {seconds:.0f} s: {', '.join(done.ran)}")


def commit(branch: str) -> None:
    """Commit what the stages wrote (`WRITTEN`) and push it to the branch; where nothing is new, do nothing.

    The message holds `[skip ci]`, and a push with a job's own token starts no workflow: the commit cannot start itself.
    """
    root = Path.cwd()
    written = [name for name in WRITTEN if (root / name).exists()]
    dag.git(root, "add", "--", *written)
    if not dag.git(root, "diff", "--cached", "--name-only", "--", *written):
        print("Nothing to commit: dvc.lock and the metrics are those of the branch")
        return
    ran = (dvc.read_done(root) or {"ran": []})["ran"]
    names = ", ".join(ran) or "restored"
    message = f"Results: {names if len(names) <= 60 else f'{len(ran)} stages'} [skip ci]"
    own = ("-c", f"user.name={NAME}", "-c", f"user.email={ADDRESS}")
    author = f"--author={NAME} <{ADDRESS}>"  # a person who runs this stays its committer
    dag.git(root, *own, "commit", "--quiet", author, "--message", message, "--", *written)
    try:
        dag.git(root, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    except AssayError as error:
        if "rejected" not in str(error):
            raise
        raise AssayError(
            f"branch {branch} has moved on since this run began; the results are in the DVC remote, and the run for "
            "the newer commit restores what still holds"
        ) from None
    print(f"{message}: pushed to {branch}")


def track() -> None:
    """Fetch what runs are made of and write to MLflow those that it lacks, unless the stage `track` did it."""
    root = Path.cwd()
    if dvc.is_tracked(root, identity(root)):
        print("MLflow has it all: the stage `track` ran with these results")
        return
    from stages import track as stage  # with all of MLflow

    dvc.fill(root)
    stage.main()


def report(base: str) -> int:
    """Compare a branch with its base, comment it, put the verdict on the commit; gives the exit code."""
    root = Path.cwd()
    found = snapshot.find_base(root, base)
    print(found.text(repr))
    request = github.from_environment()
    head = dag.git(root, "rev-parse", "HEAD").strip()
    done = dvc.read_done(root)
    results = comment.Results(
        branch=snapshot.read(root),
        base=snapshot.read(root, found.commit.sha),
        done=done,
        links=comment.links(request, head, os.environ.get("MLFLOW_TRACKING_URI", ""), done),
    )
    text = comment.of_results(found, plans.make(root, dag.lock_at(root, found.commit.sha)), results)
    files.write_text(root / COMMENT, text)
    print(text)
    github.append("GITHUB_STEP_SUMMARY", text)
    if request:
        print(request.comment(comment.MARKER, text))
        request.status(head, not results.failed, results.headline)
    for one in results.failed:
        print(f"regression: {one.claim.id}: {one}", file=sys.stderr)
    return 1 if results.failed else 0

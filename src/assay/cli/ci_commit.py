"""Commit what the stages wrote (`WRITTEN`) and push it to the branch: `python -m assay.cli.ci_commit`."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.core.errors import AssayError, one_line_errors
from assay.pipeline import dag, dvc

NAME, ADDRESS = "assay", "assay@users.noreply.github.com"
WRITTEN = ("dvc.lock", "metrics", "data/own.json")


def main(branch: str) -> None:
    """Commit and push; where nothing is new, do nothing.

    The message holds `[skip ci]`, and a push with a job's own token starts no workflow: the commit cannot start itself.

    Raises:
        AssayError: the branch has moved on since this checkout.
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
    identity = ("-c", f"user.name={NAME}", "-c", f"user.email={ADDRESS}")
    author = f"--author={NAME} <{ADDRESS}>"  # a person who runs this stays its committer
    dag.git(root, *identity, "commit", "--quiet", author, "--message", message, "--", *written)
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--branch", required=True, help="the branch to push to")
    with one_line_errors():
        main(parser.parse_args().branch)

"""Compare a branch with its base, comment, fail on a regression: `python -m assay.cli.ci_report --base main`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from assay.core import files
from assay.core.errors import one_line_errors
from assay.pipeline import dag, dvc, plan
from assay.review import base, comment, github, snapshot

COMMENT = Path(".assay/ci/report.md")


def main(name: str) -> int:
    """Write the report, comment it, put the verdict on the commit; gives the exit code.

    Raises:
        AssayError: there is no such base, a file is damaged, or GitHub refuses the comment.
    """
    root = Path.cwd()
    found = base.find(root, name)
    print(found.text(repr))
    request = github.from_environment()
    head = dag.git(root, "rev-parse", "HEAD").strip()
    results = comment.Results(
        branch=snapshot.of_tree(root),
        base=snapshot.of_revision(root, found.commit.sha),
        done=dvc.read_done(root),
        links=comment.links(request, head, os.environ.get("MLFLOW_TRACKING_URI", "")),
    )
    text = comment.of_results(found, plan.make(root, results.base.lock), results)
    files.write_text(root / COMMENT, text)
    print(text)
    github.append("GITHUB_STEP_SUMMARY", text)
    if request:
        print(request.comment(comment.MARKER, text))
        request.status(head, not results.failed, results.headline)
    for one in results.failed:
        print(f"regression: {one.claim.id}: {one}", file=sys.stderr)
    return 1 if results.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="main", help="the branch or commit to compare with (%(default)s)")
    with one_line_errors():
        sys.exit(main(parser.parse_args().base))

"""Compare a branch with its base, comment, fail on a regression: `python -m stages.ci_report --base main`."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from assay import files
from assay.errors import one_line_errors
from assay.pipeline import dag, dvc, plan
from assay.review import base, comment, github, side, verdicts

REPORT = Path(".assay/ci/report.md")
TWIN = Path("metrics/report/report.md")


def main(name: str) -> int:
    """Write the report, comment it, put the verdict on the commit; gives the exit code.

    Raises:
        AssayError: there is no such base, a file is damaged, or GitHub refuses the comment.
    """
    root = Path.cwd()
    revision = base.commit(root, name)
    request = github.from_environment()
    head = dag.git(root, "rev-parse", "HEAD").strip()
    place = f"{request.pages}/{request.repository}/blob/{head}" if request else ""
    branch, before = side.of_tree(root), side.of_revision(root, revision)
    results = comment.Results(
        branch,
        before,
        files.read_json(root / dvc.DONE_FILE) if (root / dvc.DONE_FILE).is_file() else None,
        plots(root, place),
        f"{place}/{TWIN}" if place else str(TWIN),
        server(os.environ.get("MLFLOW_TRACKING_URI", "")),
    )
    text = comment.of_results(name, plan.make(root, before.lock), results)
    files.write_text(root / REPORT, text)
    print(text)
    github.summarise(text)
    failed, moved = verdicts.regressions(branch, before), verdicts.moved(branch, before)
    if request:
        print(request.comment(comment.MARKER, text))
        request.status(head, not failed, comment.headline(failed, moved))
    for one in failed:
        print(f"regression: {one.claim.id}: {comment.describe(one)}", file=sys.stderr)
    return 1 if failed else 0


def server(uri: str) -> str:
    """The tracking server's address without its password; empty for a database that only this machine has."""
    return re.sub(r"//[^@/]*@", "//", uri) if uri.startswith("http") else ""


def plots(root: Path, place: str) -> list[tuple[str, str]]:
    """Title and link of each chart in the report's Markdown twin."""
    path = root / TWIN
    found = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8")) if path.is_file() else []
    folder = f"{place}/{TWIN.parent}" if place else str(TWIN.parent)
    return [(title, f"{folder}/{file}{'?raw=true' if place else ''}") for title, file in found]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="main", help="the branch to compare with (%(default)s)")
    with one_line_errors():
        sys.exit(main(parser.parse_args().base))

"""Say on the pull request what a branch reruns, before anything does: `python -m assay.cli.ci_plan --base main`."""

from __future__ import annotations

import argparse
from pathlib import Path

from assay.cli.repro import costs
from assay.core import config
from assay.core.errors import one_line_errors
from assay.pipeline import plan, values, wording
from assay.review import base, comment, github, snapshot


def main(name: str) -> None:
    """Print the plan, comment it, and hand the number of stages that are not up to date to later jobs.

    Raises:
        AssayError: params.yaml is wrong, a file of the pipeline cannot be read, there is no such base, or GitHub
            refuses the comment.
    """
    config.load()
    root = Path.cwd()
    compared = base.find(root, name)
    found = plan.make(root, costs=lambda: costs(root))
    print(f"{wording.as_text(found)}\n\n{compared.text(repr)}")
    before, now = snapshot.of_revision(root, compared.commit.sha), snapshot.of_tree(root)
    text = comment.of_plan(compared, values.changes(before.params, now.params), found)
    github.append("GITHUB_STEP_SUMMARY", text)
    github.append("GITHUB_OUTPUT", f"stages={len(found.steps)}")
    request = github.from_environment()
    if request and found.steps:  # with nothing to run, the comment that is there stays
        print(request.comment(comment.MARKER, text))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", default="main", help="the branch or commit to compare with (%(default)s)")
    with one_line_errors():
        main(parser.parse_args().base)

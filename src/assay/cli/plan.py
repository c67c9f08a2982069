"""Say which stages a change reruns, why, and what it takes: `python -m assay.cli.plan [--since REVISION] [--json]`.

It runs nothing, writes nothing and needs no data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from assay.cli.repro import costs
from assay.core import config
from assay.core.errors import one_line_errors
from assay.pipeline import plan, wording
from assay.pipeline.dag import lock_at


def main(since: str | None, ask_remote: bool, as_json: bool) -> None:
    """Check params.yaml, then print the plan.

    Raises:
        AssayError: params.yaml is wrong, a file of the pipeline cannot be read, or there is no such revision.
    """
    config.load()
    root = Path.cwd()
    found = plan.make(root, None if since is None else lock_at(root, since), ask_remote, lambda: costs(root))
    try:
        print(json.dumps(wording.as_data(found), indent=2) if as_json else wording.as_text(found), flush=True)
    except BrokenPipeError:  # the reader has seen enough, as `head` has; the flush at exit must not fail again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--since", metavar="REVISION", help="compare with the results of this git revision")
    parser.add_argument("--remote", action="store_true", help="also ask the default remote what it can restore")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    with one_line_errors():
        main(arguments.since, arguments.remote, arguments.json)

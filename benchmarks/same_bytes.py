"""Whether two runs of the pipeline gave the same bytes: `python -m benchmarks.same_bytes record|compare FILE`.

`record` writes the SHA-256 of every model, prediction, evaluation, curve and claim under the current folder to FILE;
`compare` says which of them differ from FILE, and exits with 1 where any does. Nothing that depends on time is among
them. With it, a change of the code that must not change a result can be shown not to: then `dvc commit -f` takes the
new code in without training anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError, one_line_errors
from assay.core.plain import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = (
    *("models/**/*", "data/predictions/**/*", "metrics/evaluate/**/*", "metrics/curves/**/*"),
    *("metrics/summary.csv", "metrics/claims.json"),
)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """A line for each name that is missing, new, or has other content."""
    return [
        f"{name}: {'new' if name not in before else 'missing' if name not in after else 'other content'}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def main(action: str, file: Path) -> int:
    """Record or compare; gives the exit status."""
    results = sorted({path for pattern in RESULTS for path in Path().glob(pattern) if path.is_file()})
    if not results:
        raise AssayError("no results of the pipeline here; run this where dvc.yaml is, after `make repro`")
    after = {str(path): files.file_digest(path) for path in results}
    if action == "record":
        files.write_json(file, after)
        print(f"{file}: {len(after)} results")
        return 0
    before = read_json(file, "`record` writes it", "`record` writes it")
    lines = differences(before, after)
    print("\n".join([*lines, f"{len(lines)} of {len(before | after)} results differ"]))
    return 1 if lines else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON, the digest of each result by its path")
    with one_line_errors():
        arguments = parser.parse_args()
        sys.exit(main(arguments.action, arguments.file))

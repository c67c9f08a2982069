"""Compare what `dvc exp run` made, in a table that fits a screen: `python -m assay.cli.experiments`.

A line for each parameter and each arm's test accuracy that differs, a column for each experiment. `dvc exp show` has
them the other way round, with a column for every number and every dependency of every arm.
"""

from __future__ import annotations

import csv
import io
import re
import subprocess
import sys
from itertools import zip_longest

from assay.core.errors import AssayError, one_line_errors

ACCURACY = re.compile(r"(?:metrics/metrics\.json:)?(.+)\.test_accuracy")
DROP = r"Created|.*\.test_(?!accuracy$)\w+$|.*training_cost$|(src|stages|data|models|benchmarks)(/|$)|metrics/[^:]*$"
COMMAND = (sys.executable, "-m", "dvc", "exp", "show", "--only-changed", "--csv", "--precision", "5", "--drop", DROP)


def table(text: str) -> str:
    """What `dvc exp show --csv` printed, turned round: experiments side by side, one value a line."""
    names, *rows = csv.reader(io.StringIO(text))
    lines = [["", *(row[0] or row[1] for row in rows)]]  # an experiment's name, or the revision it began with
    lines += [[_shown(name), *(row[place] for row in rows)] for place, name in enumerate(names) if place > 2]
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _shown(name: str) -> str:
    return ACCURACY.sub(r"\1: test accuracy", name)


def main() -> None:
    """Print the table.

    Raises:
        AssayError: DVC cannot list the experiments.
    """
    done = subprocess.run(COMMAND, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssayError(f"dvc exp show failed: {' '.join(done.stderr.split())}")
    print(table(done.stdout))


if __name__ == "__main__":
    with one_line_errors():
        main()

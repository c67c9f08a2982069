"""`python -m benchmarks.equal_loss`: chains of different length where they have the same mean loss.

It reads the trajectory arms' records in metrics/evaluate/ and writes docs/results/trajectory-equal-loss.json. The
full-batch arm is left out: the others are far below any loss that its few moves reach.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from assay import files
from assay.errors import AssayError, one_line_errors
from assay.training.sampling.equal_loss import at_equal_loss

RESULTS, EVALUATIONS = Path("docs/results/trajectory-equal-loss.json"), Path("metrics/evaluate")
ARMS = ("trajectory", "trajectory_8", "trajectory_1")


def compare(root: Path) -> dict[str, Any]:
    """The level in nats, and each arm where its mean training loss first comes down to it.

    Args:
        root: of the repository.

    Raises:
        AssayError: an arm was not evaluated yet.
    """
    try:
        records = {arm: files.read_json(root / EVALUATIONS / f"{arm}.json")["record"] for arm in ARMS}
    except FileNotFoundError as error:
        raise AssayError(f"{error.filename}: not found; run `make repro` first") from None
    level, reached = at_equal_loss(records)
    rows = {arm: {"tau": records[arm]["tau"], **asdict(found)} for arm, found in reached.items()}
    return {
        "mean_loss": round(level, 4),
        "arms": {arm: {name: float(f"{value:.4g}") for name, value in row.items()} for arm, row in rows.items()},
    }


if __name__ == "__main__":
    with one_line_errors():
        files.write_json(RESULTS, compare(Path()))

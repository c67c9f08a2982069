"""Train the baseline, or a block of further seeds of it: `python -m stages.baseline [baseline-<block>]`."""

from __future__ import annotations

from assay.core.config import BASELINE
from assay.core.errors import start
from stages import train


def main(name: str = BASELINE) -> None:
    """As `stages.train`, of the baseline."""
    train.main(name)


if __name__ == "__main__":
    start(main)

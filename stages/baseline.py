"""Train the baseline, or a block of further seeds of it: `python -m stages.baseline [baseline-<block>]`."""

from __future__ import annotations

from assay.core import config
from assay.core.config import BASELINE
from assay.core.errors import start
from stages.train import train_and_write


def main(name: str = BASELINE) -> None:
    """Read parameters, train, write models/<name> and its curves."""
    train_and_write(config.load().run(name))


if __name__ == "__main__":
    start(main)

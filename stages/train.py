"""Train one arm, or a block of further seeds of it: `python -m stages.train <arm | arm-block>`."""

from __future__ import annotations

from assay.core import config
from assay.core.errors import start
from stages.training import train_and_write


def main(name: str) -> None:
    """Read parameters, train, write models/<name> and its curves."""
    train_and_write(config.load().run(name))


if __name__ == "__main__":
    start(main)

"""Train one pruning round, or a block of further seeds of it: `python -m stages.prune <n | n-block>`."""

from __future__ import annotations

from assay.core import config
from assay.core.errors import start
from stages.train import train_and_write


def main(key: str) -> None:
    """Read parameters and the round before; prune, train, write models/round-<key> and its curves."""
    train_and_write(config.load().run(f"round-{key}"))


if __name__ == "__main__":
    start(main)

"""Train one pruning round, or a block of further seeds of it: `python -m stages.prune <n | n-block>`."""

from __future__ import annotations

from assay.core.errors import start
from stages import train


def main(key: str) -> None:
    """As `stages.train`, of the round that dvc.yaml knows by this key."""
    train.main(f"round-{key}")


if __name__ == "__main__":
    start(main)

"""Fetch the data set that params.yaml names into data/raw, every byte verified."""

from __future__ import annotations

from pathlib import Path

from assay.core import config
from assay.core.errors import start
from assay.data import catalog, sources


def main() -> None:
    """Read parameters; write data/raw."""
    data = config.load().data
    catalog.check(data)
    sources.obtain(data, Path("data/raw"))


if __name__ == "__main__":
    start(main)

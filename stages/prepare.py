"""Turn the verified bytes of data/raw into the tensors of data/prepared."""

from __future__ import annotations

from pathlib import Path

from assay.core import config
from assay.core.errors import start
from assay.data import preparation


def main() -> None:
    """Read parameters and data/raw; write data/prepared."""
    preparation.prepare(Path("data/raw"), config.load().data, Path("data/prepared"))


if __name__ == "__main__":
    start(main)

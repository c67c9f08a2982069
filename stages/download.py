"""Fetch the data set that params.yaml names into data/raw, every byte verified."""

from __future__ import annotations

from pathlib import Path

from assay.core import config
from assay.core.errors import one_line_errors
from assay.data import sources
from assay.data.sets import catalog


def main() -> None:
    """Read parameters; write data/raw.

    Raises:
        AssayError: params.yaml is wrong, or no source has the data set.
    """
    settings = config.read("data")
    catalog.check(settings.data)
    sources.obtain(settings.data, Path("data/raw"))


if __name__ == "__main__":
    with one_line_errors():
        main()

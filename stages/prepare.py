"""Turn the verified bytes of data/raw into the tensors of data/prepared."""

from __future__ import annotations

from pathlib import Path

from assay.core import config
from assay.core.errors import one_line_errors
from assay.data import preparation


def main() -> None:
    """Read parameters and data/raw; write data/prepared.

    Raises:
        AssayError: params.yaml is wrong, or a raw file is missing or altered.
    """
    settings = config.read("data")
    preparation.prepare(Path("data/raw"), settings.data, Path("data/prepared"))


if __name__ == "__main__":
    with one_line_errors():
        main()

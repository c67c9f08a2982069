"""Write the digest of your own images to data/own.json, where DVC sees it change: `python -m stages.scan <data.name>`.

Own images may lie anywhere (`ASSAY_DATA_DIR`), so DVC cannot depend on them; `download` depends on this file instead.
"""

from __future__ import annotations

from pathlib import Path

from assay.core import files
from assay.core.errors import start
from assay.data import folder


def main(name: str) -> None:
    """Bring data/own.json up to date; a file that is right already is not touched."""
    if (text := folder.stale(name)) is not None:
        files.write_text(Path(folder.RECORD), text)


if __name__ == "__main__":
    start(main)

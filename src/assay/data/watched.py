"""data/own.json: the digest of the user's own images, by which DVC sees that they changed.

The stage `scan` writes it and `download` depends on it; `make plan` asks whether it would change. It is in git, so that
a clone without the images knows which ones data/raw was packed from.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from assay.core.config.sections import FOLDER
from assay.core.errors import AssayError
from assay.data import folder, listing

RECORD = "data/own.json"


def stale(name: str, root: Path = Path()) -> str | None:
    """The text that data/own.json should hold, if it holds another one now; else None.

    For a published data set the text is that of an empty object. Where `data/own` is not on this machine nothing is
    stale: data/raw may come from the cache or the remote.

    Args:
        name: of the data set.
        root: the repository's root.

    Raises:
        AssayError: the images are not laid out as they should be, or `ASSAY_DATA_DIR` names no folder.
    """
    content = {}
    if name == FOLDER:
        images = root / folder.root_of_images()
        if not images.is_dir():
            named = os.environ.get(folder.VARIABLE)
            if not named:
                return None
            raise AssayError(
                f"{folder.VARIABLE}={named}: no such folder; name the one that holds your images, or unset it to go on "
                "with what data/raw was packed from"
            )
        content = {"digest": listing.scan(images).digest}
    text = json.dumps(content, indent=2) + "\n"
    path = root / RECORD
    return None if path.is_file() and path.read_text(encoding="utf-8") == text else text

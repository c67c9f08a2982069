"""data/own.json: the digest of the user's own images, by which DVC sees that they changed.

The stage `scan` writes it and `download` depends on it; `make plan` asks whether it would change. It is in git, so that
a clone without the images still knows which ones data/raw was packed from.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from assay.data import folder, listing
from assay.foundation.errors import AssayError

RECORD = "data/own.json"


def stale(name: str, root: Path = Path()) -> str | None:
    """The text that data/own.json should hold, if it holds another one now; else None.

    A published data set needs no digest: the text is that of an empty object. Where `data/own` is not on this machine
    nothing is stale: data/raw may come from the cache or the remote.

    Args:
        name: of the data set.
        root: the repository's root.

    Raises:
        AssayError: the images are not laid out as they should be, or `ASSAY_DATA_DIR` names no folder.
    """
    content = _content(name, root)
    if content is None:
        return None
    text = json.dumps(content, indent=2) + "\n"
    path = root / RECORD
    return None if path.is_file() and path.read_text(encoding="utf-8") == text else text


def _content(name: str, root: Path) -> dict[str, str] | None:
    if name != "folder":
        return {}
    named = os.environ.get(folder.VARIABLE)
    images = root / Path(named or folder.DEFAULT).expanduser()
    if images.is_dir():
        return {"digest": listing.scan(images).digest}
    if named:
        raise AssayError(
            f"{folder.VARIABLE}={named}: no such folder; name the one that holds your images, or unset it to go on "
            "with what data/raw was packed from"
        )
    return None

"""One tracker at a time in a clone: the others wait."""

from __future__ import annotations

import fcntl
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_FILE = Path(".assay/track.lock")


@contextmanager
def exclusive(root: Path) -> Iterator[None]:
    """Hold the tracker's lock of the repository at `root`; a process that dies lets go of it."""
    path = root / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another process that tracks this repository", file=sys.stderr)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield

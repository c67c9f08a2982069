"""dvc.lock, DVC's record of what went into every stage and what came out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from assay.core import files
from assay.core.errors import AssayError
from assay.core.plain import yaml_of

if TYPE_CHECKING:
    from pathlib import Path

NAME = "dvc.lock"
RESOLVE = (
    f"after a merge with conflicts, drop {NAME} and run `dvc repro --pull`, which restores from the run-cache what was "
    "computed before"
)


def read(root: Path) -> dict[str, Any]:
    """The entries of dvc.lock by stage, as of `parse`; none where there is no such file."""
    path = root / NAME
    return parse(path.read_bytes().decode(errors="replace"), NAME) if path.is_file() else {}


def parse(text: str, where: str) -> dict[str, Any]:
    """The entries by stage of the text of a dvc.lock, which errors call `where`.

    Raises:
        AssayError: it is not YAML, as after a merge with conflicts.
    """
    content = yaml_of(text, where, RESOLVE) or {}
    try:
        return dict(content.get("stages") or {})
    except (AttributeError, TypeError, ValueError):
        raise AssayError(f"{where}: not what DVC writes; {RESOLVE}") from None


def digest(path: Path) -> str:
    """The MD5 of an output as dvc.lock records it: of a file, or of the list of a folder's files, ending in `.dir`."""
    if not path.is_dir():
        return files.file_digest(path, "md5")
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    text = json.dumps([{"md5": files.file_digest(path / name, "md5"), "relpath": name} for name in names])
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"

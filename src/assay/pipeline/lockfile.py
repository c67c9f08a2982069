"""dvc.lock, DVC's record of what went into every stage and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML, YAMLError

from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "dvc.lock"
RESOLVE = f"drop {NAME} and run `dvc repro --pull`, which restores from the run-cache what was computed before"


def read(root: Path) -> dict[str, Any]:
    """The entries of dvc.lock by stage; none where there is no such file.

    Raises:
        AssayError: it is not YAML, as after a merge with conflicts.
    """
    path = root / NAME
    return parse(path.read_text(encoding="utf-8"), NAME) if path.is_file() else {}


def parse(text: str, where: str) -> dict[str, Any]:
    """The entries of a dvc.lock by stage.

    Args:
        text: the file's content.
        where: what to call it in an error.

    Raises:
        AssayError: it is not YAML.
    """
    try:
        content = YAML(typ="safe").load(text)
    except YAMLError:
        raise AssayError(f"{where}: not valid YAML, as after a merge with conflicts; {RESOLVE}") from None
    return dict((content or {}).get("stages", {}))

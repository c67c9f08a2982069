"""Files that are whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

from assay.core.errors import system_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART = re.compile(r"\..+\.(\d{1,9})\.part")  # as `replacing` names what is half written; the number is the process


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a fresh path beside `path`; what is written there takes `path`'s place when the block ends without error.

    Works for a file and for a directory (an old directory at `path` is removed first). After an error nothing of the
    new content is left and the old content is untouched. What a killed process left of `path` is removed.

    Raises:
        OSError: the file system refuses it; the error names `path`, whatever library wrote.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        if left == temporary or left_behind(left):
            remove(left)
    try:
        yield temporary
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        temporary.replace(path)
    except Exception as error:
        failed = system_error(error)
        if failed is None or not str(failed.filename or temporary).startswith(str(temporary)):
            raise
        raise OSError(failed.errno, failed.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # a read-only file system refuses it even where there is nothing to remove
            remove(temporary)


def left_behind(path: Path) -> bool:
    """Whether a path is what `replacing` had half written in a process that runs no more."""
    part = PART.fullmatch(path.name)
    return part is not None and not psutil.pid_exists(int(part[1]))


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, depth: int = 0) -> None:
    """Write `content` as JSON with one key a line, atomically; NaN and infinity are errors.

    With a `depth`, what lies that many levels deep is one line, so that git shows a changed entry as a changed line.
    """
    text = _lines(content, depth) if depth else json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(path, text + "\n")


def _lines(content: Any, depth: int, margin: str = "") -> str:
    if not depth or not content or not isinstance(content, dict | list):
        return json.dumps(content, allow_nan=False, ensure_ascii=False)
    inner = margin + "  "
    if isinstance(content, dict):
        entries = [f"{json.dumps(key)}: {_lines(one, depth - 1, inner)}" for key, one in content.items()]
    else:
        entries = [_lines(one, depth - 1, inner) for one in content]
    first, last = "{}" if isinstance(content, dict) else "[]"
    return f"{first}\n{inner}" + f",\n{inner}".join(entries) + f"\n{margin}{last}"


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hex digest of a file's bytes under `algorithm` (a name that hashlib knows)."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def content_digest(content: Any) -> str:
    """SHA-256 of `content` as canonical JSON: equal contents have equal digests, whatever the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()

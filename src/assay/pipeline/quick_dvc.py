"""`python -m assay.pipeline.quick_dvc`: DVC's command line without habits that take minutes in a long pipeline.

For each stage DVC parses params.yaml anew, and walks all of it for each key; after each it parses and writes all of
dvc.lock, five seconds for the default's, while no other stage may write. Here the former is parsed once a change, and
in the latter the stage's own entry is replaced. dvc.lock ends with the same bytes.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.core import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HEAD = "schema: '2.0'\nstages:\n"
PATTERNS, MISSING = "*?[", object()
NEXT = re.compile(r"^ {0,2}[^ \n]", re.MULTILINE)  # where a stage's entry ends


@contextmanager
def quick() -> Iterator[None]:
    """DVC, in this process, parses parameters once a change and replaces entries of dvc.lock one by one."""
    from dvc.dependency import param
    from dvc.dvcfile import Lockfile, logger
    from dvc.stage.serialize import to_lockfile
    from dvc.utils.serialize import dumps_yaml

    load, read, dump = param.load_path, param.read_param_file, Lockfile.dump_stages
    known: dict[str, tuple[Any, Any]] = {}

    def load_once(path: str, fs: Any, **options: Any) -> Any:
        if fs.protocol != "local" or not Path(path).is_file():  # a git revision's, or none: DVC says so
            return load(path, fs, **options)
        found = Path(path).stat()
        state = (found.st_mtime_ns, found.st_size, found.st_ino)  # a stage that begins reads the file as it is then
        if known.get(path, (None,))[0] != state:
            known[path] = (state, load(path, fs, **options))
        return known[path][1]

    def read_keys(fs: Any, path: str, keys: Sequence[str] | None = None, flatten: bool = False, **options: Any) -> Any:
        if not (keys and flatten) or any(set(key) & set(PATTERNS) for key in keys):
            return read(fs, path, keys, flatten, **options)
        content = load_once(path, fs, **options)
        return {key: value for key in keys if (value := _at(content, key)) is not MISSING}

    def dump_entries(lockfile: Any, stages: Sequence[Any], **options: Any) -> None:
        path = Path(lockfile.path)
        before = text = path.read_text(encoding="utf-8") if path.is_file() else None
        for stage in stages:
            entry = dumps_yaml({"stages": to_lockfile(stage, **options)}).removeprefix("stages:\n")
            text = with_entry(text, entry) if text else None
        if text is None:
            dump(lockfile, stages, **options)
        elif text != before:
            logger.info("Updating lock file '%s'", lockfile.relpath)
            files.write_text(path, text)
            lockfile.repo.scm_context.track_file(lockfile.relpath)

    param.load_path, param.read_param_file, Lockfile.dump_stages = load_once, read_keys, dump_entries
    try:
        yield
    finally:
        param.load_path, param.read_param_file, Lockfile.dump_stages = load, read, dump


def _at(content: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return MISSING
        content = content[part]
    return content


def with_entry(text: str, entry: str) -> str | None:
    """The text of a dvc.lock with a stage's entry, indented as in the file, in place of the old one or at its end.

    None where it is not as DVC writes it: a section after the stages, or the marks of a merge.
    """
    body = text.removeprefix(HEAD)
    if body == text or not text.endswith("\n") or any(line[0] != " " for line in body.splitlines() if line):
        return None
    name = entry[: entry.index("\n") + 1]
    start = text.find(f"\n{name}", len(HEAD) - 1) + 1
    if not start:
        return text + entry
    following = NEXT.search(text, start + len(name))
    return text[:start] + entry + (text[following.start() :] if following else "")


def main(arguments: list[str]) -> int:
    """Run a command of DVC; gives its exit code."""
    from dvc.cli import main as run

    with quick():
        return int(run(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

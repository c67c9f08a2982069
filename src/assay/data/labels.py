"""labels.csv: a table in the folder of a user's images that says the label of each, and if wanted its split and group.

The first line names the columns: `path` and `label`, and where wanted `split` and `group`. Paths are relative to the
folder. Images of a group, such as a patient's, stay in one split.
"""

from __future__ import annotations

import csv
import difflib
import io
import posixpath
import unicodedata
from stat import S_ISREG
from typing import TYPE_CHECKING, NamedTuple

from assay.core.errors import AssayError
from assay.data.decoding import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "labels.csv"
NEEDED, KNOWN = ("path", "label"), ("path", "label", "split", "group")
# what a split may be called, here and as a folder
SPLIT_NAMES = {"train": ("train",), "validation": ("val", "valid", "validation"), "test": ("test",)}
_SPLITS = {name: split for split, names in SPLIT_NAMES.items() for name in names}


class Row(NamedTuple):
    """An image: its path without `.` and `..`, and what the table says of it; no group is the empty text."""

    path: str
    label: str
    split: str = "train"
    group: str = ""


class Table(NamedTuple):
    """The images of labels.csv, the columns that are not used, and a line for each thing wrong."""

    rows: list[Row]
    unused: list[str]
    problems: list[str]


def read(root: Path) -> Table:
    """Read the labels.csv of a folder, and look that each of its images is there.

    Raises:
        AssayError: it is not a CSV file in UTF-8, or its first line does not name the columns; one line.
    """
    file = root / NAME
    content = file.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise AssayError(f"{file}: line {line}: not UTF-8 text; save it with the encoding UTF-8") from None
    lines = _lines(text, file)
    names = [name.strip().lower() for name in next(lines, (1, []))[1]]
    _check_header(names, f"{file}: line 1")
    rows: list[Row] = []
    problems: list[str] = []
    first: dict[str, int] = {}  # the line of each path
    of_group: dict[str, tuple[str, int]] = {}  # the split of each group, and the line that says so
    for number, cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        row, wrong = _row(cells, names)
        if not wrong and row.path in first:
            wrong = f"path: {row.path} stands in line {first[row.path]} already"
        if not wrong:
            first[row.path] = number
            wrong = _not_there(root, row.path)
        if not wrong and row.group:
            split, line = of_group.setdefault(row.group, (row.split, number))
            if split != row.split:
                wrong = (
                    f"group: {row.group} is in {row.split} here and in {split} in line {line}; one split must have it"
                )
        if wrong:
            problems.append(f"{file}: line {number}: {shown(wrong)}")
        else:
            rows.append(row)
    return Table(rows, [name for name in names if name not in KNOWN], problems)


def _lines(text: str, file: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line, and its number; of a line that is broken within quotes, the number of its first part."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    number = 1
    try:
        for cells in reader:
            yield number, cells
            number = reader.line_num + 1
    except csv.Error as error:
        raise AssayError(f"{file}: line {number}: not CSV ({error}); check its quotes") from None


def _check_header(names: list[str], where: str) -> None:
    for name in NEEDED:
        if name not in names:
            separators = {";": "semicolons", "\t": "tabs"}
            other = next((word for mark, word in separators.items() if len(names) == 1 and mark in names[0]), None)
            found = f"separated by {other}; save it with commas" if other else shown(", ".join(names)) or "nothing"
            raise AssayError(f"{where}: no column {name}; it must name the columns path,label[,split][,group]: {found}")
    for name in names:
        close = difflib.get_close_matches(name, KNOWN, 1, 0.7)
        if name in KNOWN and names.count(name) > 1:
            raise AssayError(f"{where}: the column {name} stands twice; keep one")
        if name not in KNOWN and close and close[0] not in names:  # else a group or a split would not be seen
            raise AssayError(f"{where}: column {shown(name)}: did you mean {close[0]}? give it another name if not")


def _row(cells: list[str], names: list[str]) -> tuple[Row, str]:
    """A line as a row, and what is wrong with it: nothing, if that is empty."""
    if len(cells) != len(names):
        return Row("", ""), f"{len(cells)} values for {len(names)} columns; put a text with commas in double quotes"
    given = {name: cell.strip() for name, cell in zip(names, cells, strict=True) if name in KNOWN}
    path, split = posixpath.normpath(given["path"]), _SPLITS.get(given.get("split", "train").lower(), "")
    label = unicodedata.normalize("NFC", given["label"])
    wrong = ""
    if not given["path"]:
        wrong = "path: empty"
    elif path.startswith(("/", "../")) or path in (".", "..") or "\0" in path:
        wrong = f"path: {given['path']} is not inside the folder; write it relative to the folder of {NAME}"
    elif not label:
        wrong = "label: empty"
    elif any(unicodedata.category(character) in ("Cc", "Cs") for character in label):
        wrong = "label: a class needs a name without control characters"
    elif not split:
        wrong = f"split: got {given['split']!r}; allowed: {', '.join(_SPLITS)}"
    elif "group" in given and not given["group"]:
        wrong = "group: empty; give each image one (an image that belongs to no other: its path)"
    return Row(path, label, split, given.get("group", "")), wrong


def _not_there(root: Path, path: str) -> str:
    """Why there is no file at a path; empty where there is one."""
    try:
        return "" if S_ISREG((root / path).stat().st_mode) else f"path: {path} is not a file"
    except OSError as error:
        slash = "; write / between folders, not a backslash" if "\\" in path else ""
        return f"path: {path}: {error.strerror or type(error).__name__}{slash}"

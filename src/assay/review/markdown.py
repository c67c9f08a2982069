"""Markdown of a limited length, of which only whole lines are ever left out, and text of others made safe in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 65_000
"""Bytes of UTF-8. GitHub refuses a comment of more than 65,536 characters; no way of counting exceeds the bytes."""

NOTE = 200  # bytes kept free for the line break after each section and the note on what was left out


@dataclass(frozen=True)
class Section:
    """A part of a document; sections come in order of importance, which is the order in which they get space.

    Attributes:
        head: what stands before the items, such as a heading and the head of a table. Always kept, so it is short.
        forms: the items, one whole line each, from the most detailed form to the briefest. Each form has the share of
            the space left that it may take: the first form that fits is used; if none fits, the last one is cut.
        tail: what stands after the items, such as `</details>`. Always kept.
        rest: what follows the number of items that were left out, as in `40 more claims`.
    """

    head: str
    forms: Sequence[tuple[float, Sequence[str]]] = ((1.0, ()),)
    tail: str = ""
    rest: str = ""


def fit(sections: Sequence[Section]) -> str:
    """The document, of at most `LIMIT` bytes in UTF-8."""
    left = LIMIT - sum(_size(one.head, one.tail) + NOTE for one in sections)
    parts = []
    for one in sections:
        kept = next((list(items) for share, items in one.forms if _size(*items) <= share * left), None)
        note = ""
        if kept is None:
            share, items = one.forms[-1]
            kept, most = [], share * left
            for item in items:
                most -= _size(item)
                if most < 0:
                    break
                kept.append(item)
            note = f"\n{len(items) - len(kept):,} more {one.rest}\n"
        left -= _size(*kept)
        parts.append("".join((one.head, *kept, note, one.tail)))
    return "\n".join(parts)


def _size(*parts: str) -> int:
    return sum(len(part.encode()) for part in parts)


def text(content: str, most: int = 300) -> str:
    """Plain text, in a table's cell or elsewhere: one line, of at most `most` characters, nothing in it is Markdown."""
    return re.sub(r"([\\`*<>\[\]|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))", r"\\\1", short(content, most))


def code(content: str, most: int = 120, in_table: bool = False) -> str:
    """A code span, in which GitHub sees no Markdown, no mention of a user and no reference to an issue."""
    content = short(content, most)
    fence = "`" * (1 + max(map(len, re.findall("`+", content)), default=0))
    padded = f" {content} " if content.startswith("`") or content.endswith("`") else content
    return f"{fence}{padded.replace('|', chr(92) + '|') if in_table else padded}{fence}"


def codes(names: Sequence[str], most: int, what: str) -> str:
    """Names as code spans; beyond `most` their number, as in `and 3 more stages`."""
    shown = ", ".join(code(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more {what}" if len(names) > most else shown


def short(content: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = " ".join(content.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def table(*columns: str, numbers: int = 0) -> str:
    """The head of a table, whose last `numbers` columns are aligned right."""
    marks = ["---"] * (len(columns) - numbers) + ["---:"] * numbers
    return f"{row(*columns)}|{'|'.join(marks)}|\n"


def row(*cells: str) -> str:
    """A row of a table; the cells are Markdown without a line break or a bare `|`."""
    return f"| {' | '.join(cells)} |\n"

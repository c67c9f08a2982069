"""Parameters as flat names and values, and what differs between two states of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from assay.core.plain import flat

ABSENT = "absent"


@dataclass(frozen=True)
class Change:
    """A parameter that differs: its name and its values as text, `absent` where a side lacks it."""

    name: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.name}: {self.old} → {self.new}"


def changes(old: Any, new: Any) -> list[Change]:
    """What differs between two states of params.yaml, or of a part of it; a value of another type differs.

    Entries of lists are told apart by their `id` where they have one (claims), and else the list is one value (seeds).
    """
    before, after = ({name: _shown(value) for name, value in flat(side, ids=True)} for side in (old, new))
    names = dict.fromkeys((*before, *after))
    return [
        Change(name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in names
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value or '""'
    return json.dumps(value, ensure_ascii=False, default=str)

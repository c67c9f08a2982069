"""Parameters as flat names and values, and what differs between two states of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    before, after = flat(old), flat(new)
    names = dict.fromkeys((*before, *after))
    return [
        Change(name, before.get(name, ABSENT), after.get(name, ABSENT))
        for name in names
        if before.get(name, ABSENT) != after.get(name, ABSENT)
    ]


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """`{"train": {"steps": 3}}` as `{"train.steps": "3"}`; text is shown bare unless it looks like another type."""
    inner = _entries(value)
    if inner is None:
        return {prefix: _shown(value)}
    found: dict[str, str] = {}
    for key, one in inner.items():
        found |= flat(one, f"{prefix}.{key}" if prefix else str(key))
    return found


def _entries(value: Any) -> Mapping[str, Any] | None:
    """The named parts of a value, or None where it is one value; what is empty is one value, so that it is seen."""
    if isinstance(value, dict) and value:
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(one, dict) and "id" in one for one in value):
        return {one["id"]: one for one in value}
    return None


def _shown(value: Any) -> str:
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value or '""'
    return json.dumps(value, ensure_ascii=False, default=str)

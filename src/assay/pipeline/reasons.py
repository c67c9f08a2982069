"""Why DVC would run a stage: what differs between its dvc.lock entry and what is there now.

A file that a stage writes and that is merely absent is no reason (`dvc repro --pull --allow-missing` sees it so): in a
fresh clone no data is there at all, and every result still stands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assay.core.plain import flat

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ABSENT = "absent"


@dataclass(frozen=True)
class Reason:
    """One thing that makes a stage stale: `upstream` is a stage before it, `output` a file that it wrote itself."""

    kind: Literal["new", "command", "parameter", "file", "images", "upstream", "output"]
    what: str  # the parameter, file or stage; of the user's own images the file with their digest
    old: str = ""  # a parameter's value when the stage ran last, `absent` where it had none
    new: str = ""

    def __str__(self) -> str:
        return {
            "new": "it never ran",
            "command": f"its command is now `{self.what}`",
            "parameter": f"{self.what}: {self.old} → {self.new}",
            "file": f"{self.what} changed",
            "images": f"your images are not those of {self.what}",
            "upstream": f"{self.what} reruns",
            "output": f"{self.what} is not what it wrote",
        }[self.kind]


def changes(old: Any, new: Any) -> list[Reason]:
    """The parameters that differ between two states of params.yaml, or of a part of it, also those of another type.

    Entries of lists are told apart by their `id` where they have one (claims), and else the list is one value (seeds).
    """
    before, after = ({name: _shown(value) for name, value in flat(side, ids=True)} for side in (old, new))
    both = ((name, before.get(name, ABSENT), after.get(name, ABSENT)) for name in dict.fromkeys((*before, *after)))
    return [Reason("parameter", *one) for one in both if one[1] != one[2]]


def _shown(value: Any) -> str:
    if isinstance(value, str):
        try:
            json.loads(value)
        except ValueError:
            return value or '""'
    return json.dumps(value, ensure_ascii=False, default=str)


def own(
    stage: Any,
    entry: Mapping[str, Any] | None,
    made: Mapping[str, Sequence[Any]],
    digests: dict[str, Any],
    results_count: bool,
) -> list[Reason]:
    """Why a stage, filled from its `entry` of dvc.lock, is stale by itself, whatever the stages before it do.

    `made` has the outputs behind each dependency (`dag.made`), and `digests` by path those of what was looked at for
    other stages, filled here. With `results_count`, a file that a stage wrote and that is another one now is a reason.
    """
    if entry is None:
        return [Reason("new", stage.addressing)]
    found = [Reason("command", stage.cmd)] if entry.get("cmd") != stage.cmd else []
    for dep in stage.deps:
        if hasattr(dep, "read_params"):
            found += changes(dep.hash_info.value or {}, dep.read_params())
        elif (results_count or not made[dep.fs_path]) and _differs(dep, made[dep.fs_path], digests):
            found.append(Reason("file", dep.def_path))
    return found + [Reason("output", out.def_path) for out in stage.outs if results_count and altered(out)]


def _differs(dep: Any, made: Sequence[Any], digests: dict[str, Any]) -> bool:
    if dep.fs_path not in digests:
        digests[dep.fs_path] = dep.get_hash() if dep.exists else None
    now = digests[dep.fs_path]
    if not made or now == dep.hash_info:
        return bool(now != dep.hash_info)
    if now is None:  # not here; where the stage before it wrote this very path, what is recorded of both decides
        return any(out.fs_path == dep.fs_path and out.hash_info != dep.hash_info for out in made)
    holds_others = any(out.fs_path.startswith(f"{dep.fs_path}/") for out in made)
    return not holds_others or all(out.exists for out in made)  # a folder with holes says nothing


def altered(out: Any) -> bool:
    """Whether an output is here and is not what is recorded of it."""
    return out.exists and out.status().get(str(out)) in ("modified", "new")

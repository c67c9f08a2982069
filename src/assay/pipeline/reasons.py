"""Why DVC would run a stage: what differs between its dvc.lock entry and what is there now.

A file that a stage writes and that is merely absent is no reason (`dvc repro --pull --allow-missing` sees it so): in a
fresh clone no data is there at all, and every result still stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assay.pipeline import values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Reason:
    """One thing that makes a stage stale.

    Attributes:
        kind: what it is: the stage is new, its command changed, a parameter, a file it reads, the user's own images, a
            stage before it, or a file it wrote.
        what: the parameter, file or stage; of the images the file with their digest.
        old: a parameter's value when the stage ran last; else empty.
        new: its value now; else empty.
    """

    kind: Literal["new", "command", "parameter", "file", "images", "upstream", "output"]
    what: str
    old: str = ""
    new: str = ""

    def __str__(self) -> str:
        return {
            "new": "it never ran",
            "command": f"its command is now `{self.what}`",
            "parameter": str(values.Change(self.what, self.old, self.new)),
            "file": f"{self.what} changed",
            "images": f"your images are not those of {self.what}",
            "upstream": f"{self.what} reruns",
            "output": f"{self.what} is not what it wrote",
        }[self.kind]


def own(
    stage: Any,
    entry: Mapping[str, Any] | None,
    made: Mapping[str, Sequence[tuple[Any, Any]]],
    results_count: bool = True,
) -> list[Reason]:
    """Why a stage is stale by itself, whatever the stages before it do.

    Args:
        stage: as DVC resolves it, its dependencies filled from `entry`.
        entry: of dvc.lock; None where there is none.
        made: the outputs behind each dependency, as `dag.producers` gives them.
        results_count: whether a file that a stage wrote, and that is another one now, is a reason.
    """
    if entry is None:
        return [Reason("new", stage.addressing)]
    found = []
    if entry.get("cmd") != stage.cmd:
        found.append(Reason("command", stage.cmd))
    for dep in stage.deps:
        if hasattr(dep, "read_params"):
            differs = values.changes(dep.hash_info.value or {}, dep.read_params())
            found += [Reason("parameter", one.name, one.old, one.new) for one in differs]
        elif (results_count or not made[dep.fs_path]) and _differs(dep, made[dep.fs_path]):
            found.append(Reason("file", dep.def_path))
    return found + [Reason("output", out.def_path) for out in stage.outs if results_count and altered(out)]


def _differs(dep: Any, made: Sequence[tuple[Any, Any]]) -> bool:
    state = dep.workspace_status().get(str(dep))
    if not made or state is None:
        return state is not None
    if state == "deleted":  # not here; where the stage before it wrote this very path, what is recorded of both decides
        return any(out.fs_path == dep.fs_path and out.hash_info != dep.hash_info for out, _ in made)
    holds_others = any(out.fs_path.startswith(f"{dep.fs_path}/") for out, _ in made)
    return not holds_others or all(out.exists for out, _ in made)  # a folder with holes says nothing


def altered(out: Any) -> bool:
    """Whether an output is here and is not what is recorded of it."""
    return out.exists and out.status().get(str(out)) in ("modified", "new")

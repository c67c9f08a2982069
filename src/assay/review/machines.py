"""Arms that were trained on another machine than the base's: their numbers differ a little for that reason alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assay.review import differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from assay.review.snapshot import Snapshot

FACTS = ("device", "processor", "instructions", "threads", "torch")
ON_GPU = ("device", "torch")  # the processor computes nothing there that the weights depend on
MOST_ARMS, MOST_CHANGES = 8, 4


def elsewhere(branch: Snapshot, base: Snapshot, quote: Callable[[str], str]) -> str:
    """One line that names the arms for each kind of change of the machine; empty where there is none.

    Only arms whose results differ count, and only facts that both sides know: older timings lack some.

    Args:
        branch: one side.
        base: the other.
        quote: how to render names.
    """
    found: dict[str, list[str]] = {}
    for arm in dict.fromkeys(name.partition("/")[0] for name in differences.changed(branch, base)):
        old, new = (side.timings.get(arm) for side in (base, branch))
        change = _change(old, new, quote) if isinstance(old, dict) and isinstance(new, dict) else ""
        if change:
            found.setdefault(change, []).append(arm)
    if not found:
        return ""
    parts = [f"{_names(arms, quote)} ({change})" for change, arms in list(found.items())[:MOST_CHANGES]]
    if len(found) > MOST_CHANGES:
        parts.append(f"and arms on {len(found) - MOST_CHANGES} more kinds of machine")
    return (
        f"Trained on another machine than the base's: {'; '.join(parts)}. All numbers of these arms may differ a "
        "little for that reason alone."
    )


def _change(old: dict[str, Any], new: dict[str, Any], quote: Callable[[str], str]) -> str:
    """`threads 1 → 2`, for all facts that differ."""
    on_gpu = all(side.get("device", "cpu") != "cpu" for side in (old, new))
    facts = [fact for fact in (ON_GPU if on_gpu else FACTS) if old.get(fact) and new.get(fact)]
    return ", ".join(
        f"{fact} {quote(str(old[fact]))} → {quote(str(new[fact]))}" for fact in facts if old[fact] != new[fact]
    )


def _names(arms: list[str], quote: Callable[[str], str]) -> str:
    shown = [quote(arm) for arm in arms[:MOST_ARMS]]
    return ", ".join(shown) + (f" and {len(arms) - MOST_ARMS} more arms" if len(arms) > MOST_ARMS else "")

"""Progress of a download or a long conversion: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from rich import progress as rich_progress
from rich.console import Console
from rich.filesize import decimal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Advance = Callable[[int], None]

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress(
    title: str, total: int | None, unit: Literal["bytes", "images", "nothing"], console: Console | None = None
) -> Iterator[Advance]:
    """Show progress while the block runs.

    Args:
        title: what is under way.
        total: number of units to do; None if unknown.
        unit: what is counted; `nothing` shows the time alone.
        console: where to show it; standard output by default.

    Yields:
        A function to call with the number of units done since its last call; it may be called often, and with 0.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    if console.is_terminal:
        counts = {
            "bytes": (rich_progress.DownloadColumn(), rich_progress.TransferSpeedColumn()),
            "images": (rich_progress.MofNCompleteColumn(),),
            "nothing": (),
        }
        text = rich_progress.TextColumn("{task.description}", markup=False)
        columns = (text, rich_progress.BarColumn(), *counts[unit], rich_progress.TimeElapsedColumn())
        with rich_progress.Progress(*columns, console=console) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.advance(task, done)
        return
    began = shown = time.monotonic()
    so_far = 0

    def amount(value: int) -> str:
        return decimal(value) if unit == "bytes" else f"{value} {unit}"

    def advance(done: int) -> None:
        nonlocal shown, so_far
        so_far += done
        now = time.monotonic()
        if now - shown >= SECONDS_BETWEEN_LINES:
            shown = now
            of = f" of {amount(total)}" if total is not None else ""
            counted = "" if unit == "nothing" else f"{amount(so_far)}{of}, "
            console.print(f"{title}: {counted}{now - began:.0f} s", markup=False)

    yield advance

"""How far a download or a long conversion is: a bar on a terminal, plain lines every few seconds elsewhere."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

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
        total: how much there is to do, in units; None where nobody knows.
        unit: what is counted; nothing where only time can be shown.
        console: where to show it; standard output by default.

    Yields:
        A function to call with the units done since its last call; it may be called often, with 0 too.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    yield from _bar(title, total, unit, console) if console.is_terminal else _lines(title, total, unit, console)


def _bar(title: str, total: int | None, unit: str, console: Console) -> Iterator[Advance]:
    counted: dict[str, tuple[ProgressColumn, ...]] = {
        "bytes": (DownloadColumn(), TransferSpeedColumn()),
        "images": (MofNCompleteColumn(),),
    }
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *counted.get(unit, ()), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)


def _lines(title: str, total: int | None, unit: str, console: Console) -> Iterator[Advance]:
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

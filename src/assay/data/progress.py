"""Progress of a download or a long conversion: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from typing import Literal

from rich import progress
from rich.console import Console
from rich.filesize import decimal

SECONDS_BETWEEN_LINES = 5.0
_COUNTS: dict[str, tuple[progress.ProgressColumn, ...]] = {
    "bytes": (progress.DownloadColumn(), progress.TransferSpeedColumn()),
    "images": (progress.MofNCompleteColumn(),),
    "": (),
}


class Progress:
    """Shows how much is done, from the first `update` to `close`; for use with `contextlib.closing`.

    Has what `pooch.HTTPDownloader` calls on a bar of tqdm: `total`, which it sets, `update`, `reset` and `close`.
    `total` is 0 while unknown. Without a `unit` the time alone is shown. `console` is by default standard output.
    """

    def __init__(
        self, title: str, total: int = 0, unit: Literal["bytes", "images", ""] = "", console: Console | None = None
    ) -> None:
        self.total, self._title, self._unit, self._done = total, title, unit, 0
        self._began = self._shown = time.monotonic()
        self._console = console or Console(highlight=False, soft_wrap=True)
        text = progress.TextColumn("{task.description}", markup=False)
        columns = (text, progress.BarColumn(), *_COUNTS[unit], progress.TimeElapsedColumn())
        self._bar = progress.Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._task = self._bar.add_task(title, total=None)

    def update(self, count: int) -> None:
        """Add to the number of units done, up to the total; may be called often, and with 0."""
        self._done += min(count, self.total - self._done) if self.total else count
        self._bar.start()
        self._bar.update(self._task, completed=self._done, total=self.total or None)
        now = time.monotonic()
        if self._bar.disable and now - self._shown >= SECONDS_BETWEEN_LINES:
            self._shown = now
            amounts = (self._done, self.total) if self.total else (self._done,)
            counted = " of ".join(decimal(n) if self._unit == "bytes" else f"{n} {self._unit}" for n in amounts)
            said = f"{counted}, " if self._unit else ""
            self._console.print(f"{self._title}: {said}{now - self._began:.0f} s", markup=False)

    def reset(self) -> None:
        """Nothing: pooch reports the whole total once more, which `update` does not count again."""

    def close(self) -> None:
        """End the bar."""
        self._bar.stop()

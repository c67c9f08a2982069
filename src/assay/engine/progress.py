"""How far a long stage is: a bar with loss, accuracy, steps a second and time left; plain lines without a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_FRAMES = 0.2


class StepProgress:
    """Progress of a training, as a context.

    Args:
        title: what is trained.
        steps: how many steps in all.
        start: how many of them a resumed run has behind it.
        console: where to show it; standard output by default.
    """

    def __init__(self, title: str, steps: int, start: int = 0, console: Console | None = None) -> None:
        self._title, self._steps, self._start = title, steps, start
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._began = self._shown = time.monotonic()
        self._text = ""
        self._bar: Progress | None = None

    def __enter__(self) -> StepProgress:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, TextColumn("{task.fields[text]}"), console=self._console)
            self._task = self._bar.add_task(self._title, total=self._steps, completed=self._start, text="")
            self._bar.start()
        elif self._start:
            self._console.print(f"{self._title}: goes on from step {self._start}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int) -> None:
        """Say that `done` steps are done; shown a few times a second."""
        now = time.monotonic()
        if self._bar is not None and (now - self._shown >= SECONDS_BETWEEN_FRAMES or done == self._steps):
            self._shown = now
            self._bar.update(self._task, completed=done, text=f"{self._rate(done):.0f} steps/s  {self._text}")

    def evaluated(self, done: int, split: str, loss: float, accuracy: float) -> None:
        """Show loss and accuracy (means over copies); without a terminal, a line every ten seconds and at the end."""
        self._text = f"{split} loss {loss:.4f}  accuracy {100 * accuracy:.2f} %"
        now = time.monotonic()
        if self._bar is None and (now - self._shown >= SECONDS_BETWEEN_LINES or done == self._steps):
            self._shown = now
            rate = self._rate(done)
            left = (self._steps - done) / rate if rate else 0.0
            place = f"step {done}/{self._steps}  {rate:.0f} steps/s  {left:.0f} s left"
            self._console.print(f"{self._title}: {place}  {self._text}")

    def _rate(self, done: int) -> float:
        seconds = time.monotonic() - self._began
        return (done - self._start) / seconds if seconds else 0.0

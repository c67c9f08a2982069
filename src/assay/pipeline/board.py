"""What a person sees of units that run elsewhere: a table on a terminal, else the lines that they print."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from assay.pipeline import plan, side_by_side, unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STEP = re.compile(r"step (?P<step>\d+/\d+) .* (?P<left>\d+) s left(?:.* loss (?P<loss>\S+))?")
COLUMNS = ("unit", "node", "device", "state", "step", "loss", "left", "restored")
ORDER = ("runs", "failed", "waits", "done")


@dataclass
class Row:
    """A unit: where it runs, and what it said last."""

    name: str
    seconds: float  # of training, as was estimated
    node: str = ""
    device: str = ""
    state: str = "waits"
    step: str = ""
    loss: str = ""
    ends: float = 0.0  # when its training may be done, by the monotonic clock; 0 where it has not said
    restored: str = ""  # its stages that had a result already


@dataclass
class Board:
    """The units of a run, shown as long as it is a context."""

    units: Sequence[tuple[str, float]]  # by name, with the seconds of training
    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))

    def __post_init__(self) -> None:
        self.rows = {name: Row(name, seconds) for name, seconds in self.units}
        self.notes: list[str] = []
        self._live = Live(get_renderable=self.table, console=self.console, refresh_per_second=2)

    def __enter__(self) -> Board:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def see(self, lines: Iterable[tuple[str, str, str, str | None]]) -> None:
        """Take what units said: (unit, node, device, line), None in place of it as a unit begins."""
        for name, node, device, line in lines:
            row = self.rows[name]
            if line is None:
                self._begin(row, node, device)
            elif line.startswith(unit.TOLD):
                told = json.loads(line.removeprefix(unit.TOLD))
                self.notes += [f"{note} (on {node})" for note in told["notes"]]
                row.restored = ", ".join(told["restored"])
                self._say(f"{name}: on {node}, {_parts(told)}")
            else:
                if found := STEP.search(line):
                    row.step, row.loss = found["step"], found["loss"] or ""
                    row.ends = time.monotonic() + float(found["left"])
                if not side_by_side.ADVICE.match(line):
                    self._say(line)

    def _begin(self, row: Row, node: str, device: str) -> None:
        if row.state == "runs":
            self._say(f"{row.name}: lost on {row.node}; it runs again on {node}, from its last checkpoint")
        else:
            self._say(f"{row.name}: runs on {node}, {device}")
        row.node, row.device, row.state, row.step, row.loss, row.ends = node, device, "runs", "", "", 0.0

    def end(self, name: str, state: str) -> None:
        """A unit is `done` or `failed`."""
        self.rows[name].state = state
        count = sum(row.state in ("waits", "runs") for row in self.rows.values())
        self._say(f"{name}: {state}; {count} of {len(self.rows)} left")

    def table(self) -> Table:
        """The units that run first, then those that failed, wait and are done; of many, as fit on the screen."""
        table = Table(box=None, pad_edge=False)
        for column in COLUMNS:
            table.add_column(column)
        rows = sorted(self.rows.values(), key=lambda row: ORDER.index(row.state))
        most = max(4, self.console.height - 4)
        for row in rows[:most]:
            left = plan.duration(max(0.0, row.ends - time.monotonic())) if row.ends and row.state == "runs" else ""
            if row.state == "waits" and row.seconds:
                left = f"about {plan.duration(row.seconds)}"
            table.add_row(row.name, row.node, row.device, row.state, row.step, row.loss, left, row.restored)
        counts = {state: sum(row.state == state for row in rows) for state in ORDER}
        table.caption = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return table

    def _say(self, line: str) -> None:
        if not self.console.is_terminal:
            self.console.print(line, markup=False)


def _parts(told: dict[str, dict[str, float]]) -> str:
    seconds = ", ".join(f"{what} {one:.1f} s" for what, one in told["seconds"].items())
    return f"restored {', '.join(told['restored'])}; {seconds}" if told["restored"] else seconds

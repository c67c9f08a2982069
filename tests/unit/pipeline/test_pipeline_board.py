"""The table of units that run elsewhere: what it takes from the lines that they print."""

from __future__ import annotations

import io

from rich.console import Console

from assay.engine.loop import StepProgress
from assay.pipeline import unit
from assay.pipeline.board import Board

UNITS = [("baseline", 60.0), ("train@line", 120.0), ("train@swa", 0.0)]


def board(terminal: bool = True):
    made = Board(UNITS, Console(file=io.StringIO(), force_terminal=terminal, width=120, height=20, highlight=False))
    made.see([("train@line", "10.0.0.2", "GPU 0", None)])
    return made


def shown(made) -> str:
    made.console.print(made.table())
    return made.console.file.getvalue()


def progress_line() -> str:
    """As the training loop prints it where there is no terminal."""
    console = Console(file=io.StringIO(), force_terminal=False, soft_wrap=True, highlight=False)
    progress = StepProgress("line", 700, lambda: 0, console=console)
    progress.evaluated("validation", 1.3223, 0.5169)
    progress._show(350, 0.0)
    return console.file.getvalue().strip()


def test_it_shows_where_a_unit_runs_and_what_it_said_last():
    made = board()
    made.see([("train@line", "10.0.0.2", "GPU 0", progress_line())])
    text = shown(made)
    for told in ("10.0.0.2", "GPU 0", "runs", "350/700", "1.3223", "1 runs, 2 waits"):
        assert told in text, told


def test_units_that_run_stand_first_and_those_that_wait_have_their_estimate():
    made = board()
    lines = shown(made).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["train@line", "baseline", "train@swa"]
    assert "about 60 s" in lines[2]


def test_a_node_that_was_lost_is_told_and_the_row_begins_anew():
    made = board(terminal=False)
    made.see([("train@line", "10.0.0.2", "GPU 0", progress_line()), ("train@line", "10.0.0.3", "GPU 1", None)])
    text = made.console.file.getvalue()
    assert "train@line: lost on 10.0.0.2; it runs again on 10.0.0.3, from its last checkpoint" in text
    assert made.rows["train@line"].step == ""


def test_what_differed_is_kept_for_the_end():
    made = board()
    told = '{"restored": ["train@line"], "notes": ["train@line: models/line differs"], "seconds": {"pull": 1}}'
    made.see([("train@line", "10.0.0.2", "GPU 0", f"{unit.TOLD}{told}")])
    assert made.notes == ["train@line: models/line differs (on 10.0.0.2)"]
    assert made.rows["train@line"].restored == "train@line"


def test_without_a_terminal_it_prints_lines_and_counts_what_is_left():
    made = board(terminal=False)
    made.end("train@line", "done")
    text = made.console.file.getvalue()
    assert "train@line: runs on 10.0.0.2, GPU 0\n" in text
    assert "train@line: done; 2 of 3 left\n" in text


def test_of_many_units_as_many_are_shown_as_fit():
    made = Board([(f"arm {n}", 0.0) for n in range(200)], Console(file=io.StringIO(), width=100, height=20))
    made.see([("arm 150", "10.0.0.2", "CPU", None)])
    lines = shown(made).splitlines()
    assert len(lines) < 20
    assert lines[2].startswith("arm 150")  # after what it said and the heads of columns

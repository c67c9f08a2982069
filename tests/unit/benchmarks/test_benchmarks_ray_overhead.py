"""What the benchmark reads is what the board prints."""

from __future__ import annotations

import io
import json

from rich.console import Console

from assay.pipeline import unit
from assay.pipeline.board import Board
from benchmarks import ray_overhead


def test_it_reads_what_the_board_prints():
    stream = io.StringIO()
    told = {"restored": [], "notes": [], "seconds": {"pull": 0.5, "run": 1.25, "push": 0.1}}
    with Board([("train@a", 0.0)], Console(file=stream, highlight=False, soft_wrap=True)) as board:
        board.see(("train@a", "127.0.0.3", "CPU", line) for line in (None, unit.TOLD + json.dumps(told)))
        board.end("train@a", "done")
    begins, tells, ends = stream.getvalue().splitlines()
    assert ray_overhead.BEGINS.match(begins).groupdict() == {"unit": "train@a", "node": "127.0.0.3"}
    assert ray_overhead.TELLS.match(tells).groupdict() == {"pull": "0.5", "run": "1.2", "push": "0.1"}
    assert ray_overhead.ENDS.match(ends)["unit"] == "train@a"

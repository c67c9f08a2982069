from __future__ import annotations

import io

from rich.console import Console

from assay.data import progress as module
from assay.data.progress import progress


def test_plain_lines_without_a_terminal(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    out = io.StringIO()
    with progress("downloading [x].gz", 2_000_000, "bytes", Console(file=out)) as advance:
        advance(500_000)
        advance(1_500_000)
    assert out.getvalue() == "downloading [x].gz: 500.0 kB of 2.0 MB, 0 s\ndownloading [x].gz: 2.0 MB of 2.0 MB, 0 s\n"


def test_lines_are_few(monkeypatch):
    out = io.StringIO()
    with progress("packing", 1000, "images", Console(file=out)) as advance:
        for _ in range(1000):
            advance(1)
    assert out.getvalue() == ""


def test_only_time_where_nothing_can_be_counted(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    out = io.StringIO()
    with progress("npm at work", None, "nothing", Console(file=out)) as advance:
        advance(0)
    assert out.getvalue() == "npm at work: 0 s\n"


def test_a_bar_on_a_terminal():
    out = io.StringIO()
    with progress("packing", 3, "images", Console(file=out, force_terminal=True, width=80)) as advance:
        advance(3)
    assert "3/3" in out.getvalue()

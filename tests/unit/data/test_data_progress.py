from __future__ import annotations

import io
from contextlib import closing

from rich.console import Console

from assay.data import progress
from assay.data.progress import Progress


def test_plain_lines_without_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    out = io.StringIO()
    with closing(Progress("downloading [x].gz", 2_000_000, "bytes", Console(file=out))) as bar:
        bar.update(500_000)
        bar.update(1_500_000)
    assert out.getvalue() == "downloading [x].gz: 500.0 kB of 2.0 MB, 0 s\ndownloading [x].gz: 2.0 MB of 2.0 MB, 0 s\n"


def test_lines_are_few():
    out = io.StringIO()
    with closing(Progress("packing", 1000, "images", Console(file=out))) as bar:
        for _ in range(1000):
            bar.update(1)
    assert out.getvalue() == ""


def test_only_time_where_nothing_can_be_counted(monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    out = io.StringIO()
    with closing(Progress("npm at work", console=Console(file=out))) as bar:
        bar.update(0)
    assert out.getvalue() == "npm at work: 0 s\n"


def test_a_bar_on_a_terminal():
    out = io.StringIO()
    with closing(Progress("packing", 3, "images", Console(file=out, force_terminal=True, width=80))) as bar:
        bar.update(3)
    assert "3/3" in out.getvalue()

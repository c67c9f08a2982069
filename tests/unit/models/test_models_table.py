"""The table of docs/models.md is what `assay models` prints."""

import runpy
from pathlib import Path

from assay import models

DOCS = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_committed_table_is_the_printed_one(capsys):
    runpy.run_module("assay.models", run_name="__main__")
    printed = capsys.readouterr().out.strip()
    committed = "\n".join(line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    assert committed == printed
    assert all(f"| `{name}` |" in printed for name in models.names())

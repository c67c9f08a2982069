"""The table of docs/models.md is what `assay models` prints."""

from pathlib import Path

from assay import models
from assay.cli import show

DOCS = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_committed_table_is_the_printed_one(capsys):
    show.networks()
    printed = capsys.readouterr().out.strip()
    committed = "\n".join(line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    assert committed == printed, "paste `assay models` into docs/models.md"
    for sources in models.literals("MODELS").values():
        assert all((f"| `{name}` |" in printed) == (sources[name] != models.YOUR_OWN) for name in sources)

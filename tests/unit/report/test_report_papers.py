"""Papers are found with the methods."""

from __future__ import annotations

from assay.report.content import Paper, paper, papers

METHOD = '''"""A method."""

import nothing_that_there_is

PAPER = {
    "key": "own2026",
    "topic": "A topic",
    "cited": "Own 2026",
}
'''


def test_a_method_brings_its_paper_and_is_not_imported(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/__init__.py").write_text(METHOD)
    assert papers(tmp_path) == {"own2026": Paper("A topic", "Own 2026")}


def test_the_papers_whose_claims_are_tested_have_a_topic():
    assert paper("mair2023").topic == "Ensembles by trajectory sampling"
    assert paper("nobody1900") == Paper("nobody1900", "")

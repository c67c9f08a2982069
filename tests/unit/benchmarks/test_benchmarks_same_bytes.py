"""`benchmarks.same_bytes` sees what differs between two runs, and nothing that depends on time."""

from __future__ import annotations

import pytest

from assay.core.errors import AssayError
from benchmarks import same_bytes


@pytest.fixture
def results(tmp_path, monkeypatch):
    names = ("models/a/weights", "data/predictions/a", "metrics/evaluate/a.json", "metrics/curves/a.csv")
    for name in (*names, "metrics/summary.csv", "metrics/claims.json", "metrics/timings/a.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_equal_results_are_equal_whatever_their_timings(results, capsys):
    assert same_bytes.main("record", results / "before") == 0
    (results / "metrics/timings/a.json").write_text("other")
    assert same_bytes.main("compare", results / "before") == 0
    assert "0 of 6" in capsys.readouterr().out


def test_each_difference_is_a_line(results, capsys):
    same_bytes.main("record", results / "before")
    (results / "models/a/weights").write_text("other")
    (results / "metrics/claims.json").unlink()
    (results / "models/b").write_text("b")
    capsys.readouterr()
    assert same_bytes.main("compare", results / "before") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["metrics/claims.json: missing", "models/a/weights: other content", "models/b: new"]


@pytest.mark.parametrize(("action", "empty"), [("record", True), ("compare", False)])
def test_nothing_to_compare_is_one_line(results, action, empty, tmp_path, monkeypatch):
    if empty:
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(AssayError) as error:
        same_bytes.main(action, tmp_path / "none.json")
    assert len(str(error.value).splitlines()) == 1

"""`make torture` sees what differs."""

from __future__ import annotations

import json

import pytest

from benchmarks import torture


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Gives the state of a made-up clone, as it is now."""
    clone = torture.Clone.__new__(torture.Clone)
    clone.folder = tmp_path
    monkeypatch.setattr(torture.Clone, "_tracked", lambda _: {"MLflow run: a": [{"status": "FINISHED"}]})
    entry = {"outs": [{"path": "models/a", "md5": "1"}, {"path": "metrics/timings/a.json", "md5": "2"}]}
    for name, content in {
        "models/a/weights": "abc", "metrics/summary.csv": "a,1", "metrics/timings/a.json": "3.5",
        "dvc.lock": json.dumps({"stages": {"train@a": entry}}),
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return clone.state


def test_nothing_differs_where_timings_alone_do(state, tmp_path):
    before = state()
    (tmp_path / "metrics/timings/a.json").write_text("4.5")
    lock = tmp_path / "dvc.lock"
    lock.write_text(lock.read_text().replace('"md5": "2"', '"md5": "3"'))
    assert torture.differences(before, state()) == []


@pytest.mark.parametrize(
    ("name", "change", "line"),
    [
        ("models/a/weights", lambda text: text[:-1] + "d", "models/a/weights: other content"),
        ("dvc.lock", lambda text: text.replace('"md5": "1"', '"md5": "4"'), "dvc.lock: train@a: other content"),
        ("metrics/.summary.csv.12.part", lambda _: "half", "metrics/.summary.csv.12.part: new"),
        ("metrics/summary.csv", None, "metrics/summary.csv: missing"),
        (".assay/scratch/train@a-1/curves.csv", lambda _: "", "scratch: other content"),
    ],
)
def test_each_difference_is_a_line(state, tmp_path, name, change, line):
    before, path = state(), tmp_path / name
    if change is None:
        path.unlink()
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(change(path.read_text() if path.exists() else ""))
    assert torture.differences(before, state()) == [line]


def test_a_campaign_kills_starts_again_and_names_what_differs(monkeypatch, capsys, tmp_path):
    ends = iter([0, None, None, 0, None, 0])

    class Fake:
        log = tmp_path / "log"
        states = iter([{"a": 1}, {"a": 1}, {"a": 2}])

        def reset(self):
            pass

        def run(self, seconds=None):
            return next(ends)

        def state(self):
            return next(self.states)

    assert torture.campaign(Fake(), kills=3, seed=5, minutes=1) == ["pass 2, kill 3, seed 5: a: other content"]
    assert "pass 1: 2 kills" in capsys.readouterr().out

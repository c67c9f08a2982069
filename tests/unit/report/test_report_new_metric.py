"""A metric is one entry of `METRICS`: everything that lists metrics then has it, in the right direction."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
from report_site import TEN, Site

from assay.analysis import samples, seeds
from assay.core.config.claim import Claim, Rule
from assay.core.config.parsing import parse
from assay.core.errors import AssayError
from assay.report import summary, tables
from assay.review import differences
from assay.review.snapshot import Claim as Moved
from assay.review.snapshot import Snapshot
from assay.scoring import metrics, record
from assay.scoring.metrics import METRICS, Metric
from assay.scoring.predictions import Predictions
from assay.tracking.content import metrics_of
from stages import compare

ENTRY = {
    "doubt": Metric(
        label="Doubt", unit="%", higher_is_better=False, basis="examples", shown=True,
        per_example=lambda predictions: 1 - predictions.confidence,
    ),
    "least_recall": Metric(
        label="Least recall", higher_is_better=True, basis=None,
        of_confusion=lambda confusion: (confusion.diagonal(axis1=1, axis2=2) / confusion.sum(2)).min(1),
    ),
}  # fmt: skip
CLAIM = """
  - {id: surer, paper: one2020, statement: "Surer.", arm: good, against: baseline, metric: doubt, verdict: better,
     matters: 0.0001}
"""


@pytest.fixture(autouse=True)
def _added(monkeypatch):
    for name, entry in ENTRY.items():
        monkeypatch.setitem(METRICS, name, entry)


def site(root, skill: float) -> Site:
    made = Site(root, TEN)
    made.arm("baseline")
    made.arm("good", skill)
    return made


def test_it_is_in_every_list(tmp_path, monkeypatch):
    made = site(tmp_path, 2.5)
    made.params("{good: {method: sgd}}", CLAIM)
    monkeypatch.chdir(tmp_path)
    compare.main()

    content = json.loads((tmp_path / "metrics/evaluate/good.json").read_text())
    recorded = content["evaluation"][0]["variants"]["last"]
    assert len(recorded["doubt"]) == len(recorded["least_recall"]) == 10
    assert content["test_doubt"] == pytest.approx(sum(recorded["doubt"]) / 10, abs=1e-6)

    (claim,) = json.loads((tmp_path / "metrics/claims.json").read_text())
    assert (claim["metric"], claim["more_is_better"], claim["verdict"]) == ("doubt", False, "reproduced")
    assert claim["difference"] < 0

    rows = summary.read(tmp_path / summary.PATH)
    assert rows[1].of("doubt_min") < rows[1].of("doubt") < rows[1].of("doubt_max")
    assert summary.csv_text(rows) == (tmp_path / summary.PATH).read_text()
    shown = tables.results(rows)
    assert {"Doubt", "Least recall"} < set(shown.columns)
    text = (tmp_path / "metrics/report/report.md").read_text()
    assert "Doubt of good" in text
    assert "NLL, Brier, ECE and Doubt: less is better." in text

    scores = parse(record.Record, content, "good.json").variants["last"]
    assert metrics_of(scores)["test_doubt"] == pytest.approx(content["test_doubt"], abs=1e-6)


def snapshot(root, skill: float) -> Snapshot:
    evaluations = record.read_all(site(root, skill).root, ["good"])
    return Snapshot({}, {}, seeds.parse(seeds.text(evaluations, []), root.name))


def test_ci_compares_it_in_its_own_direction(tmp_path):
    branch, base = snapshot(tmp_path / "new", 2.5), snapshot(tmp_path / "old", 1.5)
    found = differences.between(branch, base, "good/last", "doubt")
    assert (found.difference < 0, found.direction) == (True, 1)
    assert "Doubt, %" in differences.columns()
    assert len(differences.cells(branch, base, "good/last")) == len(differences.columns())


def test_one_without_a_direction_is_shown_and_neither_better_nor_worse(tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "doubt", replace(ENTRY["doubt"], higher_is_better=None))
    branch, base = snapshot(tmp_path / "new", 2.5), snapshot(tmp_path / "old", 1.5)
    found = differences.between(branch, base, "good/last", "doubt")
    assert found.difference < found.interval[1] < 0
    assert (found.direction, found.more_is_better) == (0, None)
    monkeypatch.setattr(differences, "measured", lambda: ["doubt"])
    assert differences.significant(branch, base, "good/last", 1)  # so it is not folded away
    assert found.change in differences.cells(branch, base, "good/last")
    assert not {"▲", "▼"} & set(found.change)
    claim = {"id": "a", "metric": "doubt", "arm": "good/last", "verdict": "undecided"}
    for rises, fails in ((True, True), (False, False), (None, False)):
        claims = {"a": Moved(**claim, more_is_better=rises)}
        sides = (replace(one, claims=claims) for one in (branch, base))
        assert bool(differences.regressions(*sides)) is fails


def test_it_is_computed_from_the_counts_by_class():
    rows = np.zeros((1, 8), np.float32)
    labels, predicted = np.array([0] * 4 + [1] * 4), np.array([[0, 0, 0, 1, 0, 0, 1, 1]])
    made = Predictions((labels == predicted).astype(np.uint8), rows, rows, rows, labels=labels, predicted=predicted)
    assert metrics.per_seed("least_recall", made) == [0.5]


def test_a_claim_about_one_without_a_basis_or_a_direction_is_refused(monkeypatch):
    def claim(metric):
        about = {"id": "a", "paper": "p", "statement": "s", "arm": "good", "against": "baseline", "metric": metric}
        return Claim(**about, verdict="not_worse")

    with pytest.raises(AssayError, match=r"claims\.a\.metric: got 'least_recall'"):
        metrics.check([claim("least_recall")], Rule())
    monkeypatch.setitem(METRICS, "doubt", replace(ENTRY["doubt"], higher_is_better=None))
    with pytest.raises(AssayError, match=r"claims\.a\.more_is_better: missing"):
        metrics.check([claim("doubt")], Rule())


def test_an_entry_that_lacks_a_part_is_named():
    """There is no default: whoever adds a metric says what is better."""
    with pytest.raises(AssayError, match=r"^src/assay/scoring/metrics.py: Doubt: higher_is_better: missing; see docs/"):
        Metric(label="Doubt", basis="examples")
    with pytest.raises(
        AssayError, match=r"^src\S+: Doubt: an error estimated from test examples needs per_example; see"
    ):
        Metric(label="Doubt", higher_is_better=False, basis="examples")
    with pytest.raises(AssayError, match=r"^src\S+: Doubt: basis: got 'example'; allowed: None, examples, "):
        Metric(label="Doubt", higher_is_better=False, basis="example")
    assert copy.copy(METRICS["nll"]) == METRICS["nll"]


def test_a_metric_of_another_shape_is_named_before_anything_trains(monkeypatch):
    wrong = replace(ENTRY["doubt"], per_example=lambda predictions: predictions.confidence.mean(1))
    monkeypatch.setitem(METRICS, "doubt", wrong)
    rows = np.zeros((10, 360), np.float32)
    for compute in (metrics.per_seed, metrics.per_example):
        with pytest.raises(AssayError, match=r": doubt: per_example gives \(10,\), it must be .* = \(10, 360\); see"):
            compute("doubt", Predictions(rows, rows, rows, rows))
    with pytest.raises(AssayError, match=r"^src/assay/scoring/metrics.py: doubt: per_example gives \(2,\), it must be"):
        metrics.check([], Rule())
    monkeypatch.setitem(METRICS, "doubt", replace(wrong, per_example=lambda predictions: predictions.confidance))
    with pytest.raises(AssayError, match=r"^src\S+: doubt: per_example: .*'confidance'.*; see docs"):
        metrics.check([], Rule())
    monkeypatch.setitem(METRICS, "doubt", replace(wrong, per_example=lambda predictions: predictions.correct ^ 1))
    metrics.check([], Rule())  # `correct` is of whole numbers


def test_the_basis_says_what_the_error_is_estimated_from(tmp_path, monkeypatch):
    """Seeds alone, also where there are numbers of each example."""
    evaluations = record.read_all(site(tmp_path, 2.5).root, ["good"])
    asked = {"id": "a", "paper": "p", "statement": "s", "arm": "good", "against": "baseline", "metric": "doubt"}
    claim = Claim(**asked, verdict="better", matters=0.0001)
    for basis, columns in (("examples", 400), ("seeds", 1)):
        monkeypatch.setitem(METRICS, "doubt", replace(ENTRY["doubt"], basis=basis))
        sides = (samples.find(evaluations, name, "") for name in ("good", "baseline"))
        assert samples.sample(claim, *sides, TEN).table.shape == (10, columns)

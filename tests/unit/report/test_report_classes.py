"""Claims about classes and calibration, from evaluations to the report: decided, controlled, drawn or refused."""

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from report_site import TEN, Site, with_classes

from assay.analysis import curves, samples, seeds
from assay.core.config.claim import Claim, Rule
from assay.core.errors import AssayError
from assay.report import figures, summary
from assay.report.content import Content
from assay.scoring import metrics, record
from stages import compare

ABOUT = {
    "balanced_accuracy": "0.002", "macro_f1": "0.002", "worst_class": "0.01", "recall.3": "0.005", "ece": "0.0001",
    "nll": "0.001", "scaled_brier": "0.001",
}  # fmt: skip
CLAIM = {
    metric: f"""
  - {{id: on-{metric.replace("_", "-")}, paper: one2020, statement: "Better.", arm: good, against: baseline,
     metric: {metric}, verdict: better, matters: {matters}}}"""
    for metric, matters in ABOUT.items()
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """After `python -m stages.compare`, with a claim about each; not to be written to."""
    made = Site(tmp_path_factory.mktemp("classes"), TEN, examples=1000)
    made.arm("baseline", 1.0)
    made.arm("good", 2.5)
    made.params("{good: {method: sgd}}", "".join(CLAIM.values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.root)
        compare.main()
    return made.root


def test_a_claim_about_each_is_decided(compared):
    found = {one["metric"]: one for one in json.loads((compared / "metrics/claims.json").read_text())}
    assert found.keys() == ABOUT.keys()
    assert {one["verdict"] for one in found.values()} == {"reproduced"}
    assert all(0 < abs(one["difference"]) < 1 and one["seed_share"] for one in found.values())
    assert found["balanced_accuracy"]["sd_over_floor"] is None  # a floor of accuracy alone
    evaluations = record.read_all(compared, ["good"])
    for metric in ("balanced_accuracy", "macro_f1", "worst_class"):
        means = [np.mean(getattr(evaluations[arm].record.variants["last"], metric)) for arm in ("good", "baseline")]
        assert found[metric]["difference_all_seeds"] == pytest.approx(means[0] - means[1])
    header, *lines = (compared / seeds.PATH).read_text().splitlines()
    assert {"worst_class", "recall.3", "temperature", "scaled_ece"} < set(header.split(","))
    cells = dict(zip(header.split(","), lines[0].split(","), strict=True))
    assert (cells["top_5"], cells["temperature"]) == ("", "1.5")
    right = evaluations["baseline"].predictions["last"].correct[0, 3::10]
    assert float(cells["recall.3"]) == pytest.approx(right.mean())


def test_calibration_has_its_control_and_nothing_else_has(compared):
    found = {one["metric"]: one["control"] for one in json.loads((compared / "metrics/claims.json").read_text())}
    assert {metric for metric, control in found.items() if control} == {"ece", "nll"}
    evaluations = record.read_all(compared, ["good"])
    means = [np.mean(evaluations[arm].record.variants["last"].scaled_ece) for arm in ("good", "baseline")]
    assert found["ece"]["difference"] == pytest.approx(means[0] - means[1])
    low, high = found["ece"]["interval"]
    assert low < found["ece"]["difference"] < high
    shown = (compared / "metrics/report/report.md").read_text()
    assert shown.count("After temperature scaling of both sides: ") == 2
    assert "no test of its own" in (compared / "metrics/report/index.html").read_text()


def content_of(site: Site, arms: list[str]) -> Content:
    evaluations = record.read_all(site.root, arms)
    return Content(evaluations, summary.rows(evaluations), [], curves.read_all(site.root, evaluations))


def drawn(content: Content, name: str):
    return next((one for one in figures.make(content) if one.name == name), None)


def test_classes_are_drawn_and_their_recalls_told(compared):
    evaluations = record.read_all(compared, ["good"])
    trained = curves.read_all(compared, evaluations)
    figure = drawn(Content(evaluations, summary.rows(evaluations), [], trained), "classes")
    assert len(figure.charts) == 3  # recall, and a matrix each
    ET.fromstring(figure.file())
    recalls, pairs = figure.tables.values()
    assert recalls.columns == ("", "Worst class", *map(str, range(10)))
    for name, (worst, *cells) in recalls.rows:
        answers = evaluations[name].predictions["last"]
        own = [100 * answers.correct[:, label::10].mean() for label in range(10)]
        assert [float(cell.value) for cell in cells] == pytest.approx(own, abs=0.06)
        assert worst.value == str(int(np.argmin(own)))
        for cell, value in zip(cells, own, strict=True):
            low, high = map(float, cell.detail.split("–"))
            assert low - 0.1 <= value <= high + 0.1
    assert {name for name, _ in pairs.rows} <= {f"{label} → {(label + 1) % 10}" for label in range(10)}
    cells = [one for one in figure.charts[1]["data"]["values"] if one["true"] == one["given"]]
    assert {one["dark"] for one in cells} == {0.0}


class Many(Site):
    """A site of thirty classes, one of which the test set lacks."""

    def class_counts(self):
        return {f"class {label}": len(range(label, self.examples, 29)) * (label < 29) for label in range(30)}

    def predictions(self, rng, skill):
        made = super().predictions(rng, skill)
        return replace(with_classes(made, 29), top_5=np.maximum(made.correct, 1 - made.correct[::-1]))


def test_of_many_classes_the_worst_are_drawn_and_pairs_are_told(tmp_path):
    site = Many(tmp_path, examples=600)
    for name, skill in (("baseline", 0.5), ("good", 1.5)):
        site.arm(name, skill)
    content = content_of(site, ["good"])
    figure = drawn(content, "classes")
    (chart,) = figure.charts
    assert len({one["class"] for one in chart["data"]["values"]}) == 20
    assert list(figure.tables) == ["The worst class", "What is confused most, % of the true class"]
    assert "Drawn are the 20 classes that the baseline recognises least" in figure.caption
    ET.fromstring(figure.file())
    assert content.rows[0].of("top_5") > content.rows[0].accuracy


@pytest.fixture
def old(tmp_path):
    """A site as an older version evaluated it: without labels and temperatures."""
    site = Site(tmp_path, TEN)
    for name in ("baseline", "good"):
        site.arm(name)
    evaluations = record.read_all(site.root, ["good"])
    for one in evaluations.values():
        answers = one.predictions["last"]
        bare = type(answers)(answers.correct, answers.confidence, answers.nll, answers.brier)
        variants = {"last": one.record.variants["last"].model_copy(update={"temperature": []})}
        record.write(site.root, record.Evaluation(one.record.model_copy(update={"variants": variants}), {"last": bare}))
    return site


def claim(metric: str, **more) -> Claim:
    about = {"id": "a", "paper": "p", "statement": "s", "arm": "good", "against": "baseline", "verdict": "not_worse"}
    return Claim(**about, metric=metric, **more)


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("macro_f1", "was evaluated by a version that did not keep the predicted classes; run `dvc repro`"),
        ("recall.3", "was evaluated by a version that did not keep the predicted classes; run `dvc repro`"),
        ("top_5", "has no top-5 accuracy: it needs more than 20 classes"),
        (
            "scaled_ece",
            r"has no temperature: there is no validation set .*\(data.validation\), or an older .*",
        ),
    ],
)
def test_what_older_evaluations_lack_is_one_line(old, metric, why):
    evaluations = record.read_all(old.root, ["good"])
    arm, against = (samples.find(evaluations, name, f"params.yaml: claims.a.{name}") for name in ("good", "baseline"))
    with pytest.raises(AssayError, match=rf"^params.yaml: claims.a.good: good/last {why}$"):
        samples.sample(claim(metric), arm, against, TEN)


def test_without_a_validation_set_a_claim_says_that_there_is_no_control(old, monkeypatch):
    old.params("{good: {method: sgd}}", CLAIM["nll"])
    monkeypatch.chdir(old.root)
    (found,) = compare.main()
    assert (found.control.difference, found.control.reason[:40]) == (None, "good/last has no temperature: there is n")
    shown = (old.root / "metrics/report/report.md").read_text()
    assert "No control by temperature scaling: good/last has no temperature" in shown
    assert "No temperature was fitted, for want of a validation set." in shown
    assert "## Classes" not in shown


@pytest.mark.parametrize("metric", ["recall", "recal.3", "worst_clas"])
def test_a_metric_that_is_none_is_refused_with_the_family_named(metric):
    with pytest.raises(AssayError, match=rf"claims\.a\.metric: got '{metric}'"):
        metrics.check([claim(metric)], Rule())


def test_balanced_accuracy_has_the_bound_on_answers_that_differ(tmp_path):
    """Four of 400 answers make no verdict, though all seeds agree on them; a rare class's answers weigh more."""
    site = Site(tmp_path, TEN)
    for name in ("baseline", "good"):
        site.arm(name)
    evaluations = record.read_all(site.root, ["good"])
    sides = {}
    for name, right in (("good", 400), ("baseline", 396)):
        correct = np.broadcast_to((np.arange(400) < right).astype(np.uint8), (10, 400)).copy()
        correct[0, 17] = 0  # so that seeds vary
        one = samples.find(evaluations, name, "")
        sides[name] = one._replace(predictions=with_classes(replace(one.predictions, correct=correct)))
    found = samples.sample(claim("balanced_accuracy"), sides["good"], sides["baseline"], TEN)
    assert found.answers.sum(1) == pytest.approx([4.0] * 10)
    assert (found.answer, np.count_nonzero(found.answers.any(0))) == (pytest.approx(1.0), 4)
    assert found.table.mean(1) == pytest.approx([0.01] * 10)
    labels = np.r_[np.zeros(396), np.ones(4)].astype(np.uint16)
    rare = [replace(one.predictions, labels=labels) for one in sides.values()]
    arm, against = (one._replace(predictions=own) for one, own in zip(sides.values(), rare, strict=True))
    found = samples.sample(claim("balanced_accuracy"), arm, against, TEN)
    assert found.answer == pytest.approx(50.0)  # 400 / (2 · 4)
    assert found.answers.sum(1) == pytest.approx([200.0] * 10)
    assert found.table.mean(1) == pytest.approx([0.5] * 10)

"""Results at the edge: a chart is drawn or left out with a sentence, and no file holds NaN or infinity."""

import csv
import json
import math
import re
from dataclasses import dataclass, replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_site import CLAIMS, SPARSITY, TRAJECTORY, Site, amend, every_kind, variants_of

from assay.analysis import claims, curves
from assay.report import figures, numbers, readme, report, summary
from assay.report.charts import Axis, Figure
from assay.report.content import Content
from assay.report.figures import sampling
from assay.report.lines import Series, lines, spread
from assay.report.tables import span_cell
from assay.scoring.predictions import Predictions
from assay.tracking.comparison import note
from stages import compare


@dataclass
class Edge(Site):
    """A site all of whose networks answer alike: `right` of the examples, at one confidence."""

    right: float = 1.0
    sure: float = 1.0
    constant_curves: bool = True

    def predictions(self, rng, skill) -> Predictions:
        shape = len(self.seeds), self.examples
        correct = np.broadcast_to(np.arange(self.examples) < self.right * self.examples, shape)
        of_label = np.where(correct, self.sure, 1e-300 if self.sure == 1 else 1 - self.sure)
        columns = np.full(shape, self.sure), -np.log(of_label), np.where(correct, (1 - self.sure) ** 2, 2)
        return Predictions(correct.astype(np.uint8), *(column.astype(np.float32) for column in columns))

    def curves(self, name, rng, skill, steps) -> None:
        if not self.constant_curves:
            return super().curves(name, rng, skill, steps)
        rows = [(name, seed, 100, split, 0.0, self.right) for split in ("train", "validation") for seed in self.seeds]
        return write_curves(self, name, rows)


HEADER = ("arm", "seed", "step", "split", "loss", "accuracy")


def write_curves(site: Site, name: str, rows) -> None:
    path = site.root / f"metrics/curves/{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([HEADER, *rows])


EDGES = {
    "perfect": {},
    "always wrong": {"right": 0.0},
    "nearly perfect on many examples": {"right": 0.99995, "examples": 20_000, "seeds": (0, 1)},
    "all at one confidence": {"right": 0.5, "sure": 0.5},
    "one seed": {"seeds": (5,)},
    "one seed that varies": {"seeds": (5,), "constant_curves": False, "right": 0.9},
    "two test examples": {"examples": 2, "right": 0.5},
    "one test example": {"examples": 1},
    "one test example and one seed": {"examples": 1, "seeds": (0,), "right": 0.0},
}
NOT_A_NUMBER = re.compile(r"(?<![a-z])(?:nan|inf(?:inity)?)(?![a-z])", re.IGNORECASE)


def written(root) -> str:
    """Check every file of the report; gives the page."""
    for path in (root / "metrics").rglob("*.svg"):
        ET.parse(path)
        assert not NOT_A_NUMBER.search(path.read_text()), path.name
    for name in ("index.html", "report.md"):
        text = (root / "metrics/report" / name).read_text()
        for own in re.findall(r'<script type="application/json">(.*?)</script>', text):
            json.loads(own, parse_constant=refuse)
        assert not NOT_A_NUMBER.search(re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)), name
    shown = re.findall(r"!\[[^]]*\]\((\S+)\)", (root / "metrics/report/report.md").read_text())
    assert set(shown) <= {"claims.svg"} == {path.name for path in (root / "metrics/report").glob("*.svg")}
    return (root / "metrics/report/index.html").read_text()


def refuse(constant: str) -> None:
    raise AssertionError(constant)


@pytest.mark.parametrize("edge", EDGES.values(), ids=EDGES)
@pytest.mark.parametrize("arms", ["no arms", "arms"])
def test_the_whole_report_of_results_that_do_not_vary(tmp_path, monkeypatch, edge, arms):
    monkeypatch.chdir(tmp_path)
    site = Edge(tmp_path, **edge)
    site.arm("baseline")
    if arms == "arms":
        site.arm("cyclic")
        site.arm("line", 2.1, {"midpoint": 1, "ensemble": 2}, method="subspace")
        site.params("{cyclic: {method: sgd}, line: {method: sgd}}", CLAIMS)
    else:
        site.params()
    compare.main()
    page = written(tmp_path)
    decided = json.loads((tmp_path / "metrics/claims.json").read_text(), parse_constant=refuse)
    assert {claim["verdict"] for claim in decided} <= {"undecided"}
    assert all(claim["reason"] for claim in decided)
    assert page.count('<div class="chart">') >= 1
    for name, heading in (("index.html", "<h2>Verdicts"), ("report.md", "## Verdicts")):
        text = (tmp_path / "metrics/report" / name).read_text()
        assert text.find("No better than") < text.index(heading)  # in the head, if anywhere
    assert not NOT_A_NUMBER.search((tmp_path / "metrics/plots/results.csv").read_text())
    (tmp_path / "README.md").write_text("<!-- results:begin arms=* -->\n<!-- results:end -->\n")
    assert "No better than" in readme.updated(tmp_path, tmp_path / "README.md") or edge.get("right", 1) > 0.4
    note(tmp_path)


def test_a_perfect_classifiers_charts_end_at_a_hundred_per_cent(tmp_path):
    site = Edge(tmp_path)
    site.arm("baseline")
    site.arm("cyclic")
    made = {figure.name: figure for figure in figures.make(content_of(site, ["cyclic"]))}
    assert ">100</text>" in made["equal_cost"].file()
    assert ">100</text>" in made["learning_curves"].file()
    assert ">0.9</text>" in made["calibration"].file()


def test_one_perfect_arm_among_others_has_a_report(tmp_path):
    site = Edge(tmp_path)
    site.arm("baseline")
    site.right = 0.9
    site.arm("cyclic")
    report.write(tmp_path, content_of(site, ["cyclic"]))
    written(tmp_path)


def content_of(site: Site, arms) -> Content:
    evaluations = report_evaluations(site, arms)
    return Content(evaluations, summary.rows(evaluations), [], curves.read_all(site.root, evaluations))


def report_evaluations(site: Site, arms):
    from assay.scoring import record

    return record.read_all(site.root, arms)


def test_a_calibration_chart_without_a_full_bin_is_left_out_with_a_sentence(tmp_path):
    site = Edge(tmp_path, examples=4)
    site.arm("baseline")
    site.arm("cyclic")
    content = content_of(site, ["cyclic"])
    made = {figure.name: figure for figure in figures.make(content)}
    assert (made["calibration"].charts, list(made["calibration"].tables)[:1]) == ([], ["Other arms"])
    assert "So there is no chart of: Other arms." in made["calibration"].caption
    report.write(tmp_path, content)
    written(tmp_path)
    assert not (tmp_path / "metrics/report/figures/calibration.svg").exists()


SERIES = TRAJECTORY["series"]
RECORDS = {
    "no point": {"series": {key: [] for key in SERIES}},
    "nothing known": {"series": {"moves": [10], **{key: [[None] * 3] for key in SERIES if key != "moves"}}},
    "no test": {"batch_histogram": {"at_least": [128], "tests": [[0]] * 3}},
    "one model": {"tau": 1, "neighbour_distance": [[]] * 3},
    "no reference": {"reference_distance": [0.0] * 3},
    "no loss": {"series": SERIES | {"loss": [[0.0] * 3] * 2, "batch_a_test": [[0.0] * 3] * 2}},
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS)
def test_chains_without_numbers(site, change):
    content = every_kind(site)
    amend(site, "chain", record=TRAJECTORY | change)
    amend(site, "cyclic", record=TRAJECTORY | change)
    content = replace(content, evaluations=report_evaluations(site, list(content.evaluations)[1:]))
    report.write(site.root, content)
    written(site.root)


def set_variants(site: Site, arm: str, **changes) -> None:
    amend(site, arm, variants={name: one | changes for name, one in variants_of(site, arm).items()})


@pytest.mark.parametrize("density", [1.0, 1e-9, 0.0])
def test_rounds_at_the_ends_of_density_and_subspaces_of_one_point(site, density):
    content = every_kind(site)
    for name in ("round-1", "round-2"):
        set_variants(site, name, density=density, best_step=[0, 0, 0], best_step_accuracy=[])
    one = {"axis": "alpha", "at": [0.5], "accuracy": [[1.0] * 3], "nll": [[0.0] * 3]}
    none = {"axis": "alpha", "at": [], "accuracy": [], "nll": []}
    amend(site, "line", sweeps={"line": one, "none": none})
    set_variants(site, "line", disagreement=[0.0] * 3, total_variation=[0.0] * 3)
    evaluations = report_evaluations(site, list(content.evaluations)[1:])
    content = replace(content, evaluations=evaluations, rows=summary.rows(evaluations), sparsity=SPARSITY[:1])
    report.write(site.root, content)
    written(site.root)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_in_no_chart(site, bad):
    """Evaluation refuses a network that diverged; a report that met one would still be whole."""
    content = every_kind(site)
    rows = [("cyclic", seed, step, "validation", bad, 0.5) for seed in range(3) for step in (100, 200)]
    write_curves(site, "cyclic", rows)
    sweep = {"axis": "alpha", "at": [0, 1], "accuracy": [[0.9] * 3] * 2, "nll": [[0.2] * 3, [0.2, 0.3, 0.1]]}
    amend(site, "line", sweeps={"line": sweep})
    evaluations = report_evaluations(site, list(content.evaluations)[1:])
    for arm in ("baseline", "line"):  # no file can hold these numbers
        one = evaluations[arm]
        variants = {
            name: variant.model_copy(update={"nll": [0.1, bad, 0.1], "brier": [bad] * 3})
            for name, variant in one.record.variants.items()
        }
        found = {
            name: each.model_copy(update={"nll": [[0.2] * 3, [bad, -bad, 0.1]]})
            for name, each in one.record.sweeps.items()
        }
        evaluations[arm] = replace(one, record=one.record.model_copy(update={"variants": variants, "sweeps": found}))
    trained = curves.read_all(site.root, evaluations)
    content = replace(content, evaluations=evaluations, rows=summary.rows(evaluations), curves=trained)
    report.write(site.root, content)
    summary.write_plots(site.root, content.rows, trained)
    page = written(site.root)
    assert "3 points are not a finite number" in page  # one of the line, and both of the baseline beside it
    for path in (site.root / "metrics/plots").glob("*.csv"):
        assert not NOT_A_NUMBER.search(path.read_text())


def test_no_curves_no_clean_arm_and_no_arm_with_a_known_cost(site):
    content = every_kind(site)
    for name in content.evaluations:
        write_curves(site, name, [])
        amend(site, name, parameters={"label_noise": 0.4})
    evaluations = report_evaluations(site, list(content.evaluations)[1:])
    rows = [row.model_copy(update={"training_cost": None, "training_flops": None}) for row in content.rows]
    empty = replace(content, evaluations=evaluations, curves=curves.read_all(site.root, evaluations))
    for changed in (empty, replace(content, rows=rows)):
        report.write(site.root, changed)
        written(site.root)
    assert "learning_curves" not in {figure.name for figure in figures.make(empty)}


@pytest.mark.parametrize("asks", ["better", "ratio"])
@pytest.mark.parametrize("interval", [None, (0.0, 0.0), (1e-200, 1e200), (-1e150, 1e150)])
def test_a_verdict_with_any_interval_is_shown(site, asks, interval):
    bounds = {"at_most": 1e-3} if asks == "ratio" else {}
    claim = claims.ClaimRecord(
        id="x", paper="p", statement="s", metric="nll", asks=asks, arm="cyclic/last", against="baseline/last",
        difference=None if interval is None else interval[1], interval=interval, interval_alone=interval,
        verdict="undecided", **bounds,
    )  # fmt: skip
    report.write(site.root, replace(content_of(site, ["cyclic"]), claims=[claim]))
    page = written(site.root)
    assert max(map(len, re.findall(r"\d+", page[page.index('id="claim-x"') :][:4000]))) < 30


anything = st.floats(width=64) | st.sampled_from([0.0, 1.0, -1.0, 1e300, 5e-324, math.inf, -math.inf, 1 - 1e-16])
some = st.lists(anything, max_size=5) | st.builds(lambda value, n: [value] * n, anything, st.integers(1, 4))
kinds = st.sampled_from(["linear", "log", "accuracy"])


@given(some, kinds, st.booleans(), anything)
def test_a_scale_takes_any_number(values, kind, falling, other):
    scale = Axis("", kind, falling).scale(values)
    assert scale.low < scale.high
    for value in (*values, other):
        if not math.isnan(value):
            assert 0 <= scale.share(scale.place(value)) <= 1


@pytest.mark.parametrize("kind", ["linear", "log", "accuracy"])
def test_ends_that_coincide_are_an_axis_all_the_same(kind):
    scale = Axis("", kind, ends=(1.0, 1.0)).scale([])
    assert scale.low < scale.high


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(anything, min_size=1, max_size=3), min_size=1, max_size=4), kinds, kinds)
def test_a_chart_draws_any_numbers(by_point, across, along):
    at = [float(i) for i in range(len(by_point))]
    chart = lines("p", Axis("x", across), Axis("y", along), [spread("a", at, by_point, marks=True)])
    figure = Figure("f", "f", "", [chart], {})
    for spec in figure.specs():
        json.loads(spec, parse_constant=refuse)
    drawn = figure.file()
    ET.fromstring(drawn)
    assert not NOT_A_NUMBER.search(drawn)
    span_cell(by_point[0])


@given(anything, st.integers(0, 5))
def test_any_number_has_a_text(value, places):
    texts = [numbers.fixed(value, places), numbers.signed(value, places), numbers.plain(value), numbers.count(value)]
    assert not any(NOT_A_NUMBER.search(text) for text in (*texts, numbers.short(value)))
    assert 0 <= numbers.decimals([abs(value)], 2) <= 5


def test_a_point_of_nothing_is_told_and_an_empty_chart_is_drawn():
    series = Series("a", [0.0, 1.0], [math.nan, math.nan], ["tip", "tip"], marks=True)
    drawn = Figure("f", "f", "", [lines("p", Axis("x"), Axis("y"), [series, Series("b", [], [])])], {}).file()
    assert "2 points are not a finite number" in drawn
    assert "tip" not in drawn


def test_chains_are_compared_where_all_numbers_are_known():
    known = {key: [[1.0, 2.0]] for key in sampling.SERIES[1:]} | {"moves": [10]}
    whole, broken = (
        {"series": known | {"loss": [[0.5, 0.25]]}},
        {"series": known | {"loss": [[0.5, None]]}},
    )
    assert sampling.comparable(whole)
    assert not sampling.comparable(broken)
    assert not sampling.comparable({"series": {"loss": []}})
    later = {key: [*value, *value] for key, value in known.items()} | {"loss": [[None, 0.25], [0.5, 0.25]]}
    level, reached = sampling.at_equal_loss({"a": whole, "b": {"series": later}})
    assert (level, reached["b"]["moves"]) == (0.5, 10)

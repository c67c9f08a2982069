"""Figures of methods that the small site lacks, the Pareto front by hand, and scales that show what they are given."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_site import SPARSITY, every_kind
from ruamel.yaml import YAML

from assay.analysis import claims
from assay.report import figures, lines, numbers, report, summary
from assay.report.charts import Axis
from assay.report.content import Content
from assay.report.figures import calibration, equal_cost
from assay.scoring import record

ROOT = Path(__file__).parents[3]


@pytest.fixture
def content(site) -> Content:
    """Every kind of arm that a figure is about."""
    return every_kind(site)


def test_every_figure_is_there_and_says_its_numbers(content):
    made = {figure.name: figure for figure in figures.make(content)}
    names = (
        "equal_cost differences calibration classes label_noise pruning subspaces members trajectories learning_curves"
    )
    assert list(made) == names.split()
    assert len(made["pruning"].charts) == 4
    assert len(made["trajectories"].charts) == 6
    assert made["trajectories"].notes == ["chain: it does not mix (seeds 0, 2)"]
    assert "What the sparsity buys" in made["pruning"].tables
    for figure in made.values():
        ET.fromstring(figure.file())
        assert all(json.loads(spec)["width"] == "container" for spec in figure.specs())
    assert "line, points of it" in made["members"].file()
    assert [name for name, _ in made["pruning"].tables["Rounds"].rows] == [
        "dense", "round-1 ticket", "round-2 ticket", "round-2 reinit",
    ]  # fmt: skip


def test_noise_joins_what_differs_in_noise_alone(content):
    figure = next(one for one in figures.make(content) if one.name == "label_noise")
    (table,) = figure.tables.values()
    assert [name for name, _ in table.rows] == ["baseline"]
    assert table.columns[1:] == ("0 %", "40 %")


def test_the_whole_report_of_all_kinds_is_written(content, site):
    report.write(site.root, content)
    names = {path.name for path in (site.root / "metrics/report").iterdir()}
    assert names == {"index.html", "report.md", "advice.md", "claims.svg", "figures"}
    assert {path.suffix for path in (site.root / "metrics/report/figures").iterdir()} == {".svg"}


def row(name: str, accuracy: float, train: float, infer: float) -> summary.Row:
    numbers = dict.fromkeys(("nll", "brier", "ece"), 0.1)
    spread = {f"{metric}{end}": 0.1 for metric in ("nll", "brier", "ece", "accuracy") for end in ("_min", "_max")}
    return summary.Row(
        arm=name, variant="last", method="sgd", seeds=1, members=1, density=1, accuracy=accuracy, **numbers, **spread,
        difference=None, difference_low=None, difference_high=None, disagreement=None, train_samples=1,
        forward_samples=0, optimizer_steps=1, inference_cost=infer, best_step=None, training_cost=train,
    )  # fmt: skip


def test_the_pareto_front_by_hand():
    rows = [
        row("a", 0.9, 10, 1),
        row("b", 0.8, 5, 1),
        row("c", 0.85, 10, 1),
        row("d", 0.95, 20, 3),
        row("e", 0.7, 20, 0.5),
    ]
    by = [other and other.arm for other in equal_cost.dominators(rows)]
    assert by == [None, None, "a", None, None]
    assert [one.arm for one in equal_cost.front(rows, lambda one: one.training_cost)] == ["b", "a", "d"]


def test_the_cheapest_arm_that_only_guesses_is_beaten_by_the_largest_class(content, site):
    guesses = content.rows[-1].model_copy(update={"training_cost": 1.0, "accuracy": 0.08, "above_majority": False})
    found = equal_cost.figure(replace(content, rows=[*content.rows[:-1], guesses]))
    name, cells = found.tables["Not dominated first"].rows[-1]
    assert name.startswith(guesses.arm)
    assert cells[-1].value == "the largest class"
    assert guesses.arm not in [one.arm for one in equal_cost.front([guesses], lambda one: one.training_cost)]


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=8))
def test_what_is_on_the_front_is_dominated_by_nobody_and_the_rest_by_one_that_is(points):
    rows = [row(str(i), a / 10, t, n) for i, (a, t, n) in enumerate(points)]
    by = equal_cost.dominators(rows)
    assert None in by
    for own, other in zip(rows, by, strict=True):
        if other is not None:
            assert other.accuracy >= own.accuracy
            assert other.training_cost <= own.training_cost
            assert other.inference_cost <= own.inference_cost


def test_rows_are_thinned_to_what_a_chart_holds():
    rows = [row(f"r{i}", 0.9, 1, 1) for i in range(20)]
    kept = calibration.thinned(rows, 7)
    assert len(kept) == 7
    assert (kept[0], kept[-1]) == (rows[0], rows[-1])


def claim(arm: str, against: str, paper: str) -> claims.ClaimRecord:
    return claims.ClaimRecord(id="x", paper=paper, statement="", arm=arm, against=against, verdict="undecided")


def test_a_method_stands_beside_its_controls():
    rows = [row(name, 0.9, 1, 1) for name in ("baseline", "one", "control", "between", "two", "last")]
    named = [claim("one/last", "control/last", "p"), claim("two/last", "baseline/last", "p")]
    found = Content({}, rows, named, {}).groups
    assert list(found.items()) == [
        ("Baseline", ["baseline"]), ("p", ["one", "control", "between", "two"]), ("Other arms", ["last"]),
    ]  # fmt: skip


def test_an_arm_without_a_claim_stands_under_no_paper_but_its_own():
    methods = {
        "baseline": "sgd", "early": "sgd", "one": "own", "beside": "sgd", "smoothed": "new", "control": "own",
        "averaged": "swa", "between": "sgd", "top": "ordered_sgd", "round-1": "lottery",
    }  # fmt: skip
    rows = [row(name, 0.9, 1, 1).model_copy(update={"method": method}) for name, method in methods.items()]
    found = Content({}, rows, [claim("one/last", "control/last", "p")], {}).groups
    assert list(found.items()) == [
        ("Baseline", ["baseline"]), ("p", ["one", "beside", "control"]), ("Stochastic weight averaging", ["averaged"]),
        ("Hard mini-batches", ["top"]), ("Lottery tickets", ["round-1"]),
        ("Other arms", ["early", "smoothed", "between"]),
    ]  # fmt: skip


def test_controls_are_hollow_and_what_claims_are_about_is_labelled_first(content):
    about = [claim("line/midpoint", "cyclic/last", "p"), claim("round-1/ticket", "round-2/reinit", "q")]
    own = replace(content, claims=about)
    assert {name for name in own.controls if name[0] != "chain"} == {
        ("cyclic", "last"), ("noisy", "last"), ("round-2", "reinit"),
    }  # fmt: skip
    assert not replace(content, claims=[]).controls
    points = equal_cost.figure(own).charts[0]["data"]["values"]
    hollow = {one["tip"].partition(":")[0]: one["hollow"] for one in points if "tip" in one}
    labelled = {one["label"] for one in points if one.get("label")}
    assert (hollow["line/midpoint"], hollow["cyclic"], hollow["round-2/reinit"]) == (False, True, True)
    assert {"line/midpoint", "cyclic", "round-1", "round-2/reinit"} <= labelled
    rings = [one for one in ET.fromstring(equal_cost.figure(own).file()).iter() if one.get("fill") == "#ffffff"]
    assert {"#0072b2", "#6e7781"} & {one.get("stroke") for one in rings}


def test_labels_of_hollow_marks_give_way():
    full = lines.Series("a", [1.0] * 2, [0.9] * 2, labels=["control", "claimed"], hollow=[True, False], marks=True)
    points = lines.lines("", Axis("x"), Axis("y"), [full])["data"]["values"]
    assert (points[1]["dx"], points[1]["dy"]) == lines.PLACES[0]
    assert (points[0].get("dx"), points[0].get("dy")) != lines.PLACES[0]


def test_what_stretches_an_axis_is_said(content):
    for figure in figures.make(content):
        stretched = "1 - datum.value" in json.dumps(figure.charts)
        assert ("stretches towards 100 %" in figure.caption) is stretched, figure.name


values = st.lists(st.floats(1e-3, 0.9999), min_size=1, max_size=6)


@given(values, st.sampled_from(["linear", "log", "accuracy"]), st.booleans())
def test_a_scale_holds_its_values_in_their_order(values, kind, falling):
    scale = Axis("", kind, falling).scale(values)
    places = [scale.share(scale.place(value)) for value in sorted(values)]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)
    assert places == sorted(places, reverse=falling)


def test_a_new_chart_is_one_file(content, tmp_path, monkeypatch):
    text = "from assay.report.charts import Figure\n\n"
    text += "def figure(content):\n    return Figure('new', 'New', '', [], {})\n"
    (tmp_path / "a_new_chart.py").write_text(text)
    monkeypatch.setattr(figures, "__path__", [*figures.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "assay.report.figures.a_new_chart", raising=False)
    assert figures.make(content)[-1].name == "new"


def test_large_numbers_are_short():
    assert [numbers.short(value) for value in (0.5, 3000, 30000, 1.5e6, 2e9, 3.2e12)] == [
        "0.5",
        "3000",
        "30k",
        "1.5M",
        "2G",
        "3.2T",
    ]


def test_the_presets_that_claims_name_exist():
    named = {
        claim["preset"] for claim in YAML(typ="safe").load(ROOT / "params.yaml").get("claims", []) if "preset" in claim
    }
    assert named <= {path.stem for path in (ROOT / "presets").glob("*.yaml")}


def test_what_the_sparsity_buys_is_shown_of_the_same_model_and_data_alone(site):
    dense = record.read(site.root, "baseline").record
    own = {"model": dense.model.name, "data_digest": dense.data_digest}
    measured = [
        {**SPARSITY[0], **own},
        {**SPARSITY[0], **own, "model": "vgg"},
        {**SPARSITY[0], **own, "data_digest": "0"},
    ]
    assert report.read_sparsity(site.root, dense) == []
    (site.root / report.SPARSITY).parent.mkdir()
    (site.root / report.SPARSITY).write_text(json.dumps(measured))
    assert report.read_sparsity(site.root, dense) == measured[:1]

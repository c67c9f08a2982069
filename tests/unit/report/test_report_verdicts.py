"""Claims as a reader meets them: on one axis, in words, and all of them in one picture."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest

from assay.analysis.claims import VERDICTS, ClaimRecord, Forecast, Look
from assay.report import report, verdicts
from assay.report.content import Content
from assay.report.figures import claims
from assay.report.verdicts import standing


def record(verdict: str = "reproduced", **changes) -> ClaimRecord:
    """A claim of a gain of more than 0 in accuracy, of which 0.002 matters."""
    defaults = {
        "id": "c", "paper": "wortsman2021", "statement": "It helps.", "metric": "accuracy", "asks": "better",
        "arm": "line/midpoint", "against": "baseline/last", "edge": 0.0, "matters": 0.002, "difference": 0.006,
        "interval": (0.004, 0.008), "confidence": 0.9994, "interval_alone": (0.005, 0.007), "seeds": 10,
        "all_seeds": 20, "difference_all_seeds": 0.0055, "by_seed": [0.005, 0.007], "seed_share": 0.8,
        "sd_over_floor": 1.13, "looks": [Look(seeds=10, level=3e-4), Look(seeds=20, level=3e-4)],
    }  # fmt: skip
    return ClaimRecord(**{**defaults, "verdict": verdict, **changes})


def view(one: ClaimRecord) -> SimpleNamespace:
    return SimpleNamespace(**verdicts.view(one, {}))


@pytest.mark.parametrize(
    ("changes", "estimate", "edge", "matters"),
    [
        ({}, 3, 0, 1),
        ({"margin": 0.001, "edge": 0.001}, 3, 0.5, 1),
        ({"asks": "not_worse", "margin": 0.002, "edge": -0.002, "matters": -0.002}, 3, -1, -1),
        ({"metric": "ece", "more_is_better": False, "difference": -0.006, "interval": (-0.008, -0.004)}, 3, 0, 1),
        ({"asks": "ratio", "at_most": 0.5, "edge": 0.5, "matters": 0.5, "difference": 0.25, "interval": (0.2, 0.3)},
         2, 1, 1),
        ({"asks": "ratio", "at_least": 2, "edge": 2, "matters": 2, "difference": 4, "interval": (3, 5)}, 2, 1, 1),
        ({"asks": "ratio", "at_most": 1.1, "edge": 1.1, "matters": 1.1, "difference": 1.21, "interval": (1.1, 1.3)},
         -2, -1, -1),
        ({"asks": "ratio", "at_least": 100, "edge": 100, "matters": 100, "against": "", "difference": 200,
          "interval": (150, 250)}, 2, 1, 1),
    ],
)  # fmt: skip
def test_claims_of_every_kind_stand_on_one_axis_and_more_is_better_on_all(changes, estimate, edge, matters):
    found = standing(record(**changes))
    assert (found.estimate, found.edge, found.matters) == pytest.approx((estimate, edge, matters))
    assert found.low < found.estimate < found.high


@pytest.mark.parametrize(
    "changes",
    [{"interval": None}, {"edge": None}, {"interval": (-math.inf, math.inf)}, {"difference": None}],
    ids=str,
)
def test_a_claim_without_finite_numbers_stands_nowhere(changes):
    assert standing(record(**changes)) is None
    assert view(record(**changes)).glyph is None


def test_a_margin_of_nothing_in_another_metric_is_measured_by_its_interval():
    found = standing(record(metric="nll", asks="not_worse", edge=-0.0, matters=-0.0))
    assert (found.low, found.high) == pytest.approx((2, 4))


def test_each_seed_is_a_dot_and_one_that_failed_stands_at_the_end():
    glyph = view(record(by_seed=[0.006, 0.007, -0.9])).glyph
    assert glyph.seeds[0] == glyph.estimate
    assert glyph.seeds[2] == 0
    assert 0 < glyph.low < glyph.estimate < glyph.high < 1


def test_the_facts_behind_a_verdict():
    told = " ".join(view(record()).facts)
    for part in (
        "Decided by the first 10 of 20 seeds.", "All 20 seeds: +0.55 points.", "alone: [+0.50, +0.70] points.",
        "80 % comes from seeds, 20 % from test examples", "1.13 times its floor",
    ):  # fmt: skip
        assert part in told
    assert "Looked at after 10 and 20 seeds." in view(record("undecided", seeds=20)).facts
    assert "3 seeds: too few for a look." in view(record("undecided", looks=[], seeds=3, all_seeds=3)).facts


def shown(one: ClaimRecord) -> str:
    return report.templates().get_template("tables.md.j2").module.verdicts([verdicts.view(one, {})])


def test_a_number_of_which_less_is_better_says_so():
    less = {"metric": "nll", "more_is_better": False}
    for one in (record(**less), record(asks="ratio", at_most=0.5, edge=0.5, matters=0.5)):
        assert view(one).direction == "(less is better)"
    assert "] nats (less is better) |" in shown(record(**less))
    for one in (record(), record(asks="ratio", at_least=2), record(interval=None, **less)):
        assert not view(one).direction  # without an interval there is no bar either


def test_number_reason_and_forecast_are_sentences():
    reason, forecast = "25 of 360 test examples are answered differently", Forecast(test_examples=457)
    told = shown(record("undecided", reason=reason, forecast=forecast))
    assert "points. 25 of 360 test examples are answered differently. More seeds would not decide it; a test" in told
    assert view(record(reason="needs 10 seeds, has 3")).reason == "Needs 10 seeds, has 3"


def test_a_margin_of_one_point_is_singular():
    asks = view(record(matters=0.01)).asks, view(record(asks="not_worse", margin=0.01)).asks
    assert "from 1 point on it matters" in asks[0]
    assert "at most 1 point worse" in asks[1]


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        (Forecast(seeds=20, probability=0.7), "20 seeds would decide it with a probability of 70 %."),
        (Forecast(seeds=40, probability=0.5), "probability of 50 %."),
        (Forecast(test_examples=45000), "a test set of 45,000 examples would"),
        (Forecast(), "It stays undecided: there is no later look."),
        (Forecast(probability=0.17), "Not even the last look is likely to decide it (17 %)."),
    ],
)
def test_a_forecast_says_what_would_decide_it(forecast, words):
    assert words in view(record("undecided", forecast=forecast)).forecast


def test_harm_and_a_late_change_are_flagged():
    assert view(record()).flags == []
    flags = view(record("refuted", harms=True, changed_after_results=True)).flags
    assert len(flags) == 2
    assert verdicts.CHANGED in flags


def test_what_was_not_tested_here_is_counted_apart():
    mixed = [
        record(), record("negligible"), record("by construction", interval=None),
        record("not tested here", preset="p"), record("reproduced", preset="p", archived="lenet"),
    ]  # fmt: skip
    expected = (
        "2 claims tested: 1 reproduced, 1 negligible; 1 by construction, 1 not tested here, "
        "1 reproduced in an archived run"
    )
    assert verdicts.headline(mixed) == expected
    assert verdicts.headline(mixed[2:3]) == "No claim tested here: 1 by construction"
    shown = verdicts.topics(mixed[::-1], [])[0]["claims"]
    assert [one["tested"] for one in shown] == [True, True, False, False, False]
    assert view(mixed[4]).asks == "The verdict is that of the archived run lenet"
    assert view(mixed[4]).facts == []


def test_every_verdict_has_a_mark_of_its_own_and_a_meaning():
    assert set(verdicts.MARKS) == set(verdicts.MEANINGS) == set(VERDICTS)
    assert len(set(verdicts.MARKS.values())) == len(VERDICTS)
    assert [name for _, name, _ in verdicts.meanings([record(), record("undecided")])] == ["reproduced", "undecided"]


@pytest.mark.parametrize("narrow", [False, True])
def test_the_picture_has_every_tested_claim_and_tells_verdicts_apart_without_colour(narrow):
    found = [record(one, id=f"claim-{i}") for i, one in enumerate(verdicts.TESTED)]
    found += [
        record("by construction", id="apart"),
        record("refuted", id="far", interval=(-0.9, -0.8), difference=-0.85),
    ]
    found += [record("undecided", id="bare", interval=None)]
    figure = claims.figure(Content({}, [], found, {}))
    text = replace(figure, charts=figure.narrow if narrow else figure.charts).file()
    ET.fromstring(text)
    for i, verdict in enumerate(verdicts.TESTED):
        assert f">claim-{i}<" in text
        assert f"{verdicts.MARKS[verdict]} {verdict}<" in text
    assert "apart" not in text
    assert ">far<" in text
    assert ">bare<" in text
    assert ">no interval<" in text
    assert len({claims.LOOKS[verdict][1] for verdict in verdicts.TESTED}) == len(verdicts.TESTED)


def test_without_tested_claims_there_is_no_picture():
    assert claims.figure(Content({}, [], [record("by construction")], {})) is None

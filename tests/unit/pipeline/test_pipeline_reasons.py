"""Parameters as flat names, and a plan in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.pipeline import plan as plans
from assay.pipeline import reasons
from assay.pipeline.plan import Cost, Plan, Step
from assay.pipeline.reasons import Reason

PARAMS = {
    "seeds": [0, 1],
    "train": {"steps": 80, "optimizer": {"name": "adam", "lr": 0.1}},
    "arms": {},
    "claims": [{"id": "one", "margin": 0.0}, {"id": "two", "margin": 0.5}],
}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        ({}, []),
        ({"seeds": [0, 1, 2]}, ["seeds: [0, 1] → [0, 1, 2]"]),
        ({"train": {"steps": 80}}, ["train.optimizer.name: adam → absent", "train.optimizer.lr: 0.1 → absent"]),
        ({"arms": {"long": {"steps": 3}}}, ["arms: {} → absent", "arms.long.steps: absent → 3"]),
        (
            {"claims": [{"id": "two", "margin": 0.5}, {"id": "one", "margin": 0.1}]},  # their order says nothing
            ["claims.one.margin: 0.0 → 0.1"],
        ),
        ({"train": {"steps": "80", "optimizer": {"name": "adam", "lr": 0.1}}}, ['train.steps: 80 → "80"']),
        ({"seeds": None}, ["seeds: [0, 1] → null"]),
    ],
)
def test_what_differs_is_named_with_both_values(change, lines):
    assert [str(one) for one in reasons.changes(PARAMS, {**PARAMS, **change})] == lines


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.text("ab", min_size=1), inner, max_size=3), max_leaves=6)


@given(trees, trees)
def test_there_are_changes_where_the_sides_differ_and_nowhere_else(left, right):
    assert bool(reasons.changes(left, right)) == (json.dumps(left, sort_keys=True) != json.dumps(right, sort_keys=True))


def make_plan(*steps: Step, **rest) -> Plan:
    defaults = {"unchanged": ("prepare",), "missing": {}, "removed": (), "remote": True}
    return Plan(steps=steps, **{**defaults, **rest})


def upstream(*names: str) -> tuple[Reason, ...]:
    return tuple(Reason("upstream", name) for name in names)


def test_the_headline_counts_what_runs_and_what_is_restored():
    run = Step("train@a", (Reason("new", "train@a"),), None, Cost(200.0, measured=True))
    restored = Step("train@b", (Reason("file", "x.py"),), "cache", Cost(999.0, measured=True))
    assert plans.headline(make_plan(run, restored)) == (
        "1 of 3 stages run, 1 is restored; what trains took 3 min last time"
    )
    guessed = Step("train@c", (Reason("new", "train@c"),), None, Cost(3e6, measured=False))
    assert plans.headline(make_plan(run, guessed)) == "2 of 3 stages run; what trains takes about 35 days, an estimate"
    assert (plans.note(run), plans.note(guessed)) == ("last time 3 min", "about 35 days, an estimate")
    assert plans.headline(make_plan()) == "Nothing to do: all 1 stages are up to date"
    assert "restored from the local cache" in plans.as_text(make_plan(restored))


def test_results_whose_data_is_not_here_are_not_nothing_to_do():
    plan = make_plan(missing={"prepare": None}, remote=False, anew=1800.0)
    assert plans.headline(plan) == "All 1 stages have results, but the data of 1 is not here"
    assert "training them anew takes about 30 min" in plans.as_text(plan)


def test_of_many_removed_stages_a_few_are_named():
    removed = [f"train@{arm}" for arm in "abcdef"]
    told = [plans.as_text(Plan((), ("a",), {}, tuple(removed[:n]), False)) for n in (1, 4, 6)]
    assert "\n1 stage is no longer in dvc.yaml (train@a)" in told[0]
    assert "\n4 stages are no longer in dvc.yaml (train@a, train@b, train@c, train@d)" in told[1]
    assert "\n6 stages are no longer in dvc.yaml (train@a, train@b, train@c, train@d, …)" in told[2]


def test_many_reasons_are_shortened():
    step = Step("compare", tuple(Reason("file", f"{n}.py") for n in range(20)) + upstream(*"abcdef"), None, None)
    lines = plans.because(step)
    assert lines[7:] == ["and 13 more", "a, b, c and 3 more rerun"]


@pytest.mark.parametrize(
    ("missing", "remote", "words"),
    [
        ({"prepare": None}, True, "`dvc pull` fetches them"),
        ({"prepare": None}, False, "no remote has it, so `dvc repro` computes them anew"),
        ({"prepare": "remote"}, False, "1 up-to-date stages have their files in the remote: `dvc pull` fetches them"),
        ({"prepare": "cache"}, True, "`dvc checkout` takes them from the cache"),
    ],
)
def test_where_absent_data_comes_from_is_said(missing, remote, words):
    assert words in plans.as_text(make_plan(missing=missing, remote=remote))


@pytest.mark.parametrize(
    ("seconds", "shown"), [(8.4, "8 s"), (89, "89 s"), (600, "10 min"), (9000, "2.5 h"), (3e6, "35 days")]
)
def test_durations(seconds, shown):
    assert plans.duration(seconds) == shown


def test_the_plan_as_data_is_json():
    step = Step("train@a", (Reason("parameter", "arms.a.steps", "1", "2"),), None, None)
    (found,) = json.loads(json.dumps(plans.as_data(make_plan(step))))["steps"]
    assert found["reasons"][0] == {
        "kind": "parameter",
        "what": "arms.a.steps",
        "old": "1",
        "new": "2",
        "text": "arms.a.steps: 1 → 2",
    }

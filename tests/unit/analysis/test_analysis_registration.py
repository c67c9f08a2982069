"""A claim that was changed once its results were there is marked, and stays so; one changed before is not."""

from __future__ import annotations

import json

import pytest

from assay import methods
from assay.analysis.registration import Entry, is_result, read, register
from assay.core import config
from assay.core.config.parsing import parse
from assay.core.errors import AssayError

CLAIM = {
    "id": "c", "paper": "p", "statement": "s", "arm": "hard", "against": "baseline", "metric": "accuracy",
    "verdict": "better",
}  # fmt: skip
PARAMS = {
    "seeds": [100, 101],
    "data": {"name": "digits", "validation": 100},
    "model": {"name": "mlp", "hidden": [4]},
    "train": {"steps": 50, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.1}, "evaluate_every": 5},
    "arms": {"hard": {"method": "hard_batches", "delta": 0.5}, "other": {"method": "sgd"}},
}


def made(claim=CLAIM, evaluated=(), before=(), **changes):
    params = parse(config.Params, {**PARAMS, "claims": [claim], **changes}, "params.yaml")
    runs = {run.arm: methods.resolve(run).run for run in params.runs()}
    return register(params.claims, params.rule, runs, evaluated, before)


BOTH = ("baseline", "hard")
FIRST = made()


def test_what_is_registered_before_results_is_not_marked():
    assert FIRST.claims["c"].changed_after_results is False
    assert (
        made(evaluated=["hard", "other"], claim={**CLAIM, "margin": 0.001}).claims["c"].changed_after_results is False
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"claim": {**CLAIM, "margin": 0.001}},
        {"claim": {**CLAIM, "matters": 0.004}},
        {"rule": {"alpha": 0.1}},
        {"arms": {**PARAMS["arms"], "hard": {"method": "hard_batches", "delta": 0.2}}},
        {"claim": {**CLAIM, "arm": "other"}, "evaluated": ("baseline", "other")},
    ],
)
def test_a_change_after_results_is_marked_and_the_mark_stays(changes):
    changes = {"evaluated": BOTH, **changes}
    found = made(**changes, before=FIRST.claims.values())
    assert found.claims["c"].changed_after_results
    assert found.digest != FIRST.digest
    changes["evaluated"] = ()
    again = made(**changes, before=found.claims.values())
    assert again == found
    assert not made(**changes, before=FIRST.claims.values()).claims["c"].changed_after_results


@pytest.mark.parametrize(
    "changes", [{"claim": {**CLAIM, "statement": "Reworded.", "paper": "q"}}, {"seeds": [100, 101, 102]}]
)
def test_words_and_seeds_decide_nothing(changes):
    assert made(**changes, evaluated=BOTH, before=FIRST.claims.values()) == FIRST


def test_a_claim_that_goes_back_to_what_was_registered_is_what_it_was():
    changed = made({**CLAIM, "margin": 0.001}, BOTH, FIRST.claims.values())
    both = [*FIRST.claims.values(), *changed.claims.values()]  # the last commit's, then the file's
    assert made(evaluated=BOTH, before=both) == FIRST


def test_a_new_name_does_not_clear_the_mark():
    changed = made({**CLAIM, "margin": 0.001}, BOTH, FIRST.claims.values())
    renamed = made({**CLAIM, "id": "d", "margin": 0.001}, BOTH, changed.claims.values())
    assert renamed.claims["d"].changed_after_results


def test_what_nothing_tests_is_not_registered():
    params = {"id": "e", "paper": "p", "statement": "s"}
    assert made({**params, "preset": "x"}, BOTH).claims == {}
    assert made({**CLAIM, "metric": "training_cost"}, BOTH).claims == {}


def test_only_results_of_these_very_parameters_count():
    run = methods.resolve(parse(config.Params, PARAMS, "p").runs()[1]).run
    record = {"method": run.method, "parameters": run.parameters, "data": "digits"}
    assert is_result({"evaluation": [record]}, run, "digits")
    assert not is_result({"evaluation": [record]}, run, "mnist")
    assert not is_result(
        {"evaluation": [{**record, "parameters": {**run.parameters, "label_noise": 0.1}}]}, run, "digits"
    )
    assert not any(is_result(content, run, "digits") for content in (None, [], {}, {"evaluation": []}, 3))


def test_the_marked_are_read_from_the_file(tmp_path):
    path = tmp_path / "metrics/plan.json"
    path.parent.mkdir()
    entries = {"a": Entry(digest="1", changed_after_results=True), "b": Entry(digest="2")}
    path.write_text(json.dumps({"digest": "x", "claims": {key: one.model_dump() for key, one in entries.items()}}))
    assert read(tmp_path).claims == entries
    path.write_text("{")
    with pytest.raises(AssayError, match=r"metrics/plan.json: not JSON .*; delete it and run `dvc repro`"):
        read(tmp_path)

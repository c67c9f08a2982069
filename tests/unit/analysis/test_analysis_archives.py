"""Archived runs: what an earlier version wrote is read, and a claim of a preset takes its verdict from there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.analysis.claims import EARLIER_RULE, ClaimRecord, Look, read_archives, with_archives
from assay.core.errors import AssayError
from assay.report.verdicts import across_runs, holds

ROOT = Path(__file__).parents[3]
HERE = SimpleNamespace(data="digits", model=SimpleNamespace(name="mlp"))
TESTED = {
    "id": "holds", "paper": "x2020", "statement": "It holds.", "metric": "accuracy", "asks": "better", "margin": 0.0,
    "arm": "a/last", "against": "b/last", "difference": 0.01, "interval": [0.005, 0.015], "seeds": 10,
    "verdict": "reproduced", "differs_from_paper": "Smaller.",
}  # fmt: skip
UNTESTED = {
    "id": "holds",
    "paper": "x2020",
    "statement": "It holds there.",
    "preset": "kept",
    "verdict": "not tested here",
}


def keep(root: Path, name: str, *claims: dict, note: str | None = None, data: str = "digits") -> None:
    folder = root / "results" / name
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(f"data: {{name: {data}, gone: 1}}\nmodel: {{name: mlp}}\n")
    (folder / "claims.json").write_text(json.dumps(claims))
    if note is not None:
        (folder / "run.json").write_text(json.dumps({"note": note}))


def records(*claims: dict) -> list[ClaimRecord]:
    return [ClaimRecord.model_validate(claim) for claim in claims]


def test_a_ratio_of_an_earlier_version_has_the_direction_of_its_bound():
    ratio = {**TESTED, "metric": "record.saving", "asks": "ratio", "more_is_better": False}
    up, down = records({**ratio, "at_least": 100}, {**ratio, "at_most": 2, "more_is_better": True})
    assert (up.more_is_better, down.more_is_better) == (True, False)
    assert records({**TESTED, "more_is_better": False})[0].more_is_better is False


def test_a_claim_of_a_preset_takes_the_archived_verdict_and_says_where_it_is_from(tmp_path):
    keep(tmp_path, "kept", TESTED, note="100 epochs, not 1,000.")
    (found,) = with_archives(records(UNTESTED), read_archives(tmp_path))
    assert (found.verdict, found.difference, found.interval, found.seeds) == ("reproduced", 0.01, (0.005, 0.015), 10)
    assert (found.archived, found.preset, found.statement) == ("results/kept", "kept", "It holds there.")
    assert found.differs_from_paper == "Smaller. 100 epochs, not 1,000."


@pytest.mark.parametrize("other", [{"id": "other"}, {"preset": "elsewhere"}])
def test_without_such_an_archive_or_id_it_stays_untested(tmp_path, other):
    keep(tmp_path, "kept", TESTED)
    claims = records({**UNTESTED, **other})
    assert with_archives(claims, read_archives(tmp_path)) == claims


def test_an_archived_verdict_of_an_archived_verdict_is_none(tmp_path):
    """Else a run could give back what it took from another one, under its own name."""
    keep(tmp_path, "kept", {**TESTED, "archived": "results/other"}, UNTESTED | {"id": "open"})
    claims = records(UNTESTED, UNTESTED | {"id": "open"})
    assert with_archives(claims, read_archives(tmp_path)) == claims


def test_a_claim_that_was_tested_here_keeps_its_verdict(tmp_path):
    keep(tmp_path, "kept", TESTED)
    claims = records({**TESTED, "verdict": "refuted"})
    assert with_archives(claims, read_archives(tmp_path)) == claims


def test_the_earlier_rule_is_named_and_the_present_one_is_not(tmp_path):
    now = {**TESTED, "id": "now", "looks": [Look(seeds=10, above=1e-6, level=0.01).model_dump()]}
    keep(tmp_path, "kept", {**TESTED, "p_value": 1e-6, "reason": "one seed is late"}, now)
    claims = read_archives(tmp_path)["kept"].claims
    assert claims["holds"].reason == f"{EARLIER_RULE}; one seed is late"
    assert claims["now"].reason == ""


def test_every_archive_of_this_repository_is_read():
    found = read_archives(ROOT)
    assert {"lottery_lenet_mnist", "subspace_cifar10", "mnist_gpu"} <= set(found)
    earlier = found["lottery_lenet_mnist"].claims["lenet-ticket-faster-than-reinit"]
    assert earlier.verdict == "refuted"
    assert earlier.reason.startswith(EARLIER_RULE)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("claims.json", "[", r"results/kept/claims\.json: not JSON .*; `git checkout -- .*results/kept` restores it"),
        ("claims.json", "{}", r"must hold a list of claims; `git checkout"),
        ("claims.json", '[{"id": "x"}]', r"results/kept/claims\.json: paper: missing"),
        ("params.yaml", "data: 3\n", r"params\.yaml: no data\.name or no model\.name; `git checkout"),
        ("run.json", "[]", r"run\.json: must hold keys and values; `git checkout"),
    ],
)
def test_a_damaged_archive_is_named(tmp_path, name, text, line):
    keep(tmp_path, "kept", TESTED)
    (tmp_path / "results/kept" / name).write_text(text)
    with pytest.raises(AssayError, match=line):
        read_archives(tmp_path)


@pytest.mark.parametrize(
    ("decided", "expected"),
    [
        (["reproduced", "reproduced"], "yes"),
        (["refuted", "negligible"], "no"),
        (["reproduced", "negligible"], "mixed"),
        (["reproduced", "refuted", "undecided"], "mixed"),
        (["reproduced", "undecided"], "undecided"),
        (["refuted", "undecided"], "undecided"),
        (["undecided"], "undecided"),
    ],
)
def test_whether_a_claim_holds_across_runs(decided, expected):
    assert holds(decided) == expected
    assert holds(decided[::-1]) == expected


def test_the_table_has_a_column_a_run_and_a_row_a_claim_tested_twice(tmp_path):
    keep(tmp_path, "kept", {**TESTED, "verdict": "refuted", "p_value": 0.5}, {**TESTED, "id": "once"}, data="mnist")
    keep(tmp_path, "without")
    here = records(TESTED, {**TESTED, "id": "new"}, {**UNTESTED, "id": "once"})
    table = across_runs(here, HERE, read_archives(tmp_path))
    assert table.columns == ("Claim", "This run", "kept", "Holds across them")
    assert table.notes == ("", "digits, mlp", "mnist, mlp", "")
    ((name, cells),) = table.rows
    assert name == "holds"
    assert [cell.value for cell in cells] == ["✓ reproduced", "✗ refuted", "mixed"]
    assert cells[0].detail == "+1.00 [+0.50, +1.50] points, 10 seeds"
    assert cells[1].detail.endswith("10 seeds, earlier rule")


@pytest.mark.parametrize("change", [{"margin": 0.01}, {"metric": "nll"}, {"asks": "ratio", "at_most": 0.5}])
def test_the_same_id_that_asks_something_else_is_another_claim(tmp_path, change):
    keep(tmp_path, "kept", {**TESTED, **change})
    assert across_runs(records(TESTED), HERE, read_archives(tmp_path)) is None


def test_a_number_that_is_exact_by_construction_is_no_row(tmp_path):
    keep(tmp_path, "kept", TESTED)
    assert across_runs(records({**TESTED, "verdict": "by construction"}), HERE, read_archives(tmp_path)) is None

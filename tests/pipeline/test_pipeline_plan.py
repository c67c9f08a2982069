"""`assay plan`: what a change reruns and why, without the data; compared with what DVC then does."""

from __future__ import annotations

import json

import pytest
import shell_pipeline
from shell_pipeline import Tiny


@pytest.fixture
def fresh(filled, tmp_path) -> Tiny:
    """A clone without data and without cache, whose changes concern nobody else."""
    return shell_pipeline.clone(filled[1], tmp_path / "fresh")


def plan(clone: Tiny, *arguments: str) -> dict:
    return json.loads(clone.run("assay", "plan", "--json", *arguments).stdout)


def reasons(found: dict) -> dict[str, list[str]]:
    return {step["stage"]: [reason["text"] for reason in step["reasons"]] for step in found["steps"]}


def test_in_a_fresh_clone_nothing_reruns_and_the_data_is_elsewhere(fresh):
    found = plan(fresh)
    assert found["steps"] == []
    assert sorted(found["unchanged"]) == sorted(shell_pipeline.STAGES)
    assert set(found["missing"].values()) == {None}
    assert set(found["missing"]) == {"prepare", "train@a", "train@b", "evaluate@a", "evaluate@b"}
    text = fresh.run("assay", "plan").stdout
    assert "All 7 stages have results, but the data of 5 is not here" in text
    assert "`dvc pull` fetches them" in text
    assert set(plan(fresh, "--remote")["missing"].values()) == {"remote"}


def test_a_parameter_reruns_its_arm_and_what_follows_and_dvc_does_the_same(fresh):
    fresh.change("params.yaml", "steps: 10", "steps: 11")
    found = plan(fresh)
    assert reasons(found) == {
        "train@a": ["arms.a.steps: 10 → 11"],
        "evaluate@a": ["train@a reruns"],
        "compare": ["arms.a.steps: 10 → 11", "evaluate@a reruns"],
        "track": ["train@a reruns", "compare reruns"],
    }
    assert [step["measured"] for step in found["steps"]] == [False, None, None, None]  # 7.5 s were for 10 steps
    text = fresh.run("assay", "plan").stdout
    assert "4 of 7 stages run; what trains takes about 0 s, an estimate" in text
    assert not fresh.run("git", "status", "--porcelain", "--ignored", "--", "data", "models").stdout  # it ran nothing
    assert fresh.repro() == ["train@a", "evaluate@a", "compare", "track"]
    assert plan(fresh)["steps"] == []
    assert reasons(plan(fresh, "--since", "HEAD")) == reasons(found)  # results are no reasons against the past


def test_a_shared_parameter_a_source_file_and_a_new_arm_are_told_apart(fresh):
    fresh.change("params.yaml", "seeds: [0, 1]", "seeds: [0, 1, 2]")
    fresh.change("raw.txt", "2", "3")
    fresh.change("params.yaml", "claims: []", "  c: {method: sgd}\nclaims: []")
    fresh.change("dvc.yaml", "cat models", "cat  models")
    found = reasons(plan(fresh))
    assert found["prepare"] == ["raw.txt changed"]
    assert found["train@a"] == ["seeds: [0, 1] → [0, 1, 2]", "prepare reruns"]
    assert found["train@c"] == ["it never ran", "prepare reruns"]
    assert found["compare"][:1] == ["arms.c.method: absent → sgd"]
    assert found["track"][0].startswith("its command is now `cat  models")


def test_a_removed_arm_is_named(fresh):
    fresh.change("params.yaml", "  b: {method: sgd, steps: 20}\n", "")
    found = plan(fresh)
    assert found["removed"] == ["train@b", "evaluate@b"]
    assert "compare" in reasons(found)
    assert "2 stages are no longer in dvc.yaml (train@b, evaluate@b)" in fresh.run("assay", "plan").stdout


def test_an_altered_metric_is_seen_and_a_missing_one_is_not_taken_for_a_change(fresh):
    (fresh.folder / "metrics/summary.csv").write_text("9\n")  # in git; evaluations are in the cache, and not here
    assert reasons(plan(fresh)) == {
        "compare": ["metrics/summary.csv is not what it wrote"],
        "track": ["compare reruns"],
    }


def test_what_was_computed_before_is_restored_from_the_cache_or_from_the_remote(filled, fresh, tmp_path):
    def restored(clone: Tiny, *arguments: str) -> dict[str, str | None]:
        return {step["stage"]: step["restored"] for step in plan(clone, *arguments)["steps"]}

    fresh.change("params.yaml", "steps: 10", "steps: 12")
    assert set(restored(fresh).values()) == {None}
    fresh.repro()
    fresh.run("git", "checkout", "-q", "--", "dvc.lock", "metrics")
    assert restored(fresh) == {"train@a": "cache", "evaluate@a": "cache", "compare": None, "track": None}
    assert "2 of 7 stages run, 2 are restored" in fresh.run("assay", "plan").stdout
    other = shell_pipeline.clone(filled[1], tmp_path / "other")
    other.change("params.yaml", "steps: 10", "steps: 12")
    assert set(restored(other).values()) == {None}  # nobody asked the remote
    assert restored(other, "--remote") == {
        "train@a": "remote",
        "evaluate@a": "remote",
        "compare": None,
        "track": None,
    }


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        (
            "dvc.lock",
            "<<<<<<< ours\na: 1\n=======\n",
            "dvc.lock: not valid YAML",
        ),
        ("params.yaml", "seeds: 3\n", "params.yaml: "),
        ("dvc.yaml", "stages: {prepare: {comand: x}}\n", "dvc.yaml"),
    ],
)
def test_a_damaged_file_is_one_line(fresh, file, text, line):
    (fresh.folder / file).write_text(text)
    done = fresh.run("assay", "plan", check=False)
    assert done.returncode == 2
    assert line in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(fresh):
    done = fresh.shell("assay plan | true")
    assert done.stderr == ""


def test_an_unknown_revision_is_one_line(fresh):
    done = fresh.run("assay", "plan", "--since", "nowhere", check=False)
    assert (done.returncode, done.stderr) == (2, "error: no git revision 'nowhere' here; fetch it, or name another\n")

"""`make archive`: a finished run in small files, whole or not at all, and never in the place of another."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from assay.analysis import claims
from assay.cli import archive
from assay.core.errors import AssayError
from assay.pipeline.plan import Plan, Step
from assay.pipeline.reasons import Reason

PARAMS = """
seeds: [100, 101]
data: {name: digits, validation: 100}
model: {name: mlp, hidden: [8]}
train: {steps: 10, batch_size: 10, optimizer: {name: adam, lr: 0.001}, evaluate_every: 5}
"""
SUMMARY = (
    "arm,variant,method,seeds,members,density,accuracy,accuracy_min,accuracy_max,difference,difference_low,"
    "difference_high,nll,nll_min,nll_max,brier,brier_min,brier_max,ece,ece_min,ece_max,disagreement,train_samples,"
    "forward_samples,optimizer_steps,inference_cost,best_step\n"
    "baseline,last,sgd,2,1,1,0.9,0.9,0.9,,,,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,,100,0,10,1,10\n"
)
CLAIM = {
    "id": "holds", "paper": "x2020", "statement": "It | holds.", "metric": "accuracy", "asks": "better",
    "arm": "a/last", "against": "baseline/last", "difference": 0.01, "interval": [0.005, 0.015], "seeds": 2,
    "verdict": "reproduced",
}  # fmt: skip
MACHINE = {"device": "cpu", "processor": "P", "threads": 2, "torch": "9"}
SECONDS = {"baseline": 2.5, "a-1": 1.0}
NAMES = {
    "README.md",
    "claims.json",
    "evaluate/baseline.json",
    "evaluate/a-1.json",
    "params.yaml",
    "run.json",
    "summary.csv",
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A repository whose pipeline has run; `steps` are the stages that still would."""
    for name, content in {
        "params.yaml": PARAMS,
        "metrics/claims.json": json.dumps([CLAIM]),
        "metrics/summary.csv": SUMMARY,
        "metrics/evaluate/baseline.json": "{}",
        "metrics/evaluate/a-1.json": "{}",
        "metrics/timings.json": json.dumps({name: {"seconds": time, **MACHINE} for name, time in SECONDS.items()}),
        "src/code.py": "",
        "models/baseline/weights.safetensors": "large",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    commit(tmp_path)
    steps: list[Step] = []
    monkeypatch.setattr(archive.plan, "make", lambda root: Plan(tuple(steps), (), {}, (), remote=False))
    monkeypatch.chdir(tmp_path)
    return SimpleNamespace(root=tmp_path, steps=steps)


def commit(root):
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        settings = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        subprocess.run(["git", *settings, *command], cwd=root, check=True)


def kept(root, name="first"):
    folder = root / "results" / name
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_holds_what_a_reader_needs_and_no_model(run):
    archive.main("first", "100 epochs, not 1,000")
    found = kept(run.root)
    assert set(found) == NAMES
    assert found["params.yaml"].decode() == PARAMS
    content = json.loads(found["run.json"])
    assert content["training_seconds"] == 3.5
    assert content["machines"] == [MACHINE]
    assert (len(content["commit"]), content["changed_since"], content["rule"]["looks"]) == (40, [], [10, 20, 40])
    text = found["README.md"].decode()
    assert "1 claim" in text.splitlines()[2]
    assert "✓ **reproduced**" in text
    assert "It \\| holds." in text
    assert "100 epochs, not 1,000" in text
    assert claims.read_archives(run.root)["first"].claims["holds"].verdict == "reproduced"


def test_seeds_beyond_the_first_are_kept_where_there_are_any(run):
    (run.root / "seeds.yaml").write_text("more: {}\n")
    archive.main("first")
    assert kept(run.root)["seeds.yaml"] == b"more: {}\n"


def test_the_same_run_is_the_same_bytes_also_after_a_later_commit(run, capsys):
    archive.main("first", "short")
    before = kept(run.root)
    (run.root / "src/code.py").write_text("changed")
    commit(run.root)
    archive.main("first", "short")
    assert kept(run.root) == before
    assert "holds this run already" in capsys.readouterr().out


@pytest.mark.parametrize("path", ["params.yaml", "metrics/evaluate/a-1.json", "metrics/timings.json"])
def test_another_run_of_the_name_stays_unless_force_replaces_it(run, path):
    archive.main("first")
    before = kept(run.root)
    (run.root / path).write_text((run.root / path).read_text().replace("{}", '{"x": 1}').replace("5", "6"))
    with pytest.raises(AssayError, match=r"results/first: holds another run; .*FORCE=1"):
        archive.main("first")
    assert kept(run.root) == before
    assert [one.name for one in (run.root / "results").iterdir()] == ["first"]
    archive.main("first", force=True)
    assert kept(run.root) != before


def test_code_that_differs_from_the_commit_is_listed(run):
    (run.root / "src/code.py").write_text("changed")
    archive.main("first")
    assert json.loads(kept(run.root)["run.json"])["changed_since"] == ["src/code.py"]


@pytest.mark.parametrize("name", ["", "a-b", "../x", "a/b", ".x", "9a", "a" * 101, "a\n"])
def test_an_unusable_name_is_refused(run, name):
    with pytest.raises(AssayError, match=r"NAME: got .*; it should be letters"):
        archive.main(name)
    assert not (run.root / "results").exists()


PARAMETER, RESULTS = Reason("parameter", "train.steps", "1", "2"), Reason("file", "results")
STALE = [
    [("baseline", PARAMETER)],
    [("compare", PARAMETER)],
    [("compare", RESULTS, PARAMETER)],
    [("compare", Reason("file", "results-of-another-folder"))],
    [("evaluate@a", Reason("output", "metrics/evaluate/a.json")), ("compare", RESULTS)],
]


@pytest.mark.parametrize("stale", STALE)
def test_a_run_that_is_not_finished_is_refused_in_one_line(run, stale):
    run.steps += [Step(name, tuple(reasons), None, None) for name, *reasons in stale]
    with pytest.raises(AssayError) as error:
        archive.main("first")
    assert str(error.value).startswith(
        f"results/first: not written, since the run is not finished: {stale[0][0]} would"
    )
    assert str(error.value).endswith("run `make repro` first")
    assert len(str(error.value).splitlines()) == 1
    assert not (run.root / "results").exists()


def test_what_another_archive_or_tracking_makes_stale_is_no_reason(run):
    """Else the same run could not be archived again, since its own archive is what `compare` has not seen."""
    run.steps += [
        Step("compare", (RESULTS,), None, None),
        Step("track", (Reason("upstream", "compare"),), None, None),
    ]
    archive.main("first")
    assert set(kept(run.root)) == NAMES


def test_without_a_commit_it_says_so(run):
    (run.root / ".git/HEAD").write_text("ref: refs/heads/none\n")
    with pytest.raises(AssayError, match=r"git rev-parse HEAD: .*an archive names the commit"):
        archive.main("first")
    assert not kept(run.root)

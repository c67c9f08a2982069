"""The pipeline as a user runs it: real commands, in a temporary clone, on scikit-learn's digits.

The tests of this module share one clone and run in order, on one worker: each starts from what the one before left.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time

import pytest
from clone import PARAMS, STAGES, Clone, Workspace

KEPT = {  # in git
    *(f"metrics/{name}.json" for name in ("claims", "metrics", "networks", "plan", "timings")),
    *("metrics/seeds.csv", "metrics/summary.csv"),
    *(f"metrics/report/{name}" for name in ("advice.md", "claims.svg", "report.md")),
}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def in_order(stages: list[str]) -> set[str]:
    """The stages that ran, after a check that none ran twice."""
    assert len(set(stages)) == len(stages)
    return set(stages)


def commit(clone: Clone, message: str) -> None:
    clone.run("git", "add", "-A")
    clone.run("git", "commit", "-qm", message)


def runs_in_mlflow(clone: Clone) -> list[tuple[str, str]]:
    """Name and lifecycle stage of every run in the clone's database."""
    import sqlite3

    with sqlite3.connect(clone.folder / "mlflow.db") as database:
        return sorted(database.execute("select name, lifecycle_stage from runs"))


def test_from_nothing_everything_runs(clone):
    assert in_order(clone.repro()) == set(STAGES)
    for name in ("baseline", "cyclic", "long"):
        evaluation = json.loads((clone.folder / f"metrics/evaluate/{name}.json").read_text())
        last = evaluation["evaluation"][0]["variants"]["last"]
        assert min(last["accuracy"]) > 0.5  # chance is 0.1
        assert last["train_samples"] == (80 if name == "long" else 60) * 32
    (claim,) = json.loads((clone.folder / "metrics/claims.json").read_text())
    shown = json.loads(clone.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert set(shown) == {"metrics/metrics.json"}
    by_arm = shown["metrics/metrics.json"]["data"]
    assert list(by_arm) == ["baseline", "cyclic", "long", "round-1", "round-2"]
    assert {tuple(one) for one in by_arm.values()} == {("test_accuracy", "test_nll", "test_ece", "training_cost")}
    fields = {"id", "paper", "statement", "metric", "arm", "against", "difference", "interval", "verdict"}
    assert fields | {"differs_from_paper"} <= claim.keys()
    assert (clone.folder / "metrics/report/index.html").exists()
    kept = {path.relative_to(clone.folder).as_posix() for path in (clone.folder / "metrics").rglob("*")}
    assert not [name for name in kept if name.endswith(".gitignore")]
    assert set(clone.run("git", "ls-files", "--others", "--exclude-standard", "metrics").stdout.split()) == KEPT
    rows = (clone.folder / "metrics/summary.csv").read_text().splitlines()[1:]
    assert {row.split(",")[0] for row in rows} == {"baseline", "cyclic", "long", "round-1", "round-2"}
    assert not (clone.folder / ".assay/scratch").exists() or not any((clone.folder / ".assay/scratch").iterdir())
    assert {name for name, stage in runs_in_mlflow(clone) if stage == "active"} >= {"baseline", "cyclic", "long"}


def test_a_second_time_nothing_runs(clone):
    assert clone.repro() == []
    assert "up to date" in clone.run("dvc", "status").stdout


def test_tracking_again_changes_nothing(clone):
    before = runs_in_mlflow(clone)
    clone.run("python", "-m", "stages.track")
    assert runs_in_mlflow(clone) == before
    assert clone.repro() == []


def test_a_changed_arm_and_a_new_one_run_and_nothing_else(clone):
    arms = {"long": {"method": "sgd", "steps": 100}, "short": {"method": "sgd", "steps": 40}}
    clone.write({**PARAMS, "arms": {**PARAMS["arms"], **arms}})
    own = {f"{stage}@{arm}" for stage in ("train", "evaluate") for arm in arms}
    assert in_order(clone.repro()) == own | {"register", "compare", "track"}
    assert "short" in (clone.folder / "metrics/summary.csv").read_text()


def test_a_removed_arm_takes_its_results_along_and_other_clones_settle(clone, tmp_path):
    """A second clone has the arm too when the first drops it; git and DVC's remote bring it what the first wrote."""
    (tmp_path / "remote").mkdir()
    clone.run("dvc", "remote", "add", "--default", "team", str(tmp_path / "remote"))
    commit(clone, "with short")
    second = tmp_path / "second"
    ignored = shutil.ignore_patterns("mlflow.db", "mlartifacts", "mlflow.json")
    shutil.copytree(clone.folder, second, symlinks=True, ignore=ignored)
    clone.write(PARAMS)
    assert in_order(clone.repro()) == {"register", "compare", "track"}  # what was computed before is restored
    assert "up to date" in clone.run("dvc", "status").stdout
    assert "short" not in (clone.folder / "metrics/summary.csv").read_text()
    assert not [path for folder in ("data", "metrics", "models") for path in (clone.folder / folder).rglob("short*")]
    commit(clone, "without short")
    clone.run("dvc", "push", "--run-cache")
    other = Workspace(second, PYTHONPATH=str(second / "src"), PYTHONWARNINGS="default")
    other.run("git", "pull", "-q", str(clone.folder))
    other.run("dvc", "pull")
    assert set(other.repro()) <= {"compare", "track"}
    assert other.bytes_of("dvc.lock") == clone.bytes_of("dvc.lock")
    assert other.run("git", "status", "--porcelain").stdout == ""
    assert other.repro() == []
    assert clone.repro() == []


def test_a_killed_training_goes_on_to_the_same_bytes(clone):
    whole = clone.bytes_of("models/long")
    clone.environment["ASSAY_CHECKPOINT_SECONDS"] = "0"
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "stages.train", "long"],
            cwd=clone.folder,
            env=clone.environment,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not list((clone.folder / ".assay/scratch").glob("train@long-*/checkpoint.pt")):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        (checkpoint,) = (clone.folder / ".assay/scratch").glob("train@long-*/checkpoint.pt")
        shutil.rmtree(clone.folder / "models/long")
        again = clone.run("python", "-m", "stages.train", "long")
    finally:
        del clone.environment["ASSAY_CHECKPOINT_SECONDS"]
    assert "goes on from step" in again.stdout
    assert not checkpoint.exists()
    assert clone.bytes_of("models/long") == whole


def test_from_a_clone_with_the_cache_nothing_trains_and_a_new_database_is_filled(clone, tmp_path):
    assert clone.repro() == []
    other = Clone(tmp_path)
    shutil.copy2(clone.folder / "dvc.lock", tmp_path)  # what git would bring
    for name in KEPT:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clone.folder / name, tmp_path / name)
    other.run("dvc", "config", "cache.dir", str(clone.folder / ".dvc/cache"))
    assert in_order(other.repro()) == {"compare", "track"}  # the page is not in git, and the run-cache has no `compare`
    assert other.bytes_of("metrics/report") == clone.bytes_of("metrics/report")
    assert runs_in_mlflow(other) == [run for run in runs_in_mlflow(other) if run[1] == "active"]
    assert {name for name, _ in runs_in_mlflow(other)} >= {"baseline", "cyclic", "long"}
    assert other.bytes_of("models") == clone.bytes_of("models")


def test_a_broken_raw_file_is_named_and_the_next_run_recovers(clone):
    path = next((clone.folder / "data/raw").glob("train-images*"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-7])
    done = clone.run("python", "-m", "stages.prepare", check=False)
    assert done.returncode == 2
    assert path.name in done.stderr
    clone.repro()
    assert path.read_bytes() == content
    assert "up to date" in clone.run("dvc", "status").stdout

"""The pipeline as a user runs it: real commands, in a temporary clone, on scikit-learn's digits.

The tests of this module share one clone and run in order, on one worker: each starts from what the one before left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
PARAMS = {
    "seeds": [0, 1],
    "data": {"name": "digits", "validation": 200},
    "model": {"name": "mlp", "hidden": [16]},
    "train": {
        "steps": 60,
        "batch_size": 32,
        "optimizer": {"name": "adam", "lr": 0.01},
        "evaluate_every": 20,
    },
    "arms": {"cyclic": {"method": "sgd", "batches": "fixed"}, "long": {"method": "sgd", "steps": 80}},
    "claims": [
        {
            "id": "fixed-is-enough",
            "paper": "none",
            "statement": "Fixed batches cost nothing.",
            "arm": "cyclic",
            "against": "baseline",
            "metric": "accuracy",
            "verdict": "not_worse",
            "margin": 0.02,
        }
    ],
}
STAGES = [
    *("download", "prepare", "baseline", "train@cyclic", "train@long"),
    *("evaluate_baseline", "evaluate@cyclic", "evaluate@long", "compare", "track"),
]


class Clone:
    """A clone of the working tree with parameters of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            if name.startswith("metrics/") or name == "dvc.lock" or not (ROOT / name).exists():
                continue
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        self.write(PARAMS)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ASSAY", "MLFLOW", "PYTEST"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "PYTHONWARNINGS": "default",
            "ASSAY_DEVICE": "cpu",
            "ASSAY_THREADS": "1",
            "DVC_NO_ANALYTICS": "1",
        }
        self.run("git", "init", "-q")

    def write(self, params: dict) -> None:
        with (self.folder / "params.yaml").open("w") as stream:
            YAML().dump(params, stream)

    def run(self, *command: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def repro(self, *arguments: str) -> list[str]:
        """Run `dvc repro`; gives the stages that it ran."""
        lines = self.run("dvc", "repro", *arguments).stdout.splitlines()
        return [line.split("'")[1] for line in lines if line.startswith("Running stage")]

    def bytes_of(self, folder: str) -> dict[str, bytes]:
        files = (path for path in sorted((self.folder / folder).rglob("*")) if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    return Clone(tmp_path_factory.mktemp("clone"))


def in_order(ran: list[str]) -> set[str]:
    """The stages that ran, after a check that none ran twice."""
    assert len(set(ran)) == len(ran)
    return set(ran)


def runs_in_mlflow(clone: Clone) -> list[tuple[str, str]]:
    """Name and lifecycle stage of every run in the clone's database."""
    import sqlite3

    with sqlite3.connect(clone.folder / "mlflow.db") as database:
        return sorted(database.execute("select name, lifecycle_stage from runs"))


def test_from_nothing_everything_runs(clone):
    assert in_order(clone.repro()) == set(STAGES)
    for name in ("baseline", "cyclic", "long"):
        evaluation = json.loads((clone.folder / f"metrics/evaluate/{name}.json").read_text())
        last = evaluation["variants"]["last"]
        assert min(last["accuracy"]) > 0.5  # chance is 0.1
        assert last["train_samples"] == (80 if name == "long" else 60) * 32
    (claim,) = json.loads((clone.folder / "metrics/claims.json").read_text())
    fields = {"id", "paper", "statement", "metric", "arm", "against", "difference", "interval", "verdict"}
    assert fields | {"differs_from_paper"} <= claim.keys()
    assert (clone.folder / "metrics/report/index.html").exists()
    assert (clone.folder / "metrics/summary.csv").read_text().count("\n") == 4
    assert not (clone.folder / ".assay/scratch").exists() or not any((clone.folder / ".assay/scratch").iterdir())
    assert {name for name, stage in runs_in_mlflow(clone) if stage == "active"} >= {"baseline", "cyclic", "long"}


def test_a_second_time_nothing_runs(clone):
    assert clone.repro() == []
    assert "up to date" in clone.run("dvc", "status").stdout


def test_tracking_again_changes_nothing(clone):
    before = runs_in_mlflow(clone)
    clone.run(sys.executable, "-m", "stages.track")
    assert runs_in_mlflow(clone) == before
    assert clone.repro() == []


def test_an_arms_value_reruns_that_arm_and_nothing_else(clone):
    arms = {**PARAMS["arms"], "long": {"method": "sgd", "steps": 100}}
    clone.write({**PARAMS, "arms": arms})
    assert in_order(clone.repro()) == {"train@long", "evaluate@long", "compare", "track"}


def test_what_was_computed_before_is_restored_and_not_trained_again(clone):
    clone.write(PARAMS)
    assert in_order(clone.repro()) <= {"compare", "track"}
    assert "up to date" in clone.run("dvc", "status").stdout


def test_a_new_arm_adds_its_stages_and_a_removed_one_takes_them_along(clone):
    clone.write({**PARAMS, "arms": {**PARAMS["arms"], "short": {"method": "sgd", "steps": 40}}})
    assert in_order(clone.repro()) == {"train@short", "evaluate@short", "compare", "track"}
    clone.write(PARAMS)
    assert in_order(clone.repro()) <= {"compare", "track"}
    assert "short" not in (clone.folder / "metrics/summary.csv").read_text()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"train": {**PARAMS["train"], "steps": -5}}, "train.steps: got -5"),
        ({"trian": {}}, "trian: unknown key; did you mean train?"),
        ({"model": {"name": "conv_6"}, "data": {"name": "digits", "validation": 2000}}, "data.validation: got 2000"),
        ({"model": {"name": "vgg", "depth": 19}}, "model.name: vgg needs"),
        ({"model": {"name": "mlp", "hiden": [3]}}, "model.hiden: unknown key"),
        ({"arms": {"new": {"method": "sdg"}}}, "arms.new.method: unknown method 'sdg'; did you mean sgd?"),
        ({"arms": {"cyclic": {"method": "sgd", "batches": "no"}}}, "arms.cyclic.batches: got 'no'"),
        ({"train": {**PARAMS["train"], "batch_size": 5000}}, "train.batch_size: 5000 is more than"),
    ],
)
def test_bad_parameters_stop_before_anything_runs(clone, change, line):
    before = {folder: clone.bytes_of(folder) for folder in ("models", "metrics")}
    clone.write({**PARAMS, "arms": {}, "claims": [], **change})
    done = clone.run(sys.executable, "-m", "stages.baseline", check=False)
    assert done.returncode == 2
    assert [each for each in done.stderr.splitlines() if each.startswith("error: params.yaml") and line in each], (
        done.stderr
    )
    assert "Traceback" not in done.stderr
    clone.write(PARAMS)
    assert {folder: clone.bytes_of(folder) for folder in ("models", "metrics")} == before


def test_checking_says_the_same_without_running_anything(clone):
    clone.write({**PARAMS, "model": {"name": "lenet"}})
    done = clone.run(sys.executable, "-m", "assay.check", check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "model.name: unknown model 'lenet'; did you mean lenet_300_100?" in done.stderr
    clone.write(PARAMS)
    assert "3 runs, 6 networks" in clone.run(sys.executable, "-m", "assay.check").stdout


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
        again = clone.run(sys.executable, "-m", "stages.train", "long")
    finally:
        del clone.environment["ASSAY_CHECKPOINT_SECONDS"]
    assert "goes on from step" in again.stdout
    assert not checkpoint.exists()
    assert clone.bytes_of("models/long") == whole


def test_from_a_clone_with_the_cache_nothing_trains_and_a_new_database_is_filled(clone, tmp_path):
    assert clone.repro() == []
    other = Clone(tmp_path)
    for name in ("dvc.lock", "metrics/evaluate", "metrics/curves"):  # what git would bring
        source, target = clone.folder / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    other.run("dvc", "config", "cache.dir", str(clone.folder / ".dvc/cache"))
    ran = in_order(other.repro())
    assert not {stage for stage in ran if stage.startswith(("train", "baseline", "download", "prepare"))}
    assert "track" in ran
    assert runs_in_mlflow(other) == [run for run in runs_in_mlflow(other) if run[1] == "active"]
    assert {name for name, _ in runs_in_mlflow(other)} >= {"baseline", "cyclic", "long"}
    assert other.bytes_of("models") == {
        name: content for name, content in clone.bytes_of("models").items() if "/short/" not in name
    }


def test_a_broken_raw_file_is_named_and_the_next_run_recovers(clone):
    path = next((clone.folder / "data/raw").glob("train-images*"))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-7])
    done = clone.run(sys.executable, "-m", "stages.prepare", check=False)
    assert done.returncode == 2
    assert path.name in done.stderr
    clone.repro()
    assert path.read_bytes() == content
    assert "up to date" in clone.run("dvc", "status").stdout

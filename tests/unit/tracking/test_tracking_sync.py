import io
import json
import multiprocessing
import platform
import shutil
import sqlite3
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mlflow
import pandas as pd
import psutil
import pytest
import torch
from PIL import Image
from tracking_repository import COST, SEEDS, curves, without_onnx, write_arm, write_lock, write_repository

from assay.core import files
from assay.core.errors import AssayError
from assay.models import artifact
from assay.tracking import runs, tags
from assay.tracking.store import opened
from assay.tracking.sync import RECORD, sync

ARMS = ["line"]


def dump(root: Path) -> list[str]:
    """Everything that the database holds."""
    with sqlite3.connect(root / "mlflow.db") as database:
        return list(database.iterdump())


def told(root: Path) -> dict[str, object]:
    """What a reader sees of every run, without ids and times."""
    with opened(root) as store:
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        return {
            run.info.run_name: _told(store.client, experiment, run) for run in store.client.search_runs([experiment])
        }


def _told(client, experiment, run):
    run_id = run.info.run_id
    models = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return {
        "parameters": run.data.params,
        "metrics": {
            name: [(metric.step, metric.value) for metric in client.get_metric_history(run_id, name)]
            for name in run.data.metrics
        },
        "tags": run.data.tags,
        "data": [(one.dataset.name, one.dataset.digest, one.dataset.profile) for one in run.inputs.dataset_inputs],
        "artifacts": {
            str(path.relative_to(run.info.artifact_uri)): files.file_digest(path)
            for path in Path(run.info.artifact_uri).rglob("*")
            if path.is_file()
        },
        "models": {
            model.name: (model.params, model.tags, sorted((m.key, m.value) for m in model.metrics)) for model in models
        },
    }


def current(root: Path) -> dict[str, list[str]]:
    """For each name, the values of assay.current of its runs, oldest first."""
    with opened(root) as store:
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        found = sorted(store.client.search_runs([experiment]), key=lambda run: run.info.end_time)
    return {
        name: [run.data.tags[tags.CURRENT] for run in found if run.info.run_name == name]
        for name in {run.info.run_name for run in found}
    }


def test_a_run_tells_all_of_its_arm(seen):
    line = told(seen)["line"]
    assert line["parameters"]["beta"] == "1.0"
    assert line["parameters"]["train.optimizer.lr"] == "0.001"
    assert line["parameters"]["model.name"] == "linear"
    assert line["parameters"]["data.name"] == "digits"
    assert line["parameters"]["seeds"] == "[0, 1]"
    metrics = {name: values[-1] for name, values in line["metrics"].items()}
    assert metrics["test_accuracy"] == (0, pytest.approx(0.9))
    assert metrics["test_accuracy.ensemble"] == (0, pytest.approx(0.91))
    assert metrics["members"] == (0, 1.0)
    assert metrics["train_samples"] == (0, COST["train_samples"])
    assert {name for name in metrics if name.endswith(".ensemble")} == {"test_accuracy.ensemble"}
    assert metrics["seconds"] == (0, 12.5)
    # two seeds, their losses one apart: the mean is half above the first's
    assert line["metrics"]["validation_loss"] == [(0, 2.5), (100, 2.0), (200, 1.5)]
    assert [(name, json.loads(profile)["validation"]) for name, _, profile in line["data"]] == [("digits", 10)]
    assert {"seeds.json", "files/metrics/evaluate/line.json", "files/models/line/manifest.json"} <= {*line["artifacts"]}
    assert dict(line["models"]["line-ensemble"][2])["test_accuracy"] == pytest.approx(0.91)
    assert dict(line["models"]["line-ensemble"][2])["members"] == 2.0
    assert "report/index.html" in told(seen)["report"]["artifacts"]
    note = told(seen)["report"]["tags"][tags.NOTE]
    assert note.index("- **To drop.** Nothing.") < note.index("**reproduced**")


def test_the_latest_plain_score_is_that_of_the_first_variant(seen):
    with opened(seen) as store:
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        line = next(run for run in store.client.search_runs([experiment]) if run.info.run_name == "line")
    assert line.data.metrics["test_accuracy"] == pytest.approx(0.9)
    assert line.info.end_time - line.info.start_time == 12_500


def test_the_second_sync_changes_nothing(seen):
    before, artifacts = dump(seen), sorted((seen / "mlartifacts").rglob("*"))
    record = (seen / RECORD).read_bytes()
    with opened(seen) as store:
        assert sync(store, ARMS).made == []
    assert dump(seen) == before
    assert sorted((seen / "mlartifacts").rglob("*")) == artifacts
    assert (seen / RECORD).read_bytes() == record


def test_a_fresh_database_gets_the_same(synced, empty_database):
    before, record = told(synced), (synced / RECORD).read_bytes()
    shutil.rmtree(synced / "mlartifacts")
    shutil.copy(empty_database, synced / "mlflow.db")
    with opened(synced) as store:
        sync(store, ARMS)
    assert told(synced) == before
    assert (synced / RECORD).read_bytes() == record
    assert set(json.loads(record)["runs"]) == {"baseline", "line"}


def test_a_changed_arm_makes_a_new_current_run_and_a_return_to_it_none(synced):
    old = {path: path.read_bytes() for path in [*synced.rglob("*line*"), *synced.rglob("line/*")] if path.is_file()}
    old[synced / "dvc.lock"] = (synced / "dvc.lock").read_bytes()
    write_arm(synced, "line", {"midpoint": 1, "ensemble": 2}, accuracy=[0.97, 0.87])
    write_lock(synced)
    with opened(synced) as store:
        assert sync(store, ARMS).made == ["line"]
    assert current(synced) == {"baseline": ["true"], "line": ["false", "true"], "report": ["true"]}
    with opened(synced) as store:
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        models = store.client.search_logged_models([experiment], filter_string="name = 'line-ensemble'")
    assert sorted(model.tags[tags.CURRENT] for model in models) == ["false", "true"]

    for path, content in old.items():
        path.write_bytes(content)
    with opened(synced) as store:
        assert sync(store, ARMS).made == []
    assert current(synced)["line"] == ["true", "false"]


def test_an_arm_that_was_dropped_becomes_history(synced):
    with opened(synced) as store:
        assert sync(store, []).made == []
    assert current(synced)["line"] == ["false"]


@pytest.mark.parametrize("moment", ["log_inputs", "log_table", "set_terminated"])
def test_a_sync_that_was_killed_is_recovered(root, monkeypatch, moment):
    class Killed(BaseException):
        """What no handler takes for an error, as SIGKILL leaves no handler to run."""

    def kill(*_arguments, **_options):
        raise Killed

    with monkeypatch.context() as patch, opened(root) as store:
        patch.setattr(mlflow.MlflowClient, moment, kill)
        with pytest.raises(Killed):
            sync(store, ARMS)
    with opened(root) as store:
        assert sync(store, ARMS).made == ["baseline", "line", "report"]
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        found = store.client.search_runs([experiment])
        models = store.client.search_logged_models([experiment])
    assert sorted((run.info.run_name, run.info.status) for run in found) == [
        ("baseline", "FINISHED"), ("line", "FINISHED"), ("report", "FINISHED"),
    ]  # fmt: skip
    assert sorted(model.name for model in models) == ["baseline-last", "line-ensemble", "line-midpoint"]


def zero_weights(root):
    path = root / "models/line/weights.safetensors"
    path.write_bytes(path.read_bytes()[:-40].ljust(path.stat().st_size, b"\0"))


def retrain_by_hand(root):
    """Manifest and weights fit each other, but are not those that dvc.lock records."""
    trained = artifact.read(root / "models/line")
    trained.weights["midpoint"] = {name: tensor + 1 for name, tensor in trained.weights["midpoint"].items()}
    artifact.write(root / "models/line", trained)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (zero_weights, r"models/line/weights.safetensors: damaged or altered: .*rm -r .*models/line; .*dvc repro"),
        (retrain_by_hand, r"^models/line: not what dvc.lock records; .*rm -r models/line; .*dvc repro"),
    ],
)
def test_damaged_models_are_refused_before_anything_is_written(root, damage, message):
    damage(root)
    with opened(root) as store:
        with pytest.raises(AssayError, match=message):
            sync(store, ARMS)
        assert store.client.get_experiment_by_name("digits: linear") is None
    assert not (root / RECORD).exists()


def test_a_failed_run_leaves_nothing(root, monkeypatch):
    def fail(*_arguments, **_options):
        raise AssayError("broken")

    monkeypatch.setattr(mlflow.MlflowClient, "log_table", fail)
    with opened(root) as store, pytest.raises(AssayError, match="broken"):
        sync(store, ARMS)
    assert not (root / RECORD).exists()
    with opened(root) as store:
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        assert store.client.search_runs([experiment]) == []  # the baseline comes last


def test_twins_that_two_hosts_made_become_one(synced):
    with opened(synced) as store:
        experiment = store.experiment("digits: linear")
        line = next(run for run in store.client.search_runs([experiment]) if run.info.run_name == "line")
        key, end = line.data.tags[tags.KEY], line.info.end_time
        with runs.drafted(store, experiment, "line", key, {}, end, end + 1):
            pass
        sync(store, ARMS)
    assert current(synced)["line"] == ["true"]


@pytest.mark.parametrize("ends", ["it finishes", "it is killed", "another machine is silent"])
def test_a_run_that_another_process_writes_is_waited_for(synced, monkeypatch, ends):
    """Its writer is a process that sleeps; at the first look again it ends in one of three ways."""
    other = subprocess.Popen(["sleep", "60"])
    now, looks = time.time(), []
    machine = "elsewhere" if ends == "another machine is silent" else platform.node()
    with opened(synced) as store:
        experiment = store.experiment("digits: linear")
        writer = f"{machine} {other.pid} {psutil.Process(other.pid).create_time()} {now:.0f}"
        run = store.client.create_run(experiment, tags={tags.KEY: "a key", tags.WRITER: writer}).info.run_id

        def wait(_seconds):
            looks.append(store.client.get_run(run).info.lifecycle_stage)
            if ends == "it finishes":
                store.client.set_terminated(run, "FINISHED")
            elif ends == "it is killed":
                other.kill()
                other.wait()
            else:
                patch.setattr(runs.time, "time", lambda: now + runs.PATIENCE + 1)

        with monkeypatch.context() as patch:
            patch.setattr(runs.time, "sleep", wait)
            found = runs.find(store, experiment, "a key")
        assert looks == ["active"]
        assert (found.info.run_id if found else None) == (run if ends == "it finishes" else None)
        stage = store.client.get_run(run).info.lifecycle_stage
        assert stage == ("active" if ends == "it finishes" else "deleted")
    other.kill()
    other.wait()


def sync_in_a_process(root: Path) -> list[str]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, opened(root) as store:
        without_onnx(patch)
        return sync(store, ARMS).made


def test_several_processes_on_a_fresh_database(tmp_path):
    write_repository(tmp_path)
    context = multiprocessing.get_context("forkserver")  # each process is new, and MLflow is imported once for all
    context.set_forkserver_preload(["mlflow.pytorch", "assay.tracking.sync"])
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        made = list(pool.map(sync_in_a_process, [tmp_path] * 3))
    assert sorted(made) == [[], [], ["baseline", "line", "report"]]
    assert current(tmp_path) == {"baseline": ["true"], "line": ["true"], "report": ["true"]}


@pytest.mark.parametrize(("arm", "variant"), [("line", "midpoint"), ("line", "ensemble"), ("baseline", "last")])
def test_a_loaded_model_gives_the_arms_own_probabilities(seen, arm, variant):
    """`baseline/last` has the form of `line/midpoint`, which is traced before it: only its weights are its own."""
    with opened(seen) as store:
        experiment = store.experiment("digits: linear")
        (model,) = store.client.search_logged_models([experiment], filter_string=f"name = '{arm}-{variant}'")
        loaded = mlflow.pytorch.load_model(model.model_uri)
        served = mlflow.pyfunc.load_model(model.model_uri)
    images = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    trained = artifact.read(seen / f"models/{arm}")
    best = 1  # the second seed has the least validation loss
    weights = trained.weights[variant]
    logits = ((images.float() - 30) / 70).flatten(1) @ weights["output.weight"][best].mT + weights["output.bias"][
        best
    ].unsqueeze(1)
    expected = logits.softmax(-1).mean(0)
    torch.testing.assert_close(loaded(images), expected)
    torch.testing.assert_close(loaded(images[:1]), expected[:1])
    streams = [io.BytesIO() for _ in images]
    for stream, image in zip(streams, images, strict=True):
        Image.fromarray(image[0].numpy()).save(stream, "PNG")
    answer = served.predict(pd.DataFrame({"image": [stream.getvalue() for stream in streams]}))
    torch.testing.assert_close(torch.tensor(answer.iloc[:, 1:].to_numpy()), expected)
    assert list(answer.columns) == ["class", "probability.a", "probability.b", "probability.c"]
    assert model.params["seed"] == str(SEEDS[best])
    assert served.metadata.signature.inputs.to_dict()[0]["type"] == "binary"


def test_stages_run_by_hand_are_tracked_by_their_files(root):
    (root / "dvc.lock").unlink()
    with opened(root) as store:
        before = sync(store, ARMS).keys
        (root / "metrics/curves/line.csv").write_text(curves("line", [0]))
        after = sync(store, ARMS)
    assert after.made == ["line"]
    assert after.keys["baseline"] == before["baseline"]


def test_a_file_that_the_lock_does_not_know_is_refused(root):
    (root / "metrics/evaluate/line.json").write_text((root / "metrics/evaluate/line.json").read_text() + "\n")
    with (
        opened(root) as store,
        pytest.raises(AssayError, match=r"^metrics/evaluate/line.json: not what dvc.lock records; .*dvc repro"),
    ):
        sync(store, ARMS)


@pytest.mark.parametrize(
    "name",
    [
        "data/prepared/meta.json", "models/line/manifest.json", "models/line/weights.safetensors",
        "metrics/evaluate/line.json", "metrics/curves/line.csv", "metrics/claims.json", "metrics/report/index.html",
    ],
)  # fmt: skip
def test_a_missing_file_is_one_clear_line(root, name):
    (root / name).unlink()
    with opened(root) as store, pytest.raises(AssayError) as error:
        sync(store, ARMS)
    assert str(error.value).startswith(f"{name}: not found; `dvc repro")
    assert "\n" not in str(error.value)
    with opened(root) as store:
        assert store.client.get_experiment_by_name("digits: linear") is None


def test_a_block_makes_a_run_with_all_seeds_and_the_best_of_all_as_its_model(synced):
    write_arm(synced, "line-1", {"midpoint": 1, "ensemble": 2}, [0.97, 0.99], (0.8, 0.99), arm="line", block=1)
    (synced / "seeds.yaml").write_text("more: {line-1: {arm: line, method: subspace, seeds: [2, 3]}}\n")
    with opened(synced) as store:
        done = sync(store, ARMS)
        assert done.made == ["line"]
        assert sync(store, ARMS).made == []
        experiment = store.client.get_experiment_by_name("digits: linear").experiment_id
        (run,) = store.client.search_runs(
            [experiment], f"{tags.filter_of(tags.CURRENT, 'true')} and {tags.filter_of(tags.ARM, 'line')}"
        )
        line = _told(store.client, experiment, run)
    assert line["parameters"]["seeds"] == "[0, 1, 2, 3]"
    assert "files/models/line-1/manifest.json" in line["artifacts"]
    assert line["models"]["line-midpoint"][0]["seed"] == "3"
    assert current(synced)["line"] == ["false", "true"]
    (synced / "seeds.yaml").unlink()
    with opened(synced) as store:
        assert sync(store, ARMS).made == []
    assert current(synced)["line"] == ["true", "false"]


def test_missing_timings_are_no_error(root):
    (root / "metrics/timings/line.json").unlink()
    with opened(root) as store:
        sync(store, ARMS)
    assert "seconds" not in told(root)["line"]["metrics"]

"""A tracked repository that was moved, copied or shared, and one whose artifacts or runs were lost."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache as artifact_repositories
from tracking_repository import write_arm, write_lock, write_repository

from assay.core.errors import AssayError
from assay.tracking import location, tags
from assay.tracking.store import Store, opened
from assay.tracking.sync import sync

EXPERIMENT, REGISTERED = "digits: linear", "digits-linear"
RUNS = ["baseline", "line", "report"]


@pytest.fixture(autouse=True)
def no_cache():
    """MLflow remembers for a process where the artifacts of a run are, and copies have the same runs."""
    artifact_repositories.clear()


def synced_again(root: Path) -> tuple[list[str], list[str]]:
    """The runs that a sync made, and those that it healed."""
    with opened(root) as store:
        done = sync(store, ["line"])
    return done.made, sorted(done.healed)


def change_an_arm(root: Path) -> None:
    write_arm(root, "line", {"midpoint": 1, "ensemble": 2}, accuracy=[0.97, 0.87])
    write_lock(root)


def assert_all_loads(root: Path, home: Path, versions: int = 1) -> None:
    """Every active run and model has its artifacts below `home`, and every version of the champion predicts."""
    with opened(root) as store:
        experiment = store.client.get_experiment_by_name(EXPERIMENT)
        locations = [experiment.artifact_location]
        for run in store.client.search_runs([experiment.experiment_id]):
            locations.append(run.info.artifact_uri)
            assert len(list(Path(run.info.artifact_uri).rglob("*"))) > 3
        locations += [one.artifact_location for one in store.client.search_logged_models([experiment.experiment_id])]
        assert all(location.local_path(one).is_relative_to(home / "mlartifacts") for one in locations), locations
        found = [f"models:/{REGISTERED}/{i + 1}" for i in range(versions)]
        for uri in [f"models:/{REGISTERED}@champion", *found]:
            probabilities = mlflow.pytorch.load_model(uri)(torch.zeros(5, 1, 4, 4, dtype=torch.uint8))
            torch.testing.assert_close(probabilities.sum(-1), torch.ones(5))


def files_below(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_moved_repository_takes_its_runs_along_and_a_copied_one_is_independent(seen, tmp_path, capsys):
    before = files_below(seen)
    first, second = tmp_path / "first", tmp_path / "another place"
    shutil.copytree(seen, first)
    assert synced_again(first) == ([], [])
    assert capsys.readouterr().err.startswith(f"The artifacts of 3 runs are now in {first}/mlartifacts, no longer in ")
    assert_all_loads(first, first)
    first.rename(second)
    change_an_arm(second)
    assert synced_again(second) == (["line"], [])
    assert_all_loads(second, second, versions=2)  # history too
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another place"]
    assert files_below(seen) == before


def test_clones_share_a_database_whose_artifacts_outlive_each_of_them(seen, tmp_path, monkeypatch):
    """The database names the first clone's folder, as it was written before artifacts lay beside a database."""
    first, second, shared = tmp_path / "first", tmp_path / "second", tmp_path / "shared"
    shutil.copytree(seen, first)
    assert synced_again(first) == ([], [])
    shared.mkdir()
    shutil.move(first / "mlflow.db", shared)
    write_repository(second)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{shared}/mlflow.db")
    assert synced_again(second) == ([], [])
    shutil.rmtree(first)
    assert_all_loads(second, shared)
    change_an_arm(second)
    assert synced_again(second) == (["line"], [])
    assert not (second / "mlartifacts").exists()
    assert not first.exists()


def lose_all(root, _):
    shutil.rmtree(root / "mlartifacts")


def lose_some(root, client):
    shutil.rmtree(model_named(client, "line-ensemble").artifact_location)
    next((root / "mlartifacts").rglob("report/index.html")).unlink()


def lose_what_serving_needs(root, client):
    model = Path(model_named(client, "line-ensemble").artifact_location)
    (model / "data/about.json").unlink()
    model = Path(model_named(client, "baseline-last").artifact_location)
    (model / "code/assay/data/decoding.py").unlink()


def delete_some(_, client):
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (baseline,) = client.search_runs([experiment], filter_string="attributes.run_name = 'baseline'")
    client.delete_run(baseline.info.run_id)
    client.delete_logged_model(model_named(client, "line-midpoint").model_id)
    client.delete_registered_model(REGISTERED)


def delete_the_experiment(_, client):
    client.delete_experiment(client.get_experiment_by_name(EXPERIMENT).experiment_id)


def model_named(client, name):
    experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
    (model,) = client.search_logged_models([experiment], filter_string=f"name = '{name}'")
    return model


@pytest.mark.parametrize(
    ("damage", "made", "healed"),
    [
        (lose_all, [], RUNS),
        (lose_some, [], ["line", "report"]),
        (lose_what_serving_needs, [], ["baseline", "line"]),
        (delete_some, ["baseline"], ["line"]),
        (delete_the_experiment, [], []),
    ],
)
def test_what_was_lost_or_deleted_is_there_again(seen, tmp_path, damage, made, healed):
    root = tmp_path / "clone"
    shutil.copytree(seen, root)
    with opened(root) as store:
        damage(root, store.client)
    assert synced_again(root) == (made, healed)
    assert synced_again(root) == ([], [])
    assert_all_loads(root, root)
    with opened(root) as store:  # nothing is there twice
        experiment = store.client.get_experiment_by_name(EXPERIMENT).experiment_id
        assert sorted(run.info.run_name for run in store.client.search_runs([experiment])) == RUNS
        logged = store.client.search_logged_models([experiment])
    assert sorted(model.name for model in logged) == ["baseline-last", "line-ensemble", "line-midpoint"]
    assert {model.tags[tags.CURRENT] for model in logged} == {"true"}


def test_artifacts_that_cannot_be_written_are_one_line(seen, tmp_path):
    root = tmp_path / "clone"
    shutil.copytree(seen, root)
    shutil.rmtree(root / "mlartifacts")
    (root / "mlartifacts").touch()
    with pytest.raises(AssayError, match=r"(File exists|Not a directory): .*mlartifacts.*; .*run it again") as error:
        synced_again(root)
    assert "\n" not in str(error.value)


def store_at(root, uri):
    return Store(root, uri, None, root)


@pytest.mark.parametrize(
    ("uri", "place", "created", "wrong"),
    [
        ("https://team.example", "mlflow-artifacts:/1", False, None),
        ("https://team.example", "s3://bucket/x", False, None),
        ("https://team.example", "{root}/absent", True, "which does not exist here"),
        ("http://127.0.0.1:5000", "{root}/absent", True, None),  # a server of this machine makes it
        ("http://127.0.0.1:5000", "{root}/absent", False, "which does not exist here"),
        ("https://team.example", "file://{root}/there", False, None),
        ("postgresql://team/x", "{root}/absent", False, "which does not exist here"),
        ("sqlite:///{root}/mlflow.db", "{root}/mlartifacts", False, None),
        ("sqlite:///{root}/mlflow.db", "{root}/absent", False, "which does not exist here"),
        ("sqlite:///{root}/mlflow.db", "mlflow-artifacts:/1", False, "set MLFLOW_TRACKING_URI to the address"),
    ],
)
def test_a_location_that_is_not_here_is_refused_and_not_created(tmp_path, uri, place, created, wrong):
    (tmp_path / "there").mkdir()
    store = store_at(tmp_path, uri.format(root=tmp_path))
    expected = pytest.raises(AssayError, match=wrong) if wrong else nullcontext()
    with expected as error:
        location.require(store, EXPERIMENT, place.format(root=tmp_path), created=created)
    assert not wrong or "\n" not in str(error.value)


def test_a_new_experiment_has_its_artifacts_where_everybody_reaches_them(tmp_path, monkeypatch):
    assert location.of_new_experiment(store_at(tmp_path, "https://team.example")) is None
    assert location.of_new_experiment(store_at(tmp_path, "sqlite:////shared/mlflow.db")) == "/shared/mlartifacts"
    database = store_at(tmp_path, "postgresql://user:secret@team/x")
    with pytest.raises(AssayError, match=r"^MLFLOW_DEFAULT_ARTIFACT_ROOT: not set") as error:
        location.of_new_experiment(database)
    assert "secret" not in str(error.value)
    monkeypatch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", "s3://bucket/assay")
    assert location.of_new_experiment(database) == "s3://bucket/assay"


def test_a_location_that_somebody_chose_is_left_alone(empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    with opened(tmp_path) as store:
        store.client.create_experiment("chosen", artifact_location=f"{tmp_path}/chosen")
    with opened(tmp_path) as store:
        assert store.client.get_experiment_by_name("chosen").artifact_location == f"{tmp_path}/chosen"

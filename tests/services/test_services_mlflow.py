"""A team's MLflow: a server on PostgreSQL behind a login, artifacts in an S3 store, two clones that track at once.

`make test-services` installs what is missing and sets ASSAY_SERVICES. All servers are on loopback and end with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
from servers import connects, free_port, running

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.skipif("ASSAY_SERVICES" not in os.environ, reason="needs servers: `make test-services`"),
    pytest.mark.timeout(600),
]
KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "a secret", "AWS_DEFAULT_REGION": "us-east-1"}
USER, PASSWORD = "admin", "a long enough password"
TRACK = """
import sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
import tracking_repository
from assay.tracking.store import opened
from assay.tracking.sync import sync
root = Path({root!r})
root.mkdir()
tracking_repository.write_repository(root)
if {changed}:
    tracking_repository.write_arm(root, "line", {{"midpoint": 1, "ensemble": 2}}, accuracy=[0.9, 0.9])
    tracking_repository.write_lock(root)
with opened(root) as store:
    done = sync(store, ["line"])
print(done.made, done.healed, done.champion)
"""


def status(url: str) -> int | None:
    try:
        return int(urlopen(url, timeout=10).status)
    except HTTPError as error:
        return error.code
    except (URLError, OSError):
        return None


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """PostgreSQL's address; its programs refuse to run as root, so they run as the user of Debian's package."""
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)))
    folder, port = Path("/tmp") / f"assay-postgres-{os.getpid()}", free_port()  # a socket's path has to be short
    folder.mkdir()
    user = "postgres" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    options = {"user": user, "cwd": folder}
    subprocess.run(
        [programs / "initdb", "--auth=trust", "--username=mlflow", "data"], check=True, capture_output=True, **options
    )
    command = [programs / "postgres", "-D", "data", "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
    with running(command, tmp_path_factory.mktemp("postgres") / "log", lambda: connects(port), **options):
        subprocess.run(
            [programs / "createdb", "--host=127.0.0.1", f"--port={port}", "--username=mlflow", "mlflow"],
            check=True,
            **options,
        )
        yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/mlflow"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """A client of an S3 store with the bucket `mlflow`, and the store's address."""
    import boto3

    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host=127.0.0.1", f"--port={port}"]
    with running(command, tmp_path_factory.mktemp("s3") / "log", lambda: connects(port)):
        address = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=address,
            region_name="us-east-1",
            aws_access_key_id="team",
            aws_secret_access_key="a secret",
        )
        client.create_bucket(Bucket="mlflow")
        yield client, address


@pytest.fixture(scope="module")
def server(database, bucket, tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = MANAGE\ndatabase_uri = {database}\nadmin_username = {USER}\n"
        f"admin_password = {PASSWORD}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--app-name=basic-auth", "--host=127.0.0.1", f"--port={port}"),
        *(f"--backend-store-uri={database}", "--serve-artifacts", "--artifacts-destination=s3://mlflow", "--workers=2"),
    ]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("MLFLOW")},
        **KEYS,
        "MLFLOW_S3_ENDPOINT_URL": bucket[1],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "another secret",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
    }
    address = f"http://127.0.0.1:{port}"
    with running(command, folder / "log", lambda: status(f"{address}/health") == 200, env=environment, cwd=folder):
        yield address


@pytest.fixture
def client(server, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    return mlflow.MlflowClient(server)


def track(server: str, root: Path, changed: bool = False, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    tests = str(ROOT / "tests/unit/tracking")
    return subprocess.run(
        [sys.executable, "-c", TRACK.format(tests=tests, root=str(root), changed=changed)],
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": server,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": password,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_nobody_without_a_login_reads_or_writes(server, tmp_path):
    assert status(f"{server}/api/2.0/mlflow/experiments/get?experiment_id=0") == 401
    done = track(server, tmp_path / "clone", password="wrong")
    assert done.returncode
    assert "401" in done.stderr or "not authenticated" in done.stderr.lower()


def test_two_clones_that_track_at_once_make_each_run_once_and_artifacts_lie_in_the_store(
    server, bucket, client, tmp_path
):
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(track, server, tmp_path / name) for name in ("first", "second")]
        for one in both:
            assert one.result().returncode == 0, one.result().stderr
    experiment = client.get_experiment_by_name("digits: linear")
    assert experiment.artifact_location.startswith("mlflow-artifacts:")
    found = client.search_runs([experiment.experiment_id])
    assert sorted(run.info.run_name for run in found) == ["baseline", "line", "report"]
    assert client.get_model_version_by_alias("digits-linear", "champion").tags["assay.variant"] == "ensemble"
    names = [one["Key"] for one in bucket[0].list_objects_v2(Bucket="mlflow")["Contents"]]
    for needed in ("seeds.json", "index.html", "model.pt2", "model.onnx", "MLmodel"):
        assert any(name.endswith(f"/{needed}") for name in names), needed


def test_clones_at_two_branches_track_at_once_and_history_keeps_both(server, client, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        both = [
            pool.submit(track, server, tmp_path / "first"),
            pool.submit(track, server, tmp_path / "second", changed=True),
        ]
        for one in both:
            assert one.result().returncode == 0, one.result().stderr
    experiment = client.get_experiment_by_name("digits: linear")
    lines = [run for run in client.search_runs([experiment.experiment_id]) if run.info.run_name == "line"]
    assert len(lines) == 2
    assert sorted(run.data.tags["assay.current"] for run in lines) in (["false", "true"], ["true", "true"])


def test_a_model_is_loaded_from_the_server_by_its_alias(server, client, tmp_path, monkeypatch):
    import mlflow
    import torch

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    mlflow.set_tracking_uri(server)
    try:
        model = mlflow.pytorch.load_model("models:/digits-linear@champion")
    finally:
        mlflow.set_tracking_uri(None)
    found = model(torch.zeros(5, 1, 4, 4, dtype=torch.uint8))
    torch.testing.assert_close(found.sum(-1), torch.ones(5))

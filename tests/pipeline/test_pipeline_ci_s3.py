"""The same over S3: moto's server on loopback plays the object store."""

from __future__ import annotations

import logging

import pytest
import shell_pipeline
from clone import ran

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # a refusal on loopback stays one
}


@pytest.fixture(scope="module")
def endpoint():
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="module")
def client(endpoint):
    import boto3

    keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": "us-east-1"}
    return boto3.client("s3", endpoint_url=endpoint, **keys)


@pytest.fixture(scope="module")
def filled(endpoint, client, tmp_path_factory):
    client.create_bucket(Bucket="team")
    return shell_pipeline.create(tmp_path_factory.mktemp("s3"), "s3://team/assay", f"endpointurl={endpoint}", **KEYS)


def test_what_one_clone_computed_another_restores_over_s3_even_without_the_lock(filled, client, tmp_path):
    names = [one["Key"] for one in client.list_objects_v2(Bucket="team")["Contents"]]
    assert any(name.startswith("assay/files/md5/") for name in names)
    assert any(name.startswith("assay/runs/") for name in names)
    first, origin = filled
    second = shell_pipeline.clone(origin, tmp_path / "second", **KEYS)
    (second.folder / "dvc.lock").unlink()
    assert "prepare  restored from the remote" in second.run("assay", "plan", "--remote").stdout
    assert second.repro() == ["compare", "track"]
    for path in ("dvc.lock", "models/a/weights", "data/predictions/b", "metrics/summary.csv"):
        assert (second.folder / path).read_bytes() == (first.folder / path).read_bytes()


def test_a_bucket_that_is_not_there_and_a_server_that_does_not_answer_are_one_line(filled, endpoint, tmp_path):
    clone = shell_pipeline.clone(filled[1], tmp_path / "clone", **KEYS)
    clone.change("params.yaml", "steps: 10", "steps: 11")
    clone.run("dvc", "remote", "modify", "team", "url", "s3://nobody/assay")
    for address, words in ((endpoint, "nobody/assay is not there"), ("http://127.0.0.1:9", "Could not connect")):
        clone.run("dvc", "remote", "modify", "team", "endpointurl", address)
        done = clone.ci_repro(check=False)
        assert done.returncode == 2
        assert ran(done.stdout) == []
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: DVC remote")
        assert words in line
